"""A model is evaluated only on surveys of its own bands, units and grids."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from mmae.config import modalities_of
from mmae.core.errors import InputError
from mmae.evaluation.job import _require_same_grid
from mmae.inference.checkpoint import STATE
from mmae.loader.collate import input_spec
from mmae.model.build import build_model
from mmae.recipes import RECIPES, recipe
from mmae.survey.schema import SurveySpec


def trained(folder: Path, **changes) -> SimpleNamespace:
    values = dataclasses.asdict(input_spec(SurveySpec())) | changes
    state = {"step": 1, "metrics": {}, "input_spec": values}
    (folder / STATE).write_text(json.dumps(state))
    return SimpleNamespace(checkpoint=folder, name="first")


def survey(**changes) -> SimpleNamespace:
    return SimpleNamespace(path=Path("other"), spec=replace(SurveySpec(), **changes))


def test_the_same_grid_is_accepted_whatever_its_noise(tmp_path):
    _require_same_grid(trained(tmp_path), survey(band_noise=(1.0, 1.0, 1.0, 1.0, 1.0)))


@pytest.mark.parametrize(
    "changes",
    [
        {"wavelength_start": 3700.0},
        {"wavelength_step": 0.9},
        {"n_wavelengths": 7000},
        {"bands": ("u", "g", "r", "i", "z")},
        {"bands": ("r", "g", "i", "z", "y")},
        {"pixel_scale": 0.262},
        {"zero_point": 22.5},
        {"image_size": 127},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_another_grid_is_refused_by_name(tmp_path, changes):
    with pytest.raises(InputError, match=next(iter(changes))):
        _require_same_grid(trained(tmp_path), survey(**changes))


def test_checkpoints_that_record_no_bands_are_compared_by_what_they_record(tmp_path):
    old = trained(tmp_path, bands=[], pixel_scale=0.0, zero_point=0.0)
    _require_same_grid(old, survey(bands=("a", "b", "c", "d", "e"), zero_point=22.5))
    with pytest.raises(InputError, match="wavelength_start"):
        _require_same_grid(old, survey(wavelength_start=3700.0))


def test_a_model_on_tables_is_compared_by_its_bands_only(tmp_path):
    run = trained(tmp_path)
    tables = survey(image_size=0, n_wavelengths=0, zero_point=22.5, wavelength_start=3700.0)
    _require_same_grid(run, tables, ("magnitudes",))
    with pytest.raises(InputError, match="bands is .*'u'"):
        _require_same_grid(run, survey(bands=("u", "g", "r", "i", "z")), ("magnitudes",))


def test_a_model_on_spectra_is_not_compared_by_images(tmp_path):
    _require_same_grid(trained(tmp_path), survey(bands=("g", "r"), band_noise=(1.0, 1.0)), ("spectrum",))


def test_all_differences_are_named(tmp_path):
    with pytest.raises(InputError, match="zero_point is 22.5.*wavelength_start is 3700"):
        _require_same_grid(trained(tmp_path), survey(zero_point=22.5, wavelength_start=3700.0))


@pytest.mark.parametrize("name", RECIPES)
def test_modalities_of_a_configuration_are_those_of_its_model(name):
    config = recipe(name).model
    with torch.device("meta"):
        model = build_model(config, input_spec(SurveySpec()))
    assert set(modalities_of(config)) == set(model.n_tokens)
