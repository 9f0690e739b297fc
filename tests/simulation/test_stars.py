"""Field stars: stellar locus in the HSC bands and star counts."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mmae.simulation import stars
from mmae.simulation.seds import Sed, ab_magnitude, observed_flux
from mmae.simulation.stars import draw_star, draw_star_magnitude, star_sed, stars_per_square_arcmin

BANDS = ("g", "r", "i", "z", "y")
G2, K5 = 5770.0, 4410.0  # K: Pecaut & Mamajek 2013


def colours(temperature: float) -> np.ndarray:
    """g-r, r-i, i-z, z-y."""
    return -np.diff(ab_magnitude(star_sed(temperature), 0.0, BANDS))


def test_cooler_stars_are_redder_in_every_colour():
    along = np.array([colours(t) for t in np.geomspace(6500, 3050, 40)])
    assert (np.diff(along, axis=0) > -0.005).all()
    assert (colours(K5) > colours(G2)).all()


def test_solar_type_star_is_slightly_bluer_than_the_sun():
    """The locus is that of stars with [Fe/H] near -0.5 (Yuan+2015), bluer than the Sun by about 0.05 mag."""
    wavelength_W, flux_W = stars.solar_spectrum()
    sun = Sed(wavelength_W, flux_W, np.empty(0), np.empty(0), 100.0)
    solar = -np.diff(ab_magnitude(sun, 0.0, BANDS))
    np.testing.assert_allclose(colours(5772.0), solar, atol=0.07)
    assert colours(5772.0)[0] < solar[0]
    # SDSS g-r = 0.44 (Holmberg+2006); 0.03 less in the HSC bands.
    assert solar[0] == pytest.approx(0.41, abs=0.04)


def test_m_dwarfs_are_constant_in_g_minus_r_and_redden_in_r_minus_i():
    """Covey+2007: g-r stays at 1.4 from M1 to M4 while r-i goes from 0.8 to 1.5."""
    early, late = colours(3600.0), colours(3200.0)
    assert 1.2 < early[0] < 1.5 and 1.2 < late[0] < 1.6
    assert late[1] - early[1] > 0.45 > 2 * (late[0] - early[0])


def test_colours_follow_the_sdss_to_hsc_colour_terms():
    """Colour terms of the HSC pipeline (obs_subaru), derived from the stars of Pickles 1998.

    Independent of the locus: the HSC bands are between those that the locus fixes.
    """
    terms = {
        "g": ("g", "r", -0.00816446, -0.08366937, -0.00726883),
        "r": ("r", "i", 0.00074087, -0.00830543, -0.02848420),
        "i": ("i", "z", 0.00124676, -0.20739606, -0.01067212),
        "z": ("z", "i", -0.00680620, 0.01353969, 0.01479369),
        "y": ("z", "i", 0.01739708, 0.35652971, 0.00574408),
    }
    temperatures = stars.locus_temperature()
    for temperature, (_, _, gr, ri, iz, _) in list(zip(temperatures, stars.LOCUS, strict=True))[1:-1]:
        sdss = {"g": gr, "r": 0.0, "i": -ri, "z": -ri - iz}
        expected = []
        for band in BANDS:
            first, second, c0, c1, c2 = terms[band]
            difference = sdss[first] - sdss[second]
            expected.append(sdss[first] + c0 + c1 * difference + c2 * difference**2)
        np.testing.assert_allclose(colours(temperature), -np.diff(expected), atol=0.07)


def test_red_continuum_is_near_a_blackbody_and_the_blue_has_line_blanketing():
    for temperature in (6000.0, 5000.0):
        sed = star_sed(temperature)
        planck_W = stars.planck(sed.wavelength_W, temperature)
        ratio_W = sed.continuum_W / planck_W
        red = [float(np.interp(w, sed.wavelength_W, ratio_W)) for w in (7500.0, 8300.0, 9700.0, 10400.0)]
        assert np.ptp(red) / np.mean(red) < 0.15
        blue = np.interp(3900.0, sed.wavelength_W, ratio_W)
        assert blue < 0.9 * np.mean(red)


def test_star_sed_has_no_lines_and_is_normalised():
    sed = star_sed(5000.0)
    assert sed.line_wavelength_J.size == sed.line_flux_J.size == 0
    assert (sed.continuum_W > 0).all() and (np.diff(sed.wavelength_W) > 0).all()
    assert np.interp(5500.0, sed.wavelength_W, sed.continuum_W) == pytest.approx(1.0)
    assert sed.wavelength_W[0] < 3500 and sed.wavelength_W[-1] > 11000
    doubled = dataclasses.replace(sed, continuum_W=2 * sed.continuum_W)
    assert observed_flux(doubled, 0.0, np.array([5500.0]))[0] == pytest.approx(2.0)
    # Temperatures are clipped to the locus.
    assert np.array_equal(star_sed(20000.0).continuum_W, star_sed(6600.0).continuum_W)


def test_integrated_flux_of_the_solar_spectrum():
    wavelength, flux = stars.solar_spectrum()
    assert len(wavelength) == len(flux) == 1221 and (np.diff(wavelength) > 0).all()
    # H = F / pi in this file: sigma T^4 / pi.
    assert np.trapezoid(flux, wavelength) == pytest.approx(5.6704e-5 * 5777.0**4 / np.pi, rel=0.01)


# --- counts -----------------------------------------------------------------------------------


def test_star_counts_of_sdss():
    """Juric+2008: 48 million stars with r < 21.5 in 6500 square degrees, 7400 per square degree; i < 21 has
    about the same depth. Tolerance 40%: the published value is a mean over latitudes."""
    assert stars_per_square_arcmin(21.0) * 3600 == pytest.approx(7400, rel=0.4)
    limits = np.arange(17.0, 25.5, 0.5)
    counts = np.array([stars_per_square_arcmin(m) for m in limits])
    slope = np.diff(np.log10(counts)) / 0.5
    # The finite Galaxy flattens the counts, far below the slope of 0.6 for uniform density.
    assert (slope > 0.05).all() and (slope < 0.35).all() and slope[0] > slope[-1]


def test_densities_in_the_solar_neighbourhood():
    density_P1 = stars.population_density(np.array([1e-3]))
    np.testing.assert_allclose(density_P1[:, 0], (1.0, 0.12, 0.0051), rtol=1e-3)
    # 0.1 stars per cubic parsec, nearly all fainter than M_V = 8.
    magnitude = np.arange(-2, 16.5, 0.1)
    number = stars.luminosity_function(magnitude) * 0.1
    assert 0.05 < number.sum() < 0.2
    assert number[magnitude > 8].sum() > 0.8 * number.sum()


def test_temperatures_of_bright_and_faint_stars():
    rng = np.random.default_rng(0)
    bright, faint = (np.array([draw_star(rng, m) for _ in range(600)]) for m in (16.0, 24.5))
    assert np.mean(bright > 5000) > 0.45 > np.mean(faint > 5000) + 0.1
    assert np.mean(faint < 4000) > 0.35 > 2 * np.mean(bright < 4000)
    for drawn in (bright, faint):
        assert 3000 < drawn.min() and drawn.max() < 6700
        assert len(np.unique(drawn)) > 550


def test_magnitudes_follow_the_counts_between_the_limits():
    rng = np.random.default_rng(1)
    drawn = np.array([draw_star_magnitude(rng, 17.0, 25.0) for _ in range(4000)])
    assert drawn.min() >= 17.0 and drawn.max() <= 25.0
    low, middle, high = (stars_per_square_arcmin(m) for m in (17.0, 22.0, 25.0))
    assert np.mean(drawn < 22.0) == pytest.approx((middle - low) / (high - low), abs=0.03)


def test_draws_are_reproducible():
    one, two = (np.random.default_rng(3) for _ in range(2))
    assert [draw_star(one) for _ in range(5)] == [draw_star(two) for _ in range(5)]
    assert draw_star_magnitude(one, 18.0, 24.0) == draw_star_magnitude(two, 18.0, 24.0)
