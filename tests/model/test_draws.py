"""Random numbers of a step: the same on any number of workers."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmae.model.draws import Draws


@given(st.lists(st.integers(0, 4), min_size=1, max_size=5), st.integers(0, 2**32), st.integers(0, 3))
def test_numbers_of_a_galaxy_do_not_depend_on_the_division_of_the_batch(sizes, seed, step):
    def drawn(n, first):
        draws = Draws(seed, step, n=n, first=first)
        return [
            draws.galaxies(),
            draws.galaxies(3, 2),
            torch.tensor([draws.batch()] * n),
            draws.normal(np.arange(n), 5),
        ]

    parts = [drawn(n, sum(sizes[:i])) for i, n in enumerate(sizes)]
    for divided, whole in zip(zip(*parts, strict=True), drawn(sum(sizes), 0), strict=True):
        assert torch.equal(torch.cat(divided), whole)


def test_calls_steps_and_seeds_give_other_numbers():
    first = Draws(0, 1, n=2)
    drawn = [first.galaxies(4), first.galaxies(4), Draws(0, 2, n=2).galaxies(4), Draws(1, 1, n=2).galaxies(4)]
    assert len({tuple(numbers.flatten().tolist()) for numbers in drawn}) == 4
    assert torch.equal(Draws(0, 1, n=2).galaxies(4), drawn[0])


def test_distributions():
    uniform_N = Draws(3, n=4000).galaxies()
    assert 0 <= uniform_N.min() and uniform_N.max() < 1 and abs(uniform_N.mean() - 0.5) < 5 / (12 * 4000) ** 0.5
    normal_NX = Draws(3, n=200).normal(np.arange(100, 200), 50)
    assert normal_NX.shape == (100, 50) and abs(normal_NX.mean()) < 5 / 5000**0.5
    assert abs(normal_NX.std() - 1) < 5 / (2 * 5000) ** 0.5
