"""Scores of p(z): CRPS, CDE loss and log-likelihood, each with its 68% interval.

All three are proper scores: their expectation is best for the true distribution. All refer to p(z) as a density in z.
 Shape suffixes: N galaxies, R bootstrap resamples, K bins, K1 = K + 1 edges.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from mmae.core.errors import InputError
from mmae.metrics.bootstrap import EMPTY, Score, Scores, bootstrap_scores
from mmae.metrics.pz_distribution import RedshiftPDF

CRPS, CDE_LOSS, LOG_LIKELIHOOD = "CRPS", "CDE loss", "mean ln p"
DENSITY_FLOOR = 1e-6
"""Minimum density in z for the log-likelihood. Without it, a single galaxy with p(z_true) = 0 would make the mean
minus infinity; no test sample can show that a probability is below 1e-6."""


def galaxy_scores(pdf: RedshiftPDF, z_N: ArrayLike) -> dict[str, np.ndarray]:
    """CRPS, CDE loss and ln p of each galaxy: name -> (N,); see `crps`, `cde_loss`, `log_likelihood`.

    Args:
        z_N: true redshifts, finite.
    """
    return {CRPS: crps(pdf, z_N), CDE_LOSS: cde_loss(pdf, z_N), LOG_LIKELIHOOD: log_likelihood(pdf, z_N)}


def crps(pdf: RedshiftPDF, z_N: ArrayLike) -> np.ndarray:
    """Continuous ranked probability score (N,) in units of redshift; smaller is better.

    The integral over z of (F(z) - [z >= z_true])^2 (Matheson & Winkler 1976, Management Science 22,
    1087; Gneiting & Raftery 2007, JASA 102, 359, section 4.2); for a delta function it is the
    absolute error. Exact for a CDF linear in ln(1+z) within bins, also for true redshifts outside the bins. Since
    [.]^2 = [.], it equals int F^2 + (z_max - z_true) - 2 int_(z_true)^(z_max) F.
    """
    cdf_NK1, mass_NK, width_K = pdf.cumulative_NK1(), pdf.probability_NK, pdf.width_K
    one_K, first_K, second_K = _moments(width_K)
    scale_K = np.exp(pdf.edges_K1[:-1])  # dz = exp(edge) exp(t) dt with t = x - edge
    slope_NK = mass_NK / width_K
    low_NK = cdf_NK1[:, :-1]
    square_N = (scale_K * (low_NK**2 * one_K + 2 * low_NK * slope_NK * first_K + slope_NK**2 * second_K)).sum(axis=1)
    area_NK = scale_K * (low_NK * one_K + slope_NK * first_K)  # int F dz

    z_N = np.asarray(z_N, np.float64)
    bin_N, x_N = pdf.located(z_N)
    row_N = np.arange(len(pdf))
    inside_N = np.clip(x_N, pdf.edges_K1[0], pdf.edges_K1[-1])
    one_N, first_N, _ = _moments(inside_N - pdf.edges_K1[bin_N])
    below_N = np.cumsum(area_NK, axis=1)[row_N, bin_N] - area_NK[row_N, bin_N]
    below_N += scale_K[bin_N] * (low_NK[row_N, bin_N] * one_N + slope_NK[row_N, bin_N] * first_N)
    z_max = pdf.z_edges_K1[-1]
    beyond_N = np.maximum(z_N - z_max, 0)  # F = 1 beyond z_max
    to_max_N = area_NK.sum(axis=1) - below_N - beyond_N
    return np.maximum(square_N + (z_max - z_N) - 2 * to_max_N, 0)  # rounding may give negative values for narrow p(z)


def cde_loss(pdf: RedshiftPDF, z_N: ArrayLike) -> np.ndarray:
    """int p(z)^2 dz - 2 p(z_true) (N,); smaller is better, usually negative.

    Its expectation is the squared distance between p(z) and the true conditional density, up to a constant
    independent of p(z) (Izbicki & Lee 2017, EJS 11, 2800; as in Schmidt et al. 2020, MNRAS
    499, 1587).
    """
    inverse_K = -np.diff(np.exp(-pdf.edges_K1))  # int dz / (1+z)^2 over a bin
    square_N = (pdf.probability_NK / pdf.width_K) ** 2 @ inverse_K
    return square_N - 2 * pdf.density(z_N)


def log_likelihood(pdf: RedshiftPDF, z_N: ArrayLike) -> np.ndarray:
    """ln of the density in z at the true redshift (N,), but at least ln(DENSITY_FLOOR)."""
    return np.log(np.maximum(pdf.density(z_N), DENSITY_FLOOR))


def at_floor(pdf: RedshiftPDF, z_N: ArrayLike) -> np.ndarray:
    """Mask (N,) of p(z_true) < DENSITY_FLOOR; True for all redshifts outside the bins."""
    return pdf.density(z_N) < DENSITY_FLOOR


def mean_scores(values: Mapping[str, np.ndarray], *, seed: int, resamples: int = 1000) -> Scores:
    """Means over galaxies, with the 16th and 84th percentile of a bootstrap over galaxies.

    Args:
        values: name -> (N,) as from `galaxy_scores`; all use the same bootstrap samples.
        seed: seed of the bootstrap.
        resamples: number of bootstrap samples.

    Raises:
        InputError: resamples below 2.
    """
    if resamples < 2:
        raise InputError(f"resamples = {resamples}: at least 2 are required for an interval; some hundreds are usual.")
    n = len(next(iter(values.values())))
    if n < 2:  # no spread
        return {
            name: Score(float(value_N[0]), math.nan, math.nan, 1) if n else EMPTY for name, value_N in values.items()
        }

    def means(row_RN: np.ndarray) -> dict[str, np.ndarray]:
        return {name: value_N[row_RN].mean(axis=-1) for name, value_N in values.items()}

    return bootstrap_scores(np.arange(n), means, seed=seed, resamples=resamples)


def _moments(t: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Integrals from 0 to t of e^s, s e^s and s^2 e^s."""
    growth = np.expm1(t)
    first = t * np.exp(t) - growth
    return growth, first, t**2 * np.exp(t) - 2 * first
