"""The order of a run: each galaxy once per epoch, whoever trains on it and wherever it was interrupted."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmae.loader.sampler import Portion, Sampler


def galaxies(order: Sampler, windows: int, portion: Portion = Portion()) -> np.ndarray:
    """Indices of galaxies in the split, (batches, galaxies of the portion)."""
    start_G = np.cumsum([0, *order.rows_G])
    parts = [order.window(w, portion) for w in range(windows)]
    rows = np.concatenate([start_G[group_N] + row_N for group_N, row_N in parts])
    return rows.reshape(windows * order.window_batches, -1)


@st.composite
def orders(draw) -> Sampler:
    lanes, lane_batch = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    rows_G = draw(st.lists(st.integers(1, 9), min_size=1, max_size=8).filter(lambda rows: sum(rows) >= lanes))
    return Sampler(tuple(rows_G), draw(st.integers(0, 9)), lanes * lane_batch, lanes, draw(st.integers(1, 12)))


@settings(max_examples=60, deadline=None)
@given(orders(), st.integers(1, 3))
def test_lanes_of_unequal_length_lose_no_galaxy(order, n_epochs):
    order = replace(order, batch_size=order.lanes, shuffle_rows=1)  # windows of one batch, which end with every epoch
    seen = Counter()
    for lane in range(order.lanes):
        rows = (lane + 1) * order.n_rows // order.lanes - lane * order.n_rows // order.lanes
        seen.update(galaxies(order, n_epochs * rows, Portion(lane, order.lanes)).ravel().tolist())
    assert seen == dict.fromkeys(range(order.n_rows), n_epochs)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 4), st.integers(1, 3), st.integers(1, 4), st.integers(0, 9), st.lists(st.integers(1, 9), max_size=6)
)
def test_every_galaxy_once_per_epoch(lanes, lane_batch, epoch_batches, seed, sizes):
    """Where windows end with the epoch, each epoch holds each galaxy once, in an order of its own."""
    total = lanes * lane_batch * epoch_batches
    cuts = sorted({min(c, total) for c in np.cumsum(sizes).tolist()} | {total})
    rows_G = tuple(np.diff([0, *cuts]).tolist())
    order = Sampler(rows_G, seed, lanes * lane_batch, lanes, shuffle_rows=lane_batch)
    seen = galaxies(order, 3 * epoch_batches).reshape(3, total)
    assert all(sorted(epoch) == list(range(total)) for epoch in seen.tolist())
    if total > 30:
        assert len({tuple(epoch) for epoch in seen.tolist()}) == 3


@settings(max_examples=60, deadline=None)
@given(orders(), st.sampled_from([0.0, 0.3, 0.5, 0.99]), st.integers(0, 99))
def test_an_epoch_draws_all_with_a_redshift_and_a_share_of_the_others(order, share, seed):
    rng = np.random.default_rng(seed)
    unlabelled_G = tuple(np.flatnonzero(rng.random(rows) < 0.6) for rows in order.rows_G)
    start_G = np.cumsum([0, *order.rows_G])
    unlabelled = {int(start + row) for start, rows in zip(start_G, unlabelled_G, strict=False) for row in rows}
    labelled = set(range(order.n_rows)) - unlabelled
    order = replace(order, batch_size=1, lanes=1, shuffle_rows=1, unlabelled_G=unlabelled_G, share=share)
    expected = len(labelled) + sum(round(share * len(rows)) for rows in unlabelled_G)
    assert order.n_rows == expected
    for epoch in galaxies(order, 3 * expected).reshape(3, expected).tolist() if expected else []:
        assert len(set(epoch)) == expected and labelled <= set(epoch)


def test_other_galaxies_without_a_redshift_are_drawn_in_other_epochs():
    order = Sampler((100, 50), 1, 1, 1, 1, (np.arange(10, 100), np.arange(50)), 0.2)
    epochs = galaxies(order, 5 * order.n_rows).reshape(5, order.n_rows)
    counts = Counter(epochs.ravel().tolist())
    assert order.n_rows == 10 + 18 + 10 and all(counts[row] == 5 for row in range(10))
    assert len(counts) - 10 > 2 * 28  # of the others, far more than an epoch draws


@settings(max_examples=60, deadline=None)
@given(orders(), st.data())
def test_portions_of_any_number_of_workers_make_up_the_batches(order, data):
    world = data.draw(st.integers(1, order.batch_size))
    shares = [galaxies(order, 4, Portion(rank, world)) for rank in range(world)]
    assert np.array_equal(np.concatenate(shares, axis=1), galaxies(order, 4))
    sizes = [share.shape[1] for share in shares]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("skip", [0, 1, 3])
def test_skipped_batches_are_those_at_the_start(skip):
    order = Sampler((7, 9, 20), 1, 6, 2, 12)
    assert order.window_batches == 4
    for portion in (Portion(), Portion(1, 3)):
        whole, rest = order.window(2, portion), order.window(2, portion, skip)
        n = len(range(*portion.rows(6).indices(6)))
        assert np.array_equal(rest[0], whole[0][skip * n :]) and np.array_equal(rest[1], whole[1][skip * n :])


def test_a_worker_reads_little_but_its_own_row_groups():
    order = Sampler((256,) * 64, 0, 32, 8, 512)
    groups = [
        {*np.concatenate([order.window(w, Portion(rank, 8))[0] for w in range(order.epoch_windows)])}
        for rank in range(8)
    ]
    assert all(len(g) <= 8 + 1 for g in groups)  # a lane may begin within a row group


def test_shuffles_mix_galaxies_that_lie_together():
    order = Sampler((256,) * 32, 0, 64, 1, 1024)
    group_N, _ = order.window(0, Portion())
    assert all(len(set(batch)) == 4 for batch in group_N.reshape(-1, 64))  # each batch has some of all four groups
