"""Redshift distributions p(z): probabilities of bins in x = ln(1+z), with uniform density in x within a bin.

Shape suffixes: N galaxies, K bins, K1 = K + 1 edges.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mmae.core.errors import InputError

SUM_TOLERANCE = 1e-3  # float32 sums over some hundred bins deviate from 1 by 1e-6


@dataclass(frozen=True)
class RedshiftPDF:
    """Redshift distributions of N galaxies, in float64, normalised to a sum of 1.

    Attributes:
        edges_K1: bin edges in ln(1+z), increasing.
        probability_NK: probability of each bin.

    Raises:
        InputError: shapes do not match, edges do not increase, probabilities are negative, not finite
            or do not sum to 1.
    """

    edges_K1: np.ndarray
    probability_NK: np.ndarray

    def __post_init__(self) -> None:
        edges_K1 = np.asarray(self.edges_K1, np.float64)
        probability_NK = np.asarray(self.probability_NK, np.float64)
        if edges_K1.ndim != 1 or probability_NK.ndim != 2 or len(edges_K1) != probability_NK.shape[1] + 1:
            raise InputError(
                f"p(z): edges have shape {edges_K1.shape} and probabilities {probability_NK.shape}; "
                f"give (bins + 1,) and (galaxies, bins)."
            )
        if len(edges_K1) < 2 or not np.isfinite(edges_K1).all() or (np.diff(edges_K1) <= 0).any():
            raise InputError("p(z): the bin edges must be finite and increasing; give them in ln(1+z).")
        sum_N = probability_NK.sum(axis=1)
        # NaN fails both comparisons.
        good_N = (probability_NK >= 0).all(axis=1) & (np.abs(sum_N - 1) <= SUM_TOLERANCE)
        if not good_N.all():
            row = int(np.argmin(good_N))
            raise InputError(
                f"p(z): row {row} is not a distribution: sum {sum_N[row]:.6g}, minimum {probability_NK[row].min():.3g} "
                f"({int((~good_N).sum())} such rows). Give bin probabilities, not logits or densities."
            )
        object.__setattr__(self, "edges_K1", edges_K1)
        object.__setattr__(self, "probability_NK", probability_NK / sum_N[:, None])

    def __len__(self) -> int:
        return len(self.probability_NK)

    def chosen(self, which_N: np.ndarray) -> RedshiftPDF:
        """The distributions of a subset of the galaxies, given as a mask or indices."""
        return RedshiftPDF(self.edges_K1, self.probability_NK[which_N])

    @property
    def width_K(self) -> np.ndarray:
        """Bin widths in ln(1+z)."""
        return np.diff(self.edges_K1)

    @property
    def z_edges_K1(self) -> np.ndarray:
        """Bin edges in redshift."""
        return np.expm1(self.edges_K1)

    def cumulative_NK1(self) -> np.ndarray:
        """The CDF at the edges: 0 at the first, exactly 1 at the last."""
        cdf_NK1 = np.zeros((len(self), len(self.edges_K1)))
        np.cumsum(self.probability_NK, axis=1, out=cdf_NK1[:, 1:])
        cdf_NK1[:, -1] = 1.0
        return np.minimum(cdf_NK1, 1.0, out=cdf_NK1)

    def cdf(self, z_N: ArrayLike) -> np.ndarray:
        """P(redshift <= z) (N,) at one z per galaxy; 0 below the first edge, 1 above the last."""
        low_N, high_N = self.cdf_of_bin(z_N)
        bin_N, x_N = self.located(z_N)
        fraction_N = np.clip((x_N - self.edges_K1[bin_N]) / self.width_K[bin_N], 0, 1)
        return low_N + fraction_N * (high_N - low_N)

    def cdf_of_bin(self, z_N: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """The CDF (N,) at the lower and upper edge of the bin that contains z.

        Below the first edge both are 0, above the last both are 1.
        """
        bin_N, x_N = self.located(z_N)
        cdf_NK1, row_N = self.cumulative_NK1(), np.arange(len(self))
        below_N, above_N = x_N < self.edges_K1[0], x_N > self.edges_K1[-1]
        low_N = np.where(above_N, 1.0, cdf_NK1[row_N, bin_N])
        high_N = np.where(below_N, 0.0, cdf_NK1[row_N, bin_N + 1])
        return low_N, high_N

    def density(self, z_N: ArrayLike) -> np.ndarray:
        """dP/dz (N,) at one z per galaxy: density in ln(1+z) divided by 1 + z; 0 outside the bins."""
        bin_N, x_N = self.located(z_N)
        inside_N = (x_N >= self.edges_K1[0]) & (x_N <= self.edges_K1[-1])
        density_N = self.probability_NK[np.arange(len(self)), bin_N] / self.width_K[bin_N] * np.exp(-x_N)
        return np.where(inside_N, density_N, 0.0)

    def quantile(self, q: ArrayLike) -> np.ndarray:
        """The redshift quantile (N,) of probability q.

        Args:
            q: one value, or one per galaxy.

        Raises:
            InputError: q is outside [0, 1].
        """
        q_N = np.broadcast_to(np.asarray(q, np.float64), len(self))
        if not ((q_N >= 0) & (q_N <= 1)).all():
            raise InputError("p(z): a quantile needs a probability from 0 to 1.")
        cdf_NK1, row_N = self.cumulative_NK1(), np.arange(len(self))
        # The first bin with an upper CDF of at least q; its probability is positive unless q is 0.
        bin_N = np.minimum((cdf_NK1[:, 1:] < q_N[:, None]).sum(axis=1), len(self.width_K) - 1)
        mass_N = self.probability_NK[row_N, bin_N]
        fraction_N = np.divide(q_N - cdf_NK1[row_N, bin_N], mass_N, out=np.zeros(len(self)), where=mass_N > 0)
        return np.expm1(self.edges_K1[bin_N] + np.clip(fraction_N, 0, 1) * self.width_K[bin_N])

    def mean(self) -> np.ndarray:
        """The mean redshift (N,), exact for a uniform density in ln(1+z) within a bin."""
        mean_K = np.diff(np.exp(self.edges_K1)) / self.width_K - 1
        return self.probability_NK @ mean_K

    def mode(self) -> np.ndarray:
        """The redshift (N,) at the centre in ln(1+z) of the bin with the highest mean density in z."""
        bin_N = np.argmax(self.probability_NK / np.diff(self.z_edges_K1), axis=1)
        return np.expm1(0.5 * (self.edges_K1[bin_N] + self.edges_K1[bin_N + 1]))

    def located(self, z_N: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Index (N,) of the bin of each redshift, or of the nearest bin if it is outside all bins, and ln(1+z) (N,)."""
        z_N = np.asarray(z_N, np.float64)
        if z_N.shape != (len(self),):
            raise InputError(f"p(z): redshifts have shape {z_N.shape} for {len(self)} galaxies; give one per galaxy.")
        good_N = np.isfinite(z_N) & (z_N > -1)
        if not good_N.all():
            row = int(np.argmin(good_N))
            raise InputError(f"p(z): the redshift of row {row} is {z_N[row]}; exclude galaxies without a redshift.")
        x_N = np.log1p(z_N)
        bin_N = np.searchsorted(self.edges_K1, x_N, side="right") - 1
        return np.clip(bin_N, 0, len(self.width_K) - 1), x_N
