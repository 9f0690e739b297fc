"""Likelihood of a radio spectrum with detections and upper limits, and its maximum.

S(nu) = S0 x^alpha exp(q ln(x)^2). Detections are Gaussian in flux density, upper limits enter with the
probability of a measurement below them (Sawicki 2012, PASP 124, 1208, eq. 8), the flux-scale error of each
survey is a fraction of the model flux.

Suffixes: P points, K parameters (ln S0, alpha and, when curved, q), any dimensions before P in `loss_terms`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_ndtr

MIN_EIGENVALUE_RATIO = 1e-10  # below this a Hessian is singular to the precision of its finite differences


@dataclass(frozen=True)
class Points:
    """Points of a spectrum: flux densities or limits in mJy, their noise, and the fractional flux-scale errors."""

    flux_P: np.ndarray
    error_P: np.ndarray
    scale_P: np.ndarray
    limit_P: np.ndarray  # bool
    basis_PK: np.ndarray  # 1, ln x, ln(x)^2


def noise(points: Points, model_P: np.ndarray) -> np.ndarray:
    """Noise and flux-scale error of each point in quadrature, in the shape of the model."""
    return np.sqrt(points.error_P**2 + (points.scale_P * model_P) ** 2)


def residuals(points: Points, parameters_K: np.ndarray) -> np.ndarray:
    """(P,) (data - model) / error."""
    model_P = np.exp(points.basis_PK[:, : len(parameters_K)] @ parameters_K)
    return (points.flux_P - model_P) / noise(points, model_P)


def loss_terms(points: Points, model: np.ndarray, sigma: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Negative log likelihood of each point, (..., P); `z` are the residuals, `sigma` the errors."""
    return np.where(points.limit_P, -log_ndtr(z), 0.5 * z**2 + np.log(sigma))


def loss_and_gradient(parameters_K: np.ndarray, points: Points) -> tuple[float, np.ndarray]:
    """Negative log likelihood, and its gradient (K,), including that of the flux-scale errors."""
    basis_PK = points.basis_PK[:, : len(parameters_K)]
    model_P = np.exp(np.clip(basis_PK @ parameters_K, -60, 60))
    sigma_P = noise(points, model_P)
    z_P = (points.flux_P - model_P) / sigma_P
    slope_P = points.scale_P**2 * model_P / sigma_P**2  # d ln(sigma) / d model
    dz_P = -1 / sigma_P - z_P * slope_P
    hazard_P = np.exp(-0.5 * z_P**2 - 0.5 * np.log(2 * np.pi) - log_ndtr(z_P))
    d_model_P = np.where(points.limit_P, -hazard_P * dz_P, z_P * dz_P + slope_P)
    loss = loss_terms(points, model_P, sigma_P, z_P).sum()
    return float(loss), basis_PK.T @ (d_model_P * model_P)


def maximise(points: Points, k: int) -> tuple[np.ndarray, float, np.ndarray]:
    """Parameters (K), negative log likelihood and its Hessian (K,K) at the maximum of the likelihood."""
    detected = ~points.limit_P
    sigma_ln = noise(points, points.flux_P)[detected] / points.flux_P[detected]
    start, *_ = np.linalg.lstsq(
        points.basis_PK[detected, :k] / sigma_ln[:, None], np.log(points.flux_P[detected]) / sigma_ln
    )
    result = minimize(loss_and_gradient, start, args=(points,), jac=True, method="BFGS", options={"gtol": 1e-6})
    hessian = np.empty((k, k))
    for index in range(k):
        step = np.zeros(k)
        step[index] = 1e-4
        high, low = (loss_and_gradient(result.x + sign * step, points)[1] for sign in (1, -1))
        hessian[index] = (high - low) / 2e-4
    return result.x, float(result.fun), (hessian + hessian.T) / 2


def covariance(hessian: np.ndarray) -> np.ndarray:
    """(K,K) inverse of the Hessian; NaN if it is not positive definite: the data do not constrain the parameters."""
    if np.isfinite(hessian).all():
        eigenvalues = np.linalg.eigvalsh(hessian)
        if eigenvalues[0] > MIN_EIGENVALUE_RATIO * eigenvalues[-1]:
            return np.linalg.inv(hessian)
    return np.full(hessian.shape, np.nan)


def parameter_errors(hessian: np.ndarray) -> np.ndarray:
    """(K,) 1-sigma errors; NaN if the Hessian is not positive definite."""
    return np.sqrt(np.diag(covariance(hessian)))
