"""Quasars: emission lines, and mean and power spectrum of the Lyman-alpha forest."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mmae.simulation import quasars
from mmae.simulation.quasars import (
    BROAD_LINES,
    NARROW_LINES,
    draw_quasar,
    forest_transmission,
    intergalactic_transmission,
    line_equivalent_width,
    lyman_optical_depth,
    power_law,
    quasar_sed,
)
from mmae.simulation.seds import observed_flux

C_IV = next(line for line in BROAD_LINES if line.wavelength == 1546.15)
CELL = 33.0  # km/s
LIGHT_SPEED = 299792.458


def plain(**changes: float):
    """Quasar like the composite, without dust and iron."""
    quasar = draw_quasar(np.random.default_rng(0), quasars.REFERENCE_MAGNITUDE)
    values = {
        "slope": quasars.MEAN_SLOPE,
        "luminosity": 1.0,
        "line_strength": 1.0,
        "line_width": 1.0,
        "blueshift": 0.0,
        "iron_strength": 0.0,
        "narrow_strength": 1.0,
        "oxygen_strength": 1.0,
        "narrow_sigma": 250.0,
        "attenuation_v": 0.0,
    }
    return dataclasses.replace(quasar, **(values | changes))


def sight_lines(redshift: float, n_lines: int, n_cells: int = 1024) -> tuple[np.ndarray, np.ndarray]:
    """Absorber redshifts (H,) around a redshift, and transmission of many lines of sight (N,H)."""
    rng = np.random.default_rng(7)
    redshift_H = (1 + redshift) * np.exp(CELL / LIGHT_SPEED * (np.arange(n_cells) - n_cells / 2)) - 1
    return redshift_H, np.array([forest_transmission(rng, redshift_H) for _ in range(n_lines)])


# --- emission ---------------------------------------------------------------------------------


@pytest.mark.parametrize("strength, luminosity", [(1.0, 1.0), (1.4, 1.0), (0.8, 10.0)])
def test_integrated_equivalent_width_of_c_iv(strength, luminosity):
    quasar = plain(line_strength=strength, luminosity=luminosity)
    sed = quasar_sed(np.random.default_rng(1), quasar, 1.2)
    here_W = (sed.wavelength_W > 1475) & (sed.wavelength_W < 1615)
    wavelength_W, flux_W = sed.wavelength_W[here_W], sed.continuum_W[here_W]
    # Balmer emission is a few per cent of the continuum and smooth here.
    level = np.interp(wavelength_W, (1475, 1615), flux_W[[0, -1]])
    width = np.trapezoid(flux_W / level - 1, wavelength_W)
    assert width == pytest.approx(strength * 23.78 * luminosity**-0.17, rel=0.04)
    assert line_equivalent_width(quasar, C_IV) == pytest.approx(strength * 23.78 * luminosity**-0.17)


def test_baldwin_effect():
    """A factor of 10 in luminosity changes C IV by 10^-0.17 and H-beta not at all."""
    h_beta = next(line for line in BROAD_LINES if line.wavelength == 4853.13)
    faint, bright = ([draw_quasar(np.random.default_rng(s), m) for s in range(300)] for m in (-23.0, -28.0))

    def mean(drawn: list, line) -> float:
        return float(np.mean([np.log(line_equivalent_width(q, line)) for q in drawn]))

    assert mean(bright, C_IV) - mean(faint, C_IV) == pytest.approx(-0.17 * np.log(100), abs=1e-6)
    assert mean(bright, h_beta) == pytest.approx(mean(faint, h_beta))


@pytest.mark.parametrize("redshift", [0.2, 0.7])
def test_narrow_lines_have_correct_wavelength_and_flux(redshift):
    quasar = plain()
    sed = quasar_sed(np.random.default_rng(2), quasar, redshift)
    alone = dataclasses.replace(sed, continuum_W=np.zeros_like(sed.continuum_W))
    wavelength_L = np.arange(3600.0, 9824.0, 0.4)
    flux_L = observed_flux(alone, redshift, wavelength_L)
    for rest, width in NARROW_LINES[2:]:  # without the blended doublet
        near_L = np.abs(wavelength_L - rest * (1 + redshift)) < 25 * (1 + redshift)
        mean = (flux_L * wavelength_L)[near_L].sum() / flux_L[near_L].sum()
        assert mean == pytest.approx(rest * (1 + redshift), abs=0.05)
        assert flux_L[near_L].sum() * 0.4 == pytest.approx(width * power_law(quasar, rest), rel=1e-3)


def test_broad_lines_peak_at_composite_wavelengths_and_high_ionisation_lines_are_blueshifted():
    for shift, expected in ((0.0, 1546.15), (1000.0, 1546.15 * (1 - 1000 / LIGHT_SPEED))):
        sed = quasar_sed(np.random.default_rng(3), plain(blueshift=shift), 1.0)
        here_W = np.abs(sed.wavelength_W - 1546) < 30
        contrast_W = (sed.continuum_W / power_law(plain(), sed.wavelength_W))[here_W]
        assert sed.wavelength_W[here_W][contrast_W.argmax()] == pytest.approx(expected, abs=1.5)
        magnesium_W = np.abs(sed.wavelength_W - 2800) < 30  # low ionisation: not shifted
        contrast_W = (sed.continuum_W / power_law(plain(), sed.wavelength_W))[magnesium_W]
        assert sed.wavelength_W[magnesium_W][contrast_W.argmax()] == pytest.approx(2800.26, abs=2.5)


def test_dust_attenuation_increases_to_the_blue():
    clear, dusty = (quasar_sed(np.random.default_rng(4), plain(attenuation_v=a), 1.0) for a in (0.0, 0.3))
    ratio = dusty.continuum_W / clear.continuum_W
    at = [float(np.interp(w, clear.wavelength_W, ratio)) for w in (1500.0, 3000.0, 5500.0)]
    assert at[0] < at[1] < at[2] == pytest.approx(10 ** (-0.4 * 0.3), rel=1e-3)
    assert dusty.line_flux_J[-1] < clear.line_flux_J[-1]


def test_iron_and_oiii_are_anticorrelated():
    """Eigenvector 1 (Boroson & Green 1992)."""
    drawn = [draw_quasar(np.random.default_rng(s), -25.0) for s in range(400)]
    iron, oxygen = (np.log([getattr(q, n) for q in drawn]) for n in ("iron_strength", "oxygen_strength"))
    assert np.corrcoef(iron, oxygen)[0, 1] < -0.3


def test_forest_depends_on_the_seed_only():
    def spectrum(seed: int) -> np.ndarray:
        return quasar_sed(np.random.default_rng(seed), plain(), 3.0).continuum_W

    assert np.array_equal(spectrum(1), spectrum(1))
    assert not np.array_equal(spectrum(1), spectrum(2))
    assert draw_quasar(np.random.default_rng(1), -25.0) == draw_quasar(np.random.default_rng(1), -25.0)


# --- absorption -------------------------------------------------------------------------------


@pytest.mark.parametrize("redshift", [0.2, 1.0, 1.9, 2.5, 4.0])
def test_absorption_only_blueward_of_lyman_alpha(redshift):
    wavelength_W, transmission_W = intergalactic_transmission(np.random.default_rng(5), redshift)
    assert (np.diff(wavelength_W) > 0).all()
    assert (transmission_W[wavelength_W >= 1215.67] == 1).all()
    assert (transmission_W >= 0).all() and (transmission_W <= 1).all()
    # The grid covers the range of HSC and DESI.
    assert wavelength_W[0] * (1 + redshift) < 3500 and wavelength_W[-1] * (1 + redshift) > 11000
    forest_W = (wavelength_W > 1030) & (wavelength_W < 1215)
    visible_W = forest_W & (wavelength_W * (1 + redshift) > 3500)
    if visible_W.any():
        # Sampling of at most 40 km/s, with fluctuations.
        assert np.diff(np.log(wavelength_W[visible_W])).max() * LIGHT_SPEED < 40
        assert transmission_W[visible_W].std() > 0.05
    else:
        expected_W = np.exp(-lyman_optical_depth(wavelength_W[forest_W], redshift))
        np.testing.assert_allclose(transmission_W[forest_W], expected_W)


@pytest.mark.parametrize("redshift", [2.0, 2.5, 3.0, 3.5, 3.9])
def test_mean_transmission_follows_becker_2013(redshift):
    redshift_H, transmission_NH = sight_lines(redshift, 500)
    for part in (slice(0, 512), slice(512, 1024)):
        # Becker+2013, equation 5.
        expected = np.exp(-(0.751 * ((1 + redshift_H[part]) / 4.5) ** 2.90 - 0.132)).mean()
        assert transmission_NH[:, part].mean() == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("redshift", [2.2, 3.0, 3.8])
def test_power_spectrum_of_the_forest_follows_boss(redshift):
    """Fit of Palanque-Delabrouille+2013: power within 25% for 0.002 < k < 0.02 s/km, variance at DESI resolution
    within 20%."""
    redshift_H, transmission_NH = sight_lines(redshift, 300, 2048)
    contrast_NH = transmission_NH / np.exp(-quasars.becker_depth(redshift_H)) - 1
    k = 2 * np.pi * np.fft.rfftfreq(2048, CELL)
    power = (np.abs(np.fft.rfft(contrast_NH)) ** 2).mean(axis=0) * CELL / 2048
    power /= np.sinc(k * CELL / (2 * np.pi)) ** 2  # means over cells

    def boss(k: np.ndarray | float) -> np.ndarray:
        slope = -2.55 - 0.28 * np.log((1 + redshift) / 4) - 0.1 * np.log(k / 0.009)
        return np.pi / k * 0.064 * (k / 0.009) ** (3 + slope) * ((1 + redshift) / 4) ** 3.55

    for wanted in (0.002, 0.005, 0.01, 0.018):
        band = np.abs(k / wanted - 1) < 0.15
        assert power[band].mean() == pytest.approx(boss(k[band]).mean(), rel=0.25)
    seen = (k > 0.001) & (k < 0.03)
    smooth = np.exp(-np.square(k[seen] * 50.0))  # 50 km/s: DESI resolution at 4000 A
    assert (power[seen] * smooth).sum() == pytest.approx((boss(k[seen]) * smooth).sum(), rel=0.2)


def test_optical_depth_of_higher_lines_and_lyman_limit():
    wavelength_W = np.array([880.0, 1000.0, 1150.0, 1215.0, 1217.0, 3000.0])
    depth_W = lyman_optical_depth(wavelength_W, 3.0)
    assert (depth_W[4:] == 0).all() and (depth_W[:4] > 0.1).all()
    assert depth_W[0] > depth_W[1] > depth_W[2] * 0.7
    # An independent fit of Lyman-alpha, Faucher-Giguere+2008: tau = 0.0018 (1 + z)^3.92.
    assert depth_W[3] == pytest.approx(0.0018 * (4 * 1215 / 1215.67) ** 3.92, abs=0.05)
    assert lyman_optical_depth(np.array([1200.0]), 0.4)[0] == 0
