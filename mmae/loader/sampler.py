"""Deterministic sampler: the galaxies of each batch as a function of the seed and the step.

Batches depend neither on the number of workers nor on interruptions of the run. Each epoch has a new random order of
the row groups of the split. This sequence is cut into equal lanes, as many as the run has workers, and every batch
takes the same number of galaxies from each lane, so that a worker reads little more than its own row groups. Lanes
continue from one epoch into the next, so no batch is incomplete and no galaxy is skipped. Optionally, an epoch draws
only a fraction of the galaxies without a redshift, a new random subset each time, and repeats rare ones.

Shape suffixes: G row groups, N galaxies.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

EPOCH, WINDOW, LEFT_OUT, STEP, VALIDATION = range(5)  # seeds of independent random streams of a run


@dataclass(frozen=True)
class Portion:
    """The part of each batch that one worker processes."""

    rank: int = 0
    world: int = 1

    def rows(self, batch_size: int) -> slice:
        """The galaxies of this worker in a batch; sizes differ by at most one between workers."""
        return slice(self.rank * batch_size // self.world, (self.rank + 1) * batch_size // self.world)


def drawn_rows(repeats_N: np.ndarray, unlabelled_N: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Rows of a row group in one epoch: all with a redshift, and a random fraction of those without.

    Args:
        repeats_N: how many times an epoch has each row; 1 for rows without a redshift.
    """
    n_left_out = left_out(unlabelled_N, share)
    left_out_N = rng.choice(unlabelled_N, n_left_out, replace=False) if n_left_out else np.empty(0, int)
    return np.delete(np.arange(len(repeats_N)), left_out_N).repeat(np.delete(repeats_N, left_out_N))


def left_out(unlabelled_N: np.ndarray, share: float) -> int:
    """Number of rows without a redshift that are left out of an epoch."""
    return len(unlabelled_N) - round(share * len(unlabelled_N))


@dataclass(frozen=True)
class Sampler:
    """The galaxies of each batch of a run.

    Attributes:
        rows_G: number of galaxies of each row group of the split.
        batch_size: galaxies per step, over all workers; a multiple of `lanes`.
        lanes: number of parts of an epoch that are read in parallel.
        shuffle_rows: galaxies of a lane that are shuffled together; rounded up to whole batches.
        unlabelled_G: rows without a redshift of each row group; not needed if all are drawn.
        share: fraction of these rows in each epoch.
        repeats_G: how many times an epoch has each row of each row group; not needed if all occur once.
    """

    rows_G: tuple[int, ...]
    seed: int
    batch_size: int
    lanes: int
    shuffle_rows: int
    unlabelled_G: tuple[np.ndarray, ...] = ()
    share: float = 1.0
    repeats_G: tuple[np.ndarray, ...] = ()

    @cached_property
    def drawn_G(self) -> np.ndarray:
        """Number of galaxies of each row group in an epoch."""
        rows_G = np.array([repeats_N.sum() for repeats_N in self.repeats_G] or self.rows_G)
        if self.share == 1:
            return rows_G
        return rows_G - np.array([left_out(unlabelled_N, self.share) for unlabelled_N in self.unlabelled_G])

    def repeats(self, group: int) -> np.ndarray:
        """How many times an epoch has each row of a row group."""
        return self.repeats_G[group] if self.repeats_G else np.ones(self.rows_G[group], int)

    def repeats_of(self, group_N: np.ndarray, row_N: np.ndarray) -> np.ndarray:
        """How many times an epoch has each of these rows."""
        repeats_N = np.ones(len(row_N), int)
        for group in np.unique(group_N) if self.repeats_G else ():
            here_N = group_N == group
            repeats_N[here_N] = self.repeats_G[group][row_N[here_N]]
        return repeats_N

    @cached_property
    def n_rows(self) -> int:
        """Number of galaxies in an epoch."""
        return int(self.drawn_G.sum())

    @property
    def lane_batch(self) -> int:
        """Galaxies per lane and batch."""
        return self.batch_size // self.lanes

    @property
    def window_batches(self) -> int:
        """Number of batches that are read and shuffled together (a window)."""
        return -(-self.shuffle_rows // self.lane_batch)

    def window(self, index: int, portion: Portion, skip: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Row groups and rows of the galaxies of a worker in one window, batch by batch.

        Args:
            skip: number of batches at the start of the window to omit, in a resumed run.

        Returns:
            group_N, row_N: index of the row group, and row within it.
        """
        mine = portion.rows(self.batch_size)
        first, last = mine.start // self.lane_batch, -(-mine.stop // self.lane_batch)
        # (lane, batch, row, 2) -> (batch, lane and row, 2): the galaxies of these lanes in each batch.
        lanes = np.stack([self._lane(lane, index) for lane in range(first, last)])
        lanes = lanes.reshape(last - first, self.window_batches, self.lane_batch, 2).swapaxes(0, 1)
        batches = lanes.reshape(self.window_batches, -1, 2)
        start = first * self.lane_batch
        chosen = batches[skip:, mine.start - start : mine.stop - start].reshape(-1, 2)
        return chosen[:, 0], chosen[:, 1]

    def _lane(self, lane: int, index: int) -> np.ndarray:
        """Row group and row (N, 2) of the galaxies of a lane in one window, shuffled."""
        low, high = (k * self.n_rows // self.lanes for k in (lane, lane + 1))
        size = self.window_batches * self.lane_batch
        position_N = np.arange(index * size, (index + 1) * size)
        epoch_N, place_N = position_N // (high - low), low + position_N % (high - low)
        result = np.empty((size, 2), dtype=np.int64)
        for epoch in np.unique(epoch_N):
            order_G = np.random.default_rng([self.seed, EPOCH, epoch]).permutation(len(self.rows_G))
            end_G = np.cumsum(self.drawn_G[order_G])
            here_N = epoch_N == epoch
            at_N = np.searchsorted(end_G, place_N[here_N], side="right")
            group_N = order_G[at_N]
            drawn_N = place_N[here_N] - end_G[at_N] + self.drawn_G[group_N]
            result[here_N] = np.stack([group_N, self._rows(epoch, group_N, drawn_N)], axis=1)
        return np.random.default_rng([self.seed, WINDOW, lane, index]).permutation(result)

    def _rows(self, epoch: int, group_N: np.ndarray, drawn_N: np.ndarray) -> np.ndarray:
        """Rows within the row groups, from the rank among the rows drawn in this epoch."""
        if self.share == 1 and not self.repeats_G:
            return drawn_N
        row_N = np.empty_like(drawn_N)
        for group in np.unique(group_N):
            rng = np.random.default_rng([self.seed, LEFT_OUT, epoch, group])
            unlabelled_N = self.unlabelled_G[group] if self.unlabelled_G else np.empty(0, int)
            rows = drawn_rows(self.repeats(group), unlabelled_N, self.share, rng)
            row_N[group_N == group] = rows[drawn_N[group_N == group]]
        return row_N
