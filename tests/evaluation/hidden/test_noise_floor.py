"""The noise floor against the scatter of simulated noise."""

from __future__ import annotations

import numpy as np
import pytest

from mmae.evaluation.hidden.noise_floor import arcsinh_variance, published, second_realisation, smoothed
from mmae.evaluation.hidden.normalised import denormalise, mean_of, normalise
from mmae.simulation.camera import add_noise, effective_gain
from tests.evaluation.images.cutouts import SPEC, patches, round_galaxies

N = 30


@pytest.fixture(scope="module")
def clean() -> np.ndarray:
    return round_galaxies(N, 3, noise=0.0)


def noisy(clean_NCHW: np.ndarray, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.stack([add_noise(rng, image_CHW, SPEC) for image_CHW in clean_NCHW])


def test_normalised_units_are_inverted():
    counts = np.array([-0.1, 0.0, 3.0, 4000.0], np.float32).reshape(1, 1, 2, 2) * np.ones((1, 5, 1, 1), np.float32)
    value = normalise(counts, SPEC)
    expected = (np.arcsinh(4000 / SPEC.band_noise[2]) - SPEC.arcsinh_mean[2]) / SPEC.arcsinh_std[2]
    assert value[0, 2, 1, 1] == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(denormalise(value, SPEC), counts, rtol=1e-4, atol=1e-4)


def test_means_are_over_the_chosen_pixels_of_all_bands():
    value, chosen = np.full((2, 5, 64, 64), np.nan), np.zeros((2, 5, 64, 64), bool)
    chosen[0, :, :8, :8] = True
    value[0, :, :8, :8] = np.arange(5)[:, None, None]
    found = mean_of(value, chosen)
    assert found[0] == 2 and np.isnan(found[1])


def test_variance_of_arcsinh_agrees_with_drawn_noise():
    rng = np.random.default_rng(0)
    signal, sigma = np.array([0.0, 1.0, 5.0, 300.0, -2.0, 0.0]), np.array([1.0, 1.1, 1.5, 4.0, 1.0, 3.0])
    drawn = np.arcsinh(signal + sigma * rng.standard_normal((200_000, 6)))
    np.testing.assert_allclose(arcsinh_variance(signal, sigma), drawn.var(0), rtol=0.02)


def test_missing_pixels_do_not_enter_the_smoothed_image():
    image = np.full((1, 1, 64, 64), 3.0)
    image[..., 20:, :] = np.nan
    found = smoothed(image)[0, 0]
    np.testing.assert_allclose(found[:20], 3)
    assert np.isnan(found[40:]).all()


def test_both_floors_are_the_error_of_the_noise_free_image(clean):
    first, second = noisy(clean, 1), noisy(clean, 2)
    hidden = np.repeat(~patches(N, 4)[:, None], 5, axis=1)
    exact_N = mean_of(second_realisation(first, second, SPEC), hidden)
    # The mean of many realisations in normalised units is the best noise-free reconstruction.
    best = np.mean([normalise(noisy(clean, 10 + k), SPEC) for k in range(12)], axis=0)
    error = mean_of((best - normalise(first, SPEC)) ** 2, hidden).mean() / (1 + 1 / 12)
    assert exact_N.mean() == pytest.approx(error, rel=0.02)
    assert mean_of(published(first, SPEC), hidden).mean() == pytest.approx(exact_N.mean(), rel=0.05)
    variance = np.square(SPEC.band_noise)[:, None, None] + np.maximum(clean, 0) / effective_gain(SPEC)[:, None, None]
    given = mean_of(published(first, SPEC, variance), hidden)
    assert given.mean() == pytest.approx(exact_N.mean(), rel=0.05)
