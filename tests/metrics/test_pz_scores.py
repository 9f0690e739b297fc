"""Scores of p(z) against numerical integrals and closed forms; the true distribution has the best score."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from mmae.core.errors import InputError
from mmae.metrics import pz_scores as sc
from mmae.metrics.pz_distribution import RedshiftPDF
from tests.metrics.samples import drawn

EDGES_K1 = np.array([0.1, 0.3, 0.45, 0.8])
NARROW = RedshiftPDF(np.linspace(0, np.log1p(6), 193), np.eye(192)[[40, 150]])


def one(weights) -> RedshiftPDF:
    p = np.array([weights], float)
    return RedshiftPDF(EDGES_K1, p / p.sum())


@given(st.lists(st.floats(0.001, 1), min_size=3, max_size=3), st.floats(-0.5, 3.0))
@settings(max_examples=40, deadline=None)
def test_crps_equals_the_integral_over_redshift(weights, truth):
    pdf = one(weights)
    low, high = min(truth, pdf.z_edges_K1[0]), max(truth, pdf.z_edges_K1[-1])
    breaks = sorted({truth, *pdf.z_edges_K1} - {low, high})
    expected = quad(lambda z: (pdf.cdf([z])[0] - (z >= truth)) ** 2, low, high, points=breaks, limit=200)[0]
    assert sc.crps(pdf, [truth])[0] == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_crps_of_a_narrow_distribution_is_the_absolute_error():
    width = float(np.diff(NARROW.z_edges_K1[[150, 151]])[0])
    for truth in (0.0, 1.3, 5.5, 8.0):
        assert sc.crps(NARROW, [truth, truth])[1] == pytest.approx(abs(NARROW.mean()[1] - truth), abs=width)


def test_crps_equals_its_expression_as_mean_distances_of_random_draws():
    pdf = one([0.2, 0.5, 0.3])
    rng = np.random.default_rng(1)
    n = 400_000
    many = pdf.chosen(np.zeros(n, int))
    a, b, truth = many.quantile(rng.random(n)), many.quantile(rng.random(n)), 0.6
    expected = np.abs(a - truth).mean() - 0.5 * np.abs(a - b).mean()
    assert sc.crps(pdf, [truth])[0] == pytest.approx(expected, abs=0.002)


def test_crps_of_a_uniform_distribution_at_its_centre_is_a_twelfth_of_the_width():
    z_N = np.expm1(NARROW.edges_K1[[40, 150]] + 0.5 * NARROW.width_K[0])
    # Uniform density of width w: CRPS = w / 12 at the centre; here it is uniform in ln(1+z).
    width_N = np.diff(NARROW.z_edges_K1)[[40, 150]]
    np.testing.assert_allclose(sc.crps(NARROW, z_N), width_N / 12, rtol=1e-3)


@given(st.lists(st.floats(0.001, 1), min_size=3, max_size=3), st.floats(0.11, 1.2))
@settings(max_examples=25, deadline=None)
def test_cde_loss_equals_its_definition_by_numerical_integration(weights, truth):
    pdf = one(weights)
    ends = pdf.z_edges_K1
    square = quad(lambda z: pdf.density([z])[0] ** 2, ends[0], ends[-1], points=list(ends[1:-1]))[0]
    assert sc.cde_loss(pdf, [truth])[0] == pytest.approx(square - 2 * pdf.density([truth])[0], rel=1e-6)


def test_log_likelihood_has_a_floor():
    pdf = RedshiftPDF(np.array([0.0, 0.5, 1.0, 1.5]), np.array([[1 - 1e-9, 0, 1e-9]] * 4))
    z_N = [0.2, 1.0, 3.0, 20.0]  # inside, an empty bin, a density of 5e-10, beyond the bins
    np.testing.assert_array_equal(sc.at_floor(pdf, z_N), [False, True, True, True])
    log_N = sc.log_likelihood(pdf, z_N)
    assert log_N[0] == pytest.approx(math.log(1 / 0.5 / 1.2), abs=1e-8)
    np.testing.assert_allclose(log_N[1:], math.log(sc.DENSITY_FLOOR))


@pytest.mark.parametrize("wrong", [{"stretch": 1.3}, {"stretch": 1 / 1.3}, {"shift": 0.4}])
def test_the_true_distribution_has_the_best_scores(wrong):
    (right, truth_N), (other, same_N) = drawn(6000, 7), drawn(6000, 7, **wrong)
    np.testing.assert_array_equal(truth_N, same_N)
    good, bad = sc.galaxy_scores(right, truth_N), sc.galaxy_scores(other, truth_N)
    assert list(good) == [sc.CRPS, sc.CDE_LOSS, sc.LOG_LIKELIHOOD]
    for name, sign in ((sc.CRPS, 1), (sc.CDE_LOSS, 1), (sc.LOG_LIKELIHOOD, -1)):
        difference_N = sign * (bad[name] - good[name])
        assert difference_N.mean() > 3 * difference_N.std() / math.sqrt(6000), name


def test_intervals_equal_the_standard_error_of_the_mean():
    value_N = np.random.default_rng(2).exponential(size=900)
    found = sc.mean_scores({"a": value_N, "b": 2 * value_N}, seed=1, resamples=2000)
    assert found["a"].value == pytest.approx(value_N.mean()) and found["a"].n == 900
    assert found["a"].error == pytest.approx(value_N.std() / 30, rel=0.08)
    assert found["a"].low < found["a"].value < found["a"].high
    # Both use the same bootstrap samples.
    assert found["b"].low == pytest.approx(2 * found["a"].low)
    assert sc.mean_scores({"a": value_N}, seed=1, resamples=50) == sc.mean_scores({"a": value_N}, seed=1, resamples=50)
    assert sc.mean_scores({"a": value_N}, seed=1, resamples=50) != sc.mean_scores({"a": value_N}, seed=2, resamples=50)


def test_empty_sample_has_no_score_and_a_single_galaxy_no_interval():
    assert sc.mean_scores({"a": np.zeros(0)}, seed=0)["a"].n == 0
    single = sc.mean_scores({"a": np.array([3.0])}, seed=0)["a"]
    assert single.value == 3.0 and math.isnan(single.low) and single.n == 1
    with pytest.raises(InputError, match="resamples"):
        sc.mean_scores({"a": np.ones(3)}, seed=0, resamples=1)
