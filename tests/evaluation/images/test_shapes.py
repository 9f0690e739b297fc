"""Sizes and shapes of profiles with known size and shape."""

from __future__ import annotations

import galsim
import numpy as np
import pytest
from scipy.optimize import brentq

from mmae.evaluation.images.shapes import adaptive_moments, half_light_radius
from tests.evaluation.images.cutouts import SPEC, draw

PIXEL_VARIANCE = SPEC.pixel_scale**2 / 12


@pytest.mark.parametrize("sigma", [0.3, 0.6, 1.0, 2.0])
def test_half_light_radius_of_a_gaussian(sigma):
    convolved = np.sqrt(sigma**2 + PIXEL_VARIANCE)
    total = 1 - np.exp(-0.5 * (3 / convolved) ** 2)
    expected = convolved * np.sqrt(-2 * np.log(1 - total / 2))
    radius_N = half_light_radius(np.stack([draw(galsim.Gaussian(sigma=sigma))] * 2), SPEC)
    assert radius_N == pytest.approx([expected, expected], rel=0.015)


def test_half_light_radius_of_an_exponential():
    scale = 0.7

    def within(radius):
        return 1 - np.exp(-radius / scale) * (1 + radius / scale)

    expected = brentq(lambda radius: within(radius) - within(3) / 2, 0.1, 3)
    (radius,) = half_light_radius(draw(galsim.Exponential(scale_radius=scale))[None], SPEC)
    assert radius == pytest.approx(expected, rel=0.015)
    assert half_light_radius(1e3 * draw(galsim.Exponential(scale_radius=scale))[None], SPEC)[0] == pytest.approx(radius)


def test_half_light_radius_is_nan_without_positive_flux():
    image_NHW = np.stack([-draw(galsim.Gaussian(sigma=1)), np.zeros((64, 64)), np.full((64, 64), np.nan)])
    assert np.isnan(half_light_radius(image_NHW, SPEC)).all()


@pytest.mark.parametrize("g1, g2", [(0.0, 0.0), (0.3, 0.0), (-0.1, 0.25)])
def test_moments_of_a_sheared_gaussian(g1, g2):
    sigma = 0.8
    size, found1, found2 = adaptive_moments(50 * draw(galsim.Gaussian(sigma=sigma).shear(g1=g1, g2=g2)), SPEC)
    # Pixel integration adds the variance of a pixel to the moments.
    matrix = galsim.Shear(g1=g1, g2=g2).getMatrix()
    moments = sigma**2 * matrix @ matrix.T + PIXEL_VARIANCE * np.eye(2)
    distortion = (moments[0, 0] - moments[1, 1] + 2j * moments[0, 1]) / np.trace(moments)
    shear = distortion / (1 + np.sqrt(1 - abs(distortion) ** 2))
    assert size == pytest.approx(np.linalg.det(moments) ** 0.25, rel=2e-3)
    assert (found1, found2) == pytest.approx((shear.real, shear.imag), abs=2e-3)


def test_failed_moments_are_nan():
    off_centre = draw(galsim.Gaussian(sigma=0.5).shift(1.5, 0))
    near = draw(galsim.Gaussian(sigma=0.5).shift(0.3, 0))
    for image_HW in (off_centre, np.zeros((64, 64)), np.full((64, 64), np.nan), -off_centre):
        assert np.isnan(adaptive_moments(image_HW, SPEC)).all()
    assert np.isfinite(adaptive_moments(near, SPEC)).all()
