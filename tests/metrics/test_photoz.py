"""Point-redshift scores against reference implementations and known sampling errors."""

from __future__ import annotations

import math
import statistics
import warnings

import numpy as np
import pytest
from astropy.stats import binom_conf_interval, biweight_location, biweight_midvariance
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mmae.core.errors import InputError
from mmae.metrics.bootstrap import bootstrap_scores
from mmae.metrics.photoz import METRICS, RATES, hsc_loss, outlier_limit, point_scores
from mmae.metrics.redshift import score_redshift
from tests.metrics.formulas import by_hand

ONE_SIGMA = math.erf(1 / math.sqrt(2))
redshifts = st.integers(5, 60).flatmap(
    lambda n: st.tuples(
        arrays(np.float64, n, elements=st.floats(0, 4)), arrays(np.float64, n, elements=st.floats(-0.5, 6))
    )
)


def sample(n: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    z = rng.uniform(0, 3, n)
    return z, z + 0.03 * (1 + z) * rng.standard_t(2, n) + 0.01


def test_scores_equal_the_reference():
    z, p = sample(1501)
    scores, expected = point_scores(z, p, seed=0, resamples=2), by_hand(z, p)
    assert tuple(scores) == METRICS and set(expected) == set(METRICS)
    for name, value in expected.items():
        assert scores[name].value == pytest.approx(value, rel=1e-9, abs=1e-9), name
        assert scores[name].n == 1501
    assert 0 < expected["catastrophic_rate"] < expected["outlier_rate"] < 0.3  # the test is not trivial


@given(redshifts)
@settings(max_examples=25, deadline=None)
def test_scores_equal_the_reference_on_arbitrary_redshifts(pair):
    z, p = pair
    scores, expected = point_scores(z, p, seed=0, resamples=2), by_hand(z, p)
    for name in RATES:  # values equal to the limit may be on either side by rounding
        if abs(scores[name].value - expected[name]) > 1e-9:
            dz, n_different = (p - z) / (1 + z), round(abs(scores[name].value - expected[name]) * z.size)
            edge = (
                np.abs(p - z) - 1
                if name == "catastrophic_rate"
                else np.abs(dz) - (0.15 if name == "outlier_rate" else outlier_limit(dz))
            )
            assert (np.abs(edge) < 1e-12).sum() >= n_different
    mad = statistics.median(np.abs((p - z) / (1 + z) - statistics.median((p - z) / (1 + z))))
    for name in set(METRICS) - set(RATES):
        if "biweight" not in name or mad > 1e-6:  # otherwise the weights depend on rounding errors
            assert scores[name].value == pytest.approx(expected[name], rel=1e-9, abs=1e-9), name


def test_biweights_equal_astropy():
    z, p = sample(800)
    dz = (p - z) / (1 + z)
    scores = point_scores(z, p, seed=0, resamples=2)
    assert scores["sigma_biweight"].value == pytest.approx(math.sqrt(biweight_midvariance(dz)), rel=1e-12)
    assert scores["bias_biweight"].value == pytest.approx(biweight_location(dz), rel=1e-12)


def test_intervals_are_percentiles_of_bootstrap_samples():
    z, p = sample(150)
    resamples = 400
    scores = point_scores(z, p, seed=5, resamples=resamples)
    rng = np.random.default_rng(99)
    drawn = [rng.integers(0, 150, 150) for _ in range(resamples)]
    resampled = [by_hand(z[i], p[i]) for i in drawn]
    for name in set(METRICS) - set(RATES) - {"not_finite"}:
        low, high = np.percentile([one[name] for one in resampled], [16, 84])
        assert scores[name].high - scores[name].low == pytest.approx(high - low, rel=0.25), name
        assert abs(scores[name].low - low) < 0.3 * (high - low), name


def test_errors_of_rms_and_biweights_for_a_gaussian_sample():
    n, sigma = 3000, 0.02
    dz = sigma * np.random.default_rng(3).standard_normal(n)
    scores = point_scores(np.zeros(n), dz, seed=0, resamples=300)
    assert scores["rms"].error == pytest.approx(sigma / math.sqrt(2 * n), rel=0.15)
    # The biweights are nearly as efficient as standard deviation and mean.
    assert scores["sigma_biweight"].error == pytest.approx(sigma / math.sqrt(2 * n), rel=0.25)
    assert scores["bias_biweight"].error == pytest.approx(sigma / math.sqrt(n), rel=0.2)
    loss = dz**2 / (dz**2 + 0.15**2)
    assert scores["hsc_loss"].error == pytest.approx(loss.std() / math.sqrt(n), rel=0.15)
    for name in ("sigma_biweight", "rms"):
        assert scores[name].value == pytest.approx(sigma, rel=0.05)


@pytest.mark.parametrize(
    ("name", "z_pred"), [("outlier_rate", 0.16), ("outlier_rate_3sigma", 0.07), ("catastrophic_rate", 1.01)]
)
def test_rates_have_the_wilson_interval_of_astropy(name, z_pred):
    p = np.concatenate([np.full(7, z_pred), np.zeros(93)])
    score = point_scores(np.zeros(100), p, seed=0, resamples=2)[name]
    low, high = binom_conf_interval(7, 100, ONE_SIGMA, interval="wilson")
    assert (score.value, score.low, score.high) == pytest.approx((0.07, low, high), rel=1e-6)


def test_3_sigma_limit_follows_the_quartiles_and_is_at_least_the_floor():
    narrow = np.array([0.0] * 98 + [0.0599, 0.0601])
    assert outlier_limit(narrow) == 0.06
    assert point_scores(np.zeros(100), narrow, seed=0, resamples=2)["outlier_rate_3sigma"].value == 0.01
    wide = np.linspace(-0.2, 0.2, 401)  # quartiles -0.1 and 0.1
    assert outlier_limit(wide) == pytest.approx(0.6 / 1.349)
    assert point_scores(np.zeros(401), wide, seed=0, resamples=2)["outlier_rate_3sigma"].value == 0.0
    # The limit applies to |dz|, not to the distance from the median: a bias gives outliers.
    assert point_scores(np.zeros(9), np.full(9, 0.1), seed=0, resamples=2)["outlier_rate_3sigma"].value == 1.0


def test_catastrophic_rate_uses_the_redshift_difference():
    scores = point_scores([3.0, 3.0, 0.0, 0.0], [4.1, 2.0, 0.9, 1.1], seed=0, resamples=2)
    assert scores["catastrophic_rate"].value == 0.5  # differences 1.1 and 1.1; 1.0 and 0.9 are not above the limit


def test_hsc_loss_is_0_at_0_half_at_its_width_and_1_if_not_finite():
    np.testing.assert_allclose(hsc_loss(np.array([0.0, 0.15, -0.15, 1e9, np.inf, np.nan])), [0, 0.5, 0.5, 1, 1, 1])


def test_predictions_that_are_not_finite_count_as_outliers_only():
    z, p = sample(40)
    alone = point_scores(z, p, seed=0, resamples=50)
    bad = point_scores(
        np.append(z, [0.1] * 10), np.append(p, [np.nan, np.inf, -np.inf, np.nan, np.nan] * 2), seed=0, resamples=50
    )
    for name in ("sigma_nmad", "sigma_biweight", "rms", "bias", "bias_biweight"):
        assert bad[name] == alone[name]
    for name in (*RATES, "hsc_loss"):
        assert bad[name].value == pytest.approx((40 * alone[name].value + 10) / 50)
        assert bad[name].n == 50
    assert (bad["not_finite"].value, bad["not_finite"].n) == (10, 50)


@pytest.mark.parametrize("z_spec", [[], [np.nan, np.inf, -1.0, -7.0]])
def test_empty_samples_give_nan_without_a_warning(z_spec):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = point_scores(z_spec, np.zeros(len(z_spec)), seed=0, resamples=5)
    assert tuple(scores) == METRICS
    assert all(score.n == 0 and math.isnan(score.value) for score in scores.values())


def test_only_predictions_that_are_not_finite_give_rates_of_1_and_no_scatter():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = point_scores([0.1, 0.2], [np.nan, np.inf], seed=0, resamples=5)
    assert all(scores[name].value == 1 for name in (*RATES, "hsc_loss"))
    assert all(math.isnan(scores[name].value) for name in ("sigma_nmad", "sigma_biweight", "rms", "bias_biweight"))


def test_galaxies_without_a_redshift_are_excluded():
    z, p = sample(30)
    assert point_scores(np.append(z, [np.nan, -2.0]), np.append(p, [0.3, 0.3]), seed=0, resamples=20) == point_scores(
        z, p, seed=0, resamples=20
    )


def test_exact_predictions_have_scores_of_0():
    z, _ = sample(50)
    assert all(score.value == 0 for score in point_scores(z, z, seed=0, resamples=5).values())


def test_common_scores_equal_those_of_score_redshift():
    z, p = sample(100)
    scores = point_scores(z, p, seed=3, resamples=100)
    for name, score in score_redshift(z, p, seed=3, resamples=100).items():
        assert scores[name] == score or math.isnan(score.low)


def test_bootstrap_depends_on_the_seed_only():
    z, p = sample(60)
    first = point_scores(z, p, seed=1, resamples=30)
    assert point_scores(z, p, seed=1, resamples=30)["rms"] == first["rms"]
    assert point_scores(z, p, seed=2, resamples=30)["rms"] != first["rms"]


def test_arrays_of_different_length_are_refused():
    with pytest.raises(InputError, match=r"\(1,\).*\(2,\)"):
        point_scores([0.1, 0.2], [0.1], seed=0)


def test_zero_bootstrap_samples_give_values_without_intervals():
    found = bootstrap_scores(np.array([1.0, 3.0]), lambda x: {"mean": x.mean(-1)}, seed=0, resamples=0)
    assert found["mean"].value == 2.0 and math.isnan(found["mean"].low)
