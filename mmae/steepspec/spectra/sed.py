"""Radio spectrum of one source through several surveys: power law, curvature, upper limits.

S(nu) = S0 x^alpha exp(q ln(x)^2) with x = nu / reference (Callingham+2017, ApJ 836, 174, eq. 3).
Detections are Gaussian in flux density, upper limits enter with the probability of a measurement
below them (Sawicki 2012, PASP 124, 1208, eq. 8), the flux-scale error of each survey is a fraction
of the model flux: as a fraction of the measured flux it would give low points more weight and bias
the fit low (D'Agostini 1994, NIM A 346, 306). The remaining bias is of the order of the squared
scale error, a tenth of the error of alpha.

Suffixes: P points, K parameters (ln S0, alpha and, when curved, q), G grid.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr
from scipy.stats import chi2 as chi2_law

from mmae.core.errors import InputError
from mmae.steepspec.arrays import columns, per_row, require
from mmae.steepspec.config import SEDSettings
from mmae.steepspec.spectra.likelihood import Points, maximise, noise, parameter_errors, residuals
from mmae.steepspec.spectra.limits import LimitedIndex, index_of_one, index_of_several, limits_matter

FLAGS = (
    "few_points",  # fewer than 3 detections: no test of the power law
    "no_lever_arm",  # all detections at nearly one frequency: no slope
    "resolution_mismatch",  # beams so different that some surveys may miss extended flux
    "variable",  # two points at one frequency disagree, which no spectrum explains
    "poorly_fit",  # improbable chi-square
    "extrapolated",  # the reference frequency is outside the range of the detections
    "unconstrained",  # no maximum, or Hessian not positive definite: no error of alpha
)
# Relative differences up to which two detections are one observation (rounded differently).
SAME_OBSERVATION = {"frequency_mhz": 0.01, "flux_mjy": 1e-3, "error_mjy": 0.05}


@dataclass(frozen=True)
class SEDFit:
    """Result of `fit_sed`; NaN where the data give no constraint."""

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
    """BIC of the power law minus that of the curved fit; NaN if no curved fit was made."""
    flags: tuple[str, ...] = field(default=())

    @property
    def reduced_chi2(self) -> float:
        return self.chi2 / self.dof if self.dof > 0 else float("nan")


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

    Points with NaN flux are ignored, and so are repeats of one observation (`_without_repeats`). If limits
    constrain alpha (`limits.limits_matter`), alpha, flux and their errors are mean and standard deviation of the
    posterior. With one detection, or several at nearly one frequency, alpha has a flat prior on
    `settings.alpha_range`, and is NaN if there is no limit.

    Raises:
        InputError: shapes differ, there is no detection, or a frequency, error or detected flux is not
            positive.
    """
    n = np.size(frequency_mhz)
    c = columns(
        "SED points",
        frequency_mhz=np.atleast_1d(frequency_mhz),
        flux_mjy=np.atleast_1d(flux_mjy),
        error_mjy=np.atleast_1d(error_mjy),
        scale_error=per_row(scale_error, n),
        is_limit=per_row(is_limit, n).astype(bool),
        beam_arcsec=per_row(beam_arcsec, n),
    )
    c = {name: values[np.isfinite(c["flux_mjy"])] for name, values in c.items()}
    _check_points(c)
    c = _without_repeats(c)
    limit = c["is_limit"]
    ln_x = np.log(c["frequency_mhz"] / settings.reference_mhz)
    points = Points(c["flux_mjy"], c["error_mjy"], c["scale_error"], limit, ln_x[:, None] ** np.arange(3))
    flags = _flags_of_points(c, ln_x, settings)
    detections, limits = int((~limit).sum()), int(limit.sum())
    common = {"n_detections": detections, "n_limits": limits, "reference_mhz": settings.reference_mhz}
    if np.ptp(ln_x[~limit]) < settings.min_lever_arm:
        return _fit_one_frequency(points, settings, flags, common)

    best, loss, hessian = maximise(points, 2)
    delta_bic = float("nan")
    if detections >= settings.min_curved_detections:
        curved, curved_loss, curved_hessian = maximise(points, 3)
        delta_bic = 2 * (loss - curved_loss) - np.log(len(limit))  # one more parameter
        if delta_bic > settings.min_delta_bic:
            best, hessian = curved, curved_hessian
    errors = parameter_errors(hessian)
    if not np.isfinite(errors).all():
        flags.append("unconstrained")
    k = len(best)
    residual = residuals(points, best)[~limit]
    chi2, dof = float((residual**2).sum()), detections - k
    if dof > 0 and chi2_law.sf(chi2, dof) < settings.min_chi2_probability:
        flags.append("poorly_fit")
    if _is_variable(points, best, settings):
        flags.append("variable")
    flux = float(np.exp(best[0]))
    index = LimitedIndex(
        float(best[1]),
        float(errors[1]),
        float(ndtr((settings.steep_alpha - best[1]) / errors[1])),
        flux,
        float(flux * errors[0]),
    )
    if k == 2 and limits_matter(points, best, float(errors[1])):
        index = index_of_several(points, settings.alpha_range, settings.steep_alpha)
    return SEDFit(
        **asdict(index),
        curvature=float(best[2]) if k == 3 else 0.0,
        curvature_err=float(errors[2]) if k == 3 else float("nan"),
        chi2=chi2,
        dof=dof,
        delta_bic=float(delta_bic),
        flags=_sorted(flags),
        **common,
    )


def _fit_one_frequency(points: Points, settings: SEDSettings, flags: list[str], common: dict) -> SEDFit:
    """Result for one detection, or several at nearly one frequency: alpha from the limits, if there are any."""
    nan = float("nan")
    if common["n_detections"] > 1:
        flags.append("no_lever_arm")
        mean = np.average(np.log(points.flux_P[~points.limit_P]), weights=points.error_P[~points.limit_P] ** -2.0)
        if _is_variable(points, np.array([mean]), settings):
            flags.append("variable")
    index = LimitedIndex(nan, nan, nan, nan, nan)
    if points.limit_P.any():
        index = index_of_one(points, settings.alpha_range, settings.steep_alpha)
    else:
        flags.append("unconstrained")
    return SEDFit(
        **asdict(index),
        curvature=0.0,
        curvature_err=nan,
        chi2=0.0,
        dof=0,
        delta_bic=nan,
        flags=_sorted(flags),
        **common,
    )


def sed_model(fit: SEDFit, frequency_mhz: ArrayLike) -> np.ndarray:
    """Flux density (mJy) of a fit at the given frequencies (MHz), in the same shape."""
    ln_x = np.log(np.asarray(frequency_mhz, dtype=np.float64) / fit.reference_mhz)
    return fit.flux_mjy * np.exp(fit.alpha * ln_x + fit.curvature * ln_x**2)


def _check_points(c: dict[str, np.ndarray]) -> None:
    what, detected = "SED points", ~c["is_limit"]
    if not detected.any():
        raise InputError(f"{what}: no detection among {len(detected)} points; a spectrum needs at least one")
    require(c["frequency_mhz"] > 0, what, "frequency_mhz is not positive", "give MHz")
    require(c["error_mjy"] > 0, what, "error_mjy is not positive", "give the noise of the map in mJy")
    require(c["scale_error"] >= 0, what, "scale_error is negative or NaN", "give a fraction, e.g. 0.1")
    require(c["flux_mjy"][detected] > 0, what, "flux_mjy of a detection is not positive", "mark it as a limit")


def _without_repeats(c: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The points without second copies of one observation, e.g. of a survey that is in two catalogues.

    Copies have the same frequency, flux density and noise; of two scale errors the larger one is kept.
    """
    first, second = np.triu_indices(len(c["flux_mjy"]), k=1)
    same = ~c["is_limit"][first] & ~c["is_limit"][second]
    for name, tolerance in SAME_OBSERVATION.items():
        same &= np.abs(c[name][first] - c[name][second]) <= tolerance * np.abs(c[name][first])
    if not same.any():
        return c
    scale_error = c["scale_error"].copy()
    np.maximum.at(scale_error, first[same], scale_error[second[same]])
    keep = np.ones(len(scale_error), bool)
    keep[second[same]] = False
    return {name: values[keep] for name, values in (c | {"scale_error": scale_error}).items()}


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


def _is_variable(points: Points, best: np.ndarray, settings: SEDSettings) -> bool:
    """Whether two detections at one frequency disagree, after removing the fitted slope between them."""
    z = residuals(points, best)[~points.limit_P]
    ln_x = points.basis_PK[~points.limit_P, 1]
    model = np.exp(points.basis_PK[~points.limit_P, : len(best)] @ best)
    sigma = noise(points, np.exp(points.basis_PK[:, : len(best)] @ best))[~points.limit_P] / model
    ratio = z * sigma  # (flux - model) / model
    first, second = np.triu_indices(len(z), k=1)
    close = np.abs(ln_x[first] - ln_x[second]) < settings.same_frequency
    difference = np.abs(ratio[first] - ratio[second]) / np.hypot(sigma[first], sigma[second])
    return bool((close & (difference > settings.variable_sigma)).any())


def _sorted(flags: list[str]) -> tuple[str, ...]:
    return tuple(flag for flag in FLAGS if flag in flags)
