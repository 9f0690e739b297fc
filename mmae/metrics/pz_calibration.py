"""Does p(z) mean what it says: PIT, coverage of its intervals, and a verdict.

PIT = F(z_true), uniform from 0 to 1 if p(z) is calibrated. What is tested is p(z) given what was
known when it was made: a sample that was selected by its true redshift (or by anything that p(z) did
not know) need not have a uniform PIT, however good p(z) is.

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

SIGNIFICANCE = 0.01  # of `calibrate`: the most often that a calibrated p(z) is called something else
LEAST_GALAXIES = 200  # with as many, nine in ten p(z) that are 1.3 times too narrow are found out
# With many galaxies also what no user would notice is significant.
SMALL_MISS = 0.02  # of coverage
SMALL_BIAS = 0.1  # of p(z)'s own sigma: it adds 1% to the squared errors, and hides from coverage if larger
SMALL_OUTLIERS = 1e-3  # of the galaxies; five times as many as there should be
LEVELS = (0.50, 0.68, 0.90, 0.95)
OUTLIER_TAIL = 1e-4  # PIT below it or above 1 - it is an outlier (Schmidt et al. 2020, MNRAS 499, 1587)
INTERVAL = 0.68
BIASED, OVER_CONFIDENT, UNDER_CONFIDENT = "biased", "over-confident", "under-confident"
WRONG_SHAPE, MANY_OUTLIERS = "wrong shape", "too many PIT outliers"
LEAST_PIT = 1e-12  # its normal score is finite


@dataclass(frozen=True)
class Calibration:
    """What the PIT of N galaxies says.

    Attributes:
        n: galaxies.
        ks: largest distance of the PIT's distribution from the uniform one.
        p_value: of all tests together; a calibrated p(z) has one below p in p of all samples at most.
        bias: by how many of its own standard deviations p(z) lies too high, in the median.
        coverage: level -> part of the galaxies inside that central interval; Wilson intervals.
        outliers: part with a PIT outside [0.0001, 0.9999]; 0.0002 is right.
        faults: "biased", "over-confident", "under-confident", "wrong shape", "too many PIT outliers";
            empty if nothing is significant.
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
        """The level whose coverage misses most."""
        return max(self.coverage, key=lambda level: abs(self.coverage[level].value - level))

    @property
    def largest_miss(self) -> float:
        """Coverage minus level where that is largest; NaN without galaxies."""
        return self.coverage[self.worst_level].value - self.worst_level

    @property
    def is_small(self) -> bool:
        """Is the misfit, significant or not, too small to matter in use?"""
        return (
            abs(self.largest_miss) <= SMALL_MISS
            and abs(self.bias.value) <= SMALL_BIAS
            and self.outliers.value <= SMALL_OUTLIERS
        )


def pit(pdf: RedshiftPDF, z_N: ArrayLike) -> np.ndarray:
    """F(z_true) (N,), with F linear in ln(1+z) within a bin; 0 or 1 outside the bins."""
    return pdf.cdf(z_N)


def randomised_pit(pdf: RedshiftPDF, z_N: ArrayLike, seed: int) -> np.ndarray:
    """The PIT (N,) drawn evenly between the CDF at the two edges of the bin of the truth.

    Exactly uniform if the bins' probabilities are right, wherever in its bin the truth lies (Smith
    1985, J. Forecasting 4, 283; Czado, Gneiting & Held 2009, Biometrics 65, 1254). For p(z) narrower
    than a bin the plain PIT would only tell where in the bin galaxies happen to be. 0 or 1 outside
    the bins.
    """
    low_N, high_N = pdf.cdf_of_bin(z_N)
    share_N = np.random.default_rng(seed).random(len(pdf))
    return low_N + share_N * (high_N - low_N)


def calibrate(pit_N: ArrayLike, significance: float = SIGNIFICANCE) -> Calibration:
    """Measure and test a PIT that should be uniform.

    Seven tests, each at `significance` / 7 (Bonferroni): Kolmogorov-Smirnov; the sign test of the
    median; the number of galaxies in each central interval, after the median is moved to where it
    belongs, so that a bias alone does not look like a wrong width; and the number of PIT outliers.
    So a calibrated p(z) is called something else in at most `significance` of all samples (the
    binomial tests are exact but for the moved median, which costs nothing in the limit).

    Raises:
        InputError: a PIT that is not from 0 to 1.
    """
    pit_N = np.asarray(pit_N, np.float64)
    if pit_N.ndim != 1 or not ((pit_N >= 0) & (pit_N <= 1)).all():
        raise InputError("PIT: give one number from 0 to 1 for each galaxy; leave out those without a redshift.")
    n = pit_N.size
    if n == 0:
        return Calibration(0, math.nan, math.nan, EMPTY, dict.fromkeys(LEVELS, EMPTY), EMPTY, ())
    ks = kstest(pit_N, "uniform")
    median = quantile_test(pit_N, q=0.5, p=0.5)
    outlier_N = (pit_N < OUTLIER_TAIL) | (pit_N > 1 - OUTLIER_TAIL)
    many = binomtest(int(outlier_N.sum()), n, 2 * OUTLIER_TAIL, alternative="greater")
    centred_N = _with_median_in_the_middle(pit_N)
    hits = {level: int(inside(centred_N, level).sum()) for level in LEVELS}
    width_p = {level: float(binomtest(hits[level], n, level).pvalue) for level in LEVELS}

    p_values = [float(ks.pvalue), float(median.pvalue), float(many.pvalue), *width_p.values()]
    limit = significance / len(p_values)
    misses = {math.copysign(1, hits[level] / n - level) for level, p in width_p.items() if p < limit}
    faults = []
    if median.pvalue < limit:
        faults.append(BIASED)
    if misses:
        faults.append(WRONG_SHAPE if len(misses) == 2 else OVER_CONFIDENT if -1 in misses else UNDER_CONFIDENT)
    if many.pvalue < limit:
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
    """Which galaxies have their redshift in the central interval with this probability: (N,) bool."""
    return np.abs(pit_N - 0.5) <= 0.5 * level


def fault_text(found: Calibration) -> str:
    """The faults in words, with the direction and size of a bias; "calibrated" if there is none."""
    if not found.faults:
        return "calibrated"
    where = "high" if found.bias.value > 0 else "low"
    biased = f"biased (too {where} by {abs(found.bias.value):.2f} of its sigma)"
    return ", ".join(biased if fault == BIASED else fault for fault in found.faults)


def _with_median_in_the_middle(pit_N: np.ndarray) -> np.ndarray:
    """The PIT moved in normal scores, in which a Gaussian p(z) with a bias is moved by a constant."""
    score_N = ndtri(np.clip(pit_N, LEAST_PIT, 1 - LEAST_PIT))
    return ndtr(score_N - np.median(score_N))


def _bias(pit_N: np.ndarray, median) -> Score:
    """Median and its interval as normal scores; PIT below 1/2 is a p(z) that lies too high."""
    interval = median.confidence_interval(confidence_level=INTERVAL)
    value, high, low = -ndtri(np.clip([np.median(pit_N), interval.low, interval.high], LEAST_PIT, 1 - LEAST_PIT))
    return Score(float(value), float(low), float(high), pit_N.size)
