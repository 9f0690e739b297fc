"""MLflow runs are found by their folder, whatever characters its name has."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from mlflow import MlflowClient
from PIL import Image

from mmae.core.provenance import provenance
from mmae.tracking.runs import KIND, KIND_TAG, Tracker, open_named_run, run_of_folder

NAMES = ["plain", "o'brien", "o_brien", "oxbrien", "50%", "50x", "a_b", "axb", "it''s", "_", "%", '"quoted"', "`tick`"]


@pytest.fixture(scope="module")
def uri(tmp_path_factory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


@pytest.fixture(scope="module")
def run_ids(uri) -> dict[str, str]:
    """One run per folder name."""
    ids = {}
    for name in NAMES:
        tracker, is_new = open_named_run(uri, "folders", name, Path("/runs") / name, {})
        assert is_new
        ids[name] = tracker.run_id
    return ids


@pytest.mark.parametrize("name", NAMES)
def test_run_of_a_folder_is_found_by_exact_name(uri, run_ids, name):
    tracker, is_new = open_named_run(uri, "folders", name, Path("/runs") / name, {})
    assert not is_new and tracker.run_id == run_ids[name]
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("folders").experiment_id
    assert run_of_folder(client, [experiment], Path("/runs") / name).info.run_id == run_ids[name]


@pytest.mark.parametrize("name", ["o?brien", "oabrien", "50", "50%%", "a%b", "plai_", "PLAIN", "", "plain/best"])
def test_run_of_another_folder_is_not_found(uri, run_ids, name):
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("folders").experiment_id
    assert run_of_folder(client, [experiment], Path("/runs") / name) is None


def test_the_newest_run_of_a_folder_is_found_among_several_pages(uri, monkeypatch):
    """Other folders that match the LIKE pattern may fill the first page of results."""
    wanted, _ = open_named_run(uri, "pages", "x", Path("/runs/o'b"), {})
    for other in ("oxb", "oyb", "ozb"):
        open_named_run(uri, "pages", "x", Path("/runs") / other, {})
    client = MlflowClient(uri)
    search = client.search_runs
    monkeypatch.setattr(client, "search_runs", lambda *args, **options: search(*args, max_results=1, **options))
    experiment = client.get_experiment_by_name("pages").experiment_id
    assert run_of_folder(client, [experiment], Path("/runs/o'b")).info.run_id == wanted.run_id


def test_a_run_says_where_it_comes_from(uri, monkeypatch):
    monkeypatch.setattr("sys.argv", ["ray_jobs/pretrain.py", "--name", "x"])
    parent, _ = open_named_run(uri, "sources", "x", Path("/runs/x"), {})
    monkeypatch.setattr("sys.argv", ["worker.py"])
    child, _ = open_named_run(uri, "sources", "y", Path("/runs/y"), {}, parent)
    client = MlflowClient(uri)
    for tracker in (parent, child):
        tags = client.get_run(tracker.run_id).data.tags
        assert (tags["mlflow.source.name"], tags["mlflow.source.type"]) == ("ray_jobs/pretrain.py", "LOCAL")
        assert tags.get("mlflow.source.git.commit") == provenance().get("git_commit")
    assert tags["mlflow.parentRunId"] == parent.run_id


def test_experiments_open_with_their_runs(uri):
    """Those of other programs too, of which the UI guesses the kind."""
    client = MlflowClient(uri)
    client.create_experiment("elsewhere")
    for name in ("elsewhere", "here"):
        open_named_run(uri, name, "x", Path("/runs/x"), {})
        assert client.get_experiment_by_name(name).tags[KIND_TAG] == KIND


def test_the_data_set_of_a_run_is_recorded(uri):
    tracker, _ = open_named_run(uri, "data", "x", Path("/runs/x"), {})
    for _ in range(2):  # a run that is resumed
        tracker.dataset("sim", Path("/surveys/sim"), "0123456789abcdef" * 4, 420)
    (given,) = MlflowClient(uri).get_run(tracker.run_id).inputs.dataset_inputs
    assert given.dataset.name == "sim" and "/surveys/sim" in given.dataset.source
    assert "420" in given.dataset.profile and ("0123456789abcdef" * 4).startswith(given.dataset.digest)
    assert [(tag.key, tag.value) for tag in given.tags] == [("mlflow.data.context", "training")]


def test_the_page_of_a_run_is_printed(uri, tmp_path):
    tracker, _ = open_named_run(uri, "look", "x", Path("/runs/x"), {})
    experiment = MlflowClient(uri).get_experiment_by_name("look").experiment_id
    page = f"/#/experiments/{experiment}/runs/{tracker.run_id}?workflowType=machine_learning"
    for found in (tracker, Tracker(uri, tracker.run_id).located()):
        assert found.how_to_look.endswith(f"open http://127.0.0.1:5000{page}") and uri in found.how_to_look
    assert Tracker("http://host:5000/", "r", "7").how_to_look == (
        "open http://host:5000/#/experiments/7/runs/r?workflowType=machine_learning"
    )
    assert Tracker(uri, "unknown").located() == Tracker(uri, "unknown")


def test_images_of_a_key_have_their_step_and_pixels(uri):
    tracker, _ = open_named_run(uri, "images", "x", Path("/runs/images"), {})
    figure = Figure(figsize=(1, 0.5), dpi=60, facecolor="red")
    tracker.image(figure, "picture", 40)
    client = MlflowClient(uri)
    (path,) = [i.path for i in client.list_artifacts(tracker.run_id, "images") if i.path.endswith(".png")]
    assert re.search("picture.step.40.", path)
    pixels = np.asarray(Image.open(client.download_artifacts(tracker.run_id, path)).convert("RGB"))
    assert pixels.shape == (30, 60, 3) and (pixels == (255, 0, 0)).all()
