"""Redshift scores against reference implementations, invariances and known sampling errors."""

from __future__ import annotations

import math
import re
import warnings

import numpy as np
import pytest
from astropy.stats import binom_conf_interval, mad_std
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mmae.core.errors import InputError
from mmae.metrics import bootstrap
from mmae.metrics import redshift as rs

METRICS = {"sigma_nmad", "bias", "outlier_rate", "not_finite"}
dz_arrays = arrays(np.float64, st.integers(1, 60), elements=st.floats(-2, 2, allow_nan=False, width=32))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240917)


def test_dz_is_the_residual_divided_by_1_plus_z():
    dz = rs.normalised_residual([0.0, 1.0, 3.0], [0.1, 0.8, 3.0])
    np.testing.assert_allclose(dz, [0.1, -0.1, 0.0], atol=1e-15)


def test_dz_does_not_depend_on_the_dtype(rng):
    z = rng.uniform(0, 3, 50).astype(np.float32)
    p = (z + rng.normal(0, 0.02, 50)).astype(np.float32)
    np.testing.assert_array_equal(
        rs.normalised_residual(z, p), rs.normalised_residual(z.astype(float), p.astype(float))
    )


def test_sigma_nmad_equals_astropy_mad_std(rng):
    dz = rng.standard_t(3, 501) * 0.02 + 0.01
    # The factor is 1.4826 here and 1 / Phi^-1(3/4) = 1.482602... in astropy.
    assert rs.sigma_nmad(dz) == pytest.approx(mad_std(dz), rel=1e-4)


def test_sigma_nmad_of_five_values():
    # median 3, absolute deviations 2 1 0 1 97, median of these 1
    assert rs.sigma_nmad([1, 2, 3, 4, 100]) == pytest.approx(1.4826)


@given(dz_arrays, st.floats(-1, 1, width=32))
def test_shift_of_dz_changes_bias_but_not_sigma_nmad(dz, shift):
    assert rs.sigma_nmad(dz + shift) == pytest.approx(rs.sigma_nmad(dz), abs=1e-12)
    assert rs.bias(dz + shift) == pytest.approx(rs.bias(dz) + shift, abs=1e-12)


@given(dz_arrays, st.floats(-8, 8, width=32))
def test_scores_scale_with_dz(dz, factor):
    assert rs.sigma_nmad(dz * factor) == pytest.approx(abs(factor) * rs.sigma_nmad(dz), abs=1e-12)
    assert rs.bias(dz * factor) == pytest.approx(factor * rs.bias(dz), abs=1e-12)


@given(dz_arrays, st.randoms())
def test_scores_do_not_depend_on_the_order_of_galaxies(dz, random):
    shuffled = dz.copy()
    random.shuffle(shuffled)
    assert rs.sigma_nmad(shuffled) == rs.sigma_nmad(dz)
    assert rs.bias(shuffled) == rs.bias(dz)
    assert rs.outlier_rate(shuffled) == rs.outlier_rate(dz)


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 10))
@settings(max_examples=30)
def test_outlier_rate_counts_outliers_and_missing_predictions(good, bad, missing):
    z_spec = np.full(good + bad + missing, 1.0)
    z_pred = np.concatenate([np.full(good, 1.29), np.full(bad, 0.69), np.full(missing, np.nan)])
    rate = rs.score_redshift(z_spec, z_pred, seed=1, resamples=5)["outlier_rate"]
    if good + bad + missing == 0:
        assert rate.n == 0 and math.isnan(rate.value)
    else:
        assert rate.value == pytest.approx((bad + missing) / (good + bad + missing))
        assert rate.low <= rate.value <= rate.high


def test_dz_equal_to_the_limit_is_not_an_outlier():
    assert rs.outlier_rate([0.15, -0.15]) == 0.0
    assert rs.outlier_rate([np.nextafter(0.15, 1), -0.2, 0.0, 0.0]) == 0.5


def test_outlier_rate_has_the_wilson_interval_of_astropy():
    z_pred = np.concatenate([np.full(5, 1.0), np.zeros(195)])
    score = rs.score_redshift(np.zeros(200), z_pred, seed=0, resamples=5)["outlier_rate"]
    expected = binom_conf_interval(5, 200, 0.6826894921370859, interval="wilson")
    np.testing.assert_allclose([score.low, score.high], expected, rtol=1e-9)


def test_interval_of_a_rate_of_0_has_a_positive_upper_end():
    score = rs.score_redshift(np.zeros(100), np.zeros(100), seed=0, resamples=5)["outlier_rate"]
    assert score.value == score.low == 0.0
    assert score.high == pytest.approx(1 / 101)


@pytest.mark.parametrize("n", [300, 2000])
def test_bootstrap_error_equals_the_asymptotic_error(rng, n):
    sigma, samples = 0.02, 20
    # The bootstrap error of the median scatters by 20% between samples: compare the mean of several samples.
    scores = [
        rs.score_redshift(np.zeros(n), sigma * rng.standard_normal(n), seed=i, resamples=200) for i in range(samples)
    ]
    # Gaussian sample: sd(1.4826 MAD) = 1.166 sigma / sqrt(n); sd(median) = 1.253 sigma / sqrt(n).
    for name, factor in (("sigma_nmad", 1.166), ("bias", 1.253)):
        mean_error = np.mean([score[name].error for score in scores])
        assert mean_error == pytest.approx(factor * sigma / math.sqrt(n), rel=0.2)


def test_bootstrap_intervals_have_a_coverage_of_68_percent(rng):
    trials, sigma = 200, 0.02
    hits = dict.fromkeys(("sigma_nmad", "bias"), 0)
    for trial in range(trials):
        scores = rs.score_redshift(np.zeros(300), sigma * rng.standard_normal(300), seed=trial, resamples=200)
        for name, truth in (("sigma_nmad", sigma), ("bias", 0.0)):
            hits[name] += scores[name].low <= truth <= scores[name].high
    for count in hits.values():  # 0.68 +- 3.6 binomial standard deviations
        assert 0.56 < count / trials < 0.80


def test_bootstrap_is_reproducible_and_bounded_in_memory(rng, monkeypatch):
    z = rng.uniform(0, 1, 300)
    p = z + 0.02 * rng.standard_normal(300)
    first = rs.score_redshift(z, p, seed=7, resamples=100)
    assert rs.score_redshift(z, p, seed=7, resamples=100) == first
    assert rs.score_redshift(z, p, seed=8, resamples=100) != first
    chunk_shapes = []
    real_median = np.median

    def median(values, **options):
        chunk_shapes.append(np.shape(values))
        return real_median(values, **options)

    monkeypatch.setattr(np, "median", median)
    monkeypatch.setattr(bootstrap, "BOOTSTRAP_ELEMENTS", 1000)
    chunked = rs.score_redshift(z, p, seed=7, resamples=100)
    assert max(math.prod(shape) for shape in chunk_shapes) <= 1000
    for name in ("sigma_nmad", "bias"):
        assert chunked[name].value == first[name].value
        assert chunked[name].error == pytest.approx(first[name].error, rel=0.5)


def test_predictions_that_are_not_finite_are_outliers_and_excluded_from_scatter():
    z_spec = np.zeros(6)
    with_bad = rs.score_redshift(z_spec, [0.01, 0.02, 0.03, np.nan, np.inf, -np.inf], seed=0)
    without = rs.score_redshift(z_spec[:3], [0.01, 0.02, 0.03], seed=0)
    assert with_bad["sigma_nmad"] == without["sigma_nmad"]
    assert with_bad["bias"] == without["bias"]
    assert (with_bad["outlier_rate"].value, with_bad["outlier_rate"].n) == (0.5, 6)
    assert (with_bad["not_finite"].value, with_bad["sigma_nmad"].n) == (3.0, 3)


def test_outlier_rate_is_1_if_no_prediction_is_finite():
    scores = rs.score_redshift([0.1, 0.2], [np.nan, np.nan], seed=0)
    assert scores["outlier_rate"].value == 1.0
    assert scores["sigma_nmad"].n == 0 and math.isnan(scores["sigma_nmad"].value)


@pytest.mark.parametrize("z_spec", [[], [np.nan, np.nan]])
def test_empty_samples_give_nan_without_a_warning(z_spec):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = rs.score_redshift(z_spec, z_spec, seed=0)
    assert set(scores) == METRICS
    for score in scores.values():
        assert score.n == 0
        assert all(math.isnan(v) for v in (score.value, score.low, score.high))


def test_galaxies_without_a_redshift_are_excluded():
    labelled = rs.score_redshift([0.1, 0.5], [0.12, 0.9], seed=0)
    assert rs.score_redshift([0.1, np.nan, 0.5], [0.12, 0.3, 0.9], seed=0) == labelled


def test_arrays_of_different_length_are_refused():
    with pytest.raises(InputError, match="'both'"):
        rs.score_table([0.1, 0.2], {"both": [0.1]})


def test_baseline_is_the_median_training_redshift():
    np.testing.assert_array_equal(rs.median_baseline([0.1, np.nan, 0.4, 0.9], [1.0, 2.0]), [0.4, 0.4])
    assert np.isnan(rs.median_baseline([], [1.0])).all()


def test_score_table_has_all_modes_at_both_selections(rng):
    z = np.concatenate([[0.4], rng.uniform(0, 0.39, 60), rng.uniform(0.41, 3, 40), [np.nan]])
    table = rs.score_table(z, {"image": z + 0.03, "both": z}, z_train=z, resamples=20)
    assert list(table) == ["image", "both", rs.BASELINE]
    for selections in table.values():
        # z = 0.4 is in "all z" only, the galaxy without redshift in neither.
        assert selections["z<0.4"]["outlier_rate"].n == 60
        assert selections["all z"]["outlier_rate"].n == 101
        assert set(selections["all z"]) == METRICS
    assert table["both"]["all z"]["sigma_nmad"].value == 0.0
    dz = (np.nanmedian(z) - z[:-1]) / (1 + z[:-1])
    assert table[rs.BASELINE]["all z"]["sigma_nmad"].value == pytest.approx(mad_std(dz), rel=1e-4)
    assert table[rs.BASELINE]["all z"]["outlier_rate"].value == np.mean(np.abs(dz) > 0.15)


def test_flat_metrics_have_valid_mlflow_names_and_no_nan(rng):
    z = rng.uniform(0.5, 1, 30)
    metrics = rs.flat_metrics(rs.score_table(z, {"image": z}, z_train=z, resamples=10))
    assert all(re.fullmatch(r"[A-Za-z0-9_\-./:]+", name) for name in metrics)
    assert all(math.isfinite(value) for value in metrics.values())
    for name in ("sigma_nmad", "sigma_nmad_low", "sigma_nmad_high", "not_finite"):
        assert metrics[f"test/image/all_z/{name}"] == 0.0
    assert metrics["test/image/all_z/n"] == 30.0
    assert "test/training_median/all_z/bias" in metrics
    assert not any("z_lt_0.4" in name for name in metrics)  # no galaxy has z < 0.4
    assert not any(name.endswith("not_finite_low") for name in metrics)


def test_flat_metrics_refuse_modes_with_the_same_mlflow_name():
    z = np.array([0.1, 0.2])
    with pytest.raises(InputError, match="test/a_b/"):
        rs.flat_metrics(rs.score_table(z, {"a b": z, "a_b": z}, resamples=2))


def test_scatter_difference_is_a_paired_comparison(rng):
    z = rng.uniform(0, 1, 500)
    noise = rng.standard_normal(500)
    good, bad = z + 0.020 * (1 + z) * noise, z + 0.022 * (1 + z) * noise  # same relative errors
    difference = rs.scatter_difference(z, bad, good, seed=0)
    assert difference.value == pytest.approx(0.1 * rs.score_redshift(z, good, seed=0)["sigma_nmad"].value)
    assert difference.low > 0 and difference.n == 500
    alone = rs.score_redshift(z, good, seed=0)["sigma_nmad"]
    assert difference.error < 0.2 * alone.error
    other = z + 0.022 * (1 + z) * rng.standard_normal(500)
    assert rs.scatter_difference(z, other, good, seed=0).error > alone.error
    assert rs.scatter_difference(z, good, good, seed=0).value == 0
