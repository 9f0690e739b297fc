"""Random numbers of a training step that are the same on any number of workers. Legend of suffixes: batch.py."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


class Draws:
    """Random numbers of the galaxies of a batch, and of the batch as a whole.

    Every call draws new numbers. They depend on the seed and the number of calls before, those of a galaxy also on its
    row in the batch of all workers.

    Args:
        seed: not negative, such as the seed of the run and the step.
        n: galaxies of this worker.
        first: row of its first galaxy in the batch of all workers.
    """

    def __init__(self, *seed: int, n: int, first: int = 0):
        self.seed, self.n, self.first = seed, n, first
        self.calls = 0

    def galaxies(self, *shape: int) -> Tensor:
        """Numbers of every galaxy, uniform in [0, 1), double precision, on the CPU: (B, *shape)."""
        numbers = self._stream(skipped=self.first * int(np.prod(shape))).random((self.n, *shape))
        return torch.from_numpy(numbers)

    def normal(self, row_N: np.ndarray, n: int) -> Tensor:
        """Standard normal numbers of some galaxies, on the CPU: (N, n)."""
        self.calls += 1
        streams = [np.random.default_rng([*self.seed, self.calls, self.first + row]) for row in row_N]
        return torch.from_numpy(
            np.array([stream.standard_normal(n) for stream in streams], np.float32).reshape(len(row_N), n)
        )

    def batch(self) -> float:
        """One number for all galaxies, uniform in [0, 1)."""
        return float(self._stream().random())

    def _stream(self, skipped: int = 0) -> np.random.Generator:
        self.calls += 1
        # Skipping takes no time with this generator, and a number in double precision is one step of it.
        return np.random.Generator(np.random.PCG64([*self.seed, self.calls]).advance(skipped))
