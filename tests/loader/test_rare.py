"""Rare kinds of galaxy: which rows an epoch repeats, and their weight in the redshift loss."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmae.loader.rare import BIN, LEAST, kinds, repeats_of_rare
from mmae.loader.sampler import Portion, Sampler
from tests.loader.test_sampler import galaxies


def table(redshift, shape):
    return pa.table({"redshift": pa.array(redshift, pa.float32()), "morphtype": pa.array(shape, pa.string())})


def test_kinds_are_shape_and_redshift():
    z = np.expm1(BIN * 3.5)
    found = kinds(table([z, z, z, None, z], ["PSF", "EXP", None, "PSF", "PSF"]))
    assert found[0] == found[4] != found[1] == found[2] >= 0 and found[3] == -1


@given(st.lists(st.lists(st.integers(-1, 6), max_size=40), min_size=1, max_size=5), st.integers(1, 6))
def test_a_kind_is_repeated_until_it_has_its_share(groups, most):
    groups = [np.array(kinds, int) for kinds in groups]
    repeats = repeats_of_rare(groups, most)
    kind_N, repeats_N = np.concatenate(groups), np.concatenate(repeats)
    assert [len(r) for r in repeats] == [len(k) for k in groups]
    assert (repeats_N[kind_N < 0] == 1).all() and ((repeats_N >= 1) & (repeats_N <= most)).all()
    known = int((kind_N >= 0).sum())
    for kind in set(kind_N[kind_N >= 0].tolist()):
        (times,) = set(repeats_N[kind_N == kind].tolist())
        members = int((kind_N == kind).sum())
        assert times == most or times * members >= LEAST * known
        assert times == 1 or (times - 1) * members < LEAST * known


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_an_epoch_has_rare_rows_several_times(share):
    unlabelled_G = (np.array([1, 4]), np.array([0, 2]))
    repeats_G = (np.array([3, 1, 1, 2, 1]), np.array([1, 1, 1, 5]))
    sampler = Sampler((5, 4), 0, 1, 1, 1, () if share == 1 else unlabelled_G, share, repeats_G)
    assert sampler.n_rows == 8 + 8 - (0 if share == 1 else 2)
    for epoch in galaxies(sampler, 3 * sampler.n_rows, Portion()).reshape(3, -1).tolist():
        seen = Counter(epoch)
        assert {row: seen[row] for row in (0, 2, 3, 6, 8)} == {0: 3, 2: 1, 3: 2, 6: 1, 8: 5}
        assert seen[1] + seen[4] == seen[5] + seen[7] == 2 * share
