"""Spectra of the hold-out simulation."""

import numpy as np
import pytest

from mmae.astro.lines import CA_K, HALPHA_WAVE, HBETA, LINE_NAMES, NII, OIII, WIDTH_WAVELENGTH_E
from mmae.simulation.holdout import templates
from mmae.simulation.seds import ab_magnitude


def test_colours_follow_the_type():
    seds = [templates.stellar(t, 0.0, 0.0, 150.0) for t in np.linspace(0, templates.LAST_TYPE, 11)]
    gi = [np.subtract(*ab_magnitude(s, 0.05, ("g", "i"))) for s in seds]
    assert all(a > b - 0.02 for a, b in zip(gi, gi[1:], strict=False))
    assert 1.0 < gi[0] < 1.5 and -0.3 < gi[-1] < 0.4  # red sequence and starbursts
    for sed in seds:
        assert (sed.continuum_W > 0).all()
        assert np.interp(5500, sed.wavelength_W, sed.continuum_W) == pytest.approx(1)


def test_between_two_types_ln_flux_is_interpolated():
    low, middle, high = (np.log(templates.stellar(t, 0.0, 0.0, 150.0).continuum_W) for t in (3.0, 3.5, 4.0))
    smooth = np.abs(templates.wavelengths() - 7500) < 500  # no absorption lines there
    np.testing.assert_allclose(middle[smooth], (low + high)[smooth] / 2, atol=1e-6)


def test_dust_and_young_stars():
    plain, dusty, young = (templates.stellar(1.0, y, a, 100.0) for y, a in ((0, 0), (0, 1.0), (0.3, 0)))
    gi = [np.subtract(*ab_magnitude(s, 0.0, ("g", "i"))) for s in (plain, dusty, young)]
    # A_V = 1 with an exponent of -0.7: A_g - A_i = 0.30 between 4770 and 7710 A.
    assert gi[1] - gi[0] == pytest.approx((4770 / 5500) ** -0.7 - (7710 / 5500) ** -0.7, abs=0.03)
    assert gi[2] < gi[0] - 0.1


def test_old_stars_have_calcium_lines():
    sed = templates.stellar(0.0, 0.0, 0.0, 150.0)
    at = [np.interp(w, sed.wavelength_W, sed.continuum_W) for w in (CA_K, CA_K - 40)]
    assert at[0] < 0.75 * at[1]


def test_emission_lines():
    rng = np.random.default_rng(0)
    for spectral_type, low, high in ((0.2, 0.05, 2.0), (2.0, 8, 90), (5.0, 50, 500)):
        sed = templates.stellar(spectral_type, 0.0, 0.3, 100.0)
        widths_NE = np.array([templates.emission_widths(rng, sed, spectral_type, 10.0, 0.3) for _ in range(50)])
        halpha_N = widths_NE[:, LINE_NAMES.index("halpha")]
        assert low < np.median(halpha_N) < high and (widths_NE > 0).all()
    metal_rich = np.median(
        [templates.emission_widths(rng, sed, 3.0, 11.0, 0.0)[[OIII, HBETA, NII]] for _ in range(50)], axis=0
    )
    metal_poor = np.median(
        [templates.emission_widths(rng, sed, 3.0, 8.5, 0.0)[[OIII, HBETA, NII]] for _ in range(50)], axis=0
    )
    assert metal_poor[0] / metal_poor[1] > 3 * metal_rich[0] / metal_rich[1] and metal_poor[2] < metal_rich[2]


def test_line_fluxes_are_widths_times_continuum():
    sed = templates.stellar(2.0, 0.0, 0.2, 100.0)
    widths_E = templates.emission_widths(np.random.default_rng(1), sed, 2.0, 10.0, 0.2)
    with_lines, flux_E = templates.with_lines(sed, widths_E)
    np.testing.assert_allclose(flux_E, widths_E * np.interp(WIDTH_WAVELENGTH_E, sed.wavelength_W, sed.continuum_W))
    halpha = with_lines.line_flux_J[np.argmin(np.abs(with_lines.line_wavelength_J - HALPHA_WAVE))]
    assert halpha == pytest.approx(flux_E[LINE_NAMES.index("halpha")])
