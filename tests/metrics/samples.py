"""Synthetic p(z) of known calibration: Gaussians in ln(1+z) on the bins of the model."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from mmae.metrics.pz_distribution import RedshiftPDF

EDGES_K1 = np.linspace(0, np.log1p(6.0), 193)  # the model's default: 192 bins to z = 6


def gaussians(centre_N, sigma_N, edges_K1=EDGES_K1) -> RedshiftPDF:
    """Gaussians integrated over the bins, truncated at the first and last edge."""
    cdf_NK1 = ndtr((edges_K1 - np.asarray(centre_N)[:, None]) / np.asarray(sigma_N)[:, None])
    mass_NK = np.diff(cdf_NK1, axis=1)
    return RedshiftPDF(edges_K1, mass_NK / mass_NK.sum(axis=1, keepdims=True))


def drawn(n: int, seed: int, *, stretch: float = 1.0, shift: float = 0.0) -> tuple[RedshiftPDF, np.ndarray]:
    """n p(z) with widths of 0.6 to 5 bins, and true redshifts.

    The true redshifts are drawn from Gaussians by inverting the CDF. The returned p(z) are wider by the factor
    `stretch` and shifted by `shift` times the true width: calibrated for 1 and 0.
    """
    rng = np.random.default_rng(seed)
    centre_N, sigma_N = rng.uniform(0.3, 1.2, n), rng.uniform(0.006, 0.05, n)
    # Probabilities of exactly 0 and 1 are excluded: bins there may be empty.
    truth_N = gaussians(centre_N, sigma_N).quantile(rng.uniform(1e-9, 1 - 1e-9, n))
    return gaussians(centre_N + shift * sigma_N, stretch * sigma_N), truth_N
