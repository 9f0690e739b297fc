"""Surfaces of simulated redshifts with known scatter in every cell."""

from __future__ import annotations

import numpy as np

RATIOS = (0.0, 0.25, 0.5, 0.75, 1.0)
# Scatter with 0, 25, 50, 75% of a modality masked, and with the modality absent.
IMAGE, SPECTRUM = (0.016, 0.019, 0.024, 0.036, np.inf), (0.004, 0.005, 0.007, 0.012, np.inf)


def monotone_scatter() -> np.ndarray:
    """(5, 5) scatter of both modalities combined, as if independent; NaN where both are absent."""
    weight = np.add.outer(np.square(np.reciprocal(IMAGE)), np.square(np.reciprocal(SPECTRUM)))
    with np.errstate(divide="ignore"):
        return np.where(weight > 0, weight**-0.5, np.nan)


def predictions(scatter_IS: np.ndarray, n: int, seed: int, correlation: float = 0.6) -> tuple[np.ndarray, np.ndarray]:
    """z_pred (I,S,N) and z_spec (N,) with correlated errors between cells and heavy tails."""
    rng = np.random.default_rng(seed)
    z_spec_N = rng.gamma(2, 0.25, n)
    shared_N, own_ISN = rng.standard_t(4, n), rng.standard_t(4, (*scatter_IS.shape, n))
    dz_ISN = np.sqrt(correlation) * shared_N + np.sqrt(1 - correlation) * own_ISN
    return z_spec_N + (1 + z_spec_N) * scatter_IS[..., None] * dz_ISN, z_spec_N
