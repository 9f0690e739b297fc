"""p(z) of a galaxy in 96 bytes: its CDF at 24 of the edges of its bins, chosen for the galaxy.

Between these knots the CDF is linear in ln(1+z); it is 0 at the first edge of the bins and 1 at the last. Knots are
added one by one, each where the difference from the CDF is largest (as in Ramer 1972, CGIP 1, 244), so that they are
where the CDF bends: a narrow peak is kept exactly, and the probability between two peaks stays that of p(z). Quantiles
at fixed levels, of the same size, lose five times more accuracy (docs/catalogue.md). A knot is the number of its edge
and the CDF there in units of 1/65535, both 16-bit integers. qp's parametrisation `interp_irregular` is of this kind.

Shape suffixes: N galaxies, K bins, K1 = K + 1 edges, Q knots.
"""

from __future__ import annotations

import numpy as np

from mmae.metrics.pz_distribution import RedshiftPDF

KNOTS = 24
STEPS = np.iinfo(np.uint16).max  # of the CDF


def encode_pz(probability_NK: np.ndarray, edges_K1: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The code of p(z): numbers of edges, and CDF there in units of 1 / STEPS, each (N, Q) uint16.

    Args:
        probability_NK: probability of each bin; rows of NaN give zeros.
        edges_K1: edges of the bins in ln(1+z).
    """
    usable_N = np.isfinite(probability_NK).all(1)
    edge_NQ = np.zeros((len(probability_NK), KNOTS), np.uint16)
    cdf_NQ = np.zeros_like(edge_NQ)
    if usable_N.any():
        cdf_NK1 = RedshiftPDF(edges_K1, probability_NK[usable_N]).cumulative_NK1()
        knot_NQ = _knots(cdf_NK1, edges_K1)
        edge_NQ[usable_N] = knot_NQ
        cdf_NQ[usable_N] = np.rint(np.take_along_axis(cdf_NK1, knot_NQ, 1) * STEPS)
    return edge_NQ, cdf_NQ


def decode_pz(edge_NQ: np.ndarray, cdf_NQ: np.ndarray, edges_K1: np.ndarray) -> RedshiftPDF:
    """p(z) in its bins of ln(1+z); arguments as in `encode_pz`. Rows without p(z) are to be left out."""
    N, K1 = len(edge_NQ), len(edges_K1)
    first_N1, last_N1 = np.zeros((N, 1)), np.ones((N, 1))
    edge_NR = np.concatenate([first_N1, edge_NQ, last_N1 * (K1 - 1)], 1).astype(int)
    x_NR = edges_K1[edge_NR]
    y_NR = np.concatenate([first_N1, np.asarray(cdf_NQ, np.float64) / STEPS, last_N1], 1)
    # One call of interp for all rows: each is shifted by more than the range of x.
    shift_N1 = (edges_K1[-1] - edges_K1[0] + 1) * np.arange(N)[:, None]
    at_NK1 = edges_K1[None] + shift_N1
    cdf_NK1 = np.interp(at_NK1.ravel(), (x_NR + shift_N1).ravel(), y_NR.ravel()).reshape(N, K1)
    return RedshiftPDF(edges_K1, np.diff(cdf_NK1))


def _knots(cdf_NK1: np.ndarray, edges_K1: np.ndarray) -> np.ndarray:
    """Numbers (N, Q) of the edges that are knots, increasing; an edge is repeated where fewer are exact."""
    cdf_NK1 = cdf_NK1.astype(np.float32)
    x_K1 = ((edges_K1 - edges_K1[0]) / (edges_K1[-1] - edges_K1[0])).astype(np.float32)
    N, K1 = cdf_NK1.shape
    row_N, column_K1 = np.arange(N), np.arange(K1, dtype=np.int32)
    knot_NQ = np.zeros((N, 2), np.int32) + [0, K1 - 1]
    error_NK1 = cdf_NK1 - x_K1  # of linear interpolation between the knots so far

    def slope(start_N: np.ndarray, stop_N: np.ndarray) -> np.ndarray:
        rise_N = cdf_NK1[row_N, stop_N] - cdf_NK1[row_N, start_N]
        return (rise_N / np.where(stop_N > start_N, x_K1[stop_N] - x_K1[start_N], 1))[:, None]

    for _ in range(KNOTS):
        new_N = np.abs(error_NK1).argmax(1)
        low_N = np.where(knot_NQ <= new_N[:, None], knot_NQ, 0).max(1)
        high_N = np.where(knot_NQ >= new_N[:, None], knot_NQ, K1 - 1).min(1)
        slope_NK1 = np.where(column_K1 <= new_N[:, None], slope(low_N, new_N), slope(new_N, high_N))
        line_NK1 = cdf_NK1[row_N, new_N][:, None] + (x_K1 - x_K1[new_N][:, None]) * slope_NK1
        between_NK1 = (column_K1 >= low_N[:, None]) & (column_K1 <= high_N[:, None])
        np.subtract(cdf_NK1, line_NK1, out=error_NK1, where=between_NK1)
        knot_NQ = np.concatenate([knot_NQ, new_N[:, None]], 1)
    return np.sort(knot_NQ[:, 2:], 1)
