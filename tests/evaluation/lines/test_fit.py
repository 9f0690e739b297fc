"""Injected lines come back, with errors that mean what they say."""

from __future__ import annotations

import warnings
from dataclasses import astuple

import numpy as np
import pytest
from astropy.modeling import fitting
from astropy.modeling.models import Gaussian1D, Linear1D
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import approx_fprime, curve_fit

from mmae.core.errors import InputError
from mmae.evaluation.lines import catalogue as cat
from mmae.evaluation.lines.fit import CORE, fit_blend, fit_line, window_covered
from mmae.evaluation.lines.gaussians import Problem, starting_point
from tests.evaluation.lines.spectra import IVAR, WAVELENGTH, C, continuum, flux_for, gaussian, line, noisy
from tests.ingest.files import SHARED_GALAXIES, needs_shared

REDSHIFT_OF = {
    "lya": 2.6,
    "civ": 2.3,
    "ciii": 1.7,
    "mgii": 0.95,
    "oii": 0.6,
    "hbeta": 0.25,
    "oiii": 0.3,
    "halpha": 0.2,
    "nii": 0.2,
    "sii": 0.2,
    "sii_second": 0.2,
}
FLAT = np.full(WAVELENGTH.size, 100.0)  # ivar
NAMES = ("centre", "sigma", "amplitude", "flux", "continuum", "ew")


def speed_of(tested: cat.Line) -> float:
    return 130.0 if cat.blend_of(tested).kind == "narrow" else 2600.0


def cropped(blend: cat.Blend, redshift: float) -> slice:
    """Samples about a blend: fits are the same as of the whole spectrum, and tests faster."""
    low, high = np.multiply(blend.window, ((1 + redshift) * 0.96, (1 + redshift) * 1.04))
    return slice(*np.searchsorted(WAVELENGTH, (low, high)))


def injected(
    tested: cat.Line, redshift: float, flux: float, speed: float, shift: float = 0.0, near: slice = slice(None)
) -> np.ndarray:
    """All members of a line; `flux` is that of the first. The ratios are written out again."""
    share = {"oii": 1 / 1.35, "oiii": 1 / 2.98, "nii": 1 / 3.05}.get(tested.key)
    total = line(tested.members[0][0], redshift, speed, flux, shift, near)
    if share is not None:
        total = total + line(tested.members[1][0], redshift, speed, flux * share, shift, near)
    return total


def truth_of(
    tested: cat.Line, redshift: float, flux: float, speed: float, shift: float, level: np.ndarray | None = None
) -> dict[str, float]:
    centre = tested.members[0][0] * (1 + redshift) * (1 + shift / C)
    sigma = tested.members[0][0] * (1 + redshift) * speed / C
    under = 2.0 * (centre / 6000.0) ** -0.7 if level is None else float(np.interp(centre, WAVELENGTH, level))
    total = flux * (1 + 1 / 1.35 if tested.key == "oii" else 1)
    return {
        "centre": centre,
        "sigma": sigma,
        "amplitude": flux / sigma / np.sqrt(2 * np.pi),
        "flux": total,
        "continuum": under,
        "ew": total / under / (1 + redshift),
    }


def check_pulls(pulls: np.ndarray, names=NAMES) -> None:
    """Mean 0 and width 1 within four of their own errors."""
    n = len(pulls)
    for name, pull in zip(names, pulls.T, strict=True):
        assert abs(pull.mean()) < 4 / np.sqrt(n), (name, pull.mean())
        assert abs(pull.std() - 1) < 4 / np.sqrt(2 * n), (name, pull.std())


@pytest.mark.parametrize("blend", cat.BLENDS, ids=lambda blend: blend.lines[0].key)
def test_pulls_of_injected_lines(blend):
    """DESI noise with its sky lines, bad samples, a label that is off, all lines of a blend."""
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


def test_chi_square_is_that_of_the_degrees_of_freedom():
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
def test_without_noise_a_line_comes_back_exactly(key, speed, shift, z, strength, slope):
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


def test_agrees_with_astropys_own_fitter():
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
    mine = fit_line(cat.HBETA, WAVELENGTH, flux, IVAR, z)
    for theirs, value, error in (
        ("mean_0", mine.centre - 4862.69 * (1 + z), mine.centre_error),
        ("stddev_0", mine.sigma, mine.sigma_error),
        ("amplitude_0", mine.amplitude, mine.amplitude_error),
    ):
        assert value == pytest.approx(getattr(found, theirs).value, abs=0.02 * error), theirs
        assert error == pytest.approx(errors[theirs], rel=0.01), theirs


def test_a_blend_agrees_with_curve_fit():
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
    mine = fit_blend(cat.blend_of(cat.HALPHA), WAVELENGTH, flux, IVAR, z).lines
    halpha, nii = mine["halpha"], mine["nii"]
    np.testing.assert_allclose(
        [halpha.centre - middle, halpha.sigma, halpha.flux, nii.flux], found[:4], atol=0.02 * error[:4].min()
    )
    np.testing.assert_allclose(
        [halpha.centre_error, halpha.sigma_error, halpha.flux_error, nii.flux_error], error[:4], rtol=0.01
    )


@pytest.mark.parametrize("blend", cat.BLENDS, ids=lambda blend: blend.lines[0].key)
def test_derivatives_are_those_of_the_residual(blend):
    z = REDSHIFT_OF[blend.lines[0].key]
    low, high = np.multiply(blend.window, 1 + z)
    window = WAVELENGTH[(WAVELENGTH > low) & (WAVELENGTH < high)][::7]
    problem = Problem(blend, z, window, np.zeros(window.size), np.linspace(1, 2, window.size), 10.0)
    at = np.array([120.0, speed_of(blend.lines[0]), 2.0, 0.3, *np.linspace(3, 5, len(blend.lines))])
    numeric = approx_fprime(at, problem.residual, 1e-4)
    assert np.all(np.abs(problem.jacobian(at).T - numeric) < 2e-5 * np.abs(numeric).max(axis=0))


def test_doublets_have_their_flux_ratios():
    # Fluxes, not amplitudes: at equal speed the redder member is wider by the ratio of the wavelengths.
    for tested, ratio in ((cat.OIII, 2.98), (cat.NII, 3.05), (cat.OII, 1.35)):
        blend = cat.blend_of(tested)
        row = blend.amplitude_GJ[blend.lines.index(tested)]
        flux = row * blend.wavelength_J
        main, partner = np.sort(flux[flux > 0])[::-1]
        assert main / partner == pytest.approx(ratio)


@pytest.mark.parametrize("speed", [40.0, 90.0, 250.0])
@pytest.mark.parametrize("shift", [-550.0, -170.0, 0.0, 300.0, 550.0])
@pytest.mark.parametrize("strong", ["halpha", "nii"])
def test_the_right_line_is_found_of_neighbours(speed, shift, strong):
    """A label off by hundreds of km/s does not make H-alpha of [N II], 943 km/s away, nor vice versa."""
    rng = np.random.default_rng(int(speed + shift + 1000))
    z, weak = 0.2, 0.3
    ha = flux_for(25, 6564.61, z, speed)
    clean = continuum() + sum(
        injected(one, z, ha * (1 if one.key == strong else weak), speed, shift) for one in (cat.HALPHA, cat.NII)
    )
    for _ in range(2):
        fit = fit_line(cat.HALPHA, WAVELENGTH, noisy(clean, IVAR, rng), IVAR, z)
        assert fit.shift == pytest.approx(shift, abs=40)


@pytest.mark.parametrize("cover", ["left half of the core", "middle of the core", "two of five samples"])
def test_bad_samples_inside_a_line(cover):
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
    assert np.mean(errors) > 1.05 * whole.flux_error  # what is not seen is not known


def test_a_bad_flux_value_does_not_matter_where_ivar_is_zero():
    clean = continuum() + injected(cat.HBETA, 0.2, 10.0, 120.0)
    hit = np.abs(WAVELENGTH - 4862.69 * 1.2) < 1.0
    ivar = np.where(hit, 0.0, FLAT)
    fits = [fit_line(cat.HBETA, WAVELENGTH, np.where(hit, wild, clean), ivar, 0.2) for wild in (1e6, -1e6, np.nan)]
    assert astuple(fits[0]) == astuple(fits[1]) == astuple(fits[2])
    # NaN is bad whatever ivar says.
    assert astuple(fit_line(cat.HBETA, WAVELENGTH, np.where(hit, np.nan, clean), FLAT, 0.2)) == astuple(fits[0])


def test_a_line_at_the_edge_is_measured_while_half_its_window_is_there():
    rng = np.random.default_rng(6)
    speed = 150.0
    z = 9824.0 / 6564.61 - 1 - 0.004  # H-alpha 26 A before the end, [N II] half beyond it
    near = cropped(cat.blend_of(cat.HALPHA), z)
    flux = flux_for(40, 6564.61, z, speed)
    clean = continuum()[near] + injected(cat.HALPHA, z, flux, speed, 0.0, near)
    true = truth_of(cat.HALPHA, z, flux, speed, 0.0)
    fits = [fit_line(cat.HALPHA, WAVELENGTH[near], noisy(clean, IVAR[near], rng), IVAR[near], z) for _ in range(120)]
    check_pulls(np.array([[(getattr(f, n) - true[n]) / getattr(f, f"{n}_error") for n in NAMES] for f in fits]))


def test_none_where_there_is_nothing_to_fit():
    flux = continuum()
    assert fit_line(cat.HALPHA, WAVELENGTH, flux, FLAT, 0.6) is None  # at 10,500 A
    assert fit_line(cat.LYA, WAVELENGTH, flux, FLAT, 1.0) is None  # at 2430 A
    assert fit_line(cat.HALPHA, WAVELENGTH, flux, FLAT, np.nan) is None
    assert fit_line(cat.HALPHA, WAVELENGTH, flux, np.zeros(WAVELENGTH.size), 0.2) is None
    assert fit_line(cat.HALPHA, WAVELENGTH, np.full(WAVELENGTH.size, np.nan), FLAT, 0.2) is None


def test_half_of_the_window_is_needed():
    z, blend = 0.2, cat.blend_of(cat.HBETA)
    low, high = np.multiply(blend.window, 1 + z)
    clean = continuum() + injected(cat.HBETA, z, 10.0, 120.0)
    for part, covered in ((0.55, True), (0.45, False)):
        ivar = np.where(WAVELENGTH < low + part * (high - low), FLAT, 0.0)
        assert window_covered(blend, WAVELENGTH, ivar, z) is covered
        assert (fit_line(cat.HBETA, WAVELENGTH, clean, ivar, z) is not None) is covered


def test_a_core_without_samples_is_no_line():
    z = 0.2
    clean = continuum() + injected(cat.HALPHA, z, 30.0, 130.0) + injected(cat.NII, z, 30.0, 130.0)
    sigma = 6564.61 * (1 + z) * 130.0 / C
    gap = np.abs(WAVELENGTH - 6564.61 * (1 + z)) < 1.8 * sigma  # [N II] holds shift and width
    found = fit_blend(cat.blend_of(cat.HALPHA), WAVELENGTH, clean, np.where(gap, 0.0, FLAT), z)
    assert "halpha" not in found.lines and "nii" in found.lines
    assert fit_line(cat.HALPHA, WAVELENGTH, clean, np.where(gap, 0.0, FLAT), z) is None
    assert CORE == 2.0


def test_a_featureless_spectrum_has_no_significant_line():
    rng = np.random.default_rng(2)
    for _ in range(20):
        fit = fit_line(cat.OIII, WAVELENGTH, noisy(continuum(), IVAR, rng), IVAR, 0.3)
        assert abs(fit.signal) < 5
    # Without any noise either: nothing breaks, and the amplitude is nothing.
    flat = fit_line(cat.OIII, WAVELENGTH, np.full(WAVELENGTH.size, 2.0), FLAT, 0.3)
    assert abs(flat.amplitude) < 1e-6 and flat.continuum == pytest.approx(2.0)
    assert abs(flat.shift) <= cat.SHIFT_LIMIT["narrow"]


@pytest.mark.filterwarnings("error")
def test_a_spectrum_of_nothing_breaks_nothing():
    for blend in cat.BLENDS:
        z = REDSHIFT_OF[blend.lines[0].key]
        for fit in fit_blend(blend, WAVELENGTH, np.zeros(WAVELENGTH.size), FLAT, z).lines.values():
            assert fit.flux == fit.amplitude == 0.0 and not fit.flux_error > 0 and np.isnan(fit.ew)


def test_a_coarse_grid_has_its_own_narrowest_line():
    """Samples of 7.8 A: narrower than half of that is not fitted, too few samples not at all."""
    coarse = np.arange(3600.0, 9830.0, 7.8)
    flux = 2 + 30 * np.exp(-0.5 * ((coarse - 6564.61 * 1.2) / 9.0) ** 2)
    fit = fit_line(cat.HALPHA, coarse, flux, np.full(coarse.size, 100.0), 0.2)
    assert fit.sigma == pytest.approx(9.0, rel=1e-3)
    narrow = 2 + 30 * (np.abs(coarse - 6564.61 * 1.2) < 4)
    assert fit_line(cat.HALPHA, coarse, narrow, np.full(coarse.size, 100.0), 0.2).sigma >= 3.89
    coarser = np.arange(3600.0, 9830.0, 30.0)
    assert fit_line(cat.OII, coarser, np.ones(coarser.size), np.ones(coarser.size), 0.5) is None


def test_what_is_wider_than_the_window_runs_into_the_limit():
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


def test_no_equivalent_width_without_a_continuum():
    fit = fit_line(cat.OIII, WAVELENGTH, injected(cat.OIII, 0.3, 30.0, 150.0) - 0.1, FLAT, 0.3)
    assert np.isnan(fit.ew) and np.isnan(fit.ew_error) and fit.flux == pytest.approx(30.0, rel=1e-3)


def test_absorption_is_a_negative_line():
    fit = fit_line(cat.HBETA, WAVELENGTH, 5 + line(4862.69, 0.2, 200.0, -8.0), FLAT, 0.2)
    assert fit.flux == pytest.approx(-8.0, rel=1e-3) and fit.signal < 0 and fit.ew < 0


def test_the_start_is_near_whatever_the_line():
    rng = np.random.default_rng(1)
    for _ in range(30):
        speed, shift = rng.uniform(60, 600), rng.uniform(-500, 500)
        flux = continuum() + injected(cat.OIII, 0.3, 40.0, speed, shift)
        blend = cat.blend_of(cat.OIII)
        low, high = np.multiply(blend.window, 1.3)
        at = (WAVELENGTH > low) & (WAVELENGTH < high)
        found = starting_point(Problem(blend, 0.3, WAVELENGTH[at], flux[at], np.ones(at.sum()), 10.0))
        assert abs(found[0] - shift) < 0.8 * speed + 20 and 0.4 < found[1] / speed < 2.5


def test_arrays_of_different_length_are_refused():
    with pytest.raises(InputError, match="one length"):
        fit_line(cat.HALPHA, WAVELENGTH, WAVELENGTH[:-1], FLAT, 0.2)


def test_resolution_element_is_desis():
    # R = lambda / FWHM: 2000 to 3200, 3200 to 4100, 4100 to 5000 were required of the arms, which do a little better.
    for wavelength, low, high in ((3700, 2000, 3200), (5500, 2000, 3700), (6500, 3200, 4500), (9500, 4100, 5600)):
        assert low < wavelength / cat.resolution_element(wavelength) < high
    assert cat.resolution_element(np.array([3700.0, 9500.0])).shape == (2,)
    assert cat.resolution_element(12000.0) == cat.resolution_element(9824.0)


def test_windows_hold_their_lines_and_no_strong_neighbour():
    centres = {one.key: np.array([w for w, _ in one.members]) for one in cat.LINES}
    for blend in cat.BLENDS:
        low, high = blend.window
        own = [one.key for one in blend.lines]
        assert all(low < w < high for key in own for w in centres[key])
        assert not any(low < w < high for key in centres if key not in own for w in centres[key])


@needs_shared
def test_a_real_galaxy_obeys_atomic_physics():
    """An emission-line galaxy that DESI observed: Balmer decrement, [S II] ratio, redrock's redshift."""
    from mmae.realism.reference import read_coadds

    real = read_coadds(SHARED_GALAXIES)
    i = int(np.argmax(np.array(real.kind_N) == "galaxy"))
    fits = {}
    for blend in cat.BLENDS:
        found = fit_blend(blend, WAVELENGTH, real.flux_NL[i], real.ivar_NL[i], float(real.redshift_N[i]))
        fits |= found.lines if found is not None else {}
    assert all(abs(fits[key].shift) < 10 for key in ("oii", "hbeta", "oiii", "halpha", "sii"))
    assert 2.7 < fits["halpha"].flux / fits["hbeta"].flux < 4.5  # case B 2.86, and some dust
    assert 0.44 < fits["sii"].flux / fits["sii_second"].flux < 1.48  # from the high to the low density limit
    assert all(40 < fits[key].sigma / fits[key].centre * C < 150 for key in ("oii", "hbeta", "oiii", "halpha", "sii"))
