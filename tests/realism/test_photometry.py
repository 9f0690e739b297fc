"""Units: images, spectra and the catalogue against true magnitudes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mmae.realism.photometry import image_magnitudes, photometry_section, spectrum_magnitudes
from mmae.realism.reference import Loaded
from mmae.survey.schema import SurveySpec
from tests.realism.surveys import fake_simulator, gaussian_image

SPEC = SurveySpec()


def rows(section, name: str) -> list[tuple]:
    return list(next(t for t in section.tables if t.name == name).rows)


def test_light_on_a_stamp_has_its_magnitude():
    mag_C = np.array([21.0, 20.0, 19.0, 18.0, 17.0])
    assert image_magnitudes(gaussian_image(SPEC, mag_C, 96), 27.0) == pytest.approx(mag_C, abs=1e-6)
    assert np.isnan(image_magnitudes(np.zeros((1, 4, 4)), 27.0)).all()


def test_a_flat_spectrum_has_its_ab_magnitude_in_every_band():
    wavelength_L = np.arange(3000.0, 12000.0, 1.0)
    f_nu = 10 ** (-0.4 * (20.0 + 48.6))
    flux_L = f_nu * 2.99792458e18 / wavelength_L**2 / 1e-17
    assert spectrum_magnitudes(wavelength_L, flux_L, SPEC.bands) == pytest.approx(np.full(5, 20.0), abs=2e-3)


def test_what_adds_up_is_met(survey, objects):
    simulator = fake_simulator(survey, objects, total_spectrum=lambda truth, grid_L: np.ones_like(grid_L))
    section = photometry_section(objects, survey.spec, Loaded(simulator), seed=0)
    totals = rows(section, "totals")
    image = [row for row in totals if row[0] == "image on a wide stamp"]
    assert len(image) == 5 and all(row[-1].ok and row[2] > 10 for row in image)
    assert any(row[-1].ok is False for row in totals if row[0] == "total spectrum")  # every spectrum is 1
    catalogue = rows(section, "catalogue")
    assert all(row[-1].ok is not False for row in catalogue)
    assert all(row[4] == pytest.approx(0.01, rel=0.6) for row in catalogue)  # as made


def test_a_wrong_zero_point_and_a_biased_catalogue_are_misses(survey, objects):
    wrong = fake_simulator(
        survey, objects, target_image=lambda truth, size: 1.1 * gaussian_image(survey.spec, truth, size)
    )
    biased = dataclasses.replace(objects, mag_NC=objects.mag_NC + 0.1)
    section = photometry_section(biased, survey.spec, Loaded(wrong), seed=0)
    totals = rows(section, "totals")
    assert all(row[-1].ok is False and row[3] == pytest.approx(-0.1035, abs=1e-3) for row in totals[:5])
    assert all(row[-1].ok is False for row in rows(section, "catalogue") if row[-1].ok is not None)


def test_without_simulator_or_truth_it_says_so(survey, objects):
    section = photometry_section(objects, survey.spec, Loaded(None, "Left out: another version."), seed=0)
    assert section.left_out == "Left out: another version." and rows(section, "catalogue")
    bare = dataclasses.replace(objects, truth=None)
    assert "no truth table" in photometry_section(bare, survey.spec, Loaded(None), seed=0).left_out


def test_missing_catalogue_magnitudes_are_counted(survey, objects):
    mag_NC = objects.mag_NC.copy()
    mag_NC[:30, 4] = np.nan
    some = dataclasses.replace(objects, mag_NC=mag_NC)
    section = photometry_section(some, survey.spec, Loaded(None, "x"), seed=0)
    assert {row[0]: row[2] for row in rows(section, "missing")}["y"] == pytest.approx(10.0)
