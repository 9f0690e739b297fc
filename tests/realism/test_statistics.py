"""Statistics against scipy, numpy and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mmae.metrics.redshift import sigma_nmad
from mmae.realism.statistics import (
    bootstrap_percentiles,
    effective_number,
    ks_distance,
    match_weights,
    nan_percentile,
    weighted_percentiles,
)


def test_ks_distance_equals_scipy(rng):
    for a, b in (
        (rng.normal(size=300), rng.normal(0.4, 1.2, 170)),
        (rng.integers(0, 6, 90), rng.integers(1, 8, 200)),
    ):  # with ties
        assert ks_distance(a, b) == pytest.approx(stats.ks_2samp(a, b).statistic, abs=1e-12)


def test_weighted_ks_distance_equals_that_of_repeated_values(rng):
    a, b, times = rng.normal(size=80), rng.normal(size=50), rng.integers(0, 4, 50)
    assert ks_distance(a, b, times) == pytest.approx(ks_distance(a, np.repeat(b, times)), abs=1e-12)


def test_ks_distance_of_an_empty_sample_is_nan():
    assert np.isnan(ks_distance(np.array([]), np.ones(3)))
    assert np.isnan(ks_distance(np.ones(3), np.ones(2), np.zeros(2)))


def test_sigma_nmad_ignores_outliers(rng):
    values = np.append(rng.normal(3.0, 2.0, 20_000), np.full(200, 1e6))
    assert sigma_nmad(values) == pytest.approx(2.0, rel=0.04)
    assert np.isnan(sigma_nmad(np.array([])))


def test_weighted_percentiles(rng):
    values = rng.normal(size=5001)
    found = weighted_percentiles(values, np.full(5001, 0.3), (16.0, 50.0, 84.0))
    assert found == pytest.approx(np.percentile(values, [16, 50, 84]), abs=2e-3)
    shifted = weighted_percentiles(np.array([1.0, 2.0, 3.0]), np.array([1.0, 1.0, 98.0]), (50.0,))
    assert shifted[0] == pytest.approx(3.0, abs=0.03)


def test_matched_weights_reproduce_the_histogram(rng):
    real, simulated = rng.uniform(16, 20, 4000), rng.triangular(16, 17, 20, 6000)
    weight = match_weights(real, simulated, 0.5)
    assert weight.sum() == pytest.approx(real.size)
    low = min(real.min(), simulated.min())
    edges = np.arange(low, 20.6, 0.5)
    a, _ = np.histogram(real, edges, weights=weight / weight.sum())
    b, _ = np.histogram(simulated, edges)
    assert a == pytest.approx(b / simulated.size, abs=1e-12)


def test_effective_number():
    assert effective_number(np.ones(7)) == pytest.approx(7)
    assert effective_number(np.array([1.0, 0.0, 0.0])) == pytest.approx(1)
    assert effective_number(np.zeros(3)) == 0


def test_bootstrap_errors_of_a_gaussian(rng):
    n = 2000
    found = bootstrap_percentiles(rng.normal(size=n), (5, 50, 95), seed=1, resamples=300)
    assert found.value_P == pytest.approx([-1.645, 0, 1.645], abs=0.15)
    # Asymptotic error: sqrt(p (1 - p) / n) / density.
    expected = [np.sqrt(p * (1 - p) / n) / stats.norm.pdf(stats.norm.ppf(p)) for p in (0.05, 0.5, 0.95)]
    assert found.error_P == pytest.approx(expected, rel=0.3)
    empty = bootstrap_percentiles(rng.normal(size=0), (5,), seed=1)
    assert np.isnan(empty.value_P).all()


def test_nan_percentile_does_not_warn_for_empty_columns(recwarn):
    found = nan_percentile(np.array([[np.nan, 1.0], [np.nan, 3.0]]), 50)
    assert np.isnan(found[0]) and found[1] == 2.0
    assert not recwarn.list
