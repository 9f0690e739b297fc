"""Galaxies that the model was trained on: their p(z) is too narrow, and the catalogue marks them.

Shape suffixes: N galaxies, M training rows.
"""

from __future__ import annotations

from pathlib import Path

import erfa
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.spatial import cKDTree

from mmae.astro.healpix import on_sky
from mmae.core.errors import InputError
from mmae.survey.duplicates import RADIUS_ARCSEC
from mmae.survey.leaks import TRAINING_ROWS


class TrainingRows:
    """Positions of the rows that trained a model or selected its checkpoint."""

    def __init__(self, ra_M: np.ndarray, dec_M: np.ndarray):
        placed_M = on_sky(ra_M, dec_M)
        self._tree = cKDTree(erfa.s2c(np.radians(ra_M[placed_M]), np.radians(dec_M[placed_M])))

    def contain(self, ra_N: np.ndarray, dec_N: np.ndarray) -> np.ndarray:
        """Mask (N,) of the galaxies within 1 arcsec of one of these rows; positions in degrees."""
        chord = 2 * np.sin(np.radians(RADIUS_ARCSEC / 3600) / 2)
        distance_N, _ = self._tree.query(erfa.s2c(np.radians(ra_N), np.radians(dec_N)), distance_upper_bound=chord)
        return np.isfinite(distance_N)


def read_training_rows(model: Path) -> TrainingRows | None:
    """The training rows beside the weights of a bundle or checkpoint; None if they are not known.

    Raises:
        InputError: the file is damaged.
    """
    path = model / TRAINING_ROWS
    if not path.exists():
        return None
    try:
        rows = pq.read_table(path, columns=["ra", "dec"], partitioning=None)
    except (OSError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: cannot be read ({reason}). Copy the checkpoint again.") from error
    return TrainingRows(*(rows[name].to_numpy().astype(float) for name in ("ra", "dec")))
