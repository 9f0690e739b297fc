"""The sampler: each galaxy once per epoch, independent of the number of workers and of interruptions."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmae.loader.sampler import Portion, Sampler


def galaxies(sampler: Sampler, windows: int, portion: Portion = Portion()) -> np.ndarray:
    """Indices of galaxies in the split: (batches, galaxies of the portion)."""
    start_G = np.cumsum([0, *sampler.rows_G])
    parts = [sampler.window(w, portion) for w in range(windows)]
    rows = np.concatenate([start_G[group_N] + row_N for group_N, row_N in parts])
    return rows.reshape(windows * sampler.window_batches, -1)


@st.composite
def samplers(draw) -> Sampler:
    lanes, lane_batch = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    rows_G = draw(st.lists(st.integers(1, 9), min_size=1, max_size=8).filter(lambda rows: sum(rows) >= lanes))
    return Sampler(tuple(rows_G), draw(st.integers(0, 9)), lanes * lane_batch, lanes, draw(st.integers(1, 12)))


@settings(max_examples=60, deadline=None)
@given(samplers(), st.integers(1, 3))
def test_lanes_of_unequal_length_contain_each_galaxy_once_per_epoch(sampler, n_epochs):
    # Windows of one batch, so that they end with the epoch.
    sampler = replace(sampler, batch_size=sampler.lanes, shuffle_rows=1)
    seen = Counter()
    for lane in range(sampler.lanes):
        rows = (lane + 1) * sampler.n_rows // sampler.lanes - lane * sampler.n_rows // sampler.lanes
        seen.update(galaxies(sampler, n_epochs * rows, Portion(lane, sampler.lanes)).ravel().tolist())
    assert seen == dict.fromkeys(range(sampler.n_rows), n_epochs)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 4), st.integers(1, 3), st.integers(1, 4), st.integers(0, 9), st.lists(st.integers(1, 9), max_size=6)
)
def test_each_epoch_has_each_galaxy_once_in_a_new_order(lanes, lane_batch, epoch_batches, seed, sizes):
    """For windows that end with the epoch."""
    total = lanes * lane_batch * epoch_batches
    cuts = sorted({min(c, total) for c in np.cumsum(sizes).tolist()} | {total})
    rows_G = tuple(np.diff([0, *cuts]).tolist())
    sampler = Sampler(rows_G, seed, lanes * lane_batch, lanes, shuffle_rows=lane_batch)
    seen = galaxies(sampler, 3 * epoch_batches).reshape(3, total)
    assert all(sorted(epoch) == list(range(total)) for epoch in seen.tolist())
    if total > 30:
        assert len({tuple(epoch) for epoch in seen.tolist()}) == 3


@settings(max_examples=60, deadline=None)
@given(samplers(), st.sampled_from([0.0, 0.3, 0.5, 0.99]), st.integers(0, 99))
def test_an_epoch_has_all_labelled_and_a_fraction_of_the_unlabelled_galaxies(sampler, share, seed):
    rng = np.random.default_rng(seed)
    unlabelled_G = tuple(np.flatnonzero(rng.random(rows) < 0.6) for rows in sampler.rows_G)
    start_G = np.cumsum([0, *sampler.rows_G])
    unlabelled = {int(start + row) for start, rows in zip(start_G, unlabelled_G, strict=False) for row in rows}
    labelled = set(range(sampler.n_rows)) - unlabelled
    sampler = replace(sampler, batch_size=1, lanes=1, shuffle_rows=1, unlabelled_G=unlabelled_G, share=share)
    expected = len(labelled) + sum(round(share * len(rows)) for rows in unlabelled_G)
    assert sampler.n_rows == expected
    for epoch in galaxies(sampler, 3 * expected).reshape(3, expected).tolist() if expected else []:
        assert len(set(epoch)) == expected and labelled <= set(epoch)


def test_epochs_draw_different_unlabelled_galaxies():
    sampler = Sampler((100, 50), 1, 1, 1, 1, (np.arange(10, 100), np.arange(50)), 0.2)
    epochs = galaxies(sampler, 5 * sampler.n_rows).reshape(5, sampler.n_rows)
    counts = Counter(epochs.ravel().tolist())
    assert sampler.n_rows == 10 + 18 + 10 and all(counts[row] == 5 for row in range(10))
    assert len(counts) - 10 > 2 * 28  # many more unlabelled galaxies than one epoch draws


@settings(max_examples=60, deadline=None)
@given(samplers(), st.data())
def test_portions_of_all_workers_add_up_to_the_batches(sampler, data):
    world = data.draw(st.integers(1, sampler.batch_size))
    shares = [galaxies(sampler, 4, Portion(rank, world)) for rank in range(world)]
    assert np.array_equal(np.concatenate(shares, axis=1), galaxies(sampler, 4))
    sizes = [share.shape[1] for share in shares]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("skip", [0, 1, 3])
def test_skip_omits_batches_at_the_start(skip):
    sampler = Sampler((7, 9, 20), 1, 6, 2, 12)
    assert sampler.window_batches == 4
    for portion in (Portion(), Portion(1, 3)):
        whole, rest = sampler.window(2, portion), sampler.window(2, portion, skip)
        n = len(range(*portion.rows(6).indices(6)))
        assert np.array_equal(rest[0], whole[0][skip * n :]) and np.array_equal(rest[1], whole[1][skip * n :])


def test_a_worker_reads_few_row_groups_of_other_workers():
    sampler = Sampler((256,) * 64, 0, 32, 8, 512)
    windows = sampler.n_rows // (sampler.window_batches * sampler.batch_size)  # of an epoch
    groups = [{*np.concatenate([sampler.window(w, Portion(rank, 8))[0] for w in range(windows)])} for rank in range(8)]
    assert all(len(g) <= 8 + 1 for g in groups)  # a lane may start within a row group


def test_each_batch_mixes_all_row_groups_of_its_window():
    sampler = Sampler((256,) * 32, 0, 64, 1, 1024)
    group_N, _ = sampler.window(0, Portion())
    # A window of 1024 galaxies has four row groups.
    assert all(len(set(batch)) == 4 for batch in group_N.reshape(-1, 64))
