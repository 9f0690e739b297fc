"""Statistics shared by several sections.

Shape suffixes: N and M values of two samples, P percentiles, R bootstrap resamples, B columns.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np


def nan_percentile(value_NB: np.ndarray, percent: float | list[float]) -> np.ndarray:
    """Percentiles over the first axis ignoring NaN; NaN without warning for columns of NaN only."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanpercentile(value_NB, percent, axis=0)


def ks_distance(a_N: np.ndarray, b_M: np.ndarray, b_weight_M: np.ndarray | None = None) -> float:
    """Kolmogorov-Smirnov distance D: maximum difference of two cumulative distributions.

    No p-value: with thousands of values every difference is significant.

    Args:
        b_weight_M: weights of the second sample; default: equal.

    Returns:
        0 (identical) to 1 (disjoint); NaN if a sample is empty.
    """
    a_N, b_M = np.asarray(a_N, np.float64), np.asarray(b_M, np.float64)
    weight_M = np.ones(b_M.size) if b_weight_M is None else np.asarray(b_weight_M, np.float64)
    if a_N.size == 0 or b_M.size == 0 or weight_M.sum() <= 0:
        return float("nan")
    order = np.argsort(b_M, kind="stable")
    b_M = b_M[order]
    cumulative = np.concatenate([[0.0], np.cumsum(weight_M[order])]) / weight_M.sum()
    a_N = np.sort(a_N)
    at = np.concatenate([a_N, b_M])
    share_a = np.searchsorted(a_N, at, side="right") / a_N.size
    return float(np.abs(share_a - cumulative[np.searchsorted(b_M, at, side="right")]).max())


def weighted_percentiles(values_N: np.ndarray, weight_N: np.ndarray, percents: tuple[float, ...]) -> np.ndarray:
    """Percentiles (P,) of weighted values; each value is at the middle of its weight."""
    values_N, weight_N = np.asarray(values_N, np.float64), np.asarray(weight_N, np.float64)
    if values_N.size == 0 or weight_N.sum() <= 0:
        return np.full(len(percents), np.nan)
    order = np.argsort(values_N, kind="stable")
    weight_N = weight_N[order]
    middle_N = (np.cumsum(weight_N) - 0.5 * weight_N) / weight_N.sum()
    return np.interp(np.asarray(percents) / 100, middle_N, values_N[order])


def match_weights(real_N: np.ndarray, simulated_M: np.ndarray, step: float) -> np.ndarray:
    """Weights (N,) with sum N that give `real` the histogram of `simulated` in bins of `step`.

    Real values in bins without simulated values get weight 0. Simulated values in bins without real values cannot be
    matched: restrict both samples to their common range first.
    """
    edges = np.arange(min(real_N.min(), simulated_M.min()), max(real_N.max(), simulated_M.max()) + step, step)
    edges = np.append(edges, edges[-1] + step)
    bin_N = np.digitize(real_N, edges)
    count_real = np.bincount(bin_N, minlength=edges.size + 1)
    count_simulated = np.bincount(np.digitize(simulated_M, edges), minlength=edges.size + 1)
    weight_N = count_simulated[bin_N] / count_real[bin_N]
    total = weight_N.sum()
    return weight_N * (real_N.size / total) if total > 0 else weight_N


def effective_number(weight_N: np.ndarray) -> float:
    """Effective sample size (sum w)^2 / sum w^2 (Kish 1965)."""
    square = float(np.square(weight_N).sum())
    return float(weight_N.sum()) ** 2 / square if square > 0 else 0.0


@dataclass(frozen=True)
class Percentiles:
    """Percentiles and their standard deviations over bootstrap resamples."""

    value_P: np.ndarray
    error_P: np.ndarray


def bootstrap_percentiles(
    values_N: np.ndarray, percents: tuple[float, ...], *, seed: int, resamples: int = 200
) -> Percentiles:
    """Percentiles with bootstrap errors; NaN for an empty sample."""
    values_N = np.asarray(values_N, np.float64)
    if values_N.size == 0:
        missing_P = np.full(len(percents), np.nan)
        return Percentiles(missing_P, missing_P)
    rng = np.random.default_rng(seed)
    drawn_RP = np.array(
        [np.percentile(values_N[rng.integers(0, values_N.size, values_N.size)], percents) for _ in range(resamples)]
    )
    return Percentiles(np.percentile(values_N, percents), drawn_RP.std(axis=0, ddof=1))
