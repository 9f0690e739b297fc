"""Patches and normalisation, compared with cases computed by hand and independent formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mmae.model import tokens as tk
from tests.model.galaxies import FULL_SPEC, random_batch

CONSTANTS = [torch.tensor(v) for v in (FULL_SPEC.band_noise, FULL_SPEC.arcsinh_mean, FULL_SPEC.arcsinh_std)]
fluxes = arrays(np.float32, (3, 40), elements=st.floats(-100, 100, width=32))
ivars = arrays(np.float32, (3, 40), elements=st.one_of(st.just(0.0), st.floats(0.0625, 16, width=32)))


def joined(tokens: torch.Tensor, n_bands: int, side: int, patch: int) -> torch.Tensor:
    """Images put together patch by patch, row by row."""
    patches = tokens.unflatten(-1, (n_bands, patch, patch))
    rows = [torch.cat([patches[:, row * side + column] for column in range(side)], -1) for row in range(side)]
    return torch.cat(rows, -2)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.integers(1, 5))
def test_image_patches_round_trip(n, n_bands, side, patch):
    image = torch.randn(n, n_bands, side * patch, side * patch)
    tokens = tk.patchify_image(image, patch)
    assert tokens.shape == (n, side * side, n_bands * patch * patch)
    assert torch.equal(joined(tokens, n_bands, side, patch), image)


def test_token_of_a_pixel():
    image = torch.zeros(1, 5, 64, 64)
    image[0, 2, 17, 60] = 1.0  # row 17 of patches of 8: third row; column 60: last column
    tokens = tk.patchify_image(image, 8)
    assert tokens.nonzero().tolist() == [[0, 2 * 8 + 7, 2 * 64 + 1 * 8 + 4]]


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 3), st.integers(1, 50), st.integers(1, 20))
def test_spectrum_patches_round_trip_with_zero_padding(n, n_samples, patch):
    spectrum = torch.rand(n, n_samples) + 1
    tokens = tk.patchify_spectrum(spectrum, patch)
    assert tokens.shape == (n, -(-n_samples // patch), patch)
    assert torch.equal(tk.unpatchify_spectrum(tokens, n_samples), spectrum)
    assert (tokens == 0).sum() == tokens.numel() - spectrum.numel()


def test_token_of_a_wavelength_sample():
    spectrum = torch.zeros(1, 7781)
    spectrum[0, 7780] = 1.0  # the last sample: 7781 = 121 x 64 + 37
    assert tk.patchify_spectrum(spectrum, 64).nonzero().tolist() == [[0, 121, 36]]


def test_visible_pixels_are_the_pixels_of_visible_tokens():
    visible = torch.zeros(2, 16, dtype=torch.bool)
    visible[0, 6] = True  # second row, third column of 4 x 4 tokens
    pixels = tk.visible_pixels(visible, 12)
    assert pixels.shape == (2, 12, 12) and not pixels[1].any()
    rows, columns = pixels[0].nonzero().unbind(-1)
    assert rows.unique().tolist() == [3, 4, 5] and columns.unique().tolist() == [6, 7, 8]


@settings(deadline=None, max_examples=40)
@given(arrays(np.float32, (2, 5, 3, 3), elements=st.floats(-100, 10_000, width=32)))
def test_image_normalisation_round_trips(image):
    image = torch.from_numpy(image)
    back = tk.denormalise_image(tk.normalise_image(image, *CONSTANTS), *CONSTANTS)
    # float32 in the exponent of a sinh: 1e-6 of arcsinh(1e4 / 0.02) = 14 is 1e-5 of the count.
    torch.testing.assert_close(back, image, rtol=3e-5, atol=1e-6)


def test_image_normalisation_by_hand():
    noise, mean, std = torch.tensor([2.0, 1.0]), torch.tensor([0.5, 0.0]), torch.tensor([2.0, 4.0])
    image = torch.tensor([2.0 * np.sinh(3.0), np.sinh(-2.0)], dtype=torch.float32).reshape(1, 2, 1, 1)
    normalised = tk.normalise_image(image, noise, mean, std)
    np.testing.assert_allclose(normalised.flatten(), [(3 - 0.5) / 2, -2 / 4], rtol=1e-6)


def test_stretch_is_linear_in_the_sky_noise_of_each_band():
    noise = CONSTANTS[0]
    zero = tk.normalise_image(torch.zeros(1, 5, 1, 1), *CONSTANTS)
    one_sigma = tk.normalise_image(0.01 * noise.reshape(1, 5, 1, 1), *CONSTANTS)
    slope = ((one_sigma - zero) * CONSTANTS[2].reshape(1, 5, 1, 1)).flatten()
    np.testing.assert_allclose(slope, 0.01, rtol=2e-3)


def test_patch_brightness_is_that_of_the_summed_pixels():
    noise_C = torch.tensor([1.0, 2.0])
    image = torch.zeros(1, 2, 8, 8)
    image[0, :, 5, 2] = torch.tensor([40.0, 400.0])  # noise of 16 pixels together: 4 and 8
    found_BTC = tk.patch_brightness(image, noise_C, 4, floor=5.0)
    assert found_BTC.shape == (1, 4, 2)
    expected_TC = torch.zeros(4, 2)
    expected_TC[2] = torch.tensor([math.asinh(2.0), math.asinh(10.0)])
    torch.testing.assert_close(found_BTC[0], expected_TC)


def test_aperture_brightness_is_the_signal_to_noise_of_the_weighted_sum():
    """Noise of known sigma scatters by 1 / floor, and parts of a constant image have the flux of all of it."""
    weight_AHW, noise_C = tk.gaussian_apertures(16, (1.0, 3.0)), torch.tensor([0.5, 2.0])
    generator = torch.Generator().manual_seed(0)
    noise_BCHW = noise_C[:, None, None] * torch.randn(4000, 2, 16, 16, generator=generator)
    seen_BCHW = torch.ones(4000, 2, 16, 16, dtype=torch.bool)
    found_BAC, fraction_BAC = tk.aperture_brightness(noise_BCHW, seen_BCHW, noise_C, weight_AHW, floor=5.0)
    torch.testing.assert_close(found_BAC.sinh().std(0), torch.full((2, 2), 0.2), rtol=0.05, atol=0)
    torch.testing.assert_close(fraction_BAC, torch.ones(4000, 2, 2))
    some_BCHW = torch.rand(2, 2, 16, 16, generator=generator) > 0.3
    whole, parts = (
        tk.aperture_brightness(7.0 * seen, seen, noise_C, weight_AHW, floor=5.0)[0]
        for seen in (seen_BCHW[:2], some_BCHW)
    )
    torch.testing.assert_close(parts, whole)


def test_apertures_are_centred_between_the_middle_pixels():
    weight_AHW = tk.gaussian_apertures(8, (2.0,))
    assert torch.equal(weight_AHW, weight_AHW.flip(-1)) and torch.equal(weight_AHW, weight_AHW.transpose(1, 2))
    assert weight_AHW[0, 3, 3] == weight_AHW.max() == pytest.approx(math.exp(-0.5 * 0.5 / 4))


def test_colour_of_a_bright_patch_is_the_logarithm_of_the_flux_ratio():
    flux_C = torch.tensor([3.0e4, 1.2e5])
    found_C = tk.patch_brightness(flux_C.view(1, 2, 1, 1).expand(1, 2, 4, 4), torch.ones(2), 4, floor=5.0)[0, 0]
    assert found_C.diff().item() == pytest.approx(math.log(4.0), abs=1e-5)


@settings(deadline=None, max_examples=60)
@given(fluxes, ivars)
def test_normalised_spectra_have_zero_weighted_mean_and_unit_weighted_rms(flux, ivar):
    normal, normal_ivar, mean, rms = (
        x.double().numpy() for x in tk.normalise_spectrum(torch.from_numpy(flux), torch.from_numpy(ivar))
    )
    for i in range(len(flux)):
        good = ivar[i] > 0
        if not good.any():
            assert not normal[i].any() and mean[i] == 0 and rms[i] == 1
            continue
        true_mean = np.average(flux[i][good].astype(float), weights=ivar[i][good])
        true_rms = np.average((flux[i][good] - true_mean) ** 2, weights=ivar[i][good]) ** 0.5
        np.testing.assert_allclose(mean[i], true_mean, atol=1e-4, rtol=1e-5)
        assert not normal[i][~good].any() and np.isfinite(normal[i]).all()
        if true_rms < 1e-2:  # a flat spectrum: below the rounding error of float32
            continue
        np.testing.assert_allclose(rms[i], true_rms, rtol=1e-3)
        assert abs(np.average(normal[i], weights=ivar[i])) < 1e-2
        np.testing.assert_allclose(np.average(normal[i] ** 2, weights=ivar[i]), 1, rtol=1e-2)
        # Signal to noise is unchanged, and the documented inverse gives the flux.
        np.testing.assert_allclose(normal_ivar[i], ivar[i] * true_rms**2, rtol=3e-3)
        np.testing.assert_allclose((mean[i] + rms[i] * normal[i])[good], flux[i][good], atol=1e-3)


@pytest.mark.parametrize("scale", [1e-3, 7.0, 1e3])
def test_normalised_spectra_do_not_depend_on_the_flux_unit(scale):
    batch = random_batch(4)
    flux, ivar = batch.flux_BL, batch.ivar_BL
    here = tk.normalise_spectrum(flux, ivar)
    there = tk.normalise_spectrum(flux * scale, ivar / scale**2)
    torch.testing.assert_close(there[0], here[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(there[1], here[1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(there[2], here[2] * scale, rtol=1e-4, atol=0)
    torch.testing.assert_close(there[3], here[3] * scale, rtol=1e-4, atol=0)


def test_spectrum_without_a_good_pixel_gives_zeros():
    flux = torch.tensor([[3.0, -5.0, 7.0]])
    normal, ivar, mean, rms = tk.normalise_spectrum(flux, torch.zeros(1, 3))
    assert normal.tolist() == [[0, 0, 0]] and ivar.tolist() == [[0, 0, 0]]
    assert mean.tolist() == [0] and rms.tolist() == [1]


def test_constant_spectrum_gives_no_nan():
    normal, _, mean, rms = tk.normalise_spectrum(torch.full((1, 9), 2.5), torch.ones(1, 9))
    assert torch.isfinite(normal).all() and mean.tolist() == [2.5] and rms.tolist() == [1]


def test_bad_pixels_have_no_influence():
    batch = random_batch(3)
    bad = batch.ivar_BL == 0
    assert bad.any()
    corrupted = torch.where(bad, torch.tensor(1e6), batch.flux_BL)
    for clean, other in zip(
        tk.normalise_spectrum(batch.flux_BL, batch.ivar_BL),
        tk.normalise_spectrum(corrupted, batch.ivar_BL),
        strict=True,
    ):
        assert torch.equal(clean, other)
