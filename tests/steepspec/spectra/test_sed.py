"""Fit of the spectrum of one source: pulls, limits, curvature, flags."""

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.stats import norm

from mmae.core.errors import InputError
from mmae.steepspec.config import SEDSettings
from mmae.steepspec.spectra import likelihood as sed_likelihood
from mmae.steepspec.spectra.likelihood import covariance, parameter_errors
from mmae.steepspec.spectra.sed import fit_sed, sed_model

# TGSS, RACS-low, MALS x 2, NVSS
FREQUENCY = np.array([150.0, 887.0, 1006.0, 1381.0, 1400.0])
NOISE = np.array([3.5, 0.3, 0.05, 0.05, 0.45])
SCALE = np.array([0.10, 0.07, 0.03, 0.03, 0.03])
BEAM = np.array([25.0, 15.0, 12.0, 8.0, 45.0])


def simulate(rng, alpha, flux=20.0, q=0.0):
    x = np.log(FREQUENCY / 1200)
    true = flux * np.exp(alpha * x + q * x**2)
    return true * (1 + SCALE * rng.normal(size=5)) + NOISE * rng.normal(size=5)


def pulls(values, errors, truth):
    pull = (np.asarray(values) - truth) / np.asarray(errors)
    return pull.mean(), pull.std(), 1 / np.sqrt(len(pull))


@pytest.mark.parametrize("alpha", [-0.8, -1.8])
def test_pulls_have_mean_0_and_width_1(alpha):
    rng = np.random.default_rng(3)
    plain = SEDSettings(min_curved_detections=99)
    fits = [fit_sed(FREQUENCY, simulate(rng, alpha), NOISE, SCALE, settings=plain) for _ in range(300)]
    mean, width, error = pulls([f.alpha for f in fits], [f.alpha_err for f in fits], alpha)
    assert abs(mean) < 4 * error and abs(width - 1) < 4 * error / np.sqrt(2)
    mean, width, error = pulls([f.flux_mjy for f in fits], [f.flux_err_mjy for f in fits], 20.0)
    assert abs(mean) < 4 * error and abs(width - 1) < 4 * error / np.sqrt(2)
    chi2 = np.mean([f.reduced_chi2 for f in fits])
    assert abs(chi2 - 1) < 4 * np.sqrt(2 / 3 / 300)
    assert fits[0].dof == 3


def test_error_of_two_bands_is_analytic():
    fit = fit_sed([1006.0, 1381.0], [8.0, 8.0], [1.0, 1.0])
    assert fit.alpha == pytest.approx(0.0, abs=1e-6)
    assert fit.alpha_err == pytest.approx(np.hypot(1 / 8, 1 / 8) / np.log(1381 / 1006), rel=1e-3)  # 0.56
    assert fit.p_steep == pytest.approx(0.0062, abs=5e-4)  # normal tail at 1.4 / 0.558
    assert "few_points" in fit.flags and np.isnan(fit.reduced_chi2)


def test_limits_constrain_alpha_on_the_excluded_side():
    two = ([1006.0, 1381.0], [2.0, 1.6], [0.2, 0.2])
    free = fit_sed(*two)
    # a steep spectrum (alpha below -1.9) would have been detected in TGSS at 150 MHz above 25 mJy
    limited = fit_sed([*two[0], 150.0], [*two[1], 8.0], [*two[2], 3.0], is_limit=[False, False, True])
    assert limited.alpha_err < 0.8 * free.alpha_err
    assert limited.alpha > free.alpha
    assert limited.p_steep < free.p_steep
    assert (limited.n_detections, limited.n_limits) == (2, 1)
    far = fit_sed([*two[0], 150.0], [*two[1], 5000.0], [*two[2], 3.0], is_limit=[False, False, True])
    assert far.alpha == pytest.approx(free.alpha, abs=1e-4)


def test_pulls_with_limits_have_mean_0_and_width_1():
    """Fluxes below 5 sigma are replaced by limits: detections and limits together are unbiased."""
    rng = np.random.default_rng(5)
    values, errors = [], []
    for _ in range(250):
        flux = simulate(rng, -1.0, flux=3.0)
        limit = flux < 5 * NOISE
        fit = fit_sed(FREQUENCY, np.where(limit, 5 * NOISE, flux), NOISE, SCALE, limit)
        values.append(fit.alpha)
        errors.append(fit.alpha_err)
    mean, width, _ = pulls(values, errors, -1.0)
    assert abs(mean) < 0.2 and 0.85 < width < 1.15


def test_curvature_is_fitted_to_curved_spectra_only():
    rng = np.random.default_rng(7)
    curved = [fit_sed(FREQUENCY, simulate(rng, -1.2, 50.0, q=-0.35), NOISE, SCALE) for _ in range(150)]
    chosen = [f for f in curved if f.curvature != 0]
    assert len(chosen) > 140
    mean, width, _ = pulls([f.curvature for f in chosen], [f.curvature_err for f in chosen], -0.35)
    assert abs(mean) < 0.35 and 0.8 < width < 1.2
    plain = [fit_sed(FREQUENCY, simulate(rng, -1.2, 50.0), NOISE, SCALE) for _ in range(200)]
    # ln(5) + 2 in 2 delta ln L: a chi-square of one degree above 3.6, 6%
    assert 0.01 < np.mean([f.curvature != 0 for f in plain]) < 0.13
    assert fit_sed(FREQUENCY[1:4], [20.0, 10.0, 1.0], NOISE[1:4]).curvature == 0  # too few points


def test_model_of_exact_points():
    fit = fit_sed(FREQUENCY, 20.0 * (FREQUENCY / 1200) ** -1.6, NOISE, SCALE)
    assert np.allclose(sed_model(fit, FREQUENCY), 20.0 * (FREQUENCY / 1200) ** -1.6, rtol=0.015)
    assert fit.alpha == pytest.approx(-1.6, abs=0.005) and fit.p_steep > 0.99
    assert "few_points" not in fit.flags and "poorly_fit" not in fit.flags


def test_each_flag_is_set_and_unset():
    flux = 20.0 * (FREQUENCY / 1200) ** -0.8
    clean = fit_sed(FREQUENCY[:4], flux[:4], NOISE[:4], SCALE[:4], beam_arcsec=[25, 15, 12, 9])
    assert clean.flags == ()
    assert fit_sed(FREQUENCY, flux, NOISE, SCALE, beam_arcsec=BEAM).flags == ("resolution_mismatch",)
    variable = flux * [1, 1, 1, 1, 1.5]
    assert {"variable", "poorly_fit"} <= set(fit_sed(FREQUENCY, variable, NOISE, SCALE).flags)
    bent = fit_sed(FREQUENCY[:3], [40.0, 60.0, 20.0], NOISE[:3], SCALE[:3]).flags
    assert "poorly_fit" in bent and "extrapolated" in bent
    smooth = fit_sed([150.0, 400.0, 1400.0], [10.0, 90.0, 20.0], [1.0, 1.0, 1.0], 0.05)
    assert "poorly_fit" in smooth.flags and "variable" not in smooth.flags


def test_one_detection_and_limits():
    single = fit_sed([1381.0], [5.0], [0.1])
    assert np.isnan(single.alpha) and np.isnan(single.p_steep) and "unconstrained" in single.flags
    # detected at 150 MHz and not at 1400 MHz: steep
    steep = fit_sed([150.0, 1400.0], [100.0, 1.0], [5.0, 0.2], is_limit=[False, True])
    assert steep.p_steep > 0.99
    flat = fit_sed([150.0, 1400.0], [20.0, 1.0], [3.0, 0.2], is_limit=[True, False])
    assert flat.p_steep < 0.02


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"frequency_mhz": [1000.0, 0.0]}, "frequency_mhz .*row 1 first"),
        ({"error_mjy": [0.1, 0.0]}, "error_mjy .*row 1 first"),
        ({"flux_mjy": [1.0, -1.0]}, "flux_mjy .*row 1 first"),
        ({"is_limit": [True, True]}, "2 points"),
        ({"scale_error": [0.1, -0.1]}, "scale_error .*row 1 first"),
        ({"flux_mjy": [1.0, 1.0, 2.0]}, r"flux_mjy \(3,\)"),
    ],
)
def test_error_names_the_invalid_column(change, named):
    good = {"frequency_mhz": [1006.0, 1381.0], "flux_mjy": [2.0, 1.5], "error_mjy": [0.1, 0.1]}
    with pytest.raises(InputError, match=named):
        fit_sed(**(good | change))


def test_points_without_flux_are_ignored():
    fit = fit_sed([1006.0, 1381.0, 887.0], [2.0, 1.5, np.nan], [0.1, 0.1, 0.1])
    assert fit.n_detections == 2


def test_gradient_equals_finite_differences():
    points = sed_likelihood.Points(
        np.array([12.0, 7.0, 5.0]),
        np.array([1.0, 0.8, 0.5]),
        np.array([0.3, 0.2, 0.25]),
        np.array([False, True, False]),
        np.log([0.5, 1.1, 1.4])[:, None] ** np.arange(3),
    )
    at = np.array([1.9, -0.7, 0.2])
    numeric = approx_fprime(at, lambda p: sed_likelihood.loss_and_gradient(p, points)[0], 1e-6)
    assert np.allclose(sed_likelihood.loss_and_gradient(at, points)[1], numeric, rtol=1e-3)


def test_constraining_limits_give_the_moments_of_the_posterior():
    """Compared with an independent integration: two detections of low S/N with a steep index, and a TGSS limit."""
    frequency, flux = np.array([1006.0, 1381.0, 147.5]), np.array([0.50, 0.18, 24.5])
    error, scale = np.array([0.06, 0.05, 3.5]), np.array([0.06, 0.06, 0.1])
    fit = fit_sed(frequency, flux, error, scale, [False, False, True])
    alpha, ln_flux = np.meshgrid(np.linspace(-9, 5, 1401), np.linspace(np.log(0.02), np.log(2), 401), indexing="ij")
    ln_p = np.zeros_like(alpha)
    for f, s, e, c, limit in zip(frequency, flux, error, scale, (False, False, True), strict=True):
        model = np.exp(ln_flux + alpha * np.log(f / 1200))
        sigma = np.hypot(e, c * model)
        ln_p += norm.logcdf(s, model, sigma) if limit else norm.logpdf(s, model, sigma)
    p = np.exp(ln_p - ln_p.max())
    p /= p.sum()
    mean = (p * alpha).sum()
    assert fit.alpha == pytest.approx(mean, abs=0.03)
    assert fit.alpha_err == pytest.approx(np.sqrt((p * (alpha - mean) ** 2).sum()), rel=0.03)
    assert fit.p_steep == pytest.approx(p[alpha < -1.4].sum(), abs=0.01)


def test_pulls_of_sources_with_limits_on_the_steep_side_have_no_outliers():
    """Flat sources that noise makes steep, constrained by a limit: the error must include the truth."""
    rng = np.random.default_rng(1)
    pulls = []
    for _ in range(400):
        frequency, error = np.array([1006.0, 1381.0, 147.5]), np.array([0.05, 0.05, 3.5])
        true = 0.35 * (frequency / 1200) ** -0.7
        flux = true + error * rng.normal(size=3)
        if min(flux[:2]) < 0.1 or flux[2] > 24.5:
            continue
        flux[2] = 24.5
        fit = fit_sed(frequency, flux, error, 0.03, [False, False, True])
        pulls.append((fit.alpha + 0.7) / fit.alpha_err)
    pulls = np.array(pulls)
    assert len(pulls) > 350 and abs(pulls).max() < 4
    assert abs(pulls[pulls < 0]).max() < 3.5 and 0.7 < pulls.std() < 1.2


def test_p_steep_is_between_0_and_1():
    rng = np.random.default_rng(0)
    for alpha in rng.uniform(-4, -2, 60):
        frequency = np.array([1006.0, 1381.0, 147.5])
        flux = 5 * (frequency / 1200) ** alpha
        fit = fit_sed(frequency, flux, np.array([0.05, 0.05, 3.5]), 0.03, [False, False, True])
        assert 0 <= fit.p_steep <= 1


@pytest.mark.parametrize("frequencies", [[1400.0, 1400.0], [1381.0, 1400.0], [1400.0, 1400.0, 1395.0], [887.5, 943.5]])
@pytest.mark.parametrize("limit", [None, 150.0, 887.5, 1400.0, 3000.0])
def test_detections_at_one_frequency_give_no_slope(frequencies, limit):
    """Neither an index with an error of 10^7 nor a singular matrix."""
    n = len(frequencies)
    flux, error, is_limit = [23.7, 25.0, 22.1][:n], [1.2, 1.0, 1.1][:n], [False] * n
    if limit:
        frequencies, flux, error, is_limit = [*frequencies, limit], [*flux, 50.0], [*error, 5.0], [*is_limit, True]
    fit = fit_sed(frequencies, flux, error, 0.05, is_limit)
    assert fit.n_detections == n and "no_lever_arm" in fit.flags and "variable" not in fit.flags
    if limit is None:
        assert np.isnan([fit.alpha, fit.alpha_err, fit.p_steep]).all()
    else:  # of the flat prior and the limit
        assert fit.alpha_err > 0.2 and abs(fit.alpha) < 5 and 0 <= fit.p_steep <= 1


def test_limit_beside_detections_at_one_frequency_is_as_constraining_as_beside_one():
    """Detected at 1400 MHz, not at 150 MHz: the index is above a value, with one detection and with two."""
    one = fit_sed([1400.0, 150.0], [20.0, 25.0], [0.5, 5.0], 0.03, [False, True])
    two = fit_sed([1400.0, 1395.0, 150.0], [20.0, 20.5, 25.0], [0.5, 0.6, 5.0], 0.03, [False, False, True])
    assert two.alpha == pytest.approx(one.alpha, abs=0.1) and two.p_steep < 0.02


def test_variable_detections_at_one_frequency():
    assert "variable" in fit_sed([1400.0, 1400.0], [10.0, 20.0], [0.3, 0.3], 0.03).flags


def test_repeats_of_one_observation_count_once():
    """A survey that is in two catalogues, with the values rounded differently."""
    once = fit_sed([150.0, 1400.0], [100.0, 12.345], [10.0, 0.6], [0.1, 0.05])
    twice = fit_sed([150.0, 1400.0, 1400.0], [100.0, 12.345, 12.34], [10.0, 0.6, 0.6], [0.1, 0.05, 0.03])
    assert twice.n_detections == 2
    assert (twice.alpha, twice.alpha_err) == (once.alpha, once.alpha_err)
    other = fit_sed([150.0, 1400.0, 1400.0], [100.0, 12.345, 12.6], [10.0, 0.6, 0.6], [0.1, 0.05, 0.03])
    assert other.n_detections == 3 and other.alpha_err < once.alpha_err


def test_singular_matrices_have_no_covariance():
    for hessian in (np.zeros((2, 2)), np.ones((2, 2)), np.full((2, 2), np.nan), -np.eye(2), np.diag([1.0, 1e-14])):
        assert np.isnan(covariance(hessian)).all() and np.isnan(parameter_errors(hessian)).all()
    np.testing.assert_allclose(parameter_errors(np.diag([4.0, 0.25])), [0.5, 2.0])


def test_many_detections_at_two_frequencies_are_not_curved():
    fit = fit_sed([150.0, 150.0, 1400.0, 1400.0], [100.0, 103.0, 11.0, 12.0], [5.0, 5.0, 0.5, 0.5], 0.05)
    assert fit.curvature == 0 and np.isfinite(fit.alpha_err) and fit.alpha_err < 0.1
