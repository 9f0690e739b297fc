"""Rare kinds of galaxy, which an epoch repeats so that the model sees them often enough.

A kind is a bin of ln(1+z), for point sources and for extended ones: quasars at the redshift of many galaxies are rare,
and so are galaxies at the redshift of many quasars. Does not import torch. Shape suffixes: N galaxies, G row groups.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmae.survey.strata import POINT_SOURCE

BIN = 0.1  # width in ln(1 + z)
LEAST = 0.01  # of the galaxies with a redshift: smaller kinds are repeated
COLUMNS = ["redshift", "morphtype"]
REPEATS = "repeats"  # column of the rows of a batch: how many times an epoch has them


def kinds(table: pa.Table) -> np.ndarray:
    """The kind of each row, (N,) int; -1 without a redshift. A source of unknown shape counts as extended."""
    redshift_N = table["redshift"].to_numpy()
    known_N = np.isfinite(redshift_N)
    bin_N = np.floor(np.log1p(np.where(known_N, redshift_N, 0.0)).clip(0) / BIN).astype(int)
    is_point_N = pc.equal(table["morphtype"], POINT_SOURCE).fill_null(False).to_numpy().astype(int)
    return np.where(known_N, 2 * bin_N + is_point_N, -1)


def repeats_of_rare(kind_G: list[np.ndarray], most: int) -> tuple[np.ndarray, ...]:
    """How many times an epoch has each row, for each row group: 1 to `most`.

    A kind is repeated until it has the fraction LEAST of the galaxies.
    """
    kind_N = np.concatenate(kind_G)
    known_N = kind_N >= 0
    number_K = np.bincount(kind_N[known_N], minlength=1)
    least = LEAST * known_N.sum()
    repeats_K = np.ceil(least / number_K.clip(1)).clip(1, most).astype(np.int8)  # a byte per galaxy of the survey
    return tuple(np.where(kind_N >= 0, repeats_K[kind_N], 1) for kind_N in kind_G)
