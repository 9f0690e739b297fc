"""MLflow runs are found by their folder, whatever characters its name has."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from mlflow import MlflowClient
from PIL import Image

from mmae.tracking.runs import open_named_run, run_of_folder

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


def test_images_of_a_key_have_their_step_and_pixels(uri):
    tracker, _ = open_named_run(uri, "images", "x", Path("/runs/images"), {})
    figure = Figure(figsize=(1, 0.5), dpi=60, facecolor="red")
    tracker.image(figure, "picture", 40)
    client = MlflowClient(uri)
    (path,) = [i.path for i in client.list_artifacts(tracker.run_id, "images") if i.path.endswith(".png")]
    assert re.search("picture.step.40.", path)
    pixels = np.asarray(Image.open(client.download_artifacts(tracker.run_id, path)).convert("RGB"))
    assert pixels.shape == (30, 60, 3) and (pixels == (255, 0, 0)).all()
