"""The dry run of a study: small batches for slow models, and points that represent the space."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import get_args

import pytest
from rich.console import Console

from mmae.recipes import RECIPES, recipe
from mmae.study import estimate
from mmae.study.config import Space, StudyConfig
from mmae.study.estimate import BASE, CHEAPEST, MOST_EXPENSIVE, N_RANDOM, points_to_time, print_estimate
from mmae.study.objective import Objective, reconstructed
from mmae.study.space import applicable_space
from tests.model.galaxies import SPEC as TINY_SPEC
from tests.model.galaxies import tiny
from tests.study.conftest import SPEC


def test_random_trials_represent_the_space():
    """The base run may be outside the space: its cost is not that of a trial."""
    config = StudyConfig(run=recipe("base"))
    points = points_to_time(config, SPEC)
    assert points[BASE] == {} and len(points) == 3 + N_RANDOM
    assert points[CHEAPEST]["depth"] == 2 and points[MOST_EXPENSIVE]["depth"] == 6
    drawn = [points[name] for name in points if name not in (BASE, CHEAPEST, MOST_EXPENSIVE)]
    assert len({tuple(p.items()) for p in drawn}) == N_RANDOM
    assert all(p["depth"] in config.space.depth for p in drawn)


def test_a_slow_model_is_timed_with_a_small_batch(monkeypatch):
    sizes = []

    def seconds(state, batch, plan):
        sizes.append(len(batch))
        return 0.5 * len(batch)  # half a second for each galaxy

    monkeypatch.setattr(estimate, "_step_seconds", seconds)
    run = recipe("small")
    config = StudyConfig(run=replace(run, model=tiny()), space=Space(), galaxies_seen=20_000)
    space, _ = applicable_space(replace(config.space, image_patch=(8,), spectrum_patch=(8,)), config.run, TINY_SPEC)
    row, total = estimate._timed_row("slow", replace(config, space=space), {}, TINY_SPEC, 0)
    assert max(sizes) == estimate.SMALLEST_BATCH
    galaxies = row[2]
    assert total == pytest.approx(0.5 * galaxies)


@pytest.mark.parametrize("name", RECIPES)
def test_the_space_of_every_recipe_and_the_objective_are_printed(name, monkeypatch):
    monkeypatch.setattr(estimate, "_timed_row", lambda name, *_: ((name, 1, 1, 1.0, 1.0, 1.0, 60.0), 60.0))
    run = recipe(name)
    objectives = [o for o in get_args(Objective) if reconstructed(run) or "reconstruction" not in o]
    assert len(objectives) >= 3
    for objective in objectives:
        config = StudyConfig(run=run, space=applicable_space(Space(), run, SPEC)[0], objective=objective)
        console = Console(file=io.StringIO(), width=100)
        print_estimate(config, SPEC, 100, console)
        text = console.file.getvalue()
        assert "depth" in text and "minutes" in text and f"objective {objective}" in text
