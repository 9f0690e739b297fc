"""Find a trained model by run name, MLflow run id or folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mlflow.artifacts import download_artifacts
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from mmae.core.errors import InputError
from mmae.core.untrusted import without_password
from mmae.inference.checkpoint import BEST, CONFIG, WEIGHTS
from mmae.tracking.database import explained_errors, open_client
from mmae.tracking.runs import RUN_DIR_TAG, Tracker, run_of_folder

IN_MLFLOW = "checkpoint"
RUN_FOLDERS = ("runs", "studies")  # subfolders of the home folder


@dataclass(frozen=True)
class FoundRun:
    """A run with a trained model.

    Attributes:
        checkpoint: folder with weights and configuration.
        name: run name, or name of the folder.
        run: MLflow run; None if MLflow has no run of this folder.
    """

    checkpoint: Path
    name: str
    run: Tracker | None


def find_run(run: str, home: Path, uri: str) -> FoundRun:
    """The run with a given name, MLflow run id, run folder or checkpoint folder.

    Args:
        home: folder of runs and studies.
        uri: MLflow tracking URI.

    Raises:
        InputError: there is no such run, or it has no checkpoint.
    """
    for folder in (Path(run).expanduser(), *(home / kind / run for kind in RUN_FOLDERS)):
        for checkpoint in (folder, folder / BEST):
            if (checkpoint / WEIGHTS).exists() and (checkpoint / CONFIG).exists():
                return _on_disk(checkpoint.resolve(), uri)
    return _in_mlflow(run, home, uri)


def _on_disk(checkpoint: Path, uri: str) -> FoundRun:
    folder = checkpoint.parent if checkpoint.name == BEST else checkpoint
    client = open_client(uri)
    with explained_errors(uri):
        experiments = [e.experiment_id for e in client.search_experiments()]
        found = run_of_folder(client, experiments, folder)
    return FoundRun(
        checkpoint, folder.name, Tracker(uri, found.info.run_id, found.info.experiment_id) if found else None
    )


def _in_mlflow(run_id: str, home: Path, uri: str) -> FoundRun:
    client = open_client(uri)
    try:
        run: Run = client.get_run(run_id)
    except MlflowException as error:
        raise InputError(
            f"--run {run_id}: no folder with {WEIGHTS}, no run of that name in {home / RUN_FOLDERS[0]}, and no "
            f"run id in MLflow at {without_password(uri)}. Give a name, a run id or a checkpoint folder."
        ) from error
    name, tracker = run.info.run_name or run_id, Tracker(uri, run_id, run.info.experiment_id)
    folder = run.data.tags.get(RUN_DIR_TAG)
    if folder and (Path(folder) / BEST / WEIGHTS).exists():
        return FoundRun(Path(folder) / BEST, name, tracker)
    target = home / "downloads" / run_id
    target.mkdir(parents=True, exist_ok=True)
    try:
        downloaded = download_artifacts(run_id=run_id, artifact_path=IN_MLFLOW, tracking_uri=uri, dst_path=str(target))
    except (MlflowException, OSError) as error:
        raise InputError(
            f"--run {run_id}: run {name} has no {IN_MLFLOW}/{WEIGHTS}. Choose a finished training run or study."
        ) from error
    return FoundRun(Path(downloaded), name, tracker)
