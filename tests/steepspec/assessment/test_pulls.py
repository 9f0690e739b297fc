"""Pulls of alpha drawn with known bias and width, and the calibration of p_steep."""

import numpy as np
import pytest

from mmae.core.errors import InputError
from mmae.steepspec.assessment.pulls import (
    FITTED,
    LIMITS,
    MEAN,
    P_MEAN,
    P_TRUE,
    P_TRUE_NO_FIELD,
    STD,
    WIDTH,
    alpha_pulls,
    bootstrap_units,
    steep_calibration,
)
from mmae.steepspec.assessment.recovery import match_truth
from mmae.steepspec.assessment.tables import judge_score
from tests.steepspec.assessment.truth_tables import detect, make_truth, pulled, value


@pytest.mark.parametrize("shift, width", [(0.0, 1.0), (0.0, 2.0), (0.5, 1.0)])
def test_pulls_measure_bias_and_width(shift, width):
    pull = shift + width * np.random.default_rng(2).normal(size=4000)
    found = alpha_pulls(*pulled(pull), resamples=200)
    total = found.by_snr.total
    assert found.pull == pytest.approx(pull) and found.pointings == 20
    for name, target in ((MEAN, shift), (WIDTH, width), (STD, width)):
        assert abs(total[name].value - target) < 4 * total[name].error
    # With 20 units the errors are uncertain by about 16%.
    assert total[MEAN].error == pytest.approx(width / np.sqrt(4000), rel=0.6)
    assert total[STD].error == pytest.approx(width / np.sqrt(8000), rel=0.6)
    assert judge_score(total[MEAN], 0.0).ok is (shift == 0)
    assert judge_score(total[WIDTH], 1.0).ok is (width == 1)


def test_pulls_are_binned_by_snr_and_by_the_number_of_flux_densities():
    pull = np.repeat([0.0, 1.0, 2.0], 100)
    found = alpha_pulls(
        *pulled(pull, snr=np.repeat([5.0, 12.0, 80.0], 100), n_detections=np.repeat([2, 3, 6], 100)), resamples=10
    )
    assert [score.n for score in found.by_detections.scores[MEAN]] == [100, 100, 100]
    assert [score.value for score in found.by_detections.scores[MEAN]] == pytest.approx([0, 1, 2])
    by_snr = dict(zip(found.by_snr.labels, found.by_snr.scores[MEAN], strict=True))
    assert value(by_snr["10 to 15"]) == pytest.approx((1, 100)) and by_snr["7 to 10"].n == 0
    assert found.by_snr.total[MEAN].value == pytest.approx(1)


def test_pulls_need_a_fitted_index_with_an_error_and_a_true_source():
    pull = np.array([1.0, 50, 50, 50, 50, 3.0, 50])
    sources, truth, match = pulled(pull, alpha_from=["sed", "limits", "sed", "sed", "sed", "sed", "sed"])
    sources["alpha_err"][[2, 3, 6]], match[4] = [np.nan, 0.0, -0.1], -1
    assert alpha_pulls(sources, truth, match, resamples=2).pull == pytest.approx([1.0, 3.0])


def test_errors_of_pulls_include_offsets_shared_by_a_pointing():
    rng = np.random.default_rng(3)
    offset = rng.normal(size=60)
    pull = np.repeat(offset, 30) + rng.normal(size=1800)
    pointing = [f"P{i // 30}" for i in range(1800)]
    shared = alpha_pulls(*pulled(pull, pointing=pointing), resamples=300).by_snr.total[MEAN]
    independent = alpha_pulls(*pulled(pull, pointing=[""] * 1800), resamples=300).by_snr.total[MEAN]
    assert shared.error == pytest.approx(np.sqrt((1 + 1 / 30) / 60), rel=0.25)
    assert independent.error == pytest.approx(np.sqrt(2 / 1800), rel=0.15)
    assert (independent.value, shared.value) == pytest.approx((pull.mean(), pull.mean()))


def test_bootstrap_error_of_two_units_is_the_standard_error():
    values, unit = np.array([1.0, 3, 1, 3]), np.array([7, 2, 7, 2])
    (score,) = bootstrap_units(values, unit, lambda v: (float(v.mean()),), resamples=4000, seed=0)
    assert score.value == 2 and score.error == pytest.approx(1.0, rel=0.05) and score.n == 4


def test_one_pointing_has_no_error_and_errors_depend_on_the_seed_only():
    pull = np.random.default_rng(4).normal(size=50)
    one = alpha_pulls(*pulled(pull, pointing=["P"] * 50), resamples=5).by_snr.total
    assert np.isfinite(one[MEAN].value) and np.isnan(one[MEAN].error)
    assert judge_score(one[MEAN], 0.0).ok is None
    again = [alpha_pulls(*pulled(pull), resamples=50, seed=seed).by_snr.total for seed in (1, 1, 2)]
    assert again[0] == again[1] and again[0] != again[2]


def test_calibration_of_p_steep():
    rng = np.random.default_rng(6)
    n = 4000
    p = rng.random(n)
    truth = make_truth(n, alpha=np.where(rng.random(n) < p, -2.0, -0.5), source_class=np.full(n, "radio_galaxy"))
    sources = detect(truth, range(n), p_steep=p, alpha_from=np.where(np.arange(n) % 2, "sed", "limits"))
    sources["p_steep"][:10] = np.nan
    found = steep_calibration(sources, truth, match_truth(sources, truth))
    assert found[FITTED].total[P_TRUE].n == found[LIMITS].total[P_TRUE].n == n // 2 - 5
    for shown in found.values():
        for stated, true in zip(shown.scores[P_MEAN], shown.scores[P_TRUE], strict=True):
            assert abs(stated.value - true.value) < 4 * true.error
    overconfident = steep_calibration(sources, truth, match_truth(sources, truth), steep_limit=-3)
    assert overconfident[FITTED].total[P_TRUE].value == 0


def test_calibration_excludes_field_pulsars():
    truth = make_truth(
        4, source_class=["pulsar_candidate"] * 3 + ["agn"], region=[-1, -1, 0, -1], alpha=[-2, -2, -2, 0]
    )
    sources = detect(truth, range(4))
    total = steep_calibration(sources, truth, match_truth(sources, truth))[FITTED].total
    assert value(total[P_TRUE]) == (0.75, 4) and value(total[P_TRUE_NO_FIELD]) == (0.5, 2)


def test_a_bootstrap_needs_two_resamples():
    with pytest.raises(InputError, match="resamples = 1"):
        alpha_pulls(*pulled(np.zeros(3)), resamples=1)
