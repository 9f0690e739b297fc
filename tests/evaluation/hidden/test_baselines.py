"""Baselines reproduce the images for which they are exact."""

from __future__ import annotations

import numpy as np
import pytest

from mmae.evaluation.hidden.baselines import (
    INTERPOLATED,
    MEAN,
    NEAREST,
    SYMMETRIC,
    Baselines,
    Neighbours,
    interpolated,
    mean_image,
)
from tests.evaluation.images.cutouts import patches


def shown(n: int, seed: int, bands: int) -> np.ndarray:
    """Shown pixels (N,C,H,W), the same in all bands."""
    return np.repeat(patches(n, seed)[:, None], bands, axis=1)


OFFSET = np.arange(64) - 31.5


def test_interpolation_of_a_plane_is_exact_and_does_not_change_visible_pixels():
    plane = (2 * OFFSET[:, None] - 0.5 * OFFSET)[None, None] * np.array([1.0, -3.0])[:, None, None]
    visible = shown(1, 5, 2)
    visible[0, :, 0, [0, -1]] = visible[0, :, -1, [0, -1]] = True  # all pixels are inside of the triangles
    visible[0, 1, 1:20, 1:20] = False  # missing in one band
    made = interpolated(plane, visible)
    np.testing.assert_allclose(made, plane, atol=1e-9)


def test_nearest_images_are_those_of_the_smallest_distance_in_visible_pixels():
    rng = np.random.default_rng(3)
    train, image = (rng.standard_normal((n, 2, 64, 64)).astype(np.float32) for n in (20, 3))
    visible = shown(3, 4, 2)
    visible[0, 1, :30] = False
    found = Neighbours(train).ranked(image, visible, 5)
    distance = np.array([[np.square(a - b)[v].sum() for b in train] for a, v in zip(image, visible, strict=True)])
    np.testing.assert_array_equal(found, distance.argsort(1)[:, :5])
    made = Neighbours(train).predict(image, visible, 5)
    np.testing.assert_allclose(made[1], train[found[1]].mean(0), rtol=1e-5, atol=1e-6)


def test_the_number_of_neighbours_follows_the_noise():
    rng = np.random.default_rng(5)
    shape = rng.standard_normal((4, 1, 64, 64)).astype(np.float32)
    kind = rng.integers(0, 4, 200)
    clean = shape[kind]
    visible = shown(40, 6, 1)
    assert Neighbours(clean[:160]).best_number(clean[160:], visible) == 1  # the image itself is in training
    noisy = clean + rng.standard_normal(clean.shape).astype(np.float32)
    assert Neighbours(noisy[:160]).best_number(noisy[160:], visible) >= 8


def test_baselines_without_training_images_need_none():
    image, visible = np.random.default_rng(0).standard_normal((2, 1, 64, 64)), shown(2, 0, 1)
    assert set(Baselines().predict(image, visible)) == {SYMMETRIC, INTERPOLATED}
    train = np.random.default_rng(1).standard_normal((210, 1, 64, 64)).astype(np.float32)
    fitted = Baselines.fitted(train, patches(8, 1))
    made = fitted.predict(image, visible)
    assert set(made) == {SYMMETRIC, INTERPOLATED, MEAN, NEAREST} and fitted.k > 1
    np.testing.assert_allclose(made[MEAN][1], mean_image(train))
    assert made[MEAN][0, 0, 0, 0] == pytest.approx(train[:, 0, 0, 0].mean(), abs=1e-6)


def test_training_images_with_missing_pixels_are_left_out():
    train = np.random.default_rng(1).standard_normal((230, 1, 64, 64)).astype(np.float32)
    train[:20, 0, 5] = np.nan
    fitted = Baselines.fitted(train, patches(8, 1))
    np.testing.assert_allclose(fitted.mean_CHW, mean_image(train[20:]))
    train[:50, 0, 5] = np.nan
    assert Baselines.fitted(train, patches(8, 1)).mean_CHW is None
