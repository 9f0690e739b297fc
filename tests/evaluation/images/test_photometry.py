"""Aperture photometry against geometry and the growth curve of a Gaussian."""

from __future__ import annotations

import galsim
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmae.evaluation.images.photometry import (
    APERTURES,
    aperture_flux,
    aperture_noise,
    aperture_weights,
    hidden_fraction,
    magnitude_difference,
)
from tests.evaluation.images.cutouts import NOISE_C11, SPEC, bands, draw


@settings(max_examples=40, deadline=None)
@given(st.floats(0.3, 5.2))
def test_aperture_weights_sum_to_the_area_of_the_circle(radius):
    weights_HW = aperture_weights(radius, 64, 0.168)
    # The error is at most about a third of the area of a ring one subpixel wide.
    rim = 2 * np.pi * radius * 0.168 / 10
    assert weights_HW.sum() * 0.168**2 == pytest.approx(np.pi * radius**2, abs=rim / 3)
    assert weights_HW.min() == 0 and weights_HW.max() <= 1
    for same in (weights_HW.T, weights_HW[::-1], weights_HW[:, ::-1]):
        np.testing.assert_array_equal(weights_HW, same)


def test_aperture_flux_follows_the_growth_curve():
    sigma = 0.9
    # Pixel integration adds the variance of a pixel to the profile.
    convolved = np.sqrt(sigma**2 + SPEC.pixel_scale**2 / 12)
    flux_NAC = aperture_flux(np.stack([bands(draw(galsim.Gaussian(flux=1000, sigma=sigma)))] * 2), SPEC)
    assert flux_NAC.shape == (2, 2, 5)
    for a, radius in enumerate(APERTURES):
        expected = 1000 * (1 - np.exp(-0.5 * (radius / convolved) ** 2))
        np.testing.assert_allclose(flux_NAC[:, a], expected * np.array([[1.0, 1.5, 2.0, 2.5, 3.0]] * 2), rtol=2e-3)


def test_aperture_noise_is_that_of_white_noise():
    rng = np.random.default_rng(0)
    flux_NAC = aperture_flux(rng.standard_normal((600, 5, 64, 64)) * NOISE_C11, SPEC)
    np.testing.assert_allclose(flux_NAC.std(axis=0), aperture_noise(SPEC), rtol=0.12)


def test_hidden_fraction_of_the_area():
    visible_NHW = np.ones((4, 64, 64), bool)
    visible_NHW[1, :, :32] = False
    visible_NHW[2, :32, :32] = False
    visible_NHW[3] = False
    np.testing.assert_allclose(
        hidden_fraction(visible_NHW, SPEC), [[0, 0], [0.5, 0.5], [0.25, 0.25], [1, 1]], atol=1e-12
    )
    corner = np.ones((1, 64, 64), bool)
    corner[0, :8, :8] = False
    assert not hidden_fraction(corner, SPEC).any()


@settings(deadline=None)
@given(st.floats(0.01, 100), st.floats(0.01, 100))
def test_magnitude_difference_is_negative_if_brighter(flux, reference):
    difference = magnitude_difference(np.array([flux]), np.array([reference]))[0]
    # Pogson: 5 magnitudes are a factor of 100.
    assert 100 ** (-difference / 5) == pytest.approx(flux / reference)


def test_no_magnitude_without_light():
    flux, reference = np.array([0.0, -1.0, 2.0, np.nan, 2.0]), np.array([1.0, 1.0, -1.0, 1.0, 2.0])
    difference = magnitude_difference(flux, reference)
    assert np.isnan(difference[:4]).all() and difference[4] == 0
