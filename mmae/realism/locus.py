"""Whether real objects are inside the simulated locus: colours of real tables at each redshift.

A model cannot be right, and does not know that it is wrong, where a real object is unlike all simulated ones. A real
object is outside if the distance to its nearest simulated neighbours in colour space is larger than that of 99% of
simulated objects. The test is of the support, not of the density: selections differ.

Shape suffixes: N real objects, M simulated objects, C bands, D colours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.spatial import cKDTree

from mmae.realism.reference_tables import RealTable

GALAXY_EDGES = (0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.25, 1.6)
QUASAR_EDGES = (0.1, 0.4, 0.7, 1.0, 1.3, 1.6, 1.9, 2.2, 2.6, 3.0, 3.5)
NEIGHBOURS = 3  # the distance to the third: robust against a single neighbour by chance
PERCENT = 99.0
MIN_SIMULATED, MIN_REAL = 30, 10  # per cell
MAX_REAL = 400  # real objects per cell; more do not change the fraction


@dataclass(frozen=True)
class SimulatedTable:
    """Simulated objects in the bands of a real table, without noise."""

    redshift_M: np.ndarray
    mag_MC: np.ndarray


@dataclass(frozen=True)
class LocusCell:
    """One redshift cell of one table."""

    table: str
    low: float
    high: float
    n_simulated: int
    n_real: int
    outside: float  # fraction of the real objects
    error: float  # binomial


def outside_fraction(simulated_MD: np.ndarray, real_ND: np.ndarray) -> float:
    """Fraction of real objects outside the region of 99% of the simulated ones.

    Distances are to the third nearest simulated object, in units of the simulated standard deviations.
    """
    scale_D = simulated_MD.std(axis=0) + 1e-12
    tree = cKDTree(simulated_MD / scale_D)
    among_M = tree.query(simulated_MD / scale_D, k=NEIGHBOURS + 1)[0][:, -1]  # the nearest is the object itself
    real_N = tree.query(real_ND / scale_D, k=NEIGHBOURS)[0][:, -1]
    return float((real_N > np.percentile(among_M, PERCENT)).mean())


def locus_cells(table: RealTable, simulated: SimulatedTable, seed: int) -> list[LocusCell]:
    """The test in each redshift cell with enough objects.

    Each simulated object gets the photometric errors of a random real object of its cell.
    """
    rng = np.random.default_rng(seed)
    cells = []
    for low, high in pairwise(QUASAR_EDGES if table.quasars else GALAXY_EDGES):
        in_N = (table.redshift_N >= low) & (table.redshift_N < high)
        in_M = (simulated.redshift_M >= low) & (simulated.redshift_M < high)
        if in_N.sum() < MIN_REAL or in_M.sum() < MIN_SIMULATED:
            continue
        chosen_N = rng.permutation(np.flatnonzero(in_N))[:MAX_REAL]
        mag_MC = simulated.mag_MC[in_M]
        error_MC = table.error_NC[rng.choice(chosen_N, len(mag_MC))]
        noisy_MC = mag_MC + error_MC * rng.standard_normal(mag_MC.shape)
        fraction = outside_fraction(-np.diff(noisy_MC), -np.diff(table.mag_NC[chosen_N]))
        n = len(chosen_N)
        error = float(np.sqrt(max(fraction * (1 - fraction), 1 / n) / n))
        cells.append(LocusCell(table.name, low, high, int(in_M.sum()), n, fraction, error))
    return cells


def overall(cells: Sequence[LocusCell]) -> tuple[float, float]:
    """Fraction outside of the real objects of all cells, and its binomial error; NaN without cells."""
    n = sum(c.n_real for c in cells)
    if not n:
        return float("nan"), float("nan")
    fraction = sum(c.outside * c.n_real for c in cells) / n
    return fraction, float(np.sqrt(max(fraction * (1 - fraction), 1 / n) / n))
