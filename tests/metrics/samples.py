"""Synthetic p(z) whose calibration is known: Gaussians in ln(1+z) on the project's bins."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from mmae.metrics.pz_distribution import RedshiftPDF

EDGES_K1 = np.linspace(0, np.log1p(6.0), 193)  # the model's default: 192 bins to z = 6


def gaussians(centre_N, sigma_N, edges_K1=EDGES_K1) -> RedshiftPDF:
    """The mass of Gaussians in every bin; what lies outside the bins is cut off."""
    cdf_NK1 = ndtr((edges_K1 - np.asarray(centre_N)[:, None]) / np.asarray(sigma_N)[:, None])
    mass_NK = np.diff(cdf_NK1, axis=1)
    return RedshiftPDF(edges_K1, mass_NK / mass_NK.sum(axis=1, keepdims=True))


def drawn(n: int, seed: int, *, stretch: float = 1.0, shift: float = 0.0) -> tuple[RedshiftPDF, np.ndarray]:
    """n p(z) and true redshifts, of widths from 0.6 to 5 bins.

    The truth is drawn from Gaussians, by inverting their CDF. What is returned as p(z) has widths
    `stretch` times as large and lies `shift` of the true widths too high: calibrated for 1 and 0.
    """
    rng = np.random.default_rng(seed)
    centre_N, sigma_N = rng.uniform(0.3, 1.2, n), rng.uniform(0.006, 0.05, n)
    # u is kept off the ends, where a bin holds no mass to invert.
    truth_N = gaussians(centre_N, sigma_N).quantile(rng.uniform(1e-9, 1 - 1e-9, n))
    return gaussians(centre_N + shift * sigma_N, stretch * sigma_N), truth_N
