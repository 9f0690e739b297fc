"""Matched budgets: the same galaxies or the same floating-point operations for every trial."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mmae.config import RunConfig
from mmae.loader.config import StreamConfig
from mmae.model.lines import LinesConfig
from mmae.recipes import recipe
from mmae.study.budget import flops_per_galaxy, look_at, plan_trial
from mmae.study.config import Space, StudyConfig
from mmae.study.estimate import concurrency, expected_share
from mmae.study.space import extremes
from tests.model.galaxies import SPEC as TINY_SPEC
from tests.model.galaxies import TINY, tiny

SMALL = StudyConfig(run=recipe("small"))


# On the small grid, where counting takes no time. Without the lines, which on this grid would outweigh the rest.
TINY_STUDY = StudyConfig(
    run=RunConfig(model=tiny(spectrum={"lines": LinesConfig(use=False)}), stream=StreamConfig(batch_size=64)),
    space=Space(image_patch=(), spectrum_patch=(8, 16), depth=(1, 12)),
)


def plans(config: StudyConfig):
    points = ({}, *extremes(config.space, config.run, TINY_SPEC))
    return [plan_trial(config, point, TINY_SPEC) for point in points]


def test_galaxies_are_matched_whatever_a_trial_costs():
    base, cheap, dear = plans(TINY_STUDY)
    assert base.galaxies == cheap.galaxies == dear.galaxies == 312 * 64
    assert dear.flops > 3 * cheap.flops


def test_flops_are_matched_within_a_step():
    base, cheap, dear = plans(replace(TINY_STUDY, budget="flops"))
    assert base.galaxies == 312 * 64
    for plan in (cheap, dear):
        one_step = plan.flops_per_galaxy * plan.run.stream.batch_size
        assert abs(plan.flops - 20_000 * base.flops_per_galaxy) <= one_step
    assert cheap.galaxies > base.galaxies > dear.galaxies


def test_flops_are_those_of_the_matrix_products():
    """A linear layer of n weights costs 2 n forward and 4 n backward for each token."""
    run = RunConfig(
        model=TINY,
        masks=replace(RunConfig().masks, image_ratio=(0.0, 0.0), spectrum_ratio=(0.0, 0.0), drop_spectrum=0.0),
    )
    deeper = replace(run, model=replace(TINY, depth=TINY.depth + 1))
    width, tokens = TINY.width, 1 + 16 + 7
    block = 4 * width**2 + 2 * TINY.mlp_ratio * width**2  # q, k, v, out and the two of the MLP
    attention = 2 * tokens * width  # products with keys and with values, by token
    expected = 6 * tokens * (block + attention)
    more = flops_per_galaxy(deeper, TINY_SPEC) - flops_per_galaxy(run, TINY_SPEC)
    assert more == pytest.approx(expected, rel=0.02)


def test_the_schedule_is_laid_out_for_the_whole_trial():
    study = replace(TINY_STUDY, galaxies_seen=6400, run=replace(TINY_STUDY.run, optim=recipe("small").optim))
    plan = plan_trial(study, {"learning_rate": 1e-3}, TINY_SPEC)
    assert plan.run.optim.steps == 100 and plan.run.validation.every == 12  # nine looks
    assert plan.run.optim.warmup_steps == 8  # 100 of 1,200 steps, in proportion
    assert plan.run.optim.learning_rate == 1e-3


@pytest.mark.parametrize(("steps", "looks"), [(312, 9), (81, 9), (10, 9), (6, 3), (100, 7), (9, 9)])
def test_looks_are_counted_to_the_last(steps, looks):
    every = -(-steps // looks)
    seen = [look_at(step, steps, looks) for step in [*range(every, steps, every), steps]]
    assert seen == sorted(set(seen)) and seen[-1] == looks and seen[0] >= 1
    if steps >= looks**2:
        assert seen == list(range(1, looks + 1))


def test_the_share_that_asha_leaves():
    assert expected_share(SMALL) == pytest.approx((1 + 2 / 3 + 6 / 9) / 9)
    assert expected_share(replace(SMALL, scheduler="none")) == 1


def test_trials_side_by_side():
    assert concurrency(SMALL, 2) == 2 and concurrency(SMALL, 0.5) == 1 and concurrency(SMALL, 64) == 16
    assert concurrency(replace(SMALL, concurrent=1), 8) == 1
    assert concurrency(replace(SMALL, workers_per_trial=2, cpus_per_trial=2.0), 8) == 2
    assert concurrency(SMALL, 8, 1, 0.5) == 2
