"""Images, spectra and catalogue against true magnitudes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mmae.realism.photometry import image_magnitudes, photometry_section, spectrum_magnitudes
from mmae.realism.reference import Loaded
from mmae.realism.rows import NO_TRUTH
from mmae.survey.schema import SurveySpec
from tests.realism.surveys import fake_simulator, gaussian_image, table_rows

SPEC = SurveySpec()


def test_magnitudes_of_an_image():
    mag_C = np.array([21.0, 20.0, 19.0, 18.0, 17.0])
    assert image_magnitudes(gaussian_image(SPEC, mag_C, 96), 27.0) == pytest.approx(mag_C, abs=1e-6)
    assert np.isnan(image_magnitudes(np.zeros((1, 4, 4)), 27.0)).all()


def test_magnitudes_of_a_spectrum_of_flat_f_nu():
    wavelength_L = np.arange(3000.0, 12000.0, 1.0)
    f_nu = 10 ** (-0.4 * (20.0 + 48.6))
    flux_L = f_nu * 2.99792458e18 / wavelength_L**2 / 1e-17
    assert spectrum_magnitudes(wavelength_L, flux_L, SPEC.bands) == pytest.approx(np.full(5, 20.0), abs=2e-3)


def test_consistent_photometry_passes(survey, objects):
    simulator = fake_simulator(survey, objects, total_spectrum=lambda truth, grid_L: np.ones_like(grid_L))
    section = photometry_section(objects, survey.spec, Loaded(simulator), seed=0)
    totals = table_rows(section, "totals")
    image = [row for row in totals if row["data"] == "image"]
    assert len(image) == 5 and all(row["verdict"].ok and row["n"] > 10 for row in image)
    assert any(row["verdict"].ok is False for row in totals if row["data"] == "spectrum")  # flux 1 everywhere
    catalogue = table_rows(section, "catalogue")
    assert catalogue and all(row["verdict"].ok is not False for row in catalogue)
    assert all(row["scatter"] == pytest.approx(0.01, rel=0.6) for row in catalogue)  # as in make_survey


def test_wrong_zero_point_and_biased_catalogue_fail(survey, objects):
    wrong = fake_simulator(
        survey, objects, target_image=lambda truth, size: 1.1 * gaussian_image(survey.spec, truth, size)
    )
    biased = dataclasses.replace(objects, mag_NC=objects.mag_NC + 0.1)
    section = photometry_section(biased, survey.spec, Loaded(wrong), seed=0)
    for row in table_rows(section, "totals")[:5]:
        assert row["verdict"].ok is False and row["median"] == pytest.approx(-0.1035, abs=1e-3)
    judged = [row["verdict"].ok for row in table_rows(section, "catalogue") if row["verdict"].ok is not None]
    assert judged and not any(judged)


def test_section_without_simulator_or_truth(survey, objects):
    section = photometry_section(objects, survey.spec, Loaded(None, "reason"), seed=0)
    assert section.left_out == "reason" and table_rows(section, "catalogue")
    bare = dataclasses.replace(objects, truth=None)
    assert photometry_section(bare, survey.spec, Loaded(None), seed=0).left_out == NO_TRUTH


def test_missing_catalogue_magnitudes_are_counted(survey, objects):
    mag_NC = objects.mag_NC.copy()
    mag_NC[:30, 4] = np.nan
    some = dataclasses.replace(objects, mag_NC=mag_NC)
    section = photometry_section(some, survey.spec, Loaded(None, "x"), seed=0)
    missing = {row["band"]: row["missing_percent"] for row in table_rows(section, "missing")}
    assert missing["y"] == pytest.approx(10.0) and missing["g"] == 0
