"""Residuals of hidden pixels in units of the noise."""

from __future__ import annotations

import galsim
import numpy as np

from mmae.evaluation.images import pixels
from mmae.simulation.camera import add_noise
from mmae.survey.schema import SurveySpec
from tests.evaluation.images.cutouts import NOISE_C11, SPEC, bands, draw, patches


def regions(n: int, seed: int = 0, hidden: float = 0.75) -> np.ndarray:
    return pixels.hidden_regions(patches(n, seed, hidden), SPEC)


def test_residual_statistics_are_in_units_of_the_noise():
    rng = np.random.default_rng(1)
    residual_NCHW = (0.5 + 3 * rng.standard_normal((6, 5, 64, 64))) * NOISE_C11
    scaled_NCHW, region_NGHW = pixels.noise_units(residual_NCHW, SPEC), regions(6)
    median_NGC, nmad_NGC = pixels.median_and_nmad(scaled_NCHW, region_NGHW)
    assert median_NGC.shape == nmad_NGC.shape == (6, 2, 5)
    np.testing.assert_allclose(nmad_NGC[:, 0], 3, rtol=0.1)
    np.testing.assert_allclose(median_NGC[:, 0], 0.5, atol=0.3)
    np.testing.assert_allclose(pixels.rms(scaled_NCHW, region_NGHW)[:, 0], np.hypot(3, 0.5), rtol=0.08)


def test_regions_contain_only_hidden_pixels_and_the_target_region_is_a_circle():
    visible_NHW = patches(3, 5)
    region_NGHW = pixels.hidden_regions(visible_NHW, SPEC)
    assert not (region_NGHW & visible_NHW[:, None]).any()
    np.testing.assert_array_equal(region_NGHW[:, 0], ~visible_NHW)
    y, x = np.mgrid[:64, :64] - 31.5
    inside_HW = np.hypot(x, y) * 0.168 < 3.0 - 0.1
    outside_HW = np.hypot(x, y) * 0.168 > 3.0 + 0.1
    np.testing.assert_array_equal((region_NGHW[:, 1])[:, inside_HW], ~visible_NHW[:, inside_HW])
    assert not region_NGHW[:, 1][:, outside_HW].any()
    values_NCHW = np.where(visible_NHW[:, None], 100.0, 1.0) * np.ones((1, 5, 1, 1))
    np.testing.assert_allclose(pixels.rms(values_NCHW, region_NGHW), 1.0)


def test_nothing_hidden_gives_nan_and_empty_histograms():
    region_NGHW, values_NCHW = regions(2, hidden=0.0), np.ones((2, 5, 64, 64))
    assert np.isnan(pixels.rms(values_NCHW, region_NGHW)).all()
    assert np.isnan(pixels.median_and_nmad(values_NCHW, region_NGHW)).all()
    assert not pixels.histograms(values_NCHW, region_NGHW).any()


def test_true_image_has_unit_chi2_with_photon_noise():
    # A simulated galaxy bright enough that photon noise dominates in its centre.
    true_CHW = bands(draw(galsim.Gaussian(flux=2e5, sigma=0.7)))
    rng = np.random.default_rng(2)
    observed_NCHW = np.stack([add_noise(rng, true_CHW, SPEC) for _ in range(6)])
    residual_NCHW, region_NGHW = true_CHW - observed_NCHW, regions(6, hidden=1.0)
    chi2_NGC = pixels.rms(pixels.all_noise_units(residual_NCHW, observed_NCHW, SPEC), region_NGHW) ** 2
    np.testing.assert_allclose(chi2_NGC.mean(axis=0), 1.0, rtol=0.06)
    assert (pixels.rms(pixels.noise_units(residual_NCHW, SPEC), region_NGHW)[:, 1, 2] > 2).all()


def test_noise_units_are_nan_without_a_known_gain():
    spec = SurveySpec(bands=("u", "r", "i", "z", "y"))
    values_NCHW = np.ones((1, 5, 64, 64))
    assert np.isnan(pixels.all_noise_units(values_NCHW, values_NCHW, spec)).all()


def test_histograms_count_every_hidden_pixel():
    rng = np.random.default_rng(3)
    values_NCHW, region_NGHW = rng.standard_normal((3, 5, 64, 64)), regions(3)
    values_NCHW[0, 0][region_NGHW[0, 0]] = np.nan
    values_NCHW[0, 1][region_NGHW[0, 0]] = -50.0
    count_NGCK = pixels.histograms(values_NCHW, region_NGHW)
    np.testing.assert_array_equal(count_NGCK.sum(axis=-1), np.repeat(region_NGHW.sum((2, 3))[..., None], 5, -1))
    assert count_NGCK[0, 0, 0, -1] == count_NGCK[0, 0, 1, 0] == region_NGHW[0, 0].sum()
    positive = count_NGCK[1, 0, 2, pixels.HISTOGRAM_EDGES[:-1] >= 0].sum()
    assert positive == (values_NCHW[1, 2][region_NGHW[1, 0]] >= 0).sum()


def test_decibel():
    # 20 dB are a factor of 10.
    np.testing.assert_allclose(pixels.decibel(np.array([10.0, 100.0]), np.array([1.0, 1.0])), [20, 40])
    assert np.isnan(pixels.decibel(np.array([0.0, -1.0, np.nan]), np.ones(3))).all()
    assert pixels.decibel(np.ones(1), np.zeros(1)) == np.inf
