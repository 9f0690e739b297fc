"""The verdict: calibrated p(z) passes, and each way of being wrong is named."""

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


def test_a_calibrated_sample_passes():
    found = found_in()
    assert found.faults == () and found.p_value > ca.SIGNIFICANCE
    for level, score in found.coverage.items():
        assert abs(score.value - level) < 4 * math.sqrt(level * (1 - level) / N)
    verdict = judge_calibration(found)
    assert verdict.ok is True and verdict.text.startswith("calibrated")


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
def test_each_way_of_being_wrong_is_named(wrong, fault, seed):
    found = found_in(seed, **wrong)
    assert set(found.faults) - {ca.MANY_OUTLIERS} == {fault}
    verdict = judge_calibration(found)
    assert verdict.ok is False and verdict.text.startswith(fault) and "significant, but small" not in verdict.text


def test_width_and_bias_are_told_apart_and_named_together():
    assert set(found_in(shift=0.4, stretch=1 / 1.4).faults) >= {ca.BIASED, ca.OVER_CONFIDENT}
    assert set(found_in(shift=0.4, stretch=1.4).faults) >= {ca.BIASED, ca.UNDER_CONFIDENT}


@pytest.mark.parametrize("shift", [0.3, -0.3])
def test_bias_is_measured_in_widths_and_positive_for_a_pdf_too_high(shift):
    found = found_in(shift=shift)
    assert found.bias.value == pytest.approx(shift, abs=0.06)
    assert found.bias.low < found.bias.value < found.bias.high
    # The median of a Gaussian sample has an error of sqrt(pi / 2 N).
    assert found.bias.error == pytest.approx(math.sqrt(math.pi / 2 / N), rel=0.2)
    assert ("too high" if shift > 0 else "too low") in judge_calibration(found).text


def test_false_alarms_are_as_rare_as_promised():
    rng = np.random.default_rng(4)
    alarms = sum(bool(ca.calibrate(rng.random(500)).faults) for _ in range(120))
    assert alarms <= binom.ppf(0.9999, 120, ca.SIGNIFICANCE)  # 6


def test_the_significance_can_be_made_stricter():
    found = ca.calibrate(ndtr(ndtri(np.random.default_rng(0).random(300)) * 1.15))
    assert found.faults
    assert not ca.calibrate(ndtr(ndtri(np.random.default_rng(0).random(300)) * 1.15), 1e-12).faults


def test_tails_and_core_that_miss_in_opposite_ways_are_a_wrong_shape():
    # A fifth of a sample scatters 4 times as much as the rest: core too wide, tails too light.
    rng = np.random.default_rng(5)
    q_N = rng.normal(size=6000) * np.where(rng.random(6000) < 0.2, 3.2, 0.6)
    assert ca.WRONG_SHAPE in ca.calibrate(ndtr(q_N)).faults


def test_what_neither_median_nor_widths_show_is_a_wrong_shape():
    # Density 1 + 0.4 sin(4 pi u): each half holds its half, each central interval its part.
    rng = np.random.default_rng(6)
    u_N = rng.random(20_000)
    pit_N = u_N[rng.random(u_N.size) < (1 + 0.4 * np.sin(4 * math.pi * u_N)) / 1.4]
    found = ca.calibrate(pit_N)
    assert found.faults == (ca.WRONG_SHAPE,)
    assert found.ks == pytest.approx(0.4 / (2 * math.pi), abs=0.015)


def test_catastrophic_outliers_are_counted():
    rng = np.random.default_rng(7)
    pit_N = rng.random(5000)
    pit_N[:20], pit_N[20:30] = 1.0, 0.0
    found = ca.calibrate(pit_N)
    assert found.faults == (ca.MANY_OUTLIERS,)
    assert found.outliers.value * 5000 == pytest.approx(30, abs=3)
    assert "small" not in judge_calibration(found).text


def test_a_tiny_misfit_of_many_galaxies_is_called_small():
    pit_N = ndtr(1.03 * ndtri((np.arange(200_000) + 0.5) / 200_000))
    found = ca.calibrate(pit_N)
    verdict = judge_calibration(found)
    assert ca.OVER_CONFIDENT in found.faults and verdict.ok is False
    assert "significant, but small" in verdict.text and abs(found.largest_miss) < ca.SMALL_MISS


def test_a_bias_that_coverage_hardly_shows_is_not_called_small():
    score_N = ndtri((np.arange(200_000) + 0.5) / 200_000)
    found = ca.calibrate(ndtr(score_N - 0.2))
    assert abs(found.largest_miss) < ca.SMALL_MISS and found.faults == (ca.BIASED,)
    assert "small" not in judge_calibration(found).text
    assert "small" in judge_calibration(ca.calibrate(ndtr(score_N - 0.05))).text


def test_few_galaxies_are_not_judged():
    verdict = judge_calibration(found_in(n=ca.LEAST_GALAXIES - 1))
    assert verdict.ok is None and "not judged" in verdict.text
    assert judge_calibration(found_in(n=ca.LEAST_GALAXIES)).ok is not None
    empty = ca.calibrate([])
    assert empty.n == 0 and empty.faults == () and math.isnan(empty.coverage[0.68].value)
    assert math.isnan(empty.largest_miss) and judge_calibration(empty).ok is None


@pytest.mark.parametrize("stretch", [1.5, 0.7])
def test_coverage_counts_the_truths_between_quantiles_with_wilsons_interval(stretch):
    pdf, truth_N = drawn(1500, 3, stretch=stretch)
    pit_N = ca.pit(pdf, truth_N)
    found = ca.calibrate(pit_N)
    for level, score in found.coverage.items():
        low_N, high_N = pdf.quantile((1 - level) / 2), pdf.quantile((1 + level) / 2)
        hits = int(((truth_N >= low_N) & (truth_N <= high_N)).sum())
        assert score.value == pytest.approx(hits / 1500)
        low, high = binom_conf_interval(hits, 1500, interval="wilson")
        assert (score.low, score.high) == pytest.approx((low, high), abs=1e-4)
    worst = max(found.coverage, key=lambda level: abs(found.coverage[level].value - level))
    assert found.worst_level == worst and found.largest_miss == found.coverage[worst].value - worst


def test_randomised_pit_is_uniform_wherever_in_its_bin_the_truth_lies():
    # The bins' probabilities are right, but every truth sits at a tenth of its bin.
    pdf, truth_N = drawn(N, 8)
    bin_N, _ = pdf.located(truth_N)
    low_N = np.expm1(EDGES_K1[bin_N] + 0.1 * pdf.width_K[bin_N])
    assert not ca.calibrate(ca.randomised_pit(pdf, low_N, 1)).faults
    assert ca.BIASED in ca.calibrate(ca.pit(pdf, low_N)).faults


def test_randomised_pit_lies_in_the_bin_of_the_truth_and_follows_the_seed():
    pdf, truth_N = drawn(300, 9)
    low_N, high_N = pdf.cdf_of_bin(truth_N)
    one_N, two_N = ca.randomised_pit(pdf, truth_N, 1), ca.randomised_pit(pdf, truth_N, 2)
    assert ((one_N >= low_N) & (one_N <= high_N)).all()
    assert np.corrcoef((one_N - low_N) / (high_N - low_N), (two_N - low_N) / (high_N - low_N))[0, 1] < 0.3
    np.testing.assert_array_equal(one_N, ca.randomised_pit(pdf, truth_N, 1))
    assert kstest((one_N - low_N) / (high_N - low_N), "uniform").pvalue > 1e-4


def test_a_truth_outside_the_bins_has_a_pit_of_0_or_1():
    pdf = RedshiftPDF(np.array([0.2, 0.4, 0.6]), np.array([[0.5, 0.5], [0.5, 0.5]]))
    np.testing.assert_array_equal(ca.randomised_pit(pdf, [0.1, 2.0], 0), [0, 1])


def test_selected_by_the_truth_a_calibrated_pdf_looks_biased():
    # Why strata of the true redshift are not judged.
    pdf, truth_N = drawn(N, 10)
    error_N = (truth_N - pdf.mean()) / (1 + pdf.mean())
    pit_N = ca.randomised_pit(pdf, truth_N, 0)
    assert not ca.calibrate(pit_N[pdf.mean() > np.median(pdf.mean())]).faults
    assert ca.calibrate(pit_N[error_N > np.median(error_N)]).faults


@pytest.mark.parametrize("pit", [[0.1, np.nan], [0.1, 1.2], [-0.1, 0.5], [[0.1, 0.2]]])
def test_what_is_no_pit_is_refused(pit):
    with pytest.raises(InputError, match="from 0 to 1"):
        ca.calibrate(pit)
