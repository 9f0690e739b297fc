"""How good are point redshifts: scatter, bias and outliers, each with its error.

Shape suffixes: N galaxies, R bootstrap resamples.

All scores are functions of dz = (z_pred - z_spec) / (1 + z_spec). The scatter is
sigma_NMAD = 1.4826 median|dz - median(dz)|: the median absolute deviation about the
median, scaled to the standard deviation of a Gaussian (Hoaglin, Mosteller & Tukey 1983,
"Understanding Robust and Exploratory Data Analysis"). Definitions vary: Brammer, van
Dokkum & Coppi (2008, ApJ 686, 1503) subtract the median before dividing by 1 + z, and
Ilbert et al. (2009, ApJ 690, 1236) do not subtract it at all, so that a bias counts as
scatter. Compare numbers only after checking which one was used.
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
OUTLIER_LIMIT = 0.15  # |dz| beyond which a redshift is catastrophically wrong
LOW_REDSHIFT = 0.4  # the paper's low-redshift sample is z_spec < 0.4
LOW_Z, ALL_Z = "z<0.4", "all z"
BASELINE = "training median"

ScoreTable = dict[str, dict[str, Scores]]
"""mode -> selection -> metric -> score, as `score_table` returns them."""


def normalised_residual(z_spec_N: ArrayLike, z_pred_N: ArrayLike) -> np.ndarray:
    """dz_N = (z_pred - z_spec) / (1 + z_spec); NaN where either is not finite."""
    z_spec_N, z_pred_N = _paired(z_spec_N, z_pred_N)
    usable_N = is_redshift(z_spec_N) & np.isfinite(z_pred_N)
    dz_N = np.full(z_spec_N.shape, np.nan)
    dz_N[usable_N] = (z_pred_N[usable_N] - z_spec_N[usable_N]) / (1.0 + z_spec_N[usable_N])
    return dz_N


def sigma_nmad(dz_N: ArrayLike) -> float:
    """1.4826 x the median absolute deviation of dz about its median; NaN for no galaxies."""
    dz_N = np.array(dz_N, np.float64).ravel()
    return float(robust(dz_N)["sigma_nmad"]) if dz_N.size else math.nan


def bias(dz_N: ArrayLike) -> float:
    """The median of dz; NaN for no galaxies."""
    dz_N = np.asarray(dz_N, np.float64)
    return float(np.median(dz_N)) if dz_N.size else math.nan


def outlier_rate(dz_N: ArrayLike) -> float:
    """The fraction with |dz| > 0.15. A dz that is not finite is an outlier."""
    dz_N = np.asarray(dz_N, np.float64)
    return float(np.mean(beyond(dz_N, OUTLIER_LIMIT))) if dz_N.size else math.nan


def score_redshift(z_spec_N: ArrayLike, z_pred_N: ArrayLike, *, seed: int, resamples: int = 1000) -> Scores:
    """Scatter, bias and outlier rate of point redshifts.

    Galaxies without a finite spectroscopic redshift are left out. A prediction that is not
    finite counts as an outlier, takes no part in scatter and bias, and is counted.

    Args:
        z_spec_N: spectroscopic redshifts.
        z_pred_N: predicted redshifts.
        seed: of the bootstrap. With one seed, two models that predict the same galaxies
            are resampled alike.
        resamples: bootstrap resamples of the galaxies.

    Returns:
        "sigma_nmad" and "bias" with the 16th-84th percentile of the bootstrap,
        "outlier_rate" with its Wilson (1927) interval at one sigma (the bootstrap of a
        rate has no width when no outlier was seen), and "not_finite", the number of
        predictions that are NaN or infinite, without interval.
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
    """sigma_NMAD of one prediction minus that of another of the same galaxies, with its error.

    Both are resampled alike, so that what makes a galaxy hard for both does not count: the error
    is smaller than that of two independent samples. Galaxies without a finite redshift in all
    three are left out.
    """
    dz_N, other_N = normalised_residual(z_spec_N, z_pred_N), normalised_residual(z_spec_N, z_other_N)
    both_N = np.isfinite(dz_N) & np.isfinite(other_N)
    dz_N, other_N = dz_N[both_N], other_N[both_N]
    sigma_R = bootstrap_draws(dz_N, robust, seed, resamples)["sigma_nmad"]
    other_R = bootstrap_draws(other_N, robust, seed, resamples)["sigma_nmad"]
    return with_percentiles(sigma_nmad(dz_N) - sigma_nmad(other_N), sigma_R - other_R, dz_N.size)


def median_baseline(z_train: ArrayLike, z_spec: ArrayLike) -> np.ndarray:
    """Predict the median training redshift for every galaxy of z_spec.

    A model that does not beat this has learned nothing from the data. NaN everywhere if
    the training set has no redshift.
    """
    z_train = np.asarray(z_train, np.float64)
    z_train = z_train[np.isfinite(z_train)]
    median = float(np.median(z_train)) if z_train.size else math.nan
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
    """Scores of several predictions of the same galaxies, at z_spec < 0.4 and at all z.

    Args:
        z_spec_N: spectroscopic redshifts.
        predictions: predicted redshifts by mode ("image", "spectrum", "both").
        z_train: redshifts of the training set; adds the row "training median".
        seed, resamples: of the bootstrap.
        score: called as `score_redshift` is.
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
    """Which galaxies belong to "z<0.4" or "all z", as booleans; never one without redshift."""
    limit = {LOW_Z: LOW_REDSHIFT, ALL_Z: math.inf}[name]
    return is_redshift(z_spec_N) & (z_spec_N < limit)


def is_redshift(z_spec_N: np.ndarray) -> np.ndarray:
    """Where there is a spectroscopic redshift that can be scored: finite and above -1, as booleans."""
    return np.isfinite(z_spec_N) & (z_spec_N > -1.0)


def flat_metrics(table: ScoreTable, prefix: str = "test") -> dict[str, float]:
    """The table under names MLflow accepts; what is NaN is left out.

    `test/image/all_z/sigma_nmad`, with `_low` and `_high` for the interval; "z<0.4" becomes
    `z_lt_0.4`. The number of galaxies is `test/image/all_z/n`.
    """
    metrics: dict[str, float] = {}
    for mode, selections in table.items():
        for name, scores in selections.items():
            n = max((score.n for score in scores.values()), default=0)
            count = Score(float(n) if n else math.nan, math.nan, math.nan, n)
            for metric, score in {**scores, "n": count}.items():
                key = "/".join(_mlflow_name(part) for part in (prefix, mode, name, metric))
                if key in metrics:
                    raise InputError(f"two scores share the name {key}: rename mode {mode!r}.")
                values = {key: score.value, f"{key}_low": score.low, f"{key}_high": score.high}
                metrics.update({k: v for k, v in values.items() if math.isfinite(v)})
    return metrics


def _mlflow_name(text: str) -> str:
    """MLflow allows alphanumerics, _ - . space : and / ; a space is a nuisance in a URL."""
    return re.sub(r"[^A-Za-z0-9_\-./:]", "_", text.replace("<", "_lt_").replace(">", "_gt_"))


def _paired(z_spec_N: ArrayLike, z_pred_N: ArrayLike, what: str = "z_pred") -> tuple[np.ndarray, np.ndarray]:
    # float64: the redshift columns are float32, whose rounding (3e-7 at z = 3) is harmless
    # itself but would make scores depend on the dtype a caller happens to hold.
    z_spec_N, z_pred_N = np.asarray(z_spec_N, np.float64), np.asarray(z_pred_N, np.float64)
    if z_spec_N.shape != z_pred_N.shape or z_spec_N.ndim != 1:
        raise InputError(
            f"{what} has shape {z_pred_N.shape} but z_spec has {z_spec_N.shape}: give one "
            f"predicted redshift for each galaxy."
        )
    return z_spec_N, z_pred_N


def robust(dz_RN: np.ndarray) -> dict[str, np.ndarray]:
    """Scatter and bias of samples (R, N), or of one (N,). Overwrites them: a copy would double the time."""
    median_R1 = np.median(dz_RN, axis=-1, overwrite_input=True, keepdims=True)
    dz_RN -= median_R1
    np.abs(dz_RN, out=dz_RN)
    sigma_R = MAD_TO_SIGMA * np.median(dz_RN, axis=-1, overwrite_input=True)
    return {"sigma_nmad": sigma_R, "bias": median_R1[..., 0]}
