"""Equal budgets: the same galaxies or the same floating-point operations for every trial."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mmae.config import RunConfig
from mmae.loader.config import StreamConfig
from mmae.model.part_configs import LinesConfig
from mmae.recipes import recipe
from mmae.study.budget import flops_per_galaxy, plan_trial, validation_number
from mmae.study.config import Space, StudyConfig
from mmae.study.estimate import concurrency, expected_share
from mmae.study.space import extremes
from tests.model.galaxies import SPEC as TINY_SPEC
from tests.model.galaxies import TINY, tiny

SMALL = StudyConfig(run=recipe("small"))


# The small grid makes counting fast. Without the line tokens, which would dominate the FLOPs on this grid.
TINY_STUDY = StudyConfig(
    run=RunConfig(model=tiny(spectrum={"lines": LinesConfig(use=False)}), stream=StreamConfig(batch_size=64)),
    space=Space(image_patch=(), spectrum_patch=(8, 16), depth=(1, 12)),
)


def plans(config: StudyConfig):
    points = ({}, *extremes(config.space, config.run, TINY_SPEC))
    return [plan_trial(config, point, TINY_SPEC) for point in points]


def test_budget_galaxies_gives_all_trials_the_same_galaxies():
    base, cheap, expensive = plans(TINY_STUDY)
    assert base.galaxies == cheap.galaxies == expensive.galaxies == 312 * 64
    assert expensive.flops > 3 * cheap.flops


def test_budget_flops_gives_all_trials_the_same_flops_within_a_step():
    base, cheap, expensive = plans(replace(TINY_STUDY, budget="flops"))
    assert base.galaxies == 312 * 64
    for plan in (cheap, expensive):
        one_step = plan.flops_per_galaxy * plan.run.stream.batch_size
        assert abs(plan.flops - 20_000 * base.flops_per_galaxy) <= one_step
    assert cheap.galaxies > base.galaxies > expensive.galaxies


def test_flops_of_a_block_are_those_of_its_matrix_products():
    """A linear layer of n weights costs 2 n forward and 4 n backward per token."""
    run = RunConfig(
        model=TINY,
        masks=replace(RunConfig().masks, image_ratio=(0.0, 0.0), spectrum_ratio=(0.0, 0.0), drop_spectrum=0.0),
    )
    deeper = replace(run, model=replace(TINY, depth=TINY.depth + 1))
    width, tokens = TINY.width, 1 + 5 + 7  # a whole image has four tokens and one of its apertures
    block = 4 * width**2 + 2 * TINY.mlp_ratio * width**2  # q, k, v, out and the two layers of the MLP
    attention = 2 * tokens * width  # products with keys and with values, per token
    expected = 6 * tokens * (block + attention)
    more = flops_per_galaxy(deeper, TINY_SPEC) - flops_per_galaxy(run, TINY_SPEC)
    assert more == pytest.approx(expected, rel=0.02)


def test_the_schedule_has_the_length_of_the_trial():
    study = replace(TINY_STUDY, galaxies_seen=6400, run=replace(TINY_STUDY.run, optim=recipe("small").optim))
    plan = plan_trial(study, {"learning_rate": 1e-3}, TINY_SPEC)
    assert plan.run.optim.steps == 100 and plan.run.validation.every == 12  # nine validations
    assert plan.run.optim.warmup_steps == 6  # 50 of 800 steps, scaled to 100
    assert plan.run.optim.learning_rate == 1e-3


@pytest.mark.parametrize(("steps", "validations"), [(312, 9), (81, 9), (10, 9), (6, 3), (100, 7), (9, 9)])
def test_validations_are_numbered_to_the_last(steps, validations):
    every = -(-steps // validations)
    numbers = [validation_number(step, steps, validations) for step in [*range(every, steps, every), steps]]
    assert numbers == sorted(set(numbers)) and numbers[-1] == validations and numbers[0] >= 1
    if steps >= validations**2:
        assert numbers == list(range(1, validations + 1))


def test_share_of_the_budgets_spent_with_asha():
    assert expected_share(SMALL) == pytest.approx((1 + 2 / 3 + 6 / 9) / 9)
    assert expected_share(replace(SMALL, scheduler="none")) == 1


def test_number_of_concurrent_trials():
    assert concurrency(SMALL, 2) == 2 and concurrency(SMALL, 0.5) == 1 and concurrency(SMALL, 64) == 16
    assert concurrency(replace(SMALL, concurrent=1), 8) == 1
    assert concurrency(replace(SMALL, workers_per_trial=2, cpus_per_trial=2.0), 8) == 2
    assert concurrency(SMALL, 8, 1, 0.5) == 2
