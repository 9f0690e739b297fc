"""Are the errors of the spectral indices, and the chances of being steep, what they say?

Pull = (alpha - true alpha) / alpha_err: mean 0 and width 1 if alpha has no bias and honest errors.

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
from mmae.steepspec.assessment.bins import Binned, binned, check_match, mean, of_truth, rate, take
from mmae.steepspec.assessment.recovery import PULSAR, SNR_EDGES, STEEP

MEAN, WIDTH, STD = "mean", "robust width", "std"
DETECTION_EDGES, DETECTION_LABELS = (2.0, 3.0, 4.0, math.inf), ("2", "3", "4 or more")
P_STEEP_EDGES = (-math.inf, 0.05, 0.2, 0.5, 0.8, 0.95, math.inf)
P_MEAN, P_TRUE, P_TRUE_NO_FIELD = "mean p_steep", "truly steep", "truly steep, no field pulsars"
FITTED, LIMITS = "two detections or more", "one detection and limits"


@dataclass(frozen=True)
class Pulls:
    """Pulls of alpha, and "mean", "robust width" (1.4826 MAD) and "std" of them in bins."""

    pull: np.ndarray
    """(K,)"""
    by_snr: Binned
    by_detections: Binned
    """Against the number of flux densities in the spectrum."""
    pointings: int
    """Resampling units; the errors from ten are themselves good to a quarter only."""


def alpha_pulls(sources: Table, truth: Table, match: np.ndarray, *, resamples: int = 500, seed: int = 0) -> Pulls:
    """Pulls of matched sources whose alpha is of a fitted spectrum ("sed") and has an error.

    The flux-scale error of a pointing and window is shared by all its sources, which are therefore
    not independent. Errors come from resampling pointings (cluster bootstrap: Field & Welsh 2007,
    JRSS B 69, 369), times sqrt(C / (C - 1)) since the spread of C resampled pointings is too small
    by that. A source without a pointing stands for itself; no error where there is one pointing.

    Args:
        match: (S,) of `match_truth`.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        InputError: missing columns, a match that does not fit the tables, or resamples below 2.
    """
    if resamples < 2:
        raise InputError(f"resamples = {resamples}: a spread needs 2 at least; some hundreds are usual")
    match_S = check_match(match, sources, truth)
    s = take(sources, "sources", "alpha", "alpha_err", "alpha_from", "snr", "n_detections", "pointing")
    true_S = of_truth(take(truth, "truth", "alpha")["alpha"], match_S, np.nan)
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
    """Number of each pull's pointing, sources without one standing for themselves, and how many."""
    names, unit_K = np.unique(pointing_K, return_inverse=True)
    lone_K = pointing_K == ""
    unit_K = np.where(lone_K, len(names) + np.cumsum(lone_K), unit_K)
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
    """Statistics with errors from drawing whole units, with replacement; see `alpha_pulls`.

    Args:
        values_K: (K,) values.
        unit_K: (K,) which unit each belongs to.
        statistic: of values (K',), K' > 0.
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
        # Row numbers of the drawn units one after another: each unit's start, counted up.
        within = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size)
        drawn[row] = statistic(values_K[np.repeat(start_C[unit_C], size) + within])
    # A resample of a few single sources may hold one value only, which has no std.
    error = np.nanstd(drawn, axis=0) * math.sqrt(n_units / (n_units - 1))
    return tuple(Score(v, v - e, v + e, len(values_K)) for v, e in zip(value, error.tolist(), strict=True))


def steep_calibration(
    sources: Table, truth: Table, match: np.ndarray, *, steep_limit: float = STEEP
) -> dict[str, Binned]:
    """In bins of p_steep: its mean, and the part of the sources that is truly steeper.

    p_steep comes from the source's own likelihood, with a prior on alpha that is flat. Most
    sources are flatter than the limit, so noise scatters more of them across it than back: the
    true part falls below p_steep where errors are large, and most where upper limits leave alpha
    to that prior. "truly steep, no field pulsars" leaves out the steep sources that were injected
    beyond their real number.

    Args:
        match: (S,) of `match_truth`.
        steep_limit: the limit that p_steep refers to.

    Returns:
        Binned statistics of sources with "two detections or more" (or the radio catalogue's own
        index) and with "one detection and limits".

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
