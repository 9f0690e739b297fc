"""A run that starts from a bundle: which weights it takes, and which stay as they are."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import replace

import pytest
import torch

from mmae.bundle.write import write_bundle
from mmae.config import OptimConfig, RunConfig
from mmae.core.errors import InputError
from mmae.model.mmae import MMAE
from mmae.survey.leaks import TRAINING_ROWS, require_no_leak, write_training_rows
from mmae.training.start import HEADS, require_fitting_start
from mmae.training.step import create_state, training_step
from tests.bundle.bundles import BANDED, SCORES, tiny_bundle, write_checkpoint
from tests.model.galaxies import TINY, random_batch, tiny
from tests.model.test_baselines import CNN
from tests.realism.surveys import make_survey

CPU = torch.device("cpu")
OTHER_BANDS = replace(BANDED, bands=("r", "z"))
THREE_BANDS = replace(
    BANDED, bands=("g", "r", "z"), band_noise=(0.1,) * 3, arcsinh_mean=(1.5,) * 3, arcsinh_std=(1.8,) * 3
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return tiny_bundle(tmp_path_factory.mktemp("tiny"))


def run(bundle, **values) -> RunConfig:
    optim = OptimConfig(steps=4, warmup_steps=0)
    return RunConfig(**({"init": str(bundle), "model": TINY, "optim": optim, "redshift_masks": None} | values))


def equal_names(model: MMAE, bundle) -> set[str]:
    """The parameters of a model that are those of the bundle."""
    from mmae.bundle.load import load_bundle

    old = load_bundle(bundle).model.state_dict()
    return {n for n, p in model.named_parameters() if n in old and old[n].shape == p.shape and torch.equal(old[n], p)}


def random_parts(model: MMAE) -> set[str]:
    """Parameters that are the same for every seed: norms, biases at zero and positions."""
    others = [dict(MMAE(model.config, model.spec).named_parameters()) for _ in range(2)]
    return {name for name, p in others[0].items() if not torch.equal(p, others[1][name])}


def test_the_same_grid_takes_all_weights_and_forgets_the_recalibration(bundle):
    state = create_state(run(bundle), replace(BANDED, zero_point=25.0), CPU)
    assert equal_names(state.model, bundle) == {name for name, _ in state.model.named_parameters()}
    assert equal_names(state.averaged, bundle) == equal_names(state.model, bundle)
    levels_R = torch.linspace(0, 1, state.model.recalibration.knot_SWR.shape[-1])
    assert (state.model.recalibration.knot_SWR == levels_R).all()


@pytest.mark.parametrize(
    ("spec", "model"),
    [
        (OTHER_BANDS, TINY),
        (THREE_BANDS, TINY),
        (replace(BANDED, pixel_scale=0.3), TINY),
        (BANDED, tiny(image={"patch": 8})),
    ],
    ids=["other bands", "three bands", "pixel scale", "patch"],
)
def test_another_image_grid_keeps_all_but_the_image_weights(bundle, spec, model):
    state = create_state(run(bundle, model=model), spec, CPU)
    taken = equal_names(state.model, bundle)
    image = {name for name, _ in state.model.named_parameters() if name.startswith("modalities.image.")}
    assert {name for name, _ in state.model.named_parameters()} - image <= taken
    assert not taken & image & random_parts(state.model)
    training_step(state, random_batch(4, spec), run(bundle, model=model))


def test_another_wavelength_grid_keeps_all_but_the_weights_of_spectra(bundle):
    state = create_state(run(bundle), replace(BANDED, wavelength_step=50.0), CPU)
    spectrum = {name for name in random_parts(state.model) if name.startswith("modalities.spectrum.")}
    assert equal_names(state.model, bundle).isdisjoint(spectrum)
    assert "modalities.image.pixels_to_token.weight" in equal_names(state.model, bundle)


def test_a_further_modality_is_fresh_and_one_may_be_left_out(bundle):
    for change in ({"magnitudes": {"use": True}}, {"spectrum": {"use": False}}):
        taken = equal_names(create_state(run(bundle, model=tiny(**change)), BANDED, CPU).model, bundle)
        assert {"encoder_norm.weight", "modalities.image.pixels_to_token.weight", "redshift_head.query"} <= taken
        assert "amount.weight" not in taken


@pytest.mark.parametrize("muon", [0.0, 1e-3])
def test_a_frozen_encoder_stays_as_it_is(bundle, muon):
    config = run(bundle, freeze="encoder", optim=OptimConfig(steps=4, warmup_steps=0, muon_learning_rate=muon))
    state = create_state(config, THREE_BANDS, CPU)
    before = {name: p.detach().clone() for name, p in state.model.named_parameters()}
    for seed in range(2):
        training_step(state, random_batch(8, THREE_BANDS, seed), config)
    changed = {name for name, p in state.model.named_parameters() if not torch.equal(p, before[name])}
    trained = {name for name in before if name.startswith("modalities.image.") or not HEADS.isdisjoint(name.split("."))}
    assert changed <= trained
    for part in ("redshift_head.", "decoder.", "modalities.image.pixels_to_token.", "modalities.spectrum.to_patch."):
        assert any(name.startswith(part) for name in changed)


def test_models_that_do_not_fit_are_refused_in_one_line(bundle):
    for values, message in (
        ({"model": tiny(width=32)}, "width 16 -> 32"),
        ({"model": tiny(depth=1)}, "depth 2 -> 1"),
        ({"model": CNN}, "of kind mmae, the run one of kind cnn"),
    ):
        with pytest.raises(InputError, match=re.escape(message)) as error:
            create_state(run(bundle, **values), BANDED, CPU)
        assert "\n" not in str(error.value)


def test_a_cnn_starts_only_on_its_own_grid(tmp_path):
    write_checkpoint(tmp_path / "best", CNN)
    bundle = write_bundle(tmp_path / "best", tmp_path / "bundle", "cnn", SCORES)
    create_state(run(bundle, model=CNN), BANDED, CPU)
    with pytest.raises(InputError, match="only on the grids of its bundle"):
        create_state(run(bundle, model=CNN), OTHER_BANDS, CPU)


def test_freezing_needs_a_bundle():
    with pytest.raises(ValueError, match="give init"):
        RunConfig(freeze="encoder")


def test_rows_of_both_trainings_are_recorded_and_checked(tmp_path):
    """Neither run nor evaluation may test on galaxies of the first training."""
    first, second = make_survey(tmp_path / "first", 40), make_survey(tmp_path / "second", 40, seed=9)
    write_checkpoint(tmp_path / "best")
    write_training_rows(first, tmp_path / "best")
    bundle = write_bundle(tmp_path / "best", tmp_path / "bundle", "one", SCORES)
    tuned = tmp_path / "tuned"
    tuned.mkdir()
    write_training_rows(second, tuned, bundle)
    with pytest.raises(InputError, match="were in the training"):
        require_no_leak(tuned, first, "train")
    with pytest.raises(InputError, match="were in the training"):
        require_no_leak(tuned, second, "train")
    assert (bundle / TRAINING_ROWS).exists()


def test_one_line_says_what_is_fresh(tmp_path):
    survey = make_survey(tmp_path / "sky", 40)
    spec = replace(BANDED, **{f.name: getattr(survey.spec, f.name) for f in dataclasses.fields(BANDED)})
    config = tiny(image={"patch": 16, "whole_patch": 16}, spectrum={"patch": 512})
    was = replace(spec, pixel_scale=spec.pixel_scale * 2)
    write_checkpoint(tmp_path / "best", config, was)
    bundle = write_bundle(tmp_path / "best", tmp_path / "bundle", "one", None)
    line = require_fitting_start(run(bundle, model=config, freeze="encoder"), survey)
    assert "modalities.image fresh (pixel_scale" in line and "encoder frozen" in line and "\n" not in line
