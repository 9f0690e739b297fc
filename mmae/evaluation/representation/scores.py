"""Scores of probes with 68% intervals from a bootstrap over the test galaxies.

Shape suffixes: M test galaxies.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.stats import bootstrap, median_abs_deviation

from mmae.metrics.bootstrap import Score, Scores
from mmae.metrics.redshift import MAD_TO_SIGMA, OUTLIER_LIMIT, normalised_residual

SIGMA, BIAS, OUTLIERS = "sigma_nmad", "bias", "outlier_rate"
R2, NMAD, BALANCED = "r2", "nmad", "balanced_accuracy"
INTERVAL = 0.68

Statistic = Callable[..., np.ndarray]
"""A function of arrays of one shape, reduced along the keyword `axis`."""


def score_number(target_M: np.ndarray, predicted_M: np.ndarray, *, seed: int, resamples: int) -> Scores:
    """R^2 = 1 - (mean squared error) / (variance of the test targets), and NMAD of the residuals.

    R^2 is 0 for the mean of the test galaxies and negative for a worse prediction. NMAD is
    1.4826 times the median absolute deviation of the residuals about their median.
    """
    return {
        R2: bootstrap_score(_r2, target_M, predicted_M, seed=seed, resamples=resamples),
        NMAD: bootstrap_score(_nmad, predicted_M - target_M, seed=seed, resamples=resamples),
    }


def score_type(type_M: np.ndarray, predicted_M: np.ndarray, *, seed: int, resamples: int) -> Scores:
    """Balanced accuracy: the recall averaged over the types of the test galaxies."""
    _, index_M = np.unique(type_M, return_inverse=True)
    right_M = np.asarray(type_M == predicted_M, float)
    return {BALANCED: bootstrap_score(_balanced, right_M, index_M, seed=seed, resamples=resamples)}


def paired_difference(
    z_spec_M: np.ndarray, z_pred_M: np.ndarray, z_other_M: np.ndarray, *, seed: int, resamples: int
) -> Scores:
    """Scatter, bias and outlier rate of one prediction minus those of another for the same galaxies.

    Both use the same resamples, so errors common to both predictions cancel in the interval.
    """
    dz_M, other_M = normalised_residual(z_spec_M, z_pred_M), normalised_residual(z_spec_M, z_other_M)
    statistics: dict[str, Statistic] = {SIGMA: _nmad, BIAS: np.median, OUTLIERS: _outliers}
    return {
        name: bootstrap_score(_difference(statistic), dz_M, other_M, seed=seed, resamples=resamples)
        for name, statistic in statistics.items()
    }


def bootstrap_score(statistic: Statistic, *values_M: np.ndarray, seed: int, resamples: int) -> Score:
    """A statistic with its 68% percentile bootstrap interval; the interval is NaN for a single galaxy."""
    n = len(values_M[0])
    if n == 0:
        return Score(math.nan, math.nan, math.nan, 0)
    value = float(statistic(*values_M, axis=-1))
    if n == 1:
        return Score(value, math.nan, math.nan, 1)
    found = bootstrap(
        values_M,
        statistic,
        paired=True,
        vectorized=True,
        method="percentile",
        confidence_level=INTERVAL,
        n_resamples=resamples,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Score(value, float(found.low), float(found.high), n)


def _difference(statistic: Statistic) -> Statistic:
    return lambda a, b, axis: statistic(a, axis=axis) - statistic(b, axis=axis)


def _r2(target: np.ndarray, predicted: np.ndarray, axis: int) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):  # R^2 is undefined for equal targets
        return 1.0 - np.mean((predicted - target) ** 2, axis=axis) / np.var(target, axis=axis)


def _nmad(residual: np.ndarray, axis: int) -> np.ndarray:
    return MAD_TO_SIGMA * median_abs_deviation(residual, axis=axis)


def _outliers(dz: np.ndarray, axis: int) -> np.ndarray:
    return np.mean(~(np.abs(dz) <= OUTLIER_LIMIT), axis=axis)


def _balanced(right: np.ndarray, index: np.ndarray, axis: int) -> np.ndarray:
    recall = []
    for k in range(int(index.max()) + 1):
        of_type = index == k
        n = of_type.sum(axis=axis)
        # A resample may contain no galaxy of a rare type: the mean is over the other types.
        recall.append(np.where(n > 0, (right * of_type).sum(axis=axis) / np.maximum(n, 1), np.nan))
    return np.nanmean(recall, axis=0)
