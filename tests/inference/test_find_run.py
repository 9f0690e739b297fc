"""Runs with a trained model are found by name, folder and MLflow run id."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow import MlflowClient

from mmae.core.errors import InputError
from mmae.inference.checkpoint import BEST, CONFIG, WEIGHTS
from mmae.inference.find_run import IN_MLFLOW, find_run
from mmae.tracking.runs import open_named_run, tracking_uri


def make_checkpoint(folder: Path) -> Path:
    """A folder with the files of a checkpoint."""
    folder.mkdir(parents=True)
    (folder / WEIGHTS).write_bytes(b"weights")
    (folder / CONFIG).write_text("config")
    return folder


@pytest.fixture
def home(tmp_path) -> Path:
    return tmp_path / "home"


def create_run(uri: str, artifacts: Path) -> tuple[MlflowClient, str]:
    """An MLflow run without folder tag, as created by other programs.

    Args:
        artifacts: folder of its files; MLflow's default is in the working folder.
    """
    client = MlflowClient(uri)
    experiment = client.create_experiment("other", artifact_location=str(artifacts))
    return client, client.create_run(experiment).info.run_id


def test_a_run_is_found_by_name_folder_checkpoint_and_run_id(home):
    uri = tracking_uri(home)
    folder = home / "runs" / "first"
    checkpoint = make_checkpoint(folder / BEST)
    tracker, _ = open_named_run(uri, "mmae", "first", folder, {})
    for run in ("first", str(folder), str(checkpoint), tracker.run_id):
        found = find_run(run, home, uri)
        assert (found.checkpoint, found.name, found.run.run_id) == (checkpoint, "first", tracker.run_id)


def test_a_checkpoint_without_mlflow_run_is_found(home, tmp_path):
    checkpoint = make_checkpoint(tmp_path / "copied")
    found = find_run(str(checkpoint), home, tracking_uri(home))
    assert (found.checkpoint, found.name, found.run) == (checkpoint, "copied", None)


def test_a_run_without_folder_tag_does_not_use_the_current_folder(home, tmp_path, monkeypatch):
    current = tmp_path / "current"
    make_checkpoint(current / BEST)
    monkeypatch.chdir(current)
    uri = tracking_uri(home)
    _, run_id = create_run(uri, tmp_path / "artifacts")
    with pytest.raises(InputError, match=f"{run_id}.*{IN_MLFLOW}/{WEIGHTS}"):
        find_run(run_id, home, uri)


def test_a_checkpoint_is_downloaded_from_mlflow_artifacts(home, tmp_path):
    uri = tracking_uri(home)
    client, run_id = create_run(uri, tmp_path / "artifacts")
    client.log_artifacts(run_id, str(make_checkpoint(tmp_path / IN_MLFLOW)), IN_MLFLOW)
    found = find_run(run_id, home, uri)
    assert found.checkpoint.is_relative_to(home / "downloads" / run_id) and found.run.run_id == run_id
    assert (found.checkpoint / WEIGHTS).read_bytes() == b"weights"


def test_an_unknown_run_is_refused_by_name(home):
    with pytest.raises(InputError, match="nobody"):
        find_run("nobody", home, tracking_uri(home))
