"""Templates, dust and filters against independent computations."""

import dataclasses

import numpy as np
import pytest
import speclite.filters

from mmae.core.errors import InputError
from mmae.simulation import camera, dust, seds
from mmae.simulation.population import TARGET_CLASSES, draw_class_member
from mmae.simulation.sky import Component, SkyObject, behind_dust, target_object, total_magnitudes
from mmae.simulation.structure import POINT_SOURCE
from mmae.survey.schema import SurveySpec

SPEC = SurveySpec()
HSC = ("hsc2017-g", "hsc2017-r2", "hsc2017-i2", "hsc2017-z", "hsc2017-y")


@pytest.mark.parametrize("target_class", TARGET_CLASSES, ids=lambda t: t.name)
def test_magnitudes_equal_those_of_speclite(target_class):
    rng = np.random.default_rng(3)
    target = draw_class_member(rng, target_class)
    sky_object, _ = target_object(rng, target)
    wavelength_L = np.arange(3300.0, 11200.0, 0.25)  # integration grid of speclite
    flux_L = sum(seds.observed_flux(c.sed, sky_object.redshift, wavelength_L) for c in sky_object.components) * 1e-17
    table = speclite.filters.load_filters(*HSC).get_ab_magnitudes(flux_L, wavelength_L)
    mag_C = total_magnitudes(sky_object.magnitudes_PC(SPEC.bands))
    np.testing.assert_allclose(mag_C, [float(table[name][0]) for name in HSC], atol=0.01)
    assert mag_C[SPEC.bands.index(target_class.band)] == pytest.approx(target.magnitude, abs=1e-6)


def test_magnitude_of_a_flat_spectrum():
    wavelength_W = np.arange(3000.0, 12000.0, 10.0)
    flat_W = 3631e-23 * seds.LIGHT_SPEED / wavelength_W**2 / seds.FLUX_UNIT  # AB 0
    sed = seds.Sed(wavelength_W, flat_W * 1e-8, np.empty(0), np.empty(0), 100.0)
    # tolerance: interpolation on the 10 A grid
    np.testing.assert_allclose(seds.ab_magnitude(sed, 0.0, SPEC.bands), 20.0, atol=1e-3)


def test_magnitude_of_a_narrow_line_is_independent_of_the_grid():
    wavelength_W = np.arange(3000.0, 12000.0, 10.0)
    empty = seds.Sed(wavelength_W, np.zeros(wavelength_W.size), np.array([6000.0]), np.array([50.0]), 100.0)
    for line in (6000.0, 6001.7):
        sed = dataclasses.replace(empty, line_wavelength_J=np.array([line]))
        grid_L = np.arange(5900.0, 6100.0, 0.05)
        curve = speclite.filters.load_filter("hsc2017-r2")
        flux_L = seds.observed_flux(sed, 0.0, grid_L)
        assert np.trapezoid(flux_L, grid_L) == pytest.approx(50.0, rel=1e-6)
        r2 = np.interp(grid_L, curve.wavelength, curve.response)
        wide = np.arange(5000.0, 7500.0, 0.5)
        reference = np.trapezoid(np.interp(wide, curve.wavelength, curve.response, 0, 0) / wide, wide)
        f_nu = np.trapezoid(flux_L * grid_L * r2, grid_L) / reference / seds.LIGHT_SPEED
        expected = -2.5 * np.log10(f_nu * seds.FLUX_UNIT) - 48.6
        assert seds.ab_magnitude(sed, 0.0, ("r",))[0] == pytest.approx(expected, abs=0.01)


def test_templates_have_no_emission_lines_and_are_one_at_5500():
    wavelength_W, flux_KW = seds.load_templates()
    assert flux_KW.shape == (5, wavelength_W.size)
    for template_W in flux_KW:
        assert np.interp(5500.0, wavelength_W, template_W) == pytest.approx(1)
        for line in (3728.0, 5008.24, 6564.61):  # [O II], [O III], H-alpha
            near = np.interp([line, line - 60, line + 60], wavelength_W, template_W)
            assert near[0] < 1.15 * near[1:].mean()


def test_colours_redden_while_the_4000_angstrom_break_crosses_a_band():
    old = seds.stellar_sed((0.0, 0.0, 0.0, 1.0, 0.0), 0.0, 200.0)
    colours = {z: -np.diff(seds.ab_magnitude(old, z, SPEC.bands)) for z in (0.1, 0.35, 0.8)}
    assert colours[0.35][0] > colours[0.1][0] + 0.4  # break in g
    assert colours[0.8][1] > colours[0.35][1] + 0.4  # break in r


def test_velocity_dispersion_smooths_and_conserves_flux():
    slow, fast = (seds.stellar_sed((0.0, 0.0, 0.0, 1.0, 0.0), 0.0, v) for v in (50.0, 350.0))
    window = (slow.wavelength_W > 3800) & (slow.wavelength_W < 4200)
    rough = [np.abs(np.diff(s.continuum_W[window])).sum() for s in (slow, fast)]
    assert rough[1] < 0.8 * rough[0]
    assert fast.continuum_W[window].sum() == pytest.approx(slow.continuum_W[window].sum(), rel=0.01)


def test_attenuation_law_of_calzetti_2000():
    # Table values of k(lambda): 1500 A 10.33 (R_V = 4.05), V band 4.05, H-alpha 3.33.
    assert dust.calzetti_k(1500.0) == pytest.approx(10.33, abs=0.02)
    assert dust.calzetti_k(5500.0) == pytest.approx(4.05, abs=0.02)
    assert dust.calzetti_k(6563.0) == pytest.approx(3.33, abs=0.01)
    assert dust.transmission(5500.0, 1.0) == pytest.approx(10**-0.4, rel=0.01)
    k = dust.calzetti_k(np.linspace(1200, 12000, 300))
    assert (np.diff(k) < 0.03).all()  # decreasing except for the small step at 0.63 micron


def test_galactic_extinction_in_the_hsc_bands():
    # Published A / E(B-V) of the HSC bands; our E(B-V) is 0.86 of that of Schlegel+1998. Tolerance: the
    # effective wavelength of a red galaxy is redward of the centre of g.
    old = seds.stellar_sed((0.0, 0.0, 0.0, 1.0, 0.0), 0.0, 200.0)
    sky_object = SkyObject(0.1, (Component(old, POINT_SOURCE),))
    extinction_C = (behind_dust(sky_object, 0.1).magnitudes_PC(SPEC.bands) - sky_object.magnitudes_PC(SPEC.bands))[0]
    assert extinction_C / 0.1 * 0.86 == pytest.approx(np.array([3.24, 2.28, 1.63, 1.26, 1.08]), rel=0.08)
    rng = np.random.default_rng(0)
    drawn = [dust.draw_galactic_reddening(rng) for _ in range(2000)]
    assert np.median(drawn) == pytest.approx(0.03, rel=0.06) and max(drawn) < 0.3


def test_electrons_per_second_of_a_source_of_magnitude_zero():
    # N = f_nu / h x integral of R / lambda d lambda.
    rate = seds.electrons_per_second(("r",), 1.0)[0]
    curve = speclite.filters.load_filter("hsc2017-r2")
    wave = np.arange(5000.0, 7500.0, 0.5)
    share = np.trapezoid(np.interp(wave, curve.wavelength, curve.response, 0, 0) / wave, wave)
    assert rate == pytest.approx(3631e-23 * share / 6.626e-27, rel=2e-3)


def test_unknown_band_raises():
    with pytest.raises(InputError, match=r"\bu\b"):
        camera.effective_gain(dataclasses.replace(SPEC, bands=("u", "r", "i", "z", "y")))
