"""Filling by symmetry and profile is exact for symmetric and for round images."""

from __future__ import annotations

import numpy as np

from mmae.inference.filling import symmetric
from tests.evaluation.images.cutouts import patches

OFFSET = np.arange(64) - 31.5
RADIUS = np.hypot(OFFSET[:, None], OFFSET)


def shown(n: int, seed: int, bands: int) -> np.ndarray:
    """Shown pixels (N,C,H,W), the same in all bands."""
    return np.repeat(patches(n, seed)[:, None], bands, axis=1)


def test_an_opposite_visible_pixel_is_copied():
    rng = np.random.default_rng(0)
    half = rng.standard_normal((3, 2, 64, 64))
    image = half + half[:, :, ::-1, ::-1]
    visible = shown(3, 1, 2)
    made = symmetric(image, visible)
    known = ~visible & visible[:, :, ::-1, ::-1]
    assert known.any()
    np.testing.assert_array_equal(made[known], image[known])


def test_the_radial_profile_of_a_round_image_is_recovered():
    image = np.broadcast_to(np.stack([10 - 0.2 * RADIUS, 3 + 0.1 * RADIUS]), (4, 2, 64, 64))
    visible = shown(4, 2, 2)
    visible[0, 0] = False
    made = symmetric(image, visible)
    assert np.isfinite(made).all() and (made[0, 0] == 0).all()  # nothing is known in this band
    inside = ~visible[1:] & (RADIUS < 30)
    assert np.abs(made - image)[1:][inside].mean() < 0.2  # an annulus is 2 pixels wide: 0.2 or less per pixel
