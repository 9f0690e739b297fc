"""Line fits with bad samples, at edges, at limits and without a line."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest

from mmae.core.errors import InputError
from mmae.evaluation.lines import catalogue as cat
from mmae.evaluation.lines.fit import CORE, fit_blend, fit_line, window_covered
from tests.evaluation.lines.injected import FLAT, NAMES, REDSHIFT_OF, check_pulls, cropped, injected, truth_of
from tests.evaluation.lines.spectra import IVAR, WAVELENGTH, C, continuum, flux_for, gaussian, noisy


@pytest.mark.parametrize("cover", ["left half of the core", "middle of the core", "two of five samples"])
def test_pulls_with_bad_samples_inside_a_line(cover):
    rng = np.random.default_rng(5)
    z, speed = 0.3, 250.0
    near = cropped(cat.blend_of(cat.OIII), z)
    wavelength, good = WAVELENGTH[near], IVAR[near]
    centre, sigma = 5008.24 * (1 + z), 5008.24 * (1 + z) * speed / C
    offset = (wavelength - centre) / sigma
    bad = {
        "left half of the core": (offset > -2) & (offset < 0),
        "middle of the core": np.abs(offset) < 0.7,
        "two of five samples": np.arange(wavelength.size) % 5 < 2,
    }[cover]
    ivar = np.where(bad, 0.0, good)
    flux = flux_for(60, 5008.24, z, speed)
    clean = continuum()[near] + injected(cat.OIII, z, flux, speed, 0.0, near)
    true = truth_of(cat.OIII, z, flux, speed, 0.0)
    pulls, errors = [], []
    for _ in range(100):
        fit = fit_line(cat.OIII, wavelength, noisy(clean, ivar, rng), ivar, z)
        pulls.append([(getattr(fit, n) - true[n]) / getattr(fit, f"{n}_error") for n in NAMES])
        errors.append(fit.flux_error)
    check_pulls(np.array(pulls))
    whole = fit_line(cat.OIII, wavelength, noisy(clean, good, rng), good, z)
    assert np.mean(errors) > 1.05 * whole.flux_error  # missing samples increase the error


def test_flux_with_zero_ivar_is_ignored():
    clean = continuum() + injected(cat.HBETA, 0.2, 10.0, 120.0)
    hit = np.abs(WAVELENGTH - 4862.69 * 1.2) < 1.0
    ivar = np.where(hit, 0.0, FLAT)
    fits = [fit_line(cat.HBETA, WAVELENGTH, np.where(hit, value, clean), ivar, 0.2) for value in (1e6, -1e6, np.nan)]
    assert astuple(fits[0]) == astuple(fits[1]) == astuple(fits[2])
    # NaN is a bad sample for any ivar.
    assert astuple(fit_line(cat.HBETA, WAVELENGTH, np.where(hit, np.nan, clean), FLAT, 0.2)) == astuple(fits[0])


def test_pulls_of_a_line_at_the_edge_of_the_spectrum():
    rng = np.random.default_rng(6)
    speed = 150.0
    z = 9824.0 / 6564.61 - 1 - 0.004  # H-alpha 26 A before the end, [N II] partly outside
    near = cropped(cat.blend_of(cat.HALPHA), z)
    flux = flux_for(40, 6564.61, z, speed)
    clean = continuum()[near] + injected(cat.HALPHA, z, flux, speed, 0.0, near)
    true = truth_of(cat.HALPHA, z, flux, speed, 0.0)
    fits = [fit_line(cat.HALPHA, WAVELENGTH[near], noisy(clean, IVAR[near], rng), IVAR[near], z) for _ in range(120)]
    check_pulls(np.array([[(getattr(f, n) - true[n]) / getattr(f, f"{n}_error") for n in NAMES] for f in fits]))


def test_fit_is_none_without_good_samples():
    flux = continuum()
    assert fit_line(cat.HALPHA, WAVELENGTH, flux, FLAT, 0.6) is None  # at 10,500 A
    assert fit_line(cat.LYA, WAVELENGTH, flux, FLAT, 1.0) is None  # at 2430 A
    assert fit_line(cat.HALPHA, WAVELENGTH, flux, FLAT, np.nan) is None
    assert fit_line(cat.HALPHA, WAVELENGTH, flux, np.zeros(WAVELENGTH.size), 0.2) is None
    assert fit_line(cat.HALPHA, WAVELENGTH, np.full(WAVELENGTH.size, np.nan), FLAT, 0.2) is None


def test_fit_needs_half_of_the_window():
    z, blend = 0.2, cat.blend_of(cat.HBETA)
    low, high = np.multiply(blend.window, 1 + z)
    clean = continuum() + injected(cat.HBETA, z, 10.0, 120.0)
    for part, covered in ((0.55, True), (0.45, False)):
        ivar = np.where(WAVELENGTH < low + part * (high - low), FLAT, 0.0)
        assert window_covered(blend, WAVELENGTH, ivar, z) is covered
        assert (fit_line(cat.HBETA, WAVELENGTH, clean, ivar, z) is not None) is covered


def test_line_without_samples_in_the_core_is_left_out():
    z = 0.2
    clean = continuum() + injected(cat.HALPHA, z, 30.0, 130.0) + injected(cat.NII, z, 30.0, 130.0)
    sigma = 6564.61 * (1 + z) * 130.0 / C
    gap = np.abs(WAVELENGTH - 6564.61 * (1 + z)) < 0.9 * CORE * sigma  # [N II] determines shift and width
    found = fit_blend(cat.blend_of(cat.HALPHA), WAVELENGTH, clean, np.where(gap, 0.0, FLAT), z)
    assert "halpha" not in found.lines and "nii" in found.lines
    assert fit_line(cat.HALPHA, WAVELENGTH, clean, np.where(gap, 0.0, FLAT), z) is None


def test_featureless_spectrum_has_no_significant_line():
    rng = np.random.default_rng(2)
    for _ in range(20):
        fit = fit_line(cat.OIII, WAVELENGTH, noisy(continuum(), IVAR, rng), IVAR, 0.3)
        assert abs(fit.signal) < 5
    # Without noise the amplitude is zero.
    flat = fit_line(cat.OIII, WAVELENGTH, np.full(WAVELENGTH.size, 2.0), FLAT, 0.3)
    assert abs(flat.amplitude) < 1e-6 and flat.continuum == pytest.approx(2.0)
    assert abs(flat.shift) <= cat.SHIFT_LIMIT["narrow"]


@pytest.mark.filterwarnings("error")
def test_zero_spectrum_has_zero_flux_without_warnings():
    for blend in cat.BLENDS:
        z = REDSHIFT_OF[blend.lines[0].key]
        for fit in fit_blend(blend, WAVELENGTH, np.zeros(WAVELENGTH.size), FLAT, z).lines.values():
            assert fit.flux == fit.amplitude == 0.0 and not fit.flux_error > 0 and np.isnan(fit.ew)


def test_narrowest_line_scales_with_the_sampling():
    """With samples of 7.8 A the smallest sigma is half of that; with too few samples there is no fit."""
    coarse = np.arange(3600.0, 9830.0, 7.8)
    flux = 2 + 30 * np.exp(-0.5 * ((coarse - 6564.61 * 1.2) / 9.0) ** 2)
    fit = fit_line(cat.HALPHA, coarse, flux, np.full(coarse.size, 100.0), 0.2)
    assert fit.sigma == pytest.approx(9.0, rel=1e-3)
    narrow = 2 + 30 * (np.abs(coarse - 6564.61 * 1.2) < 4)
    assert fit_line(cat.HALPHA, coarse, narrow, np.full(coarse.size, 100.0), 0.2).sigma >= 3.89
    coarser = np.arange(3600.0, 9830.0, 30.0)
    assert fit_line(cat.OII, coarser, np.ones(coarser.size), np.ones(coarser.size), 0.5) is None


def test_width_and_shift_at_their_limits_are_flagged():
    blend, z = cat.blend_of(cat.OIII), 0.3
    centre = 5008.24 * (1 + z)
    broad = continuum() + gaussian(centre, 90.0, 500.0)  # half the window is 104 A
    fit = fit_line(cat.OIII, WAVELENGTH, broad, FLAT, z)
    assert fit.at_limit and fit.sigma <= blend.widest * centre / C * 1.01
    for sign in (-1, 1):
        far = fit_line(cat.OIII, WAVELENGTH, continuum() + injected(cat.OIII, z, 30.0, 150.0, 900.0 * sign), FLAT, z)
        assert far.at_limit and far.shift == pytest.approx(600.0 * sign, abs=6)
        near = fit_line(cat.OIII, WAVELENGTH, continuum() + injected(cat.OIII, z, 30.0, 150.0, 500.0 * sign), FLAT, z)
        assert not near.at_limit
    spike = continuum() + 50 * (np.abs(WAVELENGTH - 4862.69 * 1.3) < 0.41)  # one sample
    fit = fit_line(cat.HBETA, WAVELENGTH, spike, FLAT, z)
    assert fit.at_limit and fit.sigma == pytest.approx(0.4, rel=0.05)  # half a sample


def test_equivalent_width_is_nan_without_a_positive_continuum():
    fit = fit_line(cat.OIII, WAVELENGTH, injected(cat.OIII, 0.3, 30.0, 150.0) - 0.1, FLAT, 0.3)
    assert np.isnan(fit.ew) and np.isnan(fit.ew_error) and fit.flux == pytest.approx(30.0, rel=1e-3)


def test_arrays_of_different_length_are_refused():
    with pytest.raises(InputError, match=str(WAVELENGTH.size - 1)):
        fit_line(cat.HALPHA, WAVELENGTH, WAVELENGTH[:-1], FLAT, 0.2)
