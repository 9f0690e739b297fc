"""Calibration of p(z): PIT, coverage of central intervals, and tests of uniformity.

The PIT (probability integral transform) is F(z_true), uniform from 0 to 1 if p(z) is calibrated. Calibration is
conditional on the information used for p(z): in a sample selected by true redshift, or by any other quantity not
available to p(z), the PIT of a correct p(z) need not be uniform.

Shape suffixes: N galaxies.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri
from scipy.stats import binomtest, kstest, quantile_test

from mmae.core.errors import InputError
from mmae.metrics.bootstrap import EMPTY, Score, rate_score
from mmae.metrics.pz_distribution import RedshiftPDF

SIGNIFICANCE = 0.01  # of `calibrate`: maximum probability of a fault for a calibrated p(z)
LEAST_GALAXIES = 200  # sample size at which a p(z) 1.3 times too narrow is detected in 90% of cases
# Misfits below these limits are irrelevant in practice, but significant for large samples.
SMALL_MISS = 0.02  # coverage minus level
SMALL_BIAS = 0.1  # in units of the sigma of p(z): adds 1% to the squared errors; coverage is insensitive to bias
SMALL_OUTLIERS = 1e-3  # fraction of galaxies; five times the expected fraction
LEVELS = (0.50, 0.68, 0.90, 0.95)
OUTLIER_TAIL = 1e-4  # PIT outliers are below this or above 1 minus this (Schmidt et al. 2020, MNRAS 499, 1587)
INTERVAL = 0.68
BIASED, OVER_CONFIDENT, UNDER_CONFIDENT = "biased", "over-confident", "under-confident"
WRONG_SHAPE, MANY_OUTLIERS = "wrong shape", "too many PIT outliers"
LEAST_PIT = 1e-12  # clips the PIT so that its normal score is finite


@dataclass(frozen=True)
class Calibration:
    """Results of the PIT tests of a sample.

    Attributes:
        n: number of galaxies.
        ks: Kolmogorov-Smirnov distance of the PIT distribution from a uniform one.
        p_value: Bonferroni-corrected p-value of all tests.
        bias: median offset of p(z) in units of its sigma; positive if p(z) is too high.
        coverage: level -> fraction of galaxies within that central interval; Wilson intervals.
        outliers: fraction with a PIT outside [0.0001, 0.9999]; expected is 0.0002.
        faults: "biased", "over-confident", "under-confident", "wrong shape", "too many PIT outliers";
            empty if no test is significant.
    """

    n: int
    ks: float
    p_value: float
    bias: Score
    coverage: Mapping[float, Score]
    outliers: Score
    faults: tuple[str, ...]

    @property
    def worst_level(self) -> float:
        """The level with the largest difference between coverage and level."""
        return max(self.coverage, key=lambda level: abs(self.coverage[level].value - level))

    @property
    def largest_miss(self) -> float:
        """Coverage minus level at `worst_level`; NaN without galaxies."""
        return self.coverage[self.worst_level].value - self.worst_level

    @property
    def is_small(self) -> bool:
        """Whether the misfit, significant or not, is negligible in practice."""
        return (
            abs(self.largest_miss) <= SMALL_MISS
            and abs(self.bias.value) <= SMALL_BIAS
            and self.outliers.value <= SMALL_OUTLIERS
        )


def randomised_pit(pdf: RedshiftPDF, z_N: ArrayLike, seed: int) -> np.ndarray:
    """Randomised PIT (N,): drawn uniformly between the CDF at the two edges of the bin of the true redshift.

    Exactly uniform if the bin probabilities are correct, independent of the position within the bin (Smith 1985,
    J. Forecasting 4, 283; Czado, Gneiting & Held 2009, Biometrics 65, 1254). For a p(z) narrower than a bin, the plain
    PIT would reflect only the position within the bin. 0 or 1 outside the range of the bins.
    """
    low_N, high_N = pdf.cdf_of_bin(z_N)
    fraction_N = np.random.default_rng(seed).random(len(pdf))
    return low_N + fraction_N * (high_N - low_N)


def calibrate(pit_N: ArrayLike, significance: float = SIGNIFICANCE) -> Calibration:
    """Test the uniformity of PIT values (N,).

    Seven tests, each at `significance` / 7 (Bonferroni): Kolmogorov-Smirnov; sign test of the median; binomial tests
    of the number of galaxies in each of the four central intervals, after shifting the median to 1/2, so that a bias
    is not mistaken for a wrong width; binomial test of the number of PIT outliers. The probability of any fault for a
    calibrated p(z) is therefore at most `significance`. (The binomial tests are exact except for the shift of the
    median, whose effect vanishes for large samples.)

    Raises:
        InputError: a PIT value is not within 0 to 1.
    """
    pit_N = np.asarray(pit_N, np.float64)
    if pit_N.ndim != 1 or not ((pit_N >= 0) & (pit_N <= 1)).all():
        raise InputError("PIT: give one value from 0 to 1 per galaxy; exclude galaxies without a redshift.")
    n = pit_N.size
    if n == 0:
        return Calibration(0, math.nan, math.nan, EMPTY, dict.fromkeys(LEVELS, EMPTY), EMPTY, ())
    ks = kstest(pit_N, "uniform")
    median = quantile_test(pit_N, q=0.5, p=0.5)
    outlier_N = (pit_N < OUTLIER_TAIL) | (pit_N > 1 - OUTLIER_TAIL)
    outlier_test = binomtest(int(outlier_N.sum()), n, 2 * OUTLIER_TAIL, alternative="greater")
    centred_N = _centred(pit_N)
    hits = {level: int(inside(centred_N, level).sum()) for level in LEVELS}
    width_p = {level: float(binomtest(hits[level], n, level).pvalue) for level in LEVELS}

    p_values = [float(ks.pvalue), float(median.pvalue), float(outlier_test.pvalue), *width_p.values()]
    limit = significance / len(p_values)
    misses = {math.copysign(1, hits[level] / n - level) for level, p in width_p.items() if p < limit}
    faults = []
    if median.pvalue < limit:
        faults.append(BIASED)
    if misses:
        faults.append(WRONG_SHAPE if len(misses) == 2 else OVER_CONFIDENT if -1 in misses else UNDER_CONFIDENT)
    if outlier_test.pvalue < limit:
        faults.append(MANY_OUTLIERS)
    if ks.pvalue < limit and not faults:
        faults.append(WRONG_SHAPE)
    return Calibration(
        n,
        float(ks.statistic),
        min(1.0, len(p_values) * min(p_values)),
        _bias(pit_N, median),
        {level: rate_score(inside(pit_N, level)) for level in LEVELS},
        rate_score(outlier_N),
        tuple(faults),
    )


def inside(pit_N: np.ndarray, level: float) -> np.ndarray:
    """Mask (N,) of the galaxies with their redshift in the central interval of this probability."""
    return np.abs(pit_N - 0.5) <= 0.5 * level


def fault_text(found: Calibration) -> str:
    """The faults as text, with direction and size of a bias; "calibrated" if there is none."""
    if not found.faults:
        return "calibrated"
    where = "high" if found.bias.value > 0 else "low"
    biased = f"biased (too {where} by {abs(found.bias.value):.2f} sigma)"
    return ", ".join(biased if fault == BIASED else fault for fault in found.faults)


def _centred(pit_N: np.ndarray) -> np.ndarray:
    """PIT values shifted to a median of 1/2; the shift is in normal scores, where a Gaussian bias is a constant."""
    score_N = ndtri(np.clip(pit_N, LEAST_PIT, 1 - LEAST_PIT))
    return ndtr(score_N - np.median(score_N))


def _bias(pit_N: np.ndarray, median) -> Score:
    """Median PIT and its interval as negative normal scores: positive for a p(z) that is too high (PIT below 1/2)."""
    interval = median.confidence_interval(confidence_level=INTERVAL)
    value, high, low = -ndtri(np.clip([np.median(pit_N), interval.low, interval.high], LEAST_PIT, 1 - LEAST_PIT))
    return Score(float(value), float(low), float(high), pit_N.size)
