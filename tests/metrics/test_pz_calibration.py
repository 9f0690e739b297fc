"""Calibration tests: a calibrated p(z) passes, each kind of misfit is identified."""

from __future__ import annotations

import math

import numpy as np
import pytest
from astropy.stats import binom_conf_interval
from scipy.special import ndtr, ndtri
from scipy.stats import binom, kstest

from mmae.core.errors import InputError
from mmae.evaluation.pz.verdict import judge_calibration
from mmae.metrics import pz_calibration as ca
from mmae.metrics.pz_distribution import RedshiftPDF
from tests.metrics.samples import EDGES_K1, drawn

N = 4000


def found_in(seed: int = 0, n: int = N, **wrong) -> ca.Calibration:
    pdf, truth_N = drawn(n, seed, **wrong)
    return ca.calibrate(ca.randomised_pit(pdf, truth_N, seed + 1000))


def test_calibrated_p_of_z_has_no_fault():
    found = found_in()
    assert found.faults == () and found.p_value > ca.SIGNIFICANCE
    for level, score in found.coverage.items():
        assert abs(score.value - level) < 4 * math.sqrt(level * (1 - level) / N)
    verdict = judge_calibration(found)
    assert verdict.ok is True


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        ({"stretch": 1 / 1.3}, ca.OVER_CONFIDENT),
        ({"stretch": 1.3}, ca.UNDER_CONFIDENT),
        ({"shift": 0.3}, ca.BIASED),
        ({"shift": -0.3}, ca.BIASED),
    ],
)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_wrong_width_and_bias_are_identified(wrong, fault, seed):
    found = found_in(seed, **wrong)
    assert set(found.faults) - {ca.MANY_OUTLIERS} == {fault}
    verdict = judge_calibration(found)
    assert verdict.ok is False and not found.is_small


def test_wrong_width_and_bias_together_are_both_identified():
    assert set(found_in(shift=0.4, stretch=1 / 1.4).faults) >= {ca.BIASED, ca.OVER_CONFIDENT}
    assert set(found_in(shift=0.4, stretch=1.4).faults) >= {ca.BIASED, ca.UNDER_CONFIDENT}


@pytest.mark.parametrize("shift", [0.3, -0.3])
def test_bias_is_in_units_of_sigma_and_positive_for_p_of_z_too_high(shift):
    found = found_in(shift=shift)
    assert found.bias.value == pytest.approx(shift, abs=0.06)
    assert found.bias.low < found.bias.value < found.bias.high
    # The median of a Gaussian sample has an error of sqrt(pi / 2 N).
    assert found.bias.error == pytest.approx(math.sqrt(math.pi / 2 / N), rel=0.2)
    assert ("high" if shift > 0 else "low") in ca.fault_text(found)


def test_false_alarm_rate_is_at_most_the_significance():
    rng = np.random.default_rng(4)
    n_alarms = sum(bool(ca.calibrate(rng.random(500)).faults) for _ in range(120))
    assert n_alarms <= binom.ppf(0.9999, 120, ca.SIGNIFICANCE)  # 6


def test_smaller_significance_removes_a_marginal_fault():
    found = ca.calibrate(ndtr(ndtri(np.random.default_rng(0).random(300)) * 1.15))
    assert found.faults
    assert not ca.calibrate(ndtr(ndtri(np.random.default_rng(0).random(300)) * 1.15), 1e-12).faults


def test_opposite_misfit_of_core_and_tails_is_a_wrong_shape():
    # 20% of the sample has a scatter of 3.2 sigma, the rest of 0.6: core too wide, tails too light.
    rng = np.random.default_rng(5)
    q_N = rng.normal(size=6000) * np.where(rng.random(6000) < 0.2, 3.2, 0.6)
    assert ca.WRONG_SHAPE in ca.calibrate(ndtr(q_N)).faults


def test_misfit_invisible_to_median_and_widths_is_a_wrong_shape():
    # Density 1 + 0.4 sin(4 pi u): the median and the coverage of all central intervals are correct.
    rng = np.random.default_rng(6)
    u_N = rng.random(20_000)
    pit_N = u_N[rng.random(u_N.size) < (1 + 0.4 * np.sin(4 * math.pi * u_N)) / 1.4]
    found = ca.calibrate(pit_N)
    assert found.faults == (ca.WRONG_SHAPE,)
    assert found.ks == pytest.approx(0.4 / (2 * math.pi), abs=0.015)


def test_too_many_pit_outliers_are_identified():
    rng = np.random.default_rng(7)
    pit_N = rng.random(5000)
    pit_N[:20], pit_N[20:30] = 1.0, 0.0
    found = ca.calibrate(pit_N)
    assert found.faults == (ca.MANY_OUTLIERS,)
    assert found.outliers.value * 5000 == pytest.approx(30, abs=3)
    assert not found.is_small


def test_small_misfit_of_a_large_sample_is_reported_as_small():
    pit_N = ndtr(1.03 * ndtri((np.arange(200_000) + 0.5) / 200_000))
    found = ca.calibrate(pit_N)
    verdict = judge_calibration(found)
    assert ca.OVER_CONFIDENT in found.faults and verdict.ok is False
    assert found.is_small and abs(found.largest_miss) < ca.SMALL_MISS


def test_bias_with_small_effect_on_coverage_is_not_reported_as_small():
    score_N = ndtri((np.arange(200_000) + 0.5) / 200_000)
    found = ca.calibrate(ndtr(score_N - 0.2))
    assert abs(found.largest_miss) < ca.SMALL_MISS and found.faults == (ca.BIASED,)
    assert not found.is_small
    assert ca.calibrate(ndtr(score_N - 0.05)).is_small


def test_samples_below_the_minimum_size_are_not_judged():
    verdict = judge_calibration(found_in(n=ca.LEAST_GALAXIES - 1))
    assert verdict.ok is None
    assert judge_calibration(found_in(n=ca.LEAST_GALAXIES)).ok is not None
    empty = ca.calibrate([])
    assert empty.n == 0 and empty.faults == () and math.isnan(empty.coverage[0.68].value)
    assert math.isnan(empty.largest_miss) and judge_calibration(empty).ok is None


@pytest.mark.parametrize("stretch", [1.5, 0.7])
def test_coverage_is_the_fraction_between_quantiles_with_wilson_interval(stretch):
    pdf, truth_N = drawn(1500, 3, stretch=stretch)
    pit_N = pdf.cdf(truth_N)
    found = ca.calibrate(pit_N)
    for level, score in found.coverage.items():
        low_N, high_N = pdf.quantile((1 - level) / 2), pdf.quantile((1 + level) / 2)
        hits = int(((truth_N >= low_N) & (truth_N <= high_N)).sum())
        assert score.value == pytest.approx(hits / 1500)
        low, high = binom_conf_interval(hits, 1500, interval="wilson")
        assert (score.low, score.high) == pytest.approx((low, high), abs=1e-4)
    worst = max(found.coverage, key=lambda level: abs(found.coverage[level].value - level))
    assert found.worst_level == worst and found.largest_miss == found.coverage[worst].value - worst


def test_randomised_pit_is_uniform_for_any_position_within_the_bin():
    # The bin probabilities are correct, but each true redshift is moved to a tenth of its bin.
    pdf, truth_N = drawn(N, 8)
    bin_N, _ = pdf.located(truth_N)
    low_N = np.expm1(EDGES_K1[bin_N] + 0.1 * pdf.width_K[bin_N])
    assert not ca.calibrate(ca.randomised_pit(pdf, low_N, 1)).faults
    assert ca.BIASED in ca.calibrate(pdf.cdf(low_N)).faults


def test_randomised_pit_is_within_the_bin_and_reproducible():
    pdf, truth_N = drawn(300, 9)
    low_N, high_N = pdf.cdf_of_bin(truth_N)
    one_N, two_N = ca.randomised_pit(pdf, truth_N, 1), ca.randomised_pit(pdf, truth_N, 2)
    assert ((one_N >= low_N) & (one_N <= high_N)).all()
    assert np.corrcoef((one_N - low_N) / (high_N - low_N), (two_N - low_N) / (high_N - low_N))[0, 1] < 0.3
    np.testing.assert_array_equal(one_N, ca.randomised_pit(pdf, truth_N, 1))
    assert kstest((one_N - low_N) / (high_N - low_N), "uniform").pvalue > 1e-4


def test_pit_of_a_redshift_outside_the_bins_is_0_or_1():
    pdf = RedshiftPDF(np.array([0.2, 0.4, 0.6]), np.array([[0.5, 0.5], [0.5, 0.5]]))
    np.testing.assert_array_equal(ca.randomised_pit(pdf, [0.1, 2.0], 0), [0, 1])


def test_selection_by_true_redshift_biases_the_pit_of_a_calibrated_p_of_z():
    # For this reason strata in true redshift are not judged.
    pdf, truth_N = drawn(N, 10)
    error_N = (truth_N - pdf.mean()) / (1 + pdf.mean())
    pit_N = ca.randomised_pit(pdf, truth_N, 0)
    assert not ca.calibrate(pit_N[pdf.mean() > np.median(pdf.mean())]).faults
    assert ca.calibrate(pit_N[error_N > np.median(error_N)]).faults


@pytest.mark.parametrize("pit", [[0.1, np.nan], [0.1, 1.2], [-0.1, 0.5], [[0.1, 0.2]]])
def test_values_outside_0_to_1_are_refused(pit):
    with pytest.raises(InputError, match="PIT"):
        ca.calibrate(pit)
