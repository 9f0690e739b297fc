"""Pictures of a validation: the same galaxies at every step, in MLflow by step; an error does not end a training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from mmae.config import RunConfig
from mmae.model.build import build_model
from mmae.survey.schema import SurveySpec
from mmae.tracking.runs import Tracker, open_named_run
from mmae.training.pictures import RECONSTRUCTIONS, example_galaxies, log_pictures
from mmae.training.system import system_metrics
from tests.model.galaxies import SPEC, TINY, random_batch, without
from tests.model.test_baselines import CNN

CPU = torch.device("cpu")
SURVEY = replace(
    SurveySpec(image_size=SPEC.image_size, n_wavelengths=SPEC.n_wavelengths, wavelength_step=SPEC.wavelength_step),
    bands=("g", "i"),
    band_noise=SPEC.band_noise,
    arcsinh_mean=SPEC.arcsinh_mean,
    arcsinh_std=SPEC.arcsinh_std,
)


@pytest.fixture
def tracker(tmp_path) -> Tracker:
    return open_named_run(f"sqlite:///{tmp_path}/mlflow.db", "pictures", "run", Path("/runs/run"), {})[0]


def log(tracker: Tracker, config, step: int, batch=None) -> None:
    run = RunConfig(model=config)
    log_pictures(tracker, batch or random_batch(8), build_model(config, SPEC), CPU, run, SURVEY, step)


def test_pictures_of_two_validations_are_two_steps_of_one_key(tracker):
    for step in (10, 20):
        tracker.metrics({"val/loss": 1 / step, "val/image/sigma_nmad": 2 / step}, step)
        log(tracker, TINY, step)
    client = MlflowClient(tracker.uri)
    names = [Path(item.path).name for item in client.list_artifacts(tracker.run_id, "images")]
    pictures = [name for name in names if name.startswith(RECONSTRUCTIONS) and name.endswith(".png")]
    assert sorted(name.split("step")[1][1:3] for name in pictures) == ["10", "20"]
    assert "figures/loss.png" in {item.path for item in client.list_artifacts(tracker.run_id, "figures")}


def test_a_model_without_reconstructions_has_learning_curves_only(tracker):
    log(tracker, CNN, 10)
    client = MlflowClient(tracker.uri)
    assert {item.path for item in client.list_artifacts(tracker.run_id)} == {"figures"}


def test_galaxies_with_all_modalities_are_shown_first_and_in_their_order():
    batch = without(random_batch(6), spectrum=[0, 3], image=[1])
    chosen = example_galaxies(batch, 4)
    assert chosen.object_id == [batch.object_id[row] for row in (2, 4, 5, 0)]
    assert torch.equal(chosen.image_BCHW[1], batch.image_BCHW[4])


def test_an_error_of_mlflow_is_printed(tracker, monkeypatch, capsys):
    def down(*_):
        raise MlflowException("connection refused")

    monkeypatch.setattr(Tracker, "history", down)
    log(tracker, TINY, 30)
    assert "connection refused" in capsys.readouterr().out


def test_use_of_the_machine_is_in_percent():
    found = system_metrics(CPU)
    assert found and all(name.startswith("system/") and 0 <= value <= 100 for name, value in found.items())
