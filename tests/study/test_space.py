"""The search space: suggested runs can be built and keep tokens visible; impossible spaces are refused."""

from __future__ import annotations

from dataclasses import replace

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmae.config import RunConfig
from mmae.core.errors import InputError
from mmae.model.build import build_model
from mmae.model.config import MaskConfig
from mmae.model.draws import Draws
from mmae.model.masking import draw_visible
from mmae.recipes import recipe
from mmae.study.config import Space, StudyConfig, parse_study
from mmae.study.space import (
    applicable_space,
    base_parameters,
    choices,
    described_model,
    distributions,
    extremes,
    input_mode,
    model_field,
    parameters_of,
    require_possible,
    run_of,
    space_lines,
    suggest,
)
from tests.model.galaxies import SPEC as TINY_SPEC
from tests.model.galaxies import TINY, TINY_PAPER, random_batch
from tests.study.conftest import SPEC

SMALL = recipe("small")


def sampled(space: Space, base: RunConfig, spec, seed: int) -> dict:
    """One point drawn by Optuna."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    return suggest(study.ask(), space, base, spec)


class Drawn:
    """Suggests values drawn by hypothesis, which favours the ends of ranges."""

    def __init__(self, data: st.DataObject):
        self.data = data

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        return self.data.draw(st.floats(low, high), label=name)

    def suggest_categorical(self, name: str, choices: tuple[int, ...]) -> int:
        return self.data.draw(st.sampled_from(choices), label=name)


# On this grid of 16 pixels and 50 samples large patches give four tokens, of which a ratio of 0.95 masks all.
SPACES = {
    "mmae": (Space((0.05, 0.95), (0.05, 0.95), (4, 8), (8, 16, 24), (1, 2), (16, 32), (1e-4, 1e-2)), TINY),
    "paper": (Space((0.05, 0.95), (0.05, 0.95), (4, 8), (2, 4), (1, 2), (16, 32)), TINY_PAPER),
}


@pytest.mark.parametrize("kind", SPACES)
@given(data=st.data(), seed=st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_every_sampled_run_builds_and_leaves_tokens_visible(kind, data, seed):
    space, model_config = SPACES[kind]
    base = RunConfig(model=model_config, masks=MaskConfig(drop_spectrum=0.0))
    run = run_of(suggest(Drawn(data), space, base, TINY_SPEC), base)
    model = build_model(run.model, TINY_SPEC)
    # The range is constant in this base run, so every draw is at the highest ratio.
    assert run.masks.image_ratio[0] == run.masks.image_ratio[1]
    visible = draw_visible(random_batch(3), model.n_tokens, run.masks, Draws(seed, n=3))
    assert visible["image"].sum(1).min() >= 2 and visible["spectrum"].sum(1).min() >= 2


@pytest.mark.parametrize("kind", SPACES)
def test_possible_spaces_pass(kind):
    space, model_config = SPACES[kind]
    require_possible(space, RunConfig(model=model_config), TINY_SPEC)


def test_a_coarse_patch_limits_the_mask_ratio():
    space = Space(image_mask_ratio=(0.2, 0.9), image_patch=(32,))
    drawn = [sampled(space, SMALL, SPEC, seed)["image_mask_ratio"] for seed in range(20)]
    assert 0.5 < max(drawn) <= 0.6225  # 2 of 4 tokens are left
    fine = [sampled(Space(image_patch=(8,)), SMALL, SPEC, seed)["image_mask_ratio"] for seed in range(20)]
    assert max(fine) > 0.75


def test_parameters_land_where_the_run_reads_them():
    run = run_of(
        {
            "image_mask_ratio": 0.7,
            "spectrum_mask_ratio": 0.3,
            "image_patch": 8,
            "spectrum_patch": 64,
            "depth": 2,
            "width": 48,
            "learning_rate": 5e-4,
        },
        SMALL,
    )
    assert run.masks.image_ratio == (0.6, 0.7)  # the recipe's lower end stays
    assert run.masks.spectrum_ratio == (0.3, 0.3)  # and gives way where the drawn ratio is below it
    assert (
        model_field(run.model, "image_patch"),
        model_field(run.model, "spectrum_patch"),
        run.model.depth,
        run.model.width,
    ) == (8, 64, 2, 48)
    assert run.optim.learning_rate == 5e-4
    assert run.optim.final_learning_rate == pytest.approx(SMALL.optim.final_learning_rate / 2)
    assert run.optim.muon_learning_rate == pytest.approx(SMALL.optim.muon_learning_rate / 2)
    assert run_of({}, SMALL) == SMALL and run_of(parameters_of(SMALL), SMALL) == SMALL


def test_a_base_run_with_a_single_mask_ratio_keeps_a_single_one():
    paper = recipe("paper")
    assert run_of({"image_mask_ratio": 0.5}, paper).masks.image_ratio == (0.5, 0.5)


def test_the_base_run_is_a_point_of_the_default_space():
    base = base_parameters(Space(), SMALL, SPEC)
    assert run_of(base, SMALL) == SMALL and set(base) == set(distributions(Space()))
    for name in ("image-only", "contrastive"):
        run = recipe(name)
        assert run_of(base_parameters(applicable_space(Space(), run, SPEC)[0], run, SPEC), run) == run
    assert base_parameters(Space(depth=(1, 2)), SMALL, SPEC) is None
    assert base_parameters(Space(image_mask_ratio=(0.1, 0.7)), SMALL, SPEC) is None
    assert base_parameters(Space(learning_rate=(1e-4, 5e-4)), SMALL, SPEC) is None


@pytest.mark.parametrize(
    ("space", "match"),
    [
        (Space(image_patch=(16, 7)), "image.patch is 7"),
        (Space(spectrum_patch=(8000,)), "spectrum.patch is 8000"),
        (Space(width=(50,)), "width is 50"),
        (Space(image_patch=(64,)), "image_patch 64 .* 1 tokens.*fewer than 2"),
        (Space(image_mask_ratio=(0.8, 0.9), image_patch=(32,)), "image_patch 32 .* 4 tokens.*ratio of 0.8"),
        (Space(image_mask_ratio=(), image_patch=(32,)), "image_patch 32 .* 4 tokens.*ratio of 0.9"),
        (Space((), (), (), (), ()), "--space"),
    ],
)
def test_impossible_choices_are_refused_before_anything_starts(space, match):
    with pytest.raises(InputError, match=match):
        require_possible(space, SMALL, SPEC)


def test_a_width_of_the_published_model_that_its_heads_do_not_divide_is_refused():
    with pytest.raises(InputError, match="embed_dim must be divisible by num_heads"):
        require_possible(Space(width=(100,), spectrum_patch=(8,), image_patch=(8,)), recipe("paper"), SPEC)


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"image_mask_ratio": (0.5,)}, "image_mask_ratio is"),
        ({"image_mask_ratio": (0.9, 0.5)}, "image_mask_ratio is"),
        ({"spectrum_mask_ratio": (0.5, 1.0)}, "spectrum_mask_ratio is"),
        ({"learning_rate": (0.0, 1.0)}, "learning_rate is"),
        ({"depth": (2, 2)}, "depth is"),
    ],
)
def test_impossible_spaces_are_refused(values, match):
    with pytest.raises(ValueError, match=match):
        Space(**values)


@pytest.mark.parametrize(
    ("name", "varied", "mode"),
    [
        ("small", {"image_mask_ratio", "spectrum_mask_ratio", "image_patch", "spectrum_patch", "depth"}, "image"),
        ("base", {"image_mask_ratio", "spectrum_mask_ratio", "image_patch", "spectrum_patch", "depth"}, "image"),
        ("image-only", {"image_mask_ratio", "image_patch", "depth"}, "image"),
        ("magnitudes", {"depth"}, "magnitudes"),
        ("cnn", {"depth"}, "image"),
        ("contrastive", {"spectrum_mask_ratio", "spectrum_patch", "depth"}, "image"),  # its images are shown whole
        ("paper", {"image_mask_ratio", "spectrum_mask_ratio", "image_patch", "spectrum_patch", "depth"}, "image"),
    ],
)
def test_every_recipe_varies_what_its_model_has(name, varied, mode):
    run = recipe(name)
    assert input_mode(run, SPEC) == mode
    space, lines = applicable_space(Space(), run, SPEC)
    assert set(distributions(space)) == varied
    absent = set(distributions(Space())) - varied
    assert all(any(name in line for line in lines) for name in absent) and len(lines) <= 2
    require_possible(space, run, SPEC)
    for seed in range(3):
        drawn = sampled(space, run, SPEC, seed)
        assert set(drawn) == varied
        assert parameters_of(run_of(drawn, run)) | drawn == parameters_of(run_of(drawn, run))
        described_model(run_of(drawn, run), SPEC)
    base_parameters(space, run, SPEC)
    extremes(space, run, SPEC)
    assert varied <= {line[0] for line in space_lines(space, run, SPEC)}


def test_defaults_that_a_recipe_cannot_have_are_left_out_and_given_ones_refused():
    paper = recipe("paper")
    space, lines = applicable_space(Space(), paper, SPEC)
    assert space.spectrum_patch == (32, 64) and "spectrum_patch 128" in " ".join(lines)
    given, _ = applicable_space(Space(spectrum_patch=(8, 128)), paper, SPEC)
    assert given.spectrum_patch == (8, 128)
    with pytest.raises(InputError, match="spectrum_patch 128"):
        require_possible(given, paper, SPEC)


def test_a_recipe_that_has_nothing_of_the_space_is_refused():
    only_masks = Space(image_patch=(), spectrum_patch=(), depth=())
    space, _ = applicable_space(only_masks, recipe("cnn"), SPEC)
    with pytest.raises(InputError, match="no field is varied"):
        require_possible(space, recipe("cnn"), SPEC)


def test_the_name_of_the_recipe_alone_is_not_changed():
    with pytest.raises(InputError, match="--run.recipe cnn.*--recipe cnn"):
        parse_study("A study.", ["--run.recipe", "cnn"])
    assert parse_study("A study.", ["--recipe", "cnn"]).run == recipe("cnn")
    assert parse_study("A study.", ["--recipe", "cnn", "--run.recipe", "cnn"]).run == recipe("cnn")


def test_all_choices_are_combined():
    assert len(list(choices(Space(depth=(1, 2), width=(16, 32, 64))))) == 3 * 3 * 2 * 3


def test_extremes_have_the_fewest_and_the_most_visible_tokens():
    cheap, expensive = extremes(Space(), SMALL, SPEC)
    assert cheap["image_patch"] == 16 and cheap["depth"] == 2 and cheap["spectrum_mask_ratio"] > 0.9
    assert expensive["image_patch"] == 4 and expensive["depth"] == 6 and expensive["image_mask_ratio"] == 0.2


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"trials": 0}, "trials is 0"),
        ({"looks": 0}, "looks is 0"),
        ({"grace": 10}, "grace is 10"),
        ({"reduction": 1}, "reduction is 1"),
        ({"cpus_per_trial": 0}, "cpus_per_trial"),
        ({"galaxies_seen": 500}, "galaxies_seen is 500: looks 9"),
        ({"workers_per_trial": 3}, "workers_per_trial 3"),
        ({"objective": "scatter-cost", "budget": "flops"}, "scatter-cost.*budget flops"),
        ({"name": "a/b"}, "name is 'a/b'"),
    ],
)
def test_impossible_studies_are_refused(values, match):
    with pytest.raises(ValueError, match=match):
        StudyConfig(run=SMALL, **values)


def test_the_default_name_of_a_study_is_recipe_and_survey():
    assert StudyConfig(run=SMALL).full_name == "small-simulated-6000"
    assert StudyConfig(run=replace(SMALL, survey="/data/surveys/mine")).full_name == "small-mine"
