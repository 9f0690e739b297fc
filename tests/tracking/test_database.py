"""The MLflow database: names of folders, concurrent creation, moved home folders, and errors in one line."""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import shutil
import sqlite3
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from mlflow import MlflowClient

from mmae.core.errors import InputError
from mmae.inference.find_run import find_run
from mmae.tracking.database import follow_move, open_client, sqlite_path, sqlite_uri
from mmae.tracking.runs import Tracker, open_named_run, tracking_uri

# Every run is opened in a process of its own, as MLflow caches artifact locations. Packages are imported once for all.
PROCESSES = multiprocessing.get_context("forkserver")


def open_run(home: Path, name: str, text: str = "first") -> list[str]:
    """Open the run of this name, and log a file to it; what is printed, and last the run's id and whether it is new."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        tracker, is_new = open_named_run(tracking_uri(home), "e", name, home / "runs" / name, {})
        tracker.tags({"mmae.survey": str(home / "surveys" / "sim")})
        tracker.text(text, f"{text}.txt")
    return [*printed.getvalue().splitlines(), f"{tracker.run_id} {is_new}"]


def in_processes(*runs: tuple) -> list[list[str]]:
    """`open_run` with these arguments, each in a process of its own, at once."""
    multiprocessing.set_forkserver_preload([__name__])
    with ProcessPoolExecutor(len(runs), mp_context=PROCESSES) as pool:
        return [opened.result(timeout=120) for opened in [pool.submit(open_run, *run) for run in runs]]


@pytest.fixture(autouse=True)
def no_server(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.mark.parametrize("name", ["plain", "o'brien", "50%", "%41", "%d", "a#b", "a?b=c", "grö[1]ße", "sp ace", 'q"q'])
def test_the_uri_of_a_file_names_this_file(name):
    path = Path("/data") / name / "mlflow.db"
    assert sqlite_path(sqlite_uri(path)) == path


def test_other_uris_have_no_file():
    assert sqlite_path("http://127.0.0.1:5000") is None and sqlite_path("postgresql://me:secret@host/mlflow") is None


def test_relative_sqlite_uris_become_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///here/50%25.db")
    assert sqlite_path(tracking_uri(tmp_path)) == tmp_path / "here" / "50%.db"


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A home folder, named with characters that are special in URIs, whose database three processes created at once."""
    home = tmp_path_factory.mktemp("homes") / "o'brien [50%41] größe"
    lines = in_processes(*((home, name) for name in ("one", "two", "it's three")))
    assert [line[-1].split()[1] for line in lines] == ["True"] * 3
    return home


def test_processes_that_start_at_once_create_one_database(home):
    client = open_client(tracking_uri(home))
    (experiment,) = [e for e in client.search_experiments() if e.name == "e"]
    assert {run.info.run_name for run in client.search_runs([experiment.experiment_id])} == {"one", "two", "it's three"}
    assert [path.name for path in home.parent.iterdir()] == [home.name]


@pytest.mark.long
@pytest.mark.parametrize("keep", [False, True], ids=["moved", "copied"])
def test_runs_of_a_moved_or_copied_home_are_found_and_go_on_there(home, tmp_path, keep):
    source = tmp_path / "old [1]"
    shutil.copytree(home, source)
    assert "moved from" in in_processes((source, "one"))[0][0]  # a copy of `home`
    new = tmp_path / "new%20"
    (shutil.copytree if keep else shutil.move)(source, new)
    before = sorted(path.relative_to(source) for path in source.rglob("*")) if keep else None
    ((message, result),) = in_processes((new, "one", "second"))
    assert str(source) in message and str(new) in message
    run_id, is_new = result.split()
    assert is_new == "False"
    assert sorted(path.name for path in (new / "mlflow/artifacts" / run_id / "artifacts").iterdir()) == [
        "first.txt",
        "second.txt",
    ]
    tags = MlflowClient(tracking_uri(new)).get_run(run_id).data.tags
    assert tags["mmae.run_dir"] == str(new / "runs/one") and tags["mmae.survey"] == str(new / "surveys/sim")
    assert in_processes((new, "one", "third")) == [[result]]  # nothing left to change
    if keep:
        assert sorted(path.relative_to(source) for path in source.rglob("*")) == before
    else:
        assert not source.exists()


def database(folder: Path, location: str) -> Path:
    """The columns of an MLflow database that contain paths, with one experiment."""
    folder.mkdir(parents=True)
    path = folder / "mlflow.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE experiments (artifact_location TEXT)")
        connection.execute("CREATE TABLE runs (artifact_uri TEXT)")
        connection.execute("CREATE TABLE tags (key TEXT, value TEXT)")
        connection.execute("INSERT INTO experiments VALUES (?)", [location])
        connection.execute("INSERT INTO runs VALUES (?)", [f"{location}/1/artifacts"])
        connection.executemany(
            "INSERT INTO tags VALUES (?, ?)",
            [("mmae.run_dir", "/old/runs/a"), ("mmae.run_dir", "/older/runs/a"), ("note", "/old/runs/a")],
        )
    return path


def rows(path: Path) -> list[str]:
    with sqlite3.connect(path) as connection:
        tables = (("artifact_location", "experiments"), ("artifact_uri", "runs"), ("value", "tags"))
        return [value for column, table in tables for (value,) in connection.execute(f"SELECT {column} FROM {table}")]


def test_only_paths_below_the_old_home_change(tmp_path):
    path = database(tmp_path / "mlflow", "file:///old/mlflow/artifacts")
    assert follow_move(path) == [(Path("/old"), tmp_path)]
    artifacts = (tmp_path / "mlflow" / "artifacts").as_uri()
    assert rows(path) == [artifacts, f"{artifacts}/1/artifacts", f"{tmp_path}/runs/a", "/older/runs/a", "/old/runs/a"]
    assert follow_move(path) == []


@pytest.mark.parametrize(
    "location",
    [
        "mlflow-artifacts:/1",
        "s3://bucket/artifacts",
        "/old/mlflow/artifacts",
        "file:///old/mlruns/0",
        "file:///old/artifacts/1",
    ],
)
def test_locations_that_were_chosen_otherwise_stay(tmp_path, location):
    path = database(tmp_path / "mlflow", location)
    before = rows(path)
    assert follow_move(path) == [] and rows(path) == before


def test_a_second_path_of_the_same_folder_is_no_move(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "real")
    path = database(tmp_path / "real" / "mlflow", (tmp_path / "link" / "mlflow" / "artifacts").as_uri())
    before = rows(path)
    assert follow_move(path) == [] and rows(path) == before


def test_a_deleted_experiment_is_named_with_the_command_that_restores_it(home):
    uri = tracking_uri(home)
    _, _ = open_named_run(uri, "gone", "x", home / "x", {})
    client = MlflowClient(uri)
    client.delete_experiment(client.get_experiment_by_name("gone").experiment_id)
    with pytest.raises(InputError, match="'gone'.*mlflow experiments restore"):
        open_named_run(uri, "gone", "x", home / "x", {})


@pytest.mark.parametrize(
    ("uri", "package"),
    [
        ("postgresql+psycopg2://me:secret@localhost/mlflow", "psycopg2-binary"),
        ("mysql://me:secret@localhost/mlflow", "mysqlclient"),
    ],
)
def test_a_database_without_a_driver(uri, package, tmp_path):
    for use in (lambda: open_named_run(uri, "e", "x", tmp_path, {}), lambda: find_run("x", tmp_path, uri)):
        with pytest.raises(InputError, match=rf"\*\*\*@localhost.*pip install '{package}'"):
            use()


def test_artifacts_that_cannot_be_stored(tmp_path):
    """As with a server whose artifact root is a folder of another machine."""
    (tmp_path / "file").write_text("")
    uri = sqlite_uri(tmp_path / "mlflow.db")
    client = open_client(uri)
    experiment = client.create_experiment("elsewhere", artifact_location=(tmp_path / "file" / "artifacts").as_uri())
    tracker = Tracker(uri, client.create_run(experiment).info.run_id)
    for store in (lambda: tracker.text("x", "config.yaml"), lambda: tracker.file(tmp_path / "file")):
        with pytest.raises(InputError) as caught:
            store()
        assert str(tmp_path / "file" / "artifacts") in str(caught.value) and "\n" not in str(caught.value)
    tracker.metrics({"loss": 1.0})
    assert client.get_run(tracker.run_id).data.metrics == {"loss": 1.0}
