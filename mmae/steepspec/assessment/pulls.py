"""Calibration of the errors of the spectral index, and of the probability of being steep.

Pull = (alpha - true alpha) / alpha_err: mean 0 and width 1 if alpha is unbiased with correct errors.

Shape suffixes: S detected sources, N true sources, K pulls, C clusters, R resamples.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from astropy.table import Table

from mmae.core.errors import InputError
from mmae.metrics.bootstrap import EMPTY, Score
from mmae.metrics.redshift import sigma_nmad
from mmae.steepspec.assessment.bins import Binned, binned, check_match, mean, rate, take, true_values
from mmae.steepspec.assessment.recovery import PULSAR, SNR_EDGES, STEEP

MEAN, WIDTH, STD = "mean", "robust width", "std"
DETECTION_EDGES, DETECTION_LABELS = (2.0, 3.0, 4.0, math.inf), ("2", "3", "4 or more")
P_STEEP_EDGES = (-math.inf, 0.05, 0.2, 0.5, 0.8, 0.95, math.inf)
P_MEAN, P_TRUE, P_TRUE_NO_FIELD = "mean p_steep", "truly steep", "truly steep, no field pulsars"
FITTED, LIMITS = "two detections or more", "one detection and limits"


@dataclass(frozen=True)
class Pulls:
    """Pulls of alpha, and their "mean", "robust width" (1.4826 MAD) and "std" in bins."""

    pull: np.ndarray
    """(K,)"""
    by_snr: Binned
    by_detections: Binned
    """Against the number of flux densities in the spectrum."""
    pointings: int
    """Number of resampling units; with ten the errors are uncertain by about 25%."""


def alpha_pulls(sources: Table, truth: Table, match: np.ndarray, *, resamples: int = 500, seed: int = 0) -> Pulls:
    """Pulls of matched sources with alpha from a fitted spectrum ("sed") and an error.

    The flux-scale error of a pointing and window is shared by all its sources, which are therefore
    not independent. Errors are from resampling pointings (cluster bootstrap: Field & Welsh 2007,
    JRSS B 69, 369), times sqrt(C / (C - 1)) to correct the bias of the standard deviation for C
    pointings. A source without a pointing is its own resampling unit; with one unit there is no error.

    Args:
        match: (S,) of `match_truth`.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        InputError: missing columns, a match that does not fit the tables, or resamples below 2.
    """
    if resamples < 2:
        raise InputError(f"resamples = {resamples}: give at least 2; several hundred are usual")
    match_S = check_match(match, sources, truth)
    s = take(sources, "sources", "alpha", "alpha_err", "alpha_from", "snr", "n_detections", "pointing")
    true_S = true_values(take(truth, "truth", "alpha")["alpha"], match_S, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        pull_S = (s["alpha"] - true_S) / s["alpha_err"]
    kept_S = (s["alpha_from"] == "sed") & (s["alpha_err"] > 0) & np.isfinite(pull_S)
    pull_K = pull_S[kept_S]
    unit_K, units = _units(s["pointing"][kept_S])

    def score(mask: np.ndarray) -> dict[str, Score]:
        found = bootstrap_units(pull_K[mask], unit_K[mask], _moments, resamples=resamples, seed=seed)
        return dict(zip((MEAN, WIDTH, STD), found, strict=True))

    by_snr = binned("measured S/N", s["snr"][kept_S], SNR_EDGES, score)
    by_detections = binned(
        "flux densities", s["n_detections"][kept_S].astype(float), DETECTION_EDGES, score, DETECTION_LABELS
    )
    return Pulls(pull_K, by_snr, by_detections, units)


def _units(pointing_K: np.ndarray) -> tuple[np.ndarray, int]:
    """(K,) resampling unit of each pull: its pointing, or the source itself without one; and their number."""
    names, unit_K = np.unique(pointing_K, return_inverse=True)
    without_K = pointing_K == ""
    unit_K = np.where(without_K, len(names) + np.cumsum(without_K), unit_K)
    return unit_K, len(np.unique(unit_K))


def _moments(values_K: np.ndarray) -> tuple[float, float, float]:
    std = float(values_K.std(ddof=1)) if len(values_K) > 1 else math.nan
    return float(values_K.mean()), sigma_nmad(values_K), std


def bootstrap_units(
    values_K: np.ndarray,
    unit_K: np.ndarray,
    statistic: Callable[[np.ndarray], tuple[float, ...]],
    *,
    resamples: int,
    seed: int,
) -> tuple[Score, ...]:
    """Statistics with errors from a bootstrap over units, drawn with replacement; see `alpha_pulls`.

    Args:
        values_K: (K,) values.
        unit_K: (K,) unit of each value.
        statistic: function of values (K',), K' > 0.
        resamples, seed: of the bootstrap.
    """
    if not len(values_K):
        return (EMPTY,) * len(statistic(np.zeros(1)))
    order = np.argsort(unit_K, kind="stable")
    values_K = values_K[order]
    _, start_C, size_C = np.unique(unit_K[order], return_index=True, return_counts=True)
    value, n_units = statistic(values_K), len(size_C)
    if n_units < 2:
        return tuple(Score(v, math.nan, math.nan, len(values_K)) for v in value)
    rng = np.random.default_rng(seed)
    drawn = np.empty((resamples, len(value)))
    for row in range(resamples):
        unit_C = rng.integers(n_units, size=n_units)
        size = size_C[unit_C]
        # Concatenated row numbers of the drawn units: the start of each unit plus a running index.
        within = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size)
        drawn[row] = statistic(values_K[np.repeat(start_C[unit_C], size) + within])
    # A resample of few units may have a single value, for which the std is NaN.
    error = np.nanstd(drawn, axis=0) * math.sqrt(n_units / (n_units - 1))
    return tuple(Score(v, v - e, v + e, len(values_K)) for v, e in zip(value, error.tolist(), strict=True))


def steep_calibration(
    sources: Table, truth: Table, match: np.ndarray, *, steep_limit: float = STEEP
) -> dict[str, Binned]:
    """In bins of p_steep: its mean, and the fraction of truly steep sources.

    p_steep is from the likelihood of the source with a flat prior on alpha. Most sources are flatter
    than the limit, so that noise scatters more of them below it than above: the true fraction is below
    p_steep where errors are large, most of all for one detection with limits, where alpha depends on the
    prior. "truly steep, no field pulsars" excludes the steep sources injected above their real number.

    Args:
        match: (S,) of `match_truth`.
        steep_limit: limit in alpha to which p_steep refers.

    Returns:
        Binned statistics of sources with "two detections or more" (or the index of the radio catalogue)
        and with "one detection and limits".

    Raises:
        InputError: missing columns, or a match that does not fit the tables.
    """
    match_S = check_match(match, sources, truth)
    s = take(sources, "sources", "p_steep", "alpha_from")
    usable_S, limits_S = (match_S >= 0) & np.isfinite(s["p_steep"]), s["alpha_from"] == "limits"
    return {
        name: _calibration(s["p_steep"][of_S], match_S[of_S], truth, steep_limit)
        for name, of_S in ((FITTED, usable_S & ~limits_S), (LIMITS, usable_S & limits_S))
    }


def _calibration(p_K: np.ndarray, match_K: np.ndarray, truth: Table, steep_limit: float) -> Binned:
    t = take(truth, "truth", "alpha", "source_class", "region")
    steep_K = t["alpha"][match_K] < steep_limit
    field_K = (t["source_class"][match_K] == PULSAR) & (t["region"][match_K] < 0)
    return binned(
        "p_steep",
        p_K,
        P_STEEP_EDGES,
        lambda mask: {
            P_MEAN: mean(p_K[mask]),
            P_TRUE: rate(steep_K, mask),
            P_TRUE_NO_FIELD: rate(steep_K, mask & ~field_K),
        },
    )
