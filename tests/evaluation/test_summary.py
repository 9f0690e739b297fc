"""Verdicts of the summary follow the numbers and their errors."""

from __future__ import annotations

import pytest

from mmae.evaluation.summary import SIGNIFICANT, better, findings, percent, times
from mmae.report.contents import Measured


def redshift(mode: str, row: str, gain: float, error: float = 0.001) -> dict[str, float]:
    """Numbers of a model with scatter 0.02 and a baseline that differs from it by `gain`."""
    return {
        f"redshift/all_z/sigma_nmad/{mode}": 0.02,
        f"redshift/all_z/sigma_nmad/{mode}_error": 0.001,
        f"redshift/all_z/galaxies/{mode}": 700,
        f"redshift/all_z/dz_gt0.15_pct/{mode}": 2.0,
        f"redshift/baselines/{row}/sigma_nmad_model": 0.02,
        f"redshift/baselines/{row}/sigma_nmad_boosting": 0.02 - gain,
        f"redshift/baselines/{row}/model_minus_boosting": gain,
        f"redshift/baselines/{row}/model_minus_boosting_error": error,
    }


MEDIAN = {"redshift/all_z/sigma_nmad/training_median": 0.2, "redshift/all_z/sigma_nmad/training_median_error": 0.01}
MSE = "hidden/targets/mse_of_hidden_pixels"
DIFFERENCE = "hidden/targets/mse_minus_that_of_the_best_baseline"
HIDDEN = {
    f"{MSE}/value": 0.12,
    f"{MSE}/value_error": 0.004,
    f"{MSE}/n": 500,
    f"{MSE}/nearest_training_images": 0.16,
    f"{MSE}/interpolation": 0.24,
    f"{MSE}/paper": 0.1,  # a network: not a baseline of the summary
    "hidden/targets/excess_over_the_noise_floor/value": 0.03,
    f"{DIFFERENCE}/nearest_training_images": -0.04,
    f"{DIFFERENCE}/nearest_training_images_error": 0.003,
    "hidden/targets/chi2_of_hidden_samples_of_galaxies_over_that_of_templates/value": 1.06,
    "hidden/targets/chi2_of_hidden_samples_of_galaxies_over_that_of_templates/value_error": 0.01,
}


@pytest.mark.parametrize(("gain", "ok"), [(-0.02, True), (0.01, False), (0.0019, None), (-0.0019, None)])
def test_redshifts_are_compared_with_those_from_magnitudes(gain, ok):
    (verdict,) = findings(redshift("image", "image_only", gain) | MEDIAN)[0].verdicts
    assert verdict.ok is ok and "10 times smaller" in verdict.text
    if ok:
        assert "2.0 times smaller" in verdict.text


def test_without_magnitudes_the_training_median_is_the_baseline():
    values = {n: v for n, v in redshift("spectrum", "spectrum_only", 0.0).items() if "baselines" not in n}
    finding = findings(values | MEDIAN)[1]
    assert finding.verdicts[0].ok is True and "5,996 km/s" in finding.text
    assert findings(values)[1].verdicts[0].ok is None  # no baseline at all


def test_hidden_pixels_are_compared_with_the_best_way_without_a_network():
    finding = findings(HIDDEN)[2]
    images, templates = finding.verdicts
    assert images.ok is True and "25% below" in images.text and "nearest training images" in images.text
    assert templates.ok is False and "6% above" in templates.text
    assert "0.090" in finding.text  # the noise floor
    (ax,) = finding.drawing.figure.axes
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == ["this model", "nearest training images", "interpolation", "noise floor"]


def test_what_was_not_measured_is_said():
    for finding in findings({}):
        assert [verdict.ok for verdict in finding.verdicts] == [None] and finding.drawing is None


def test_a_difference_counts_from_two_errors():
    assert SIGNIFICANT == 2
    assert [better(Measured(v, 1.0)) for v in (-2.1, -1.9, 1.9, 2.1)] == [True, None, None, False]
    assert better(Measured(-1.0, float("nan"))) is None


def test_ratios_in_words():
    assert times(0.01, 0.163) == "16 times smaller" and times(0.3, 0.2) == "1.5 times larger"
    assert times(0.1, float("nan")) == ""
    assert (percent(0.77), percent(1.06)) == ("23% below", "6% above")
