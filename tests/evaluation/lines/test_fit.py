"""Line fits recover injected lines with correct errors, and agree with other fitters."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from astropy.modeling import fitting
from astropy.modeling.models import Gaussian1D, Linear1D
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import approx_fprime, curve_fit

from mmae.evaluation.lines import catalogue as cat
from mmae.evaluation.lines.fit import fit_blend, fit_line
from mmae.evaluation.lines.gaussians import Problem, starting_point
from tests.evaluation.lines.injected import FLAT, NAMES, REDSHIFT_OF, check_pulls, cropped, injected, speed_of, truth_of
from tests.evaluation.lines.spectra import IVAR, WAVELENGTH, C, continuum, flux_for, line, noisy
from tests.ingest.files import SHARED_GALAXIES, needs_shared


@pytest.mark.parametrize("blend", cat.BLENDS, ids=lambda blend: blend.lines[0].key)
def test_pulls_of_injected_lines(blend):
    """With DESI noise including sky lines, bad samples, an offset redshift label, all lines of a blend."""
    rng = np.random.default_rng(int(blend.window[0]))
    first, speed = blend.lines[0], speed_of(blend.lines[0])
    pulls = {one.key: [] for one in blend.lines}
    near = cropped(blend, REDSHIFT_OF[first.key])
    level = continuum()[near]
    for _ in range(200):
        redshift, shift = REDSHIFT_OF[first.key] + rng.uniform(-0.03, 0.03), rng.uniform(-300, 300)
        flux = flux_for(35, first.wavelength, redshift, speed, near)
        clean = level + sum(injected(one, redshift, flux, speed, shift, near) for one in blend.lines)
        ivar = np.where(rng.random(level.size) < 0.02, 0.0, IVAR[near])
        fits = fit_blend(blend, WAVELENGTH[near], noisy(clean, ivar, rng), ivar, redshift).lines
        for one in blend.lines:
            fit, true = fits[one.key], truth_of(one, redshift, flux, speed, shift)
            assert not fit.at_limit and fit.shift == pytest.approx(shift, abs=6 * fit.centre_error / fit.centre * C)
            pulls[one.key].append([(getattr(fit, n) - true[n]) / getattr(fit, f"{n}_error") for n in NAMES])
    for values in pulls.values():
        check_pulls(np.array(values))


def test_chi_square_follows_the_degrees_of_freedom():
    rng = np.random.default_rng(3)
    clean = continuum() + injected(cat.HALPHA, 0.2, 20.0, 120.0)
    fits = [fit_line(cat.HALPHA, WAVELENGTH, noisy(clean, IVAR, rng), IVAR, 0.2) for _ in range(60)]
    dof = fits[0].dof
    # 250 A of window at z = 0.2 in steps of 0.8 A, less six parameters.
    assert dof == pytest.approx(250 * 1.2 / 0.8 - 6, abs=1)
    chi2 = np.array([f.chi2 for f in fits])
    assert abs(chi2.mean() - dof) < 4 * np.sqrt(2 * dof / 60)
    assert chi2.std() == pytest.approx(np.sqrt(2 * dof), rel=0.35)


@settings(max_examples=30, deadline=None)
@given(
    key=st.sampled_from(cat.KEYS),
    speed=st.floats(0.6, 2.5),
    shift=st.floats(-0.9, 0.9),
    z=st.floats(-0.02, 0.02),
    strength=st.floats(0.2, 50.0),
    slope=st.floats(-0.01, 0.01),
)
def test_noise_free_line_is_recovered(key, speed, shift, z, strength, slope):
    tested = cat.LINES[cat.KEYS.index(key)]
    blend, redshift = cat.blend_of(tested), REDSHIFT_OF[key] + z
    speed, shift = speed * speed_of(tested), shift * (500 if blend.kind == "narrow" else 2000)
    level = 3.0 + slope * (WAVELENGTH - tested.wavelength * (1 + redshift))
    flux = strength * tested.wavelength * (1 + redshift) * speed / C * 2.5
    clean = level + sum(
        injected(other, redshift, flux * (1 if other is tested else 0.5), speed, shift) for other in blend.lines
    )
    fit = fit_line(tested, WAVELENGTH, clean, FLAT, redshift)
    true = truth_of(tested, redshift, flux, speed, shift, level)
    for name in NAMES:
        assert getattr(fit, name) == pytest.approx(true[name], rel=1e-3), name
    assert fit.chi2 < 1e-3
    assert fit.fwhm == pytest.approx(2.354820 * fit.sigma)
    curve = fit_blend(blend, WAVELENGTH, clean, FLAT, redshift).curve(WAVELENGTH)
    inside = np.abs(WAVELENGTH - true["centre"]) < 3 * true["sigma"]
    np.testing.assert_allclose(curve[inside], clean[inside], rtol=1e-3, atol=1e-3 * true["amplitude"])


def test_fit_agrees_with_astropy():
    rng, z = np.random.default_rng(8), 0.25
    flux = noisy(continuum() + injected(cat.HBETA, z, 9.0, 150.0, 90.0), IVAR, rng)
    low, high = np.multiply(cat.blend_of(cat.HBETA).window, 1 + z)
    inside = (WAVELENGTH >= low) & (WAVELENGTH < high)
    x = WAVELENGTH[inside] - 4862.69 * (1 + z)
    fitter = fitting.TRFLSQFitter(calc_uncertainties=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = fitter(Gaussian1D(1.5, 1, 3) + Linear1D(1e-3, 2), x, flux[inside], weights=np.sqrt(IVAR[inside]))
    errors = dict(zip(found.cov_matrix.param_names, np.sqrt(np.diag(found.cov_matrix.cov_matrix)), strict=True))
    fit = fit_line(cat.HBETA, WAVELENGTH, flux, IVAR, z)
    for name, value, error in (
        ("mean_0", fit.centre - 4862.69 * (1 + z), fit.centre_error),
        ("stddev_0", fit.sigma, fit.sigma_error),
        ("amplitude_0", fit.amplitude, fit.amplitude_error),
    ):
        assert value == pytest.approx(getattr(found, name).value, abs=0.02 * error), name
        assert error == pytest.approx(errors[name], rel=0.01), name


def test_blend_fit_agrees_with_curve_fit():
    """H-alpha with the [N II] doublet, written out in Angstrom and with numerical derivatives."""
    rng, z = np.random.default_rng(8), 0.15
    clean = continuum() + injected(cat.HALPHA, z, 14.0, 150.0, 90.0) + injected(cat.NII, z, 6.0, 150.0, 90.0)
    flux = noisy(clean, IVAR, rng)
    low, high = np.multiply(cat.blend_of(cat.HALPHA).window, 1 + z)
    inside = (WAVELENGTH >= low) & (WAVELENGTH < high)
    middle = 6564.61 * (1 + z)

    def model(x, offset, sigma, halpha, nii, level, slope):
        total = level + slope * (x - middle) / 100
        for rest, area in ((6564.61, halpha), (6585.27, nii), (6549.86, nii / 3.05)):
            s = sigma * rest / 6564.61
            total = total + area / s / 2.506628 * np.exp(-0.5 * ((x - (middle + offset) * rest / 6564.61) / s) ** 2)
        return total

    found, covariance = curve_fit(
        model, WAVELENGTH[inside], flux[inside], (1, 4, 10, 5, 2, 0), IVAR[inside] ** -0.5, absolute_sigma=True
    )
    error = np.sqrt(np.diag(covariance))
    fits = fit_blend(cat.blend_of(cat.HALPHA), WAVELENGTH, flux, IVAR, z).lines
    halpha, nii = fits["halpha"], fits["nii"]
    np.testing.assert_allclose(
        [halpha.centre - middle, halpha.sigma, halpha.flux, nii.flux], found[:4], atol=0.02 * error[:4].min()
    )
    np.testing.assert_allclose(
        [halpha.centre_error, halpha.sigma_error, halpha.flux_error, nii.flux_error], error[:4], rtol=0.01
    )


@pytest.mark.parametrize("blend", cat.BLENDS, ids=lambda blend: blend.lines[0].key)
def test_jacobian_agrees_with_numerical_derivatives(blend):
    z = REDSHIFT_OF[blend.lines[0].key]
    low, high = np.multiply(blend.window, 1 + z)
    window = WAVELENGTH[(WAVELENGTH > low) & (WAVELENGTH < high)][::7]
    problem = Problem(blend, z, window, np.zeros(window.size), np.linspace(1, 2, window.size), 10.0)
    at = np.array([120.0, speed_of(blend.lines[0]), 2.0, 0.3, *np.linspace(3, 5, len(blend.lines))])
    numeric = approx_fprime(at, problem.residual, 1e-4)
    assert np.all(np.abs(problem.jacobian(at).T - numeric) < 2e-5 * np.abs(numeric).max(axis=0))


@pytest.mark.parametrize("speed", [40.0, 90.0, 250.0])
@pytest.mark.parametrize("shift", [-550.0, -170.0, 0.0, 300.0, 550.0])
@pytest.mark.parametrize("strong", ["halpha", "nii"])
def test_halpha_and_nii_are_not_confused_for_offset_labels(speed, shift, strong):
    """[N II] is 943 km/s from H-alpha; labels are off by up to 550 km/s."""
    rng = np.random.default_rng(int(speed + shift + 1000))
    z, weak = 0.2, 0.3
    ha = flux_for(25, 6564.61, z, speed)
    clean = continuum() + sum(
        injected(one, z, ha * (1 if one.key == strong else weak), speed, shift) for one in (cat.HALPHA, cat.NII)
    )
    for _ in range(2):
        fit = fit_line(cat.HALPHA, WAVELENGTH, noisy(clean, IVAR, rng), IVAR, z)
        assert fit.shift == pytest.approx(shift, abs=40)


def test_absorption_has_negative_flux():
    fit = fit_line(cat.HBETA, WAVELENGTH, 5 + line(4862.69, 0.2, 200.0, -8.0), FLAT, 0.2)
    assert fit.flux == pytest.approx(-8.0, rel=1e-3) and fit.signal < 0 and fit.ew < 0


def test_starting_point_is_close_to_the_line():
    rng = np.random.default_rng(1)
    for _ in range(30):
        speed, shift = rng.uniform(60, 600), rng.uniform(-500, 500)
        flux = continuum() + injected(cat.OIII, 0.3, 40.0, speed, shift)
        blend = cat.blend_of(cat.OIII)
        low, high = np.multiply(blend.window, 1.3)
        at = (WAVELENGTH > low) & (WAVELENGTH < high)
        found = starting_point(Problem(blend, 0.3, WAVELENGTH[at], flux[at], np.ones(at.sum()), 10.0))
        assert abs(found[0] - shift) < 0.8 * speed + 20 and 0.4 < found[1] / speed < 2.5


@needs_shared
def test_line_ratios_of_an_observed_galaxy():
    """An emission-line galaxy observed by DESI: Balmer decrement, [S II] ratio, redrock redshift."""
    from mmae.realism.reference import read_coadds

    real = read_coadds(SHARED_GALAXIES)
    i = int(np.argmax(np.array(real.kind_N) == "galaxy"))
    fits = {}
    for blend in cat.BLENDS:
        found = fit_blend(blend, WAVELENGTH, real.flux_NL[i], real.ivar_NL[i], float(real.redshift_N[i]))
        fits |= found.lines if found is not None else {}
    assert all(abs(fits[key].shift) < 10 for key in ("oii", "hbeta", "oiii", "halpha", "sii"))
    assert 2.7 < fits["halpha"].flux / fits["hbeta"].flux < 4.5  # case B is 2.86; dust increases it
    assert 0.44 < fits["sii"].flux / fits["sii_second"].flux < 1.48  # high- to low-density limit
    assert all(40 < fits[key].sigma / fits[key].centre * C < 150 for key in ("oii", "hbeta", "oiii", "halpha", "sii"))
