"""Galaxies with more than one row, and the common split of these rows.

Rows are one galaxy if they are within 1 arcsec, or have the same targetid and are within 10 arcsec: two observations,
two cutouts, the same object in two input catalogues. Equal targetids further apart are numbers that two files use for
different objects. Rows without position are one galaxy if they have the same targetid. With a galaxy in both
train and test, the test would measure memorisation. These links form chains, also with shared groups (one parent
image): all rows of a chain get one split.

Shape suffixes: N rows, E links, M rows of sets that two splits share, R rows whose
targetid repeats, P distinct places of them.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from mmae.astro.crossmatch import match
from mmae.astro.healpix import on_sky

RADIUS_ARCSEC = 1.0  # the seeing of HSC is 0.6 arcsec, a DESI fibre 1.5 arcsec wide
TARGET_RADIUS_ARCSEC = 10.0  # of rows of one targetid: catalogues differ by a match radius, stars move


def same_galaxy(targetid_N: np.ndarray, ra_N: np.ndarray, dec_N: np.ndarray) -> np.ndarray:
    """Labels (N,) of galaxies: rows linked by position, or by targetid and position, directly or in a chain, have one
    label.

    Args:
        targetid_N: DESI TARGETID; 0 or negative: none (DESI uses negative numbers for fibres without target).
        ra_N, dec_N: ICRS degrees; rows with values that are not on the sky, such as NaN, have no position.
    """
    placed = np.flatnonzero(on_sky(ra_N, dec_N))
    # Rows at the same position are linked in a chain: the number of pairs would be quadratic.
    place, first, which = np.unique(ra_N[placed] + 1j * dec_N[placed], return_index=True, return_inverse=True)
    near = match(place.real, place.imag, place.real, place.imag, RADIUS_ARCSEC)
    row = placed[first]
    return _chains(
        len(targetid_N),
        _one_target(targetid_N, ra_N, dec_N),
        placed[_equal(which)],
        row[np.stack([near.index1, near.index2])],
    )


def label_sets(galaxy_N: np.ndarray, group_N: np.ndarray) -> np.ndarray:
    """Labels (N,) of the sets that share a split: rows of one galaxy, of one group, or in a chain of both."""
    return _chains(len(galaxy_N), _equal(galaxy_N), _equal(group_N))


def common_splits(set_N: np.ndarray, object_id_N: pa.ChunkedArray, split_N: np.ndarray) -> np.ndarray:
    """Splits (N,) with one per set: that of the member with the first object id.

    Object ids are independent of the hash that gives the splits, so the fractions are preserved. The
    first member keeps its split, so applying this twice changes nothing. If rows
    share the first object id, the lowest of their splits is taken.

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


def _one_target(targetid_N: np.ndarray, ra_N: np.ndarray, dec_N: np.ndarray) -> np.ndarray:
    """Links (2, E) of rows with the same targetid that are within 10 arcsec, or have no position."""
    targeted = np.flatnonzero(targetid_N > 0)
    _, which, n_rows = np.unique(targetid_N[targeted], return_inverse=True, return_counts=True)
    row_R = targeted[n_rows[which] > 1]
    placed_R = on_sky(ra_N[row_R], dec_N[row_R])
    # With a row whose position is unknown, the rows of a target cannot be told apart.
    lost_R = row_R[np.isin(targetid_N[row_R], targetid_N[row_R[~placed_R]])]
    row_R = np.setdiff1d(row_R, lost_R)
    # Rows at the same position are linked in a chain: the number of pairs would be quadratic.
    keys = (targetid_N[row_R], ra_N[row_R], dec_N[row_R])
    place_R = np.unique(np.rec.fromarrays(keys), return_inverse=True)[1]
    _, first = np.unique(place_R, return_index=True)
    row_P = row_R[first]
    near = match(ra_N[row_P], dec_N[row_P], ra_N[row_P], dec_N[row_P], TARGET_RADIUS_ARCSEC)
    near_2E = row_P[np.stack([near.index1, near.index2])]
    same_E = targetid_N[near_2E[0]] == targetid_N[near_2E[1]]
    return np.concatenate([lost_R[_equal(targetid_N[lost_R])], row_R[_equal(place_R)], near_2E[:, same_E]], axis=1)


def _equal(key_N: np.ndarray) -> np.ndarray:
    """Links (2, E) that chain the rows with equal keys."""
    order_N = np.argsort(key_N, kind="stable")
    same = key_N[order_N[1:]] == key_N[order_N[:-1]]
    return np.stack([order_N[:-1][same], order_N[1:][same]])


def _chains(n: int, *links_2E: np.ndarray) -> np.ndarray:
    """Labels (N,) of the connected components."""
    one_E, other_E = np.concatenate(links_2E, axis=1)
    graph = coo_array((np.ones(len(one_E), bool), (one_E, other_E)), shape=(n, n))
    return connected_components(graph, directed=False)[1]
