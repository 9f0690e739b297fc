"""Radio spectrum of one source through several surveys: power law, curvature, upper limits.

S(nu) = S0 x^alpha exp(q ln(x)^2) with x = nu / reference (Callingham+2017, ApJ 836, 174, eq. 3).
Detections are Gaussian in flux density, upper limits enter with the chance of a measurement
below them (Sawicki 2012, PASP 124, 1208, eq. 8), the flux-scale error of each survey is a fraction
of the model's flux: taken of the measured flux, low points would weigh more and drag the fit
down (D'Agostini 1994, NIM A 346, 306). What is left is a bias of the order of the scale error
squared, a tenth of the error of alpha.

Suffixes: P points, K parameters (ln S0, alpha and, when curved, q), G grid.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize
from scipy.special import log_ndtr, ndtr
from scipy.stats import chi2 as chi2_law

from mmae.errors import InputError
from mmae.steepspec.arrays import columns, require

FLAGS = (
    "few_points",  # fewer than 3 detections: nothing tests the power law
    "resolution_mismatch",  # beams differ so much that extended flux is missed by some
    "variable",  # two points at one frequency disagree: no spectrum explains that
    "poorly_fit",  # chi-square improbable
    "extrapolated",  # the reference frequency lies outside the detections
    "unconstrained",  # no maximum, or no curvature at it: alpha has no error
)


@dataclass(frozen=True)
class SEDSettings:
    """Choices of the fit."""

    reference_mhz: float = 1200.0
    """Where alpha and the flux are quoted: between MALS's windows at 1006 and 1381 MHz."""
    steep_alpha: float = -1.4
    """P(alpha < this) is reported (arXiv:2412.12470)."""
    min_curved_detections: int = 4
    min_delta_bic: float = 2.0
    """A curved fit must lower the BIC by this: "positive evidence" (Kass & Raftery 1995, JASA 90)."""
    max_beam_ratio: float = 3.0
    min_chi2_probability: float = 0.01
    variable_sigma: float = 3.0
    same_frequency: float = 0.15
    """Points closer than this in ln(frequency) are compared for variability."""
    alpha_range: tuple[float, float] = (-5.0, 3.0)
    """Flat prior where a single detection leaves alpha to the upper limits."""


@dataclass(frozen=True)
class SEDFit:
    """Result of `fit_sed`; NaN where the data say nothing."""

    alpha: float
    """Slope at the reference frequency."""
    alpha_err: float
    flux_mjy: float
    """Flux density at the reference frequency."""
    flux_err_mjy: float
    curvature: float
    """q; 0 for a power law."""
    curvature_err: float
    p_steep: float
    """P(alpha < steep_alpha)."""
    chi2: float
    """Of the detections."""
    dof: int
    n_detections: int
    n_limits: int
    reference_mhz: float
    delta_bic: float
    """BIC of the power law less that of the curved fit; NaN when that was not tried."""
    flags: tuple[str, ...] = field(default=())

    @property
    def reduced_chi2(self) -> float:
        return self.chi2 / self.dof if self.dof > 0 else float("nan")


@dataclass(frozen=True)
class _Points:
    flux_P: np.ndarray
    error_P: np.ndarray
    scale_P: np.ndarray
    limit_P: np.ndarray  # bool
    basis_PK: np.ndarray  # 1, ln x, ln(x)^2


def fit_sed(
    frequency_mhz: ArrayLike,
    flux_mjy: ArrayLike,
    error_mjy: ArrayLike,
    scale_error: ArrayLike = 0.0,
    is_limit: ArrayLike = False,
    beam_arcsec: ArrayLike = np.nan,
    settings: SEDSettings = SEDSettings(),
) -> SEDFit:
    """Maximum-likelihood spectrum of one source, errors from the curvature of the likelihood.

    Args:
        frequency_mhz: (P) MHz.
        flux_mjy: (P) flux density, or the upper limit where `is_limit`, mJy.
        error_mjy: (P) noise of the map at the source, mJy.
        scale_error: (P) or one number: relative flux-scale error of the survey (0.1 for TGSS).
        is_limit: (P) or one bool.
        beam_arcsec: (P) or one number: beam FWHM, arcsec; NaN where unknown.

    Points whose flux is NaN are left out. With one detection alpha is the mean of its posterior
    under a flat prior on `settings.alpha_range`, and NaN when there is no limit either.

    Raises:
        InputError: shapes differ, no detection, or a frequency, error or detected flux is not
            positive.
    """
    n = np.size(frequency_mhz)
    c = columns(
        "SED points", frequency_mhz=np.atleast_1d(frequency_mhz), flux_mjy=np.atleast_1d(flux_mjy),
        error_mjy=np.atleast_1d(error_mjy), scale_error=_spread(scale_error, n),
        is_limit=_spread(is_limit, n).astype(bool), beam_arcsec=_spread(beam_arcsec, n),
    )  # fmt: skip
    c = {name: values[np.isfinite(c["flux_mjy"])] for name, values in c.items()}
    limit = c["is_limit"]
    _check_points(c)
    ln_x = np.log(c["frequency_mhz"] / settings.reference_mhz)
    points = _Points(c["flux_mjy"], c["error_mjy"], c["scale_error"], limit, ln_x[:, None] ** np.arange(3))
    flags = _flags_of_points(c, ln_x, settings)
    detections, limits = int((~limit).sum()), int(limit.sum())
    common = {"n_detections": detections, "n_limits": limits, "reference_mhz": settings.reference_mhz}
    if detections == 1:
        return _fit_single(points, settings, flags, common)

    best, loss, hessian = _maximise(points, 2)
    delta_bic = float("nan")
    if detections >= settings.min_curved_detections:
        curved, curved_loss, curved_hessian = _maximise(points, 3)
        delta_bic = 2 * (loss - curved_loss) - np.log(len(limit))  # one more parameter
        if delta_bic > settings.min_delta_bic:
            best, hessian = curved, curved_hessian
    errors = _errors(hessian)
    if not np.isfinite(errors).all():
        flags.append("unconstrained")
    k = len(best)
    residual = _residuals(points, best)[~limit]
    chi2, dof = float((residual**2).sum()), detections - k
    if dof > 0 and chi2_law.sf(chi2, dof) < settings.min_chi2_probability:
        flags.append("poorly_fit")
    if _is_variable(points, best, settings):
        flags.append("variable")
    flux = float(np.exp(best[0]))
    return SEDFit(
        alpha=float(best[1]), alpha_err=float(errors[1]), flux_mjy=flux, flux_err_mjy=float(flux * errors[0]),
        curvature=float(best[2]) if k == 3 else 0.0,
        curvature_err=float(errors[2]) if k == 3 else float("nan"),
        p_steep=float(ndtr((settings.steep_alpha - best[1]) / errors[1])), chi2=chi2, dof=dof,
        delta_bic=float(delta_bic), flags=_sorted(flags), **common,
    )  # fmt: skip


def sed_model(fit: SEDFit, frequency_mhz: ArrayLike) -> np.ndarray:
    """Flux density (mJy) of a fit at the given frequencies (MHz), of the same shape."""
    ln_x = np.log(np.asarray(frequency_mhz, dtype=np.float64) / fit.reference_mhz)
    return fit.flux_mjy * np.exp(fit.alpha * ln_x + fit.curvature * ln_x**2)


def _spread(values: ArrayLike, n: int) -> np.ndarray:
    values = np.asarray(values)
    return np.full(n, values) if values.ndim == 0 else values


def _check_points(c: dict[str, np.ndarray]) -> None:
    what, detected = "SED points", ~c["is_limit"]
    if not detected.any():
        raise InputError(f"{what}: no detection among {len(detected)} points; a spectrum needs at least one")
    require(c["frequency_mhz"] > 0, what, "a frequency is not positive", "give MHz")
    require(c["error_mjy"] > 0, what, "a flux error is not positive", "give the map's noise in mJy")
    require(c["scale_error"] >= 0, what, "a flux-scale error is negative or NaN", "give a fraction, as 0.1")
    require(c["flux_mjy"][detected] > 0, what, "a detection has no positive flux", "mark it as a limit")


def _noise(points: _Points, model_P: np.ndarray) -> np.ndarray:
    return np.sqrt(points.error_P**2 + (points.scale_P * model_P) ** 2)


def _residuals(points: _Points, parameters_K: np.ndarray) -> np.ndarray:
    model_P = np.exp(points.basis_PK[:, : len(parameters_K)] @ parameters_K)
    return (points.flux_P - model_P) / _noise(points, model_P)


def _loss_terms(points: _Points, model: np.ndarray, sigma: np.ndarray, z: np.ndarray) -> np.ndarray:
    return np.where(points.limit_P, -log_ndtr(z), 0.5 * z**2 + np.log(sigma))


def _loss_and_gradient(parameters_K: np.ndarray, points: _Points) -> tuple[float, np.ndarray]:
    """Negative log likelihood, and its gradient through the model's flux."""
    basis_PK = points.basis_PK[:, : len(parameters_K)]
    model_P = np.exp(np.clip(basis_PK @ parameters_K, -60, 60))
    sigma_P = _noise(points, model_P)
    z_P = (points.flux_P - model_P) / sigma_P
    slope_P = points.scale_P**2 * model_P / sigma_P**2  # d ln(sigma) / d model
    dz_P = -1 / sigma_P - z_P * slope_P
    hazard_P = np.exp(-0.5 * z_P**2 - 0.5 * np.log(2 * np.pi) - log_ndtr(z_P))
    d_model_P = np.where(points.limit_P, -hazard_P * dz_P, z_P * dz_P + slope_P)
    loss = _loss_terms(points, model_P, sigma_P, z_P).sum()
    return float(loss), basis_PK.T @ (d_model_P * model_P)


def _maximise(points: _Points, k: int) -> tuple[np.ndarray, float, np.ndarray]:
    """Parameters (K), negative log likelihood and its Hessian (K,K) at the maximum."""
    detected = ~points.limit_P
    sigma_ln = _noise(points, points.flux_P)[detected] / points.flux_P[detected]
    start, *_ = np.linalg.lstsq(
        points.basis_PK[detected, :k] / sigma_ln[:, None], np.log(points.flux_P[detected]) / sigma_ln
    )
    result = minimize(
        _loss_and_gradient, start, args=(points,), jac=True, method="BFGS", options={"gtol": 1e-6}
    )
    hessian = np.empty((k, k))
    for index in range(k):
        step = np.zeros(k)
        step[index] = 1e-4
        high, low = (_loss_and_gradient(result.x + sign * step, points)[1] for sign in (1, -1))
        hessian[index] = (high - low) / 2e-4
    return result.x, float(result.fun), (hessian + hessian.T) / 2


def _errors(hessian: np.ndarray) -> np.ndarray:
    try:
        variance = np.diag(np.linalg.inv(hessian))
    except np.linalg.LinAlgError:
        return np.full(len(hessian), np.nan)
    positive = (np.linalg.eigvalsh(hessian) > 0).all()
    return np.sqrt(variance) if positive else np.full(len(hessian), np.nan)


def _fit_single(points: _Points, settings: SEDSettings, flags: list[str], common: dict) -> SEDFit:
    """One detection: alpha from the limits alone, on a grid of alpha and flux."""
    nan = float("nan")
    mean = error = p_steep = flux = flux_err = nan
    if points.limit_P.any():
        alpha_G = np.linspace(*settings.alpha_range, 321)
        at = int(np.argmin(points.limit_P))
        # the detection's own flux within 5 sigma, so that the grid is fine whatever alpha is
        relative = _noise(points, points.flux_P)[at] / points.flux_P[at]
        ln_at = np.log(points.flux_P[at] * np.linspace(max(1 - 5 * relative, 1e-3), 1 + 5 * relative, 101))
        ln_x = points.basis_PK[:, 1]
        model = np.exp(ln_at[None, :, None] + alpha_G[:, None, None] * (ln_x - ln_x[at]))
        sigma = _noise(points, model)
        loss = _loss_terms(points, model, sigma, (points.flux_P - model) / sigma).sum(axis=-1)
        posterior = np.exp(loss.min() - loss)
        posterior /= posterior.sum()
        weight_G = posterior.sum(axis=1)
        mean = float(weight_G @ alpha_G)
        error = float(np.sqrt(weight_G @ (alpha_G - mean) ** 2))
        p_steep = float(weight_G[alpha_G < settings.steep_alpha].sum())
        ln_reference = ln_at[None, :] - alpha_G[:, None] * ln_x[at]
        ln_flux = float((posterior * ln_reference).sum())
        flux = float(np.exp(ln_flux))
        flux_err = flux * float(np.sqrt((posterior * (ln_reference - ln_flux) ** 2).sum()))
    else:
        flags.append("unconstrained")
    return SEDFit(
        alpha=mean, alpha_err=error, flux_mjy=flux, flux_err_mjy=flux_err, curvature=0.0, curvature_err=nan,
        p_steep=p_steep, chi2=0.0, dof=0, delta_bic=nan, flags=_sorted(flags), **common,
    )  # fmt: skip


def _flags_of_points(c: dict[str, np.ndarray], ln_x: np.ndarray, settings: SEDSettings) -> list[str]:
    detected, flags = ~c["is_limit"], []
    if detected.sum() < 3:
        flags.append("few_points")
    beams = c["beam_arcsec"][detected & np.isfinite(c["beam_arcsec"])]
    if len(beams) and beams.max() > settings.max_beam_ratio * beams.min():
        flags.append("resolution_mismatch")
    if ln_x[detected].min() > 0 or ln_x[detected].max() < 0:
        flags.append("extrapolated")
    return flags


def _is_variable(points: _Points, best: np.ndarray, settings: SEDSettings) -> bool:
    """Do two detections at one frequency disagree, the fitted slope between them taken out?"""
    z = _residuals(points, best)[~points.limit_P]
    ln_x = points.basis_PK[~points.limit_P, 1]
    model = np.exp(points.basis_PK[~points.limit_P, : len(best)] @ best)
    sigma = _noise(points, np.exp(points.basis_PK[:, : len(best)] @ best))[~points.limit_P] / model
    ratio = z * sigma  # (flux - model) / model
    first, second = np.triu_indices(len(z), k=1)
    close = np.abs(ln_x[first] - ln_x[second]) < settings.same_frequency
    difference = np.abs(ratio[first] - ratio[second]) / np.hypot(sigma[first], sigma[second])
    return bool((close & (difference > settings.variable_sigma)).any())


def _sorted(flags: list[str]) -> tuple[str, ...]:
    return tuple(flag for flag in FLAGS if flag in flags)
