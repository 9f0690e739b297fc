"""Fluxes of images and spectra."""

from __future__ import annotations

import numpy as np

from mmae.catalogue.fluxes import INTERVALS, RADII, aperture_fluxes, interval_fluxes


def test_flux_of_an_aperture_is_its_area_times_the_surface_brightness():
    fine = 0.02  # arcsec
    flux_12 = aperture_fluxes(np.full((1, 1, 200, 200), 3.0), fine)
    area_2 = np.pi * np.square(RADII) / fine**2
    np.testing.assert_allclose(flux_12[0], 3 * area_2, rtol=5e-3)


def test_bands_follow_each_other_within_an_aperture():
    image_1CHW = np.ones((1, 3, 32, 32)) * np.array([1.0, 2.0, 4.0])[:, None, None]
    flux_AC = aperture_fluxes(image_1CHW, 0.168).reshape(len(RADII), 3)
    np.testing.assert_allclose(flux_AC / flux_AC[:, :1], [[1, 2, 4]] * len(RADII))


def test_missing_pixels_have_the_mean_of_the_others():
    image_1CHW = np.ones((1, 2, 32, 32))
    image_1CHW[0, 0, 15, 15] = np.nan
    image_1CHW[0, 1] = np.nan
    flux_AC = aperture_fluxes(image_1CHW, 0.168).reshape(len(RADII), 2)
    whole_AC = aperture_fluxes(np.ones((1, 2, 32, 32)), 0.168).reshape(len(RADII), 2)
    np.testing.assert_allclose(flux_AC[:, 0], whole_AC[:, 0])
    assert np.isnan(flux_AC[:, 1]).all()


def test_interval_fluxes_are_weighted_means():
    rng = np.random.default_rng(0)
    length = 10 * INTERVALS
    flux_1L, ivar_1L = rng.normal(2, 1, (1, length)), rng.uniform(0, 3, (1, length))
    ivar_1L[0, :10] = 0
    found_I = interval_fluxes(flux_1L, ivar_1L)[0]
    expected = [np.average(flux_1L[0, i : i + 10], weights=ivar_1L[0, i : i + 10]) for i in range(10, length, 10)]
    assert np.isnan(found_I[0])
    np.testing.assert_allclose(found_I[1:], expected, rtol=1e-5)
