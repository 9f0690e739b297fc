"""Resampling against independent computations: integrals of functions, simulated noise, spectres, NIST's lines."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import erf

from mmae.astro.resample import air_to_vacuum, edges_of, resample_image, resample_spectra

BOSS_A = 10 ** (3.5552 + 1e-4 * np.arange(4600))
GRID_L = 3600 + 0.8 * np.arange(7781)


def gaussian_means(centre_A: np.ndarray, line: float, sigma: float, area: float) -> np.ndarray:
    """The mean of a Gaussian line over each sample, by its integral."""
    edge = edges_of(centre_A)
    return area * np.diff(erf((edge - line) / (np.sqrt(2) * sigma))) / 2 / np.diff(edge)


@pytest.mark.parametrize("line", [3805.0, 5008.24, 6564.61, 9100.3])
def test_centre_and_flux_of_a_line_are_kept(line):
    flux_A = gaussian_means(BOSS_A, line, 3.0, 100.0)
    flux_NL, ivar_NL = resample_spectra(BOSS_A, flux_A[None], np.ones((1, len(BOSS_A))), GRID_L)
    near_L = (abs(GRID_L - line) < 25) & (ivar_NL[0] > 0)
    area = flux_NL[0, near_L].sum() * 0.8
    centre = (flux_NL[0] * GRID_L)[near_L].sum() * 0.8 / area
    assert area == pytest.approx(100, rel=1e-3)
    assert centre == pytest.approx(line, abs=0.02)


def test_outside_the_input_ivar_is_zero():
    wave_A = np.arange(5000.0, 6000.0, 1.3)
    flux_NL, ivar_NL = resample_spectra(wave_A, np.ones((1, len(wave_A))), np.full((1, len(wave_A)), 4.0), GRID_L)
    outside_L = (GRID_L < 4999) | (GRID_L > 6001)
    assert (ivar_NL[0, outside_L] == 0).all() and (flux_NL[0, outside_L] == 0).all()
    inside_L = (GRID_L > 5001) & (GRID_L < 5998)
    np.testing.assert_allclose(flux_NL[0, inside_L], 1)
    # Samples of 1.3 A: the variance is that of the input, or less where a border is inside.
    assert (ivar_NL[0, inside_L] >= 4 * (1 - 1e-6)).all() and (ivar_NL[0, inside_L] <= 8 * (1 + 1e-6)).all()


def test_variance_is_that_of_simulated_noise():
    rng = np.random.default_rng(1)
    wave_A = np.arange(4000.0, 4060.0, 0.31)
    ivar_A = rng.uniform(0.5, 4, len(wave_A))
    grid_L = np.arange(4005.0, 4050.0, 0.8)
    noise_NA = rng.normal(size=(4000, len(wave_A))) / np.sqrt(ivar_A)
    flux_NL, ivar_NL = resample_spectra(wave_A, noise_NA, np.broadcast_to(ivar_A, noise_NA.shape), grid_L)
    np.testing.assert_allclose(flux_NL.var(axis=0) * ivar_NL[0], 1, atol=5 / np.sqrt(2000))


def test_bad_samples_do_not_enter_and_large_gaps_are_bad():
    wave_A = np.arange(4000.0, 4100.0, 0.2)
    flux_A, ivar_A = np.full(len(wave_A), 2.0), np.ones(len(wave_A))
    flux_A[100], ivar_A[100] = np.nan, 0  # a fifth of a sample of the grid
    flux_A[200:220], ivar_A[200:220] = 1e9, 0  # 4 A
    flux_NL, ivar_NL = resample_spectra(wave_A, flux_A[None], ivar_A[None], GRID_L)
    good_L = ivar_NL[0] > 0
    np.testing.assert_allclose(flux_NL[0, good_L], 2)
    assert good_L[np.argmin(abs(GRID_L - wave_A[100]))]
    gap_L = (GRID_L > wave_A[202]) & (GRID_L < wave_A[217])
    assert gap_L.any() and not good_L[gap_L].any()


def test_equals_spectres():
    spectres = pytest.importorskip("spectres")
    rng = np.random.default_rng(0)
    flux_A, error_A = rng.normal(10, 1, len(BOSS_A)), rng.uniform(0.5, 1.5, len(BOSS_A))
    inside_L = GRID_L[(GRID_L > BOSS_A[2]) & (GRID_L < BOSS_A[-3])]
    expected, expected_error = spectres.spectres(inside_L, BOSS_A, flux_A, error_A)
    flux_NL, ivar_NL = resample_spectra(BOSS_A, flux_A[None], error_A[None] ** -2.0, inside_L)
    np.testing.assert_allclose(flux_NL[0], expected, rtol=1e-5)
    np.testing.assert_allclose(ivar_NL[0] ** -0.5, expected_error, rtol=1e-5)


@given(st.floats(0.1, 5), st.floats(0.1, 5), st.integers(0, 2**31))
def test_the_integral_is_kept(step_in, step_out, seed):
    """Whatever the two grids are: where the output is inside the input, its integral is that of the input."""
    wave_A = np.arange(100.0, 200.0, step_in)
    flux_A = np.random.default_rng(seed).normal(5, 1, len(wave_A))
    edge = edges_of(wave_A)
    grid_L = np.arange(edge[0] + step_out / 2, edge[-1] - step_out / 2 + 1e-9, step_out)
    if len(grid_L) < 2:
        return
    flux_NL, _ = resample_spectra(wave_A, flux_A[None], np.ones((1, len(wave_A))), grid_L)
    cumulative = np.concatenate([[0], np.cumsum(flux_A * np.diff(edge))])
    ends = np.interp(edges_of(grid_L)[[0, -1]], edge, cumulative)
    assert flux_NL[0].sum(dtype=float) * step_out == pytest.approx(ends[1] - ends[0], rel=1e-4)


def test_a_star_keeps_its_flux_and_place_on_other_pixels():
    y_HW, x_HW = np.mgrid[:160, :160] - 79.5
    star_HW = np.exp(-((x_HW - 4) ** 2 + (y_HW + 6) ** 2) / (2 * 5.0**2))
    image_CSS = resample_image(np.stack([star_HW, 2 * star_HW]), 0.262, 0.168, 64 * 2)
    assert image_CSS[1].sum() == pytest.approx(2 * star_HW.sum(), rel=1e-5)
    y_SS, x_SS = (np.mgrid[:128, :128] - 63.5) * 0.168
    assert (image_CSS[0] * x_SS).sum() / image_CSS[0].sum() == pytest.approx(4 * 0.262, abs=1e-4)
    assert (image_CSS[0] * y_SS).sum() / image_CSS[0].sum() == pytest.approx(-6 * 0.262, abs=1e-4)


def test_missing_pixels_stay_missing_on_other_pixels():
    image_CHW = np.ones((1, 40, 40))
    image_CHW[0, :, :10] = np.nan
    image_CSS = resample_image(image_CHW, 1.0, 2.0, 24)
    assert np.isnan(image_CSS[0, :2]).all() and np.isnan(image_CSS[0, :, -2:]).all()  # outside the input
    inner = image_CSS[0, 2:-2, 2:-2]
    assert np.isnan(inner[:, :5]).all() and np.allclose(inner[:, 5:], 4)


def test_air_to_vacuum_against_laboratory_lines():
    """Air and vacuum wavelengths of NIST: [O II], H-beta, [O III], Na D2, H-alpha, [S III]."""
    air = [3726.032, 4861.333, 5006.843, 5889.951, 6562.819, 9068.6]
    vacuum = [3727.092, 4862.691, 5008.240, 5891.583, 6564.632, 9071.1]
    np.testing.assert_allclose(air_to_vacuum(np.array(air)), vacuum, atol=0.06)
    np.testing.assert_allclose(air_to_vacuum(np.array(air[:5])), vacuum[:5], atol=0.006)
    assert air_to_vacuum(np.array([1215.67]))[0] == 1215.67


def test_unordered_wavelengths_are_an_error():
    with pytest.raises(ValueError, match="increasing"):
        edges_of(np.array([1.0, 3.0, 2.0]))
