"""Statistics with 68% intervals: bootstrap over galaxies, or Wilson score interval for rates.

Shape suffixes: N galaxies, R bootstrap resamples.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

ONE_SIGMA = math.erf(1 / math.sqrt(2))  # confidence level of a one-sigma interval, 0.6827
BOOTSTRAP_ELEMENTS = 200_000  # resampled values per chunk, small enough for the CPU cache


@dataclass(frozen=True)
class Score:
    """A statistic and its 68% interval.

    Attributes:
        value: the statistic of the sample; NaN when the sample is empty.
        low, high: ends of the interval; NaN if there is none (a count, an empty sample).
        n: number of galaxies in the sample.
    """

    value: float
    low: float
    high: float
    n: int

    @property
    def error(self) -> float:
        """Half the width of the 68% interval."""
        return 0.5 * (self.high - self.low)


Scores = dict[str, Score]
"""metric -> score, the result of `bootstrap_scores`."""
EMPTY = Score(math.nan, math.nan, math.nan, 0)


def beyond(value_N: np.ndarray, limit: float) -> np.ndarray:
    """Mask (N,) of |value| > limit or not finite."""
    return ~(np.abs(value_N) <= limit)  # negated, so that NaN counts


def rate_score(hit_N: np.ndarray) -> Score:
    """The fraction of True values, with its Wilson interval."""
    n, hits = hit_N.size, int(hit_N.sum())
    return Score(hits / n, *wilson_interval(hits, n), n) if n else EMPTY


Statistics = Callable[[np.ndarray], dict[str, np.ndarray]]
"""Maps samples (R, N), which it may overwrite, to name -> one value per sample (R,)."""


def bootstrap_scores(value_N: np.ndarray, statistics: Statistics, *, seed: int, resamples: int) -> Scores:
    """Statistics of the values, with the 16th and 84th percentile of their bootstrap distribution."""
    if value_N.size == 0:
        return dict.fromkeys(statistics(np.zeros((1, 1))), EMPTY)
    drawn = bootstrap_draws(value_N, statistics, seed, resamples)
    return {
        name: with_percentiles(float(value_1[0]), drawn[name], value_N.size)
        for name, value_1 in statistics(value_N[None].copy()).items()
    }


def bootstrap_draws(value_N: np.ndarray, statistics: Statistics, seed: int, resamples: int) -> dict[str, np.ndarray]:
    """Statistics of `resamples` bootstrap samples of the values: name -> (R,); (0,) for an empty sample."""
    if not (value_N.size and resamples):
        return {name: np.empty(0) for name in statistics(np.zeros((1, 1)))}
    rng = np.random.default_rng(seed)
    rows = max(1, BOOTSTRAP_ELEMENTS // value_N.size)
    parts = []
    for start in range(0, resamples, rows):
        shape = (min(rows, resamples - start), value_N.size)
        parts.append(statistics(value_N[rng.integers(0, value_N.size, shape, dtype=np.int32)]))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def with_percentiles(value: float, value_R: np.ndarray, n: int) -> Score:
    """A statistic with the 16th and 84th percentile of its bootstrap values (R,)."""
    if value_R.size == 0:
        return Score(value, math.nan, math.nan, n)
    low, high = np.percentile(value_R, [16.0, 84.0])
    return Score(value, float(low), float(high), n)


def wilson_interval(hits: int, n: int) -> tuple[float, float]:
    """One-sigma score interval of the rate hits / n (Wilson 1927, JASA 22, 209)."""
    from scipy.stats import binomtest  # imported here: training needs no interval, and the import takes half a second

    interval = binomtest(hits, n).proportion_ci(ONE_SIGMA, method="wilson")
    return float(interval.low), float(interval.high)
