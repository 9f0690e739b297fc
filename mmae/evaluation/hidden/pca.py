"""Inpainting of hidden spectrum samples by principal components fitted to training spectra, weighted by ivar.

Components by expectation maximisation with the inverse variances as weights (Bailey 2012, PASP 124, 1015), in the
observed frame. The coefficients of a spectrum follow from its visible samples alone.

Shape suffixes: M training spectra, T of them to choose the number, N spectra, L wavelength samples,
K components, P pairs of components.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

COMPONENTS = (4, 8, 16, 32)  # numbers of components from which one is chosen
ITERATIONS = 8
MIN_TRAINING = 200
RIDGE = 1e-6  # of the mean diagonal, for samples or spectra without data


@dataclass(frozen=True)
class SpectrumComponents:
    """Components of spectra of unit rms, and the variance of their coefficients in the training spectra.

    Attributes:
        component_KL: orthonormal rows, in the order of their variance.
        variance_K: mean square of the coefficients: a prior, without which a few noisy visible samples would give
            large hidden ones.
    """

    component_KL: np.ndarray
    variance_K: np.ndarray

    def inpaint(self, flux_NL: np.ndarray, ivar_NL: np.ndarray, visible_NL: np.ndarray) -> np.ndarray:
        """The spectra (N,L) that follow from the visible samples; NaN for a spectrum without good visible samples."""
        weight_NL = np.where(visible_NL, ivar_NL, 0.0)
        scale_N1 = weighted_rms(flux_NL, weight_NL)
        with np.errstate(divide="ignore", invalid="ignore"):
            unit_NL = np.nan_to_num(flux_NL / scale_N1)
        unit_ivar_NL = np.nan_to_num(weight_NL * scale_N1**2)
        return scale_N1 * (
            coefficients(unit_NL, unit_ivar_NL, self.component_KL, 1 / self.variance_K) @ self.component_KL
        )


def fit_components(flux_ML: np.ndarray, ivar_ML: np.ndarray, k: int, seed: int) -> SpectrumComponents:
    """Fit k components to spectra of unit weighted rms. Spectra without good samples do not count."""
    rms_M1 = weighted_rms(flux_ML, ivar_ML)
    good_M = np.isfinite(rms_M1[:, 0]) & (rms_M1[:, 0] > 0)
    unit_ML = (flux_ML[good_M] / rms_M1[good_M]).astype(np.float32)
    weight_ML = (ivar_ML[good_M] * rms_M1[good_M] ** 2).astype(np.float32)
    unit_ML[weight_ML == 0] = 0
    # Brighter spectra have more weight in the components, up to a S/N of 10 per sample.
    weight_ML = weight_ML / (1 + weight_ML / 100)
    component_KL = orthonormal(np.random.default_rng(seed).standard_normal((k, flux_ML.shape[1])))
    for _ in range(ITERATIONS):
        coefficient_MK = coefficients(unit_ML, weight_ML, component_KL)
        component_KL = orthonormal(coefficients(unit_ML.T, weight_ML.T, coefficient_MK.T).T)
    # Principal axes, so that the coefficients are uncorrelated and the prior is diagonal.
    coefficient_MK = coefficients(unit_ML, weight_ML, component_KL)
    _, size_K, axes_KK = np.linalg.svd(coefficient_MK, full_matrices=False)
    return SpectrumComponents(axes_KK @ component_KL, np.maximum(size_K**2 / len(coefficient_MK), RIDGE))


def choose_components(
    flux_ML: np.ndarray, ivar_ML: np.ndarray, visible_NL: np.ndarray, seed: int, numbers: Sequence[int] = COMPONENTS
) -> SpectrumComponents | None:
    """Components of the number with the smallest median hidden chi-square of the last tenth, which is left out.

    None for fewer than MIN_TRAINING spectra.

    Args:
        visible_NL: masks with which the last tenth is tested.
    """
    if len(flux_ML) < MIN_TRAINING:
        return None
    test = len(flux_ML) // 10
    flux_TL, ivar_TL = flux_ML[-test:], ivar_ML[-test:]
    visible_TL = np.resize(visible_NL[visible_NL.any(1)], flux_TL.shape)
    largest = fit_components(flux_ML[:-test], ivar_ML[:-test], max(numbers), seed)
    candidates = [SpectrumComponents(largest.component_KL[:k], largest.variance_K[:k]) for k in numbers]
    error = [
        np.nanmedian(chi2_per_sample(one.inpaint(flux_TL, ivar_TL, visible_TL), flux_TL, ivar_TL, ~visible_TL))
        for one in candidates
    ]
    return candidates[int(np.argmin(error))]


def coefficients(
    value_NL: np.ndarray, weight_NL: np.ndarray, component_KL: np.ndarray, precision_K: np.ndarray | float = 0.0
) -> np.ndarray:
    """Weighted least squares (N,K) of each row; `precision_K`: of a prior with mean 0."""
    k = len(component_KL)
    row_P, column_P = np.triu_indices(k)  # the normal matrix is symmetric
    product_LP = (component_KL[row_P] * component_KL[column_P]).T.astype(weight_NL.dtype)
    normal_NKK = np.empty((len(weight_NL), k, k))
    normal_NKK[:, row_P, column_P] = normal_NKK[:, column_P, row_P] = weight_NL @ product_LP
    right_NK = ((weight_NL * value_NL) @ component_KL.T.astype(weight_NL.dtype)).astype(np.float64)
    diagonal_N = np.trace(normal_NKK, axis1=1, axis2=2) / k
    ridge_NK = RIDGE * np.where(diagonal_N > 0, diagonal_N, 1.0)[:, None] + precision_K
    return np.linalg.solve(normal_NKK + ridge_NK[:, :, None] * np.eye(k), right_NK[..., None])[..., 0]


def orthonormal(component_KL: np.ndarray) -> np.ndarray:
    """Orthonormal rows that span the same space."""
    return np.linalg.qr(component_KL.T.astype(np.float64))[0].T


def weighted_rms(flux_NL: np.ndarray, weight_NL: np.ndarray) -> np.ndarray:
    """Weighted rms (N,1); NaN for a row without weight."""
    total_N1 = weight_NL.sum(1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.sqrt((weight_NL * flux_NL**2).sum(1, keepdims=True) / total_N1)


def chi2_per_sample(
    model_NL: np.ndarray, flux_NL: np.ndarray, ivar_NL: np.ndarray, hidden_NL: np.ndarray
) -> np.ndarray:
    """Chi-square per good hidden sample (N,); NaN without any."""
    used_NL = hidden_NL & (ivar_NL > 0)
    square_NL = np.where(used_NL, (model_NL - flux_NL) ** 2 * ivar_NL, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return square_NL.sum(1, dtype=np.float64) / used_NL.sum(1)
