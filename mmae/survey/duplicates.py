"""Galaxies that stand in more than one row, and the one split that all their rows get.

Rows are one galaxy if they have one targetid, or lie within 1 arcsec: two observations, two cutouts, the
same object in two input catalogues. A galaxy in train and test would be a test of memory. These links
chain, and so do shared groups (one parent image): all rows of such a chain go into one split.

Shape suffixes: N rows, E links, M rows of sets that two splits share.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from mmae.astro.crossmatch import match
from mmae.astro.healpix import on_sky

RADIUS_ARCSEC = 1.0  # the seeing of HSC is 0.6 arcsec, a DESI fibre 1.5 arcsec wide


def same_galaxy(targetid_N: np.ndarray, ra_N: np.ndarray, dec_N: np.ndarray) -> np.ndarray:
    """Which rows are one galaxy: rows of one label (N,) are linked by targetid or place, or by a chain.

    Args:
        targetid_N: DESI TARGETID; 0 and negative: none (DESI gives negative ones to fibres without target).
        ra_N, dec_N: ICRS degrees; what is not on the sky, NaN for one, has no place.
    """
    targeted, placed = np.flatnonzero(targetid_N > 0), np.flatnonzero(on_sky(ra_N, dec_N))
    # Rows at one and the same place are linked in a chain: as pairs they would be their number squared.
    place, first, which = np.unique(ra_N[placed] + 1j * dec_N[placed], return_index=True, return_inverse=True)
    near = match(place.real, place.imag, place.real, place.imag, RADIUS_ARCSEC)
    row = placed[first]
    return _chains(
        len(targetid_N),
        targeted[_equal(targetid_N[targeted])],
        placed[_equal(which)],
        row[np.stack([near.index1, near.index2])],
    )


def label_sets(galaxy_N: np.ndarray, group_N: np.ndarray) -> np.ndarray:
    """Labels (N,) of the sets that share a split: rows of one galaxy, of one group, or in a chain of both."""
    return _chains(len(galaxy_N), _equal(galaxy_N), _equal(group_N))


def common_splits(set_N: np.ndarray, object_id_N: pa.ChunkedArray, split_N: np.ndarray) -> np.ndarray:
    """The splits (N,) when every set has one: that of its member first in the order of object ids.

    Object ids know nothing of the hash that gave the splits, so the fractions stay as they were. The
    first member never moves, so the answer is the same when some rows have moved already. Where rows
    share the first object id, the earliest of their splits counts.

    Args:
        set_N: as from `label_sets`.
        object_id_N: strings.
        split_N: integers, the index in SPLITS.
    """
    n_sets = set_N.max(initial=-1) + 1
    lowest, highest = np.full(n_sets, np.iinfo(split_N.dtype).max), np.full(n_sets, -1)
    np.minimum.at(lowest, set_N, split_N)
    np.maximum.at(highest, set_N, split_N)
    row_M = np.flatnonzero((lowest < highest)[set_N])
    order_M = np.lexsort((split_N[row_M], np.array(object_id_N.take(row_M).to_pylist(), str), set_N[row_M]))
    shared, first = np.unique(set_N[row_M][order_M], return_index=True)
    split_of = np.zeros(n_sets, split_N.dtype)
    split_of[shared] = split_N[row_M[order_M[first]]]
    common_N = split_N.copy()
    common_N[row_M] = split_of[set_N[row_M]]
    return common_N


def _equal(key_N: np.ndarray) -> np.ndarray:
    """Links (2, E) that chain the rows of equal keys."""
    order_N = np.argsort(key_N, kind="stable")
    same = key_N[order_N[1:]] == key_N[order_N[:-1]]
    return np.stack([order_N[:-1][same], order_N[1:][same]])


def _chains(n: int, *links_2E: np.ndarray) -> np.ndarray:
    """Labels (N,) of the connected components."""
    one_E, other_E = np.concatenate(links_2E, axis=1)
    graph = coo_array((np.ones(len(one_E), bool), (one_E, other_E)), shape=(n, n))
    return connected_components(graph, directed=False)[1]
