"""A run's folder: what a finished, failed, interrupted or running run leaves, without Ray."""

from __future__ import annotations

import io
import json
import math
import os
import shlex
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from rich.console import Console

from mmae.config import RunConfig
from mmae.core.errors import InputError
from mmae.core.files import folder_lock
from mmae.core.interrupts import Terminated, interrupted_status, raise_on_sigterm
from mmae.core.settings import from_yaml, to_yaml
from mmae.inference.stored_scores import SCORES, read_scores, write_scores
from mmae.metrics.bootstrap import Score
from mmae.metrics.redshift import ALL_Z
from mmae.tracking.runs import tracking_uri
from mmae.training import run as run_module
from mmae.training.run import pretrain
from mmae.training.run_folder import interrupted_line
from tests.realism.surveys import make_survey

SCORES_OF = {
    "sigma_nmad": Score(0.02, 0.01, 0.03, 20),
    "outlier_rate": Score(0.1, 0.05, 0.2, 20),
    "bias": Score(math.nan, math.nan, math.nan, 0),
}
TABLE = {"image": {ALL_Z: SCORES_OF}}


class Calls(SimpleNamespace):
    """Numbers of trainings and scorings."""


@pytest.fixture
def calls(monkeypatch) -> Calls:
    """Training and scoring replaced by counters; the training writes a checkpoint."""
    calls = Calls(trained=0, scored=0)

    def train(config, survey, tracker, run_dir: Path) -> Path:
        calls.trained += 1
        (run_dir / "best").mkdir()
        (run_dir / "best" / "model.safetensors").touch()
        return run_dir / "best"

    def score(*_):
        calls.scored += 1
        return SimpleNamespace(table=TABLE)

    monkeypatch.setattr(run_module, "start_ray", lambda: None)
    monkeypatch.setattr(run_module, "_require_workers", lambda config: None, raising=False)
    monkeypatch.setattr(run_module, "_train", train)
    monkeypatch.setattr(run_module, "score_checkpoint", score)
    monkeypatch.setattr(run_module, "bundle_checkpoint", lambda *_: None)
    return calls


@pytest.fixture
def config(tmp_path, quick_run, monkeypatch) -> RunConfig:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    survey = make_survey(tmp_path / "survey", 60)
    return replace(quick_run, home=str(tmp_path / "home"), survey=str(survey.path), name="one")


def quiet() -> Console:
    return Console(file=io.StringIO(), width=100)


def runs(config: RunConfig) -> list:
    client = MlflowClient(tracking_uri(config.home_path))
    return client.search_runs([client.get_experiment_by_name(config.experiment).experiment_id])


def folder(config: RunConfig) -> Path:
    return config.home_path / "runs" / config.name


def test_a_finished_run_prints_its_scores_and_is_not_changed(config, calls):
    first = pretrain(config, quiet())
    before = {file: file.stat().st_mtime_ns for file in folder(config).rglob("*")}
    logged = runs(config)
    console = quiet()
    again = pretrain(config, console)
    assert again.run_dir == first.run_dir and again.tracker == first.tracker
    assert again.table.keys() == TABLE.keys()
    assert "0.0200±0.0100" in console.file.getvalue()
    assert (calls.trained, calls.scored) == (1, 1)
    assert {file: file.stat().st_mtime_ns for file in folder(config).rglob("*")} == before
    assert [r.info.to_proto() for r in runs(config)] == [r.info.to_proto() for r in logged]


def test_a_trained_run_without_scores_is_only_scored(config, calls, monkeypatch):
    def down(*_):
        raise MlflowException("connection refused")

    with monkeypatch.context() as patch:
        patch.setattr(run_module, "score_checkpoint", down)
        with pytest.raises((InputError, MlflowException)):
            pretrain(config, quiet())
    assert read_scores(folder(config)) is None
    pretrain(config, quiet())
    assert (calls.trained, calls.scored) == (1, 1)
    (run,) = runs(config)
    assert run.info.status == "FINISHED"


def test_stored_scores_are_those_written(tmp_path):
    write_scores(tmp_path, "abc", TABLE)
    stored = read_scores(tmp_path)
    assert stored.run_id == "abc"
    scores = stored.table["image"][ALL_Z]
    assert scores["sigma_nmad"] == SCORES_OF["sigma_nmad"]
    assert math.isnan(scores["bias"].value) and scores["bias"].n == 0
    json.loads((tmp_path / SCORES).read_text(), parse_constant=pytest.fail)  # no NaN in JSON
    (tmp_path / SCORES).write_text('{"scores": 3}')
    with pytest.raises(InputError, match=SCORES):
        read_scores(tmp_path)


def test_a_second_process_does_not_run_the_same_run(config, calls):
    with folder_lock(folder(config), "held"):
        with pytest.raises(InputError, match=f"{folder(config)}: another process"):
            pretrain(config, quiet())
    assert (calls.trained, calls.scored) == (0, 0)
    pretrain(config, quiet())
    assert calls.trained == 1


def test_a_start_without_mlflow_claims_nothing(config, calls, monkeypatch):
    def down(*_, **__):
        raise InputError("MLflow does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(run_module, "open_tracker", down)
        with pytest.raises(InputError, match="MLflow"):
            pretrain(config, quiet())
    assert not (folder(config) / "config.yaml").exists()
    corrected = replace(config, seed=5)
    pretrain(corrected, quiet())
    assert from_yaml(folder(config) / "config.yaml", RunConfig).seed == 5


def test_options_may_be_corrected_until_the_first_checkpoint(config, calls, monkeypatch):
    def fails(*_):
        raise InputError("the loss is nan")

    with monkeypatch.context() as patch:
        patch.setattr(run_module, "_train", fails)
        for _ in range(2):  # the same options: the same MLflow run
            with pytest.raises(InputError, match="nan"):
                pretrain(config, quiet())
    assert len(runs(config)) == 1
    corrected = replace(config, optim=replace(config.optim, learning_rate=5e-4))
    result = pretrain(corrected, quiet())
    recorded = {run.info.run_id: run for run in runs(config)}
    assert len(recorded) == 2
    now = recorded.pop(result.tracker.run_id)
    assert now.data.params["optim.learning_rate"] == "0.0005" and now.info.status == "FINISHED"
    (failed,) = recorded.values()
    assert failed.info.status == "FAILED" and "mmae.run_dir" not in failed.data.tags
    with pytest.raises(InputError, match="optim.learning_rate"):
        pretrain(config, quiet())


def test_a_checkpoint_claims_the_configuration(config, calls):
    folder(config).joinpath("checkpoint_2026").mkdir(parents=True)
    folder(config).joinpath("config.yaml").write_text(to_yaml(replace(config, stream=replace(config.stream, lanes=1))))
    with pytest.raises(InputError, match="seed was 0, is 1"):
        pretrain(replace(config, seed=1), quiet())
    assert pretrain(replace(config, compute=replace(config.compute, workers=2)), quiet())  # keeps its one lane


@pytest.mark.parametrize(
    ("error", "status"), [(KeyboardInterrupt(), 130), (Terminated(), 143)], ids=["SIGINT", "SIGTERM"]
)
def test_an_interrupted_run_is_killed_in_mlflow_and_names_its_command(config, calls, monkeypatch, error, status):
    def stopped(config, survey, tracker, run_dir):
        checkpoint = run_dir / "checkpoint_2026"
        checkpoint.mkdir()
        checkpoint.joinpath("state.json").write_text(json.dumps({"step": 8, "metrics": {}, "input_spec": {}}))
        raise error

    monkeypatch.setattr(run_module, "_train", stopped)
    console = quiet()
    with pytest.raises(SystemExit) as caught:
        pretrain(config, console)
    assert caught.value.code == status
    (run,) = runs(config)
    assert run.info.status == "KILLED"
    (line,) = [line for line in console.file.getvalue().splitlines() if line.startswith("interrupted")]
    assert "step 8/10" in line and f"pretrain.py --config {folder(config) / 'config.yaml'}" in line


def test_sigterm_raises_and_gives_its_own_status(monkeypatch):
    monkeypatch.setattr(Terminated, "received", False)
    assert interrupted_status(KeyboardInterrupt()) == 130
    before = signal.getsignal(signal.SIGTERM)
    raise_on_sigterm()
    try:
        with pytest.raises(Terminated):
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert interrupted_status(KeyboardInterrupt()) == 143  # ray.get raises a plain KeyboardInterrupt


def test_the_command_that_continues_can_be_pasted(config, monkeypatch):
    config = replace(config, name="Ingrid's run [2]", home="")
    run_dir = config.home_path / "runs" / config.name
    run_dir.mkdir(parents=True)
    assert "Run the same command again" in interrupted_line(config, run_dir)
    (run_dir / "config.yaml").write_text(to_yaml(config))
    command = interrupted_line(config, run_dir).split("Continue with: ")[1]
    arguments = shlex.split(command)
    assert arguments[arguments.index("--config") + 1] == str(run_dir / "config.yaml")
    # The home folder of the tests is given by the environment only.
    assert arguments[arguments.index("--home") + 1] == os.environ["MMAE_HOME"]


def test_configured_paths_are_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = RunConfig(survey="mine/../survey", home="h")
    assert (config.survey, config.home) == (str(tmp_path / "survey"), str(tmp_path / "h"))
    assert RunConfig() == replace(RunConfig(), survey="", home="") and RunConfig().survey == ""
    saved = tmp_path / "config.yaml"
    saved.write_text(to_yaml(config))
    monkeypatch.chdir("/")
    assert from_yaml(saved, RunConfig) == config
