"""Spectral index of sources with constraining upper limits, from the posterior on a grid.

The likelihood is then asymmetric: it falls off steeply on the side of the limit and slowly on the other,
where the true index is. The curvature at the maximum is not a valid error.

Suffixes: A grid of alpha, F grid of ln flux, P points.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmae.steepspec.spectra.likelihood import Points, covariance, loss_terms, maximise, noise

INDICES, FLUXES = 161, 41  # grid points: steps of 0.05 in alpha over the range of the prior
REACH, FLUX_REACH = 6.0, 5.0  # half-widths of the grids, in errors
NEGLIGIBLE_SIGMA = 3.0  # a limit this many errors above the model adds 0.001 to the loss


@dataclass(frozen=True)
class LimitedIndex:
    """Posterior mean and standard deviation of alpha and of the flux density at the reference frequency."""

    alpha: float
    alpha_err: float
    p_steep: float
    flux_mjy: float
    flux_err_mjy: float


def limits_matter(points: Points, best: np.ndarray, alpha_err: float) -> bool:
    """Whether a limit constrains alpha within 2 errors of the fit.

    Args:
        best: (2,) ln S0 and alpha of the fit.
        alpha_err: its error of alpha.
    """
    if not points.limit_P.any():
        return False
    ln_x = points.basis_PK[points.limit_P, 1]
    for alpha in (best[1], best[1] - 2 * alpha_err, best[1] + 2 * alpha_err):
        model = np.exp(np.clip(best[0] + alpha * ln_x, -60, 60))
        sigma = np.hypot(points.error_P[points.limit_P], points.scale_P[points.limit_P] * model)
        if ((points.flux_P[points.limit_P] - model) / sigma < NEGLIGIBLE_SIGMA).any():
            return True
    return False


def index_of_one(points: Points, alpha_range: tuple[float, float], steep_alpha: float) -> LimitedIndex:
    """One detection, or several at nearly one frequency: alpha from the limits, with a flat prior on its range."""
    detected = ~points.limit_P
    flux_D = points.flux_P[detected]
    relative_D = noise(points, points.flux_P)[detected] / flux_D
    weight_D = relative_D**-2 / (relative_D**-2).sum()
    ln_flux = float(weight_D @ np.log(flux_D))
    # Of detections that disagree, the scatter instead of the error of their mean.
    relative = max(float((relative_D**-2).sum() ** -0.5), float(np.sqrt(weight_D @ (np.log(flux_D) - ln_flux) ** 2)))
    ln_flux_F = ln_flux + np.log(np.linspace(max(1 - FLUX_REACH * relative, 1e-3), 1 + FLUX_REACH * relative, FLUXES))
    pivot = float(weight_D @ points.basis_PK[detected, 1])
    return _posterior(points, np.linspace(*alpha_range, INDICES), pivot, ln_flux_F, steep_alpha)


def index_of_several(points: Points, alpha_range: tuple[float, float], steep_alpha: float) -> LimitedIndex:
    """Two detections or more, with limits; flat prior in alpha and ln flux, grid around the fit of the detections.

    If the detections alone do not constrain alpha: as `index_of_one`.
    """
    detected = ~points.limit_P
    detections = Points(
        points.flux_P[detected],
        points.error_P[detected],
        points.scale_P[detected],
        points.limit_P[detected],
        points.basis_PK[detected],
    )
    best, _, hessian = maximise(detections, 2)
    covariance_KK = covariance(hessian)
    if not np.isfinite(covariance_KK).all():
        return index_of_one(points, alpha_range, steep_alpha)
    alpha_err = np.sqrt(covariance_KK[1, 1])
    # At the pivot frequency flux and alpha are uncorrelated, so that a small grid of flux serves for every alpha.
    pivot = -covariance_KK[0, 1] / covariance_KK[1, 1]
    flux_err = np.sqrt(max(covariance_KK[0, 0] - covariance_KK[0, 1] ** 2 / covariance_KK[1, 1], 0.0))
    return _posterior(
        points,
        best[1] + alpha_err * np.linspace(-REACH, REACH, INDICES),
        pivot,
        best[0] + best[1] * pivot + flux_err * np.linspace(-FLUX_REACH, FLUX_REACH, FLUXES),
        steep_alpha,
    )


def _posterior(
    points: Points, alpha_A: np.ndarray, pivot: float, ln_flux_F: np.ndarray, steep_alpha: float
) -> LimitedIndex:
    """Moments of the posterior over the grid; `ln_flux_F` is at ln x = `pivot`."""
    ln_model_AFP = ln_flux_F[None, :, None] + alpha_A[:, None, None] * (points.basis_PK[:, 1] - pivot)
    model_AFP = np.exp(np.clip(ln_model_AFP, -60, 60))
    sigma_AFP = noise(points, model_AFP)
    loss_AF = loss_terms(points, model_AFP, sigma_AFP, (points.flux_P - model_AFP) / sigma_AFP).sum(axis=-1)
    weight_AF = np.exp(loss_AF.min() - loss_AF)
    weight_AF /= weight_AF.sum()
    weight_A = weight_AF.sum(axis=1)
    mean = float(weight_A @ alpha_A)
    ln_reference_AF = ln_flux_F[None, :] - alpha_A[:, None] * pivot
    ln_flux = float((weight_AF * ln_reference_AF).sum())
    spread = float(np.sqrt((weight_AF * (ln_reference_AF - ln_flux) ** 2).sum()))
    return LimitedIndex(
        mean,
        float(np.sqrt(weight_A @ (alpha_A - mean) ** 2)),
        min(float(weight_A[alpha_A < steep_alpha].sum()), 1.0),  # rounding may give a sum above 1
        float(np.exp(ln_flux)),
        float(np.exp(ln_flux)) * spread,
    )
