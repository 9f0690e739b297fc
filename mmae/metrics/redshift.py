"""Scores of point redshifts: scatter, bias and outlier rate, with errors.

Shape suffixes: N galaxies, R bootstrap resamples.

All scores are functions of dz = (z_pred - z_spec) / (1 + z_spec). The scatter is
sigma_NMAD = 1.4826 median|dz - median(dz)|: the median absolute deviation about the
median, scaled to the standard deviation of a Gaussian (Hoaglin, Mosteller & Tukey 1983,
"Understanding Robust and Exploratory Data Analysis"). Definitions vary: Brammer, van
Dokkum & Coppi (2008, ApJ 686, 1503) subtract the median before dividing by 1 + z, and
Ilbert et al. (2009, ApJ 690, 1236) do not subtract it, so that a bias counts as scatter.
Check the definition before comparing published values.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import ArrayLike

from mmae.core.errors import InputError
from mmae.metrics.bootstrap import (
    EMPTY,
    Score,
    Scores,
    beyond,
    bootstrap_draws,
    bootstrap_scores,
    rate_score,
    with_percentiles,
)

MAD_TO_SIGMA = 1.4826  # 1 / Phi^-1(3/4), rounded as in the photometric-redshift literature
OUTLIER_LIMIT = 0.15  # outliers have |dz| above this
LOW_REDSHIFT = 0.4  # upper limit in z_spec of the paper's low-redshift sample
LOW_Z, ALL_Z = "z<0.4", "all z"
BASELINE = "training median"

ScoreTable = dict[str, dict[str, Scores]]
"""input mode -> selection -> metric -> score, the result of `score_table`."""


def normalised_residual(z_spec_N: ArrayLike, z_pred_N: ArrayLike) -> np.ndarray:
    """dz_N = (z_pred - z_spec) / (1 + z_spec); NaN where either is not finite."""
    z_spec_N, z_pred_N = _paired(z_spec_N, z_pred_N)
    usable_N = is_redshift(z_spec_N) & np.isfinite(z_pred_N)
    dz_N = np.full(z_spec_N.shape, np.nan)
    dz_N[usable_N] = (z_pred_N[usable_N] - z_spec_N[usable_N]) / (1.0 + z_spec_N[usable_N])
    return dz_N


def sigma_nmad(dz_N: ArrayLike) -> float:
    """1.4826 x median absolute deviation of dz about its median; NaN for an empty sample."""
    dz_N = np.array(dz_N, np.float64).ravel()
    return float(robust(dz_N)["sigma_nmad"]) if dz_N.size else math.nan


def bias(dz_N: ArrayLike) -> float:
    """The median of dz; NaN for an empty sample."""
    dz_N = np.asarray(dz_N, np.float64)
    return float(np.median(dz_N)) if dz_N.size else math.nan


def outlier_rate(dz_N: ArrayLike) -> float:
    """The fraction with |dz| > 0.15 or dz not finite; NaN for an empty sample."""
    dz_N = np.asarray(dz_N, np.float64)
    return float(np.mean(beyond(dz_N, OUTLIER_LIMIT))) if dz_N.size else math.nan


def score_redshift(z_spec_N: ArrayLike, z_pred_N: ArrayLike, *, seed: int, resamples: int = 1000) -> Scores:
    """Scatter, bias and outlier rate of point redshifts.

    Galaxies without a finite spectroscopic redshift are excluded. A prediction that is not finite counts as an outlier
    and is excluded from scatter and bias.

    Args:
        z_spec_N: spectroscopic redshifts.
        z_pred_N: predicted redshifts.
        seed: seed of the bootstrap. The same seed gives the same bootstrap samples for all models that predict the
            same galaxies.
        resamples: number of bootstrap samples.

    Returns:
        "sigma_nmad" and "bias" with the 16th and 84th percentile of the bootstrap, "outlier_rate" with its one-sigma
        Wilson (1927) interval (without outliers in the sample, the bootstrap interval of a rate has zero width), and
        "not_finite", the number of predictions that are NaN or infinite, without interval.
    """
    z_spec_N, z_pred_N = _paired(z_spec_N, z_pred_N)
    labelled_N = is_redshift(z_spec_N)
    dz_N = normalised_residual(z_spec_N[labelled_N], z_pred_N[labelled_N])
    if dz_N.size == 0:
        return dict.fromkeys(("sigma_nmad", "bias", "outlier_rate", "not_finite"), EMPTY)

    finite_dz_N = dz_N[np.isfinite(dz_N)]
    not_finite = dz_N.size - finite_dz_N.size
    return {
        **bootstrap_scores(finite_dz_N, robust, seed=seed, resamples=resamples),
        "outlier_rate": rate_score(beyond(dz_N, OUTLIER_LIMIT)),
        "not_finite": Score(float(not_finite), math.nan, math.nan, dz_N.size),
    }


def scatter_difference(
    z_spec_N: ArrayLike, z_pred_N: ArrayLike, z_other_N: ArrayLike, *, seed: int, resamples: int = 1000
) -> Score:
    """Difference of sigma_NMAD between two predictions for the same galaxies, first minus second.

    The bootstrap is paired: both predictions use the same samples, so errors common to both cancel and the interval is
    narrower than for two independent samples. Galaxies without a finite value in all three arrays are excluded.
    """
    dz_N, other_N = normalised_residual(z_spec_N, z_pred_N), normalised_residual(z_spec_N, z_other_N)
    both_N = np.isfinite(dz_N) & np.isfinite(other_N)
    dz_N, other_N = dz_N[both_N], other_N[both_N]
    sigma_R = bootstrap_draws(dz_N, robust, seed, resamples)["sigma_nmad"]
    other_R = bootstrap_draws(other_N, robust, seed, resamples)["sigma_nmad"]
    return with_percentiles(sigma_nmad(dz_N) - sigma_nmad(other_N), sigma_R - other_R, dz_N.size)


def median_baseline(z_train: ArrayLike, z_spec: ArrayLike) -> np.ndarray:
    """The median training redshift as the prediction for each galaxy of z_spec, as a baseline without input data.

    NaN if the training set has no redshift.
    """
    known = np.asarray(z_train, np.float64)
    known = known[np.isfinite(known)]
    median = float(np.median(known)) if known.size else math.nan
    return np.full(np.shape(z_spec), median)


def score_table(
    z_spec_N: ArrayLike,
    predictions: Mapping[str, ArrayLike],
    *,
    z_train: ArrayLike | None = None,
    seed: int = 0,
    resamples: int = 1000,
    score: Callable[..., Scores] = score_redshift,
) -> ScoreTable:
    """Scores of several predictions for the same galaxies, at z_spec < 0.4 and at all z.

    Args:
        z_spec_N: spectroscopic redshifts.
        predictions: input mode ("image", "spectrum", "both") -> predicted redshifts.
        z_train: redshifts of the training set; adds the row "training median".
        seed, resamples: of the bootstrap.
        score: scoring function with the signature of `score_redshift`.
    """
    z_spec_N = np.asarray(z_spec_N, np.float64)
    rows = dict(predictions)
    if z_train is not None:
        rows[BASELINE] = median_baseline(z_train, z_spec_N)
    chosen = {name: selection(z_spec_N, name) for name in (LOW_Z, ALL_Z)}
    table: ScoreTable = {}
    for mode, z_pred_N in rows.items():
        _, z_pred_N = _paired(z_spec_N, z_pred_N, what=f"prediction {mode!r}")
        table[mode] = {
            name: score(z_spec_N[in_N], z_pred_N[in_N], seed=seed, resamples=resamples) for name, in_N in chosen.items()
        }
    return table


def selection(z_spec_N: np.ndarray, name: str) -> np.ndarray:
    """Mask (N,) of the galaxies in the selection "z<0.4" or "all z"; False without a redshift."""
    limit = {LOW_Z: LOW_REDSHIFT, ALL_Z: math.inf}[name]
    return is_redshift(z_spec_N) & (z_spec_N < limit)


def is_redshift(z_spec_N: np.ndarray) -> np.ndarray:
    """Mask (N,) of valid spectroscopic redshifts: finite and above -1."""
    return np.isfinite(z_spec_N) & (z_spec_N > -1.0)


def flat_metrics(table: ScoreTable, prefix: str = "test") -> dict[str, float]:
    """The table as a flat dictionary with names that MLflow accepts, without NaN values.

    Example: `test/image/all_z/sigma_nmad`, with suffix `_low` and `_high` for the interval; "z<0.4" becomes
    `z_lt_0.4`; `test/image/all_z/n` is the number of galaxies.
    """
    metrics: dict[str, float] = {}
    for mode, selections in table.items():
        for name, scores in selections.items():
            n = max((score.n for score in scores.values()), default=0)
            count = Score(float(n) if n else math.nan, math.nan, math.nan, n)
            for metric, score in {**scores, "n": count}.items():
                key = "/".join(_mlflow_name(part) for part in (prefix, mode, name, metric))
                if key in metrics:
                    raise InputError(f"two scores have the name {key}: rename mode {mode!r}.")
                values = {key: score.value, f"{key}_low": score.low, f"{key}_high": score.high}
                metrics.update({k: v for k, v in values.items() if math.isfinite(v)})
    return metrics


def _mlflow_name(text: str) -> str:
    """MLflow allows alphanumerics, _ - . : / and spaces; spaces are replaced as well, because of URLs."""
    return re.sub(r"[^A-Za-z0-9_\-./:]", "_", text.replace("<", "_lt_").replace(">", "_gt_"))


def _paired(z_spec_N: ArrayLike, z_pred_N: ArrayLike, what: str = "z_pred") -> tuple[np.ndarray, np.ndarray]:
    # The redshift columns are float32. Rounding (3e-7 at z = 3) is negligible, but with float64 the scores do not
    # depend on the dtype of the input.
    z_spec_N, z_pred_N = np.asarray(z_spec_N, np.float64), np.asarray(z_pred_N, np.float64)
    if z_spec_N.shape != z_pred_N.shape or z_spec_N.ndim != 1:
        raise InputError(
            f"{what} has shape {z_pred_N.shape} but z_spec has {z_spec_N.shape}: give one "
            f"predicted redshift per galaxy."
        )
    return z_spec_N, z_pred_N


def robust(dz_RN: np.ndarray) -> dict[str, np.ndarray]:
    """Scatter and bias of samples (R, N), or of one sample (N,). Overwrites its input; a copy would double the time."""
    median_R1 = np.median(dz_RN, axis=-1, overwrite_input=True, keepdims=True)
    dz_RN -= median_R1
    np.abs(dz_RN, out=dz_RN)
    sigma_R = MAD_TO_SIGMA * np.median(dz_RN, axis=-1, overwrite_input=True)
    return {"sigma_nmad": sigma_R, "bias": median_R1[..., 0]}
