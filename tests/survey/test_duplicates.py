"""Rows of one galaxy and their common split, compared with a brute-force search."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from hypothesis import given, settings
from hypothesis import strategies as st

from mmae.survey.duplicates import common_splits, label_sets, same_galaxy

ARCSEC = 1 / 3600


def partition(labels) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(labels == label).tolist()) for label in set(np.asarray(labels).tolist())}


def merged(n: int, linked) -> set[frozenset[int]]:
    """Sets of rows connected by links, by brute force."""
    sets = [{i} for i in range(n)]
    for i, j in combinations(range(n), 2):
        if linked(i, j):
            one, other = (next(s for s in sets if k in s) for k in (i, j))
            if one is not other:
                sets.remove(other)
                one |= other
    return {frozenset(s) for s in sets}


ROWS = st.lists(
    st.tuples(
        st.sampled_from([0, -5, 0, 7, 8, 9]),  # targetid
        st.one_of(st.none(), st.integers(0, 40)),  # position, in steps of 0.45 arcsec
        st.integers(0, 8),
    ),
    min_size=1,
    max_size=14,
)  # group


@settings(max_examples=100, deadline=None)
@given(ROWS, st.sampled_from([(150.0, 2.0), (359.9999, -40.0), (10.0, 89.9999)]))
def test_linked_rows_and_chains_are_one_galaxy(rows, origin):
    """Compared with astropy's separation of all pairs; also across RA 0 and near the pole."""
    n = len(rows)
    target, group = np.array([r[0] for r in rows]), np.array([r[2] for r in rows])
    dec = origin[1] - np.array([np.nan if r[1] is None else r[1] * 0.45 * ARCSEC for r in rows])
    ra = (origin[0] + np.where(np.isnan(dec), np.nan, np.arange(n) % 2 * 0.2 * ARCSEC)) % 360
    position = SkyCoord(ra * u.deg, dec * u.deg)
    apart = position[:, None].separation(position).arcsec  # NaN without a position

    lost = set(target[np.isnan(dec)])  # with a row without position the rows of a target cannot be told apart

    def one_galaxy(i, j):
        one_target = target[i] == target[j] and target[i] > 0
        return apart[i, j] <= 1 or (one_target and (apart[i, j] <= 10 or target[i] in lost))

    galaxy = same_galaxy(target, ra, dec)
    assert partition(galaxy) == merged(n, one_galaxy)
    assert partition(label_sets(galaxy, group)) == merged(n, lambda i, j: one_galaxy(i, j) or group[i] == group[j])


def test_radius_is_one_arcsec():
    for apart, n in ((0.99, 1), (1.01, 2)):
        ra = np.array([150.0, 150.0])
        assert len(set(same_galaxy(np.zeros(2, int), ra, np.array([2.0, 2.0 + apart * ARCSEC])))) == n


def test_equal_targetids_far_apart_are_different_galaxies():
    dec = np.array([2.0, 2.0 + 9.9 * ARCSEC, 2.0 + 20.1 * ARCSEC, -40.0])
    labels = same_galaxy(np.full(4, 7), np.full(4, 150.0), dec)
    assert partition(labels) == {frozenset({0, 1}), frozenset({2}), frozenset({3})}


def test_one_targetid_for_all_rows():
    """A file whose targetids are all equal; also at one position, where 3,000 rows have 9e6 pairs."""
    ra = np.concatenate([np.full(3000, 10.0), 20 + np.arange(3000) * 0.01])
    labels = same_galaxy(np.ones(6000, int), ra, np.zeros(6000))
    assert len(set(labels)) == 3001 and len(set(labels[:3000])) == 1


def test_many_rows_at_one_position_and_invalid_positions():
    """30,000 rows at one position have 9e8 pairs."""
    ra, dec = np.full(30_010, 150.0), np.full(30_010, 2.0)
    dec[30_000:] = [-999, 91, np.nan, np.inf, 3, 4, 5, 6, 7, 2.0 + 0.5 * ARCSEC]
    labels = same_galaxy(np.zeros(30_010, int), ra, dec)
    assert len(set(labels[:30_000])) == 1 and labels[-1] == labels[0]
    assert len(set(labels)) == 10


def test_no_rows():
    assert same_galaxy(np.zeros(0, int), np.zeros(0), np.zeros(0)).size == 0


CASES = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9), st.integers(0, 2)), min_size=1, max_size=20)


def common(rows) -> np.ndarray:
    sets, names, splits = (np.array(x) for x in zip(*rows, strict=True))
    return common_splits(sets, pa.chunked_array([[f"g{n}" for n in names]]), splits)


@settings(max_examples=150, deadline=None)
@given(CASES, st.randoms())
def test_every_set_gets_the_split_of_its_first_object(rows, random):
    splits = common(rows)
    for label in {r[0] for r in rows}:
        first = min((name, split) for of, name, split in rows if of == label)
        assert {int(s) for s, r in zip(splits, rows, strict=True) if r[0] == label} == {first[1]}
    # The result does not depend on the order of the rows, or on whether some have the common split already.
    order = list(range(len(rows)))
    random.shuffle(order)
    assert np.array_equal(common([rows[i] for i in order]), splits[order])
    half = [
        (of, name, int(now) if random.random() < 0.5 else split)
        for (of, name, split), now in zip(rows, splits, strict=True)
    ]
    assert np.array_equal(common(half), splits)


def test_object_ids_are_compared_as_text_and_the_input_is_not_changed():
    splits = np.array([2, 0, 1])
    assert common_splits(np.zeros(3, int), pa.chunked_array([["g9", "g10"], ["h"]]), splits).tolist() == [0, 0, 0]
    assert splits.tolist() == [2, 0, 1]


@pytest.mark.parametrize("n_chunks", [1, 3])
def test_fractions_are_preserved(n_chunks):
    """Pairs of rows with random splits: both get the split of the first."""
    rng = np.random.default_rng(2)
    splits = rng.choice(3, 20_000, p=(0.7, 0.15, 0.15))
    names = pa.chunked_array(np.array_split([f"{i:05d}" for i in rng.permutation(20_000)], n_chunks))
    after = common_splits(np.arange(20_000) // 2, names, splits)
    for split, fraction in enumerate((0.7, 0.15, 0.15)):
        assert (after == split).mean() == pytest.approx(fraction, abs=4 * (fraction * (1 - fraction) / 10_000) ** 0.5)
