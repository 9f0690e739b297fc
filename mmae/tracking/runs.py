"""MLflow runs. A `Tracker` is a tracking URI and a run id, so any process can log to the run."""

from __future__ import annotations

import getpass
import json
import os
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunTag, SourceType
from mlflow.entities.lifecycle_stage import LifecycleStage
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode
from mlflow.utils.mlflow_tags import (
    MLFLOW_DATASET_CONTEXT,
    MLFLOW_GIT_COMMIT,
    MLFLOW_PARENT_RUN_ID,
    MLFLOW_RUN_NAME,
    MLFLOW_RUN_NOTE,
    MLFLOW_SOURCE_NAME,
    MLFLOW_SOURCE_TYPE,
    MLFLOW_USER,
)

from mmae.core.errors import InputError, one_line
from mmae.core.provenance import provenance
from mmae.core.untrusted import without_password
from mmae.tracking.database import (
    DATABASE,
    FOLDER,
    artifact_location,
    database_lock,
    explained_errors,
    open_client,
    sqlite_path,
    sqlite_uri,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RUN_DIR_TAG = "mmae.run_dir"
LOCAL_UI = "http://127.0.0.1:5000"  # of `mlflow ui`
MODEL_TRAINING = "?workflowType=machine_learning"  # the view of the UI with runs and models, not that of traces
DIGEST_LENGTH = 36  # limit of MLflow
KIND_TAG, KIND = "mlflow.experimentKind", "custom_model_development"
PARAMS_PER_CALL, METRICS_PER_CALL = 100, 1000  # limits of MLflow's log_batch


@dataclass(frozen=True)
class Tracker:
    """One MLflow run.

    Attributes:
        experiment_id: of its experiment; empty if unknown.
    """

    uri: str
    run_id: str
    experiment_id: str = ""

    @cached_property
    def _client(self) -> MlflowClient:
        return MlflowClient(self.uri)

    def __getstate__(self) -> dict[str, str]:  # without the client, which cannot be pickled
        return {"uri": self.uri, "run_id": self.run_id, "experiment_id": self.experiment_id}

    @property
    def shown(self) -> str:
        """The URI without credentials, for terminals and reports."""
        return without_password(self.uri)

    @property
    def how_to_look(self) -> str:
        """The command and address to view the run."""
        if self.uri.startswith("http"):
            return f"open {self.shown.rstrip('/')}{self._page}"
        return f"mlflow ui --backend-store-uri {shlex.quote(self.shown)}\n        then open {LOCAL_UI}{self._page}"

    @property
    def _page(self) -> str:
        """The run's page in the UI, below the address of the server; empty if its experiment is unknown."""
        return f"/#/experiments/{self.experiment_id}/runs/{self.run_id}{MODEL_TRAINING}" if self.experiment_id else ""

    def located(self) -> Tracker:
        """The same run with its experiment; without it if the server does not answer."""
        try:
            return replace(self, experiment_id=self._client.get_run(self.run_id).info.experiment_id)
        except MlflowException:
            return self

    def metrics(self, values: dict[str, float], step: int = 0, logged_ms: int | None = None) -> None:
        """Log the finite values, which are those that the MLflow UI can plot.

        Args:
            logged_ms: time in milliseconds since the epoch; default: now.
        """
        now = int(time.time() * 1000) if logged_ms is None else logged_ms
        finite = {k: v for k, v in values.items() if v == v and abs(v) != float("inf")}
        logged = [Metric(k, v, now, step) for k, v in finite.items()]
        for start in range(0, len(logged), METRICS_PER_CALL):
            self._client.log_batch(self.run_id, metrics=logged[start : start + METRICS_PER_CALL])

    def params(self, values: dict[str, str]) -> None:
        """Log parameters; MLflow refuses to change the value of a logged parameter."""
        logged = [Param(key, value) for key, value in values.items()]
        for start in range(0, len(logged), PARAMS_PER_CALL):
            self._client.log_batch(self.run_id, params=logged[start : start + PARAMS_PER_CALL])

    def tags(self, values: dict[str, str]) -> None:
        self._client.log_batch(self.run_id, tags=[RunTag(key, value) for key, value in values.items()])

    def dataset(self, name: str, folder: Path, digest: str, rows: int) -> None:
        """Record the data that the run is trained on; shown in the column Dataset.

        Args:
            digest: hash of the data.
            rows: number of galaxies.
        """
        source, profile = json.dumps({"uri": str(folder)}), json.dumps({"num_rows": rows})
        data = Dataset(name, digest[:DIGEST_LENGTH], "local", source, profile=profile)
        self._client.log_inputs(self.run_id, [DatasetInput(data, [InputTag(MLFLOW_DATASET_CONTEXT, "training")])])

    def describe(self, text: str) -> None:
        """Set the description on the page of the run; Markdown."""
        self._client.set_tag(self.run_id, MLFLOW_RUN_NOTE, text)

    def figure(self, figure: Figure, path: str) -> None:
        with self._artifact_errors():
            self._client.log_figure(self.run_id, figure, path)

    def image(self, figure: Figure, key: str, step: int) -> None:
        """A figure of one step: MLflow shows the images of a key with a slider of the steps."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # imported here: takes half a second

        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        rgb_HW3 = np.asarray(canvas.buffer_rgba())[..., :3]
        with self._artifact_errors():
            self._client.log_image(self.run_id, rgb_HW3, key=key, step=step)

    def text(self, text: str, path: str) -> None:
        with self._artifact_errors():
            self._client.log_text(self.run_id, text, path)

    def file(self, path: Path, folder: str | None = None) -> None:
        with self._artifact_errors():
            self._client.log_artifact(self.run_id, str(path), folder)

    def folder(self, path: Path, name: str) -> None:
        """Store the files of a folder below `name`."""
        with self._artifact_errors():
            self._client.log_artifacts(self.run_id, str(path), name)

    @contextmanager
    def _artifact_errors(self) -> Iterator[None]:
        """Explain why a file cannot be stored: MLflow's server may name a folder or store that is not reachable here.

        Raises:
            InputError: it cannot be stored.
        """
        try:
            yield
        except Exception as error:  # every kind of store has its own exceptions
            try:
                where = self._client.get_run(self.run_id).info.artifact_uri
            except MlflowException:
                where = "its artifact store"
            remedy = "Check this folder."
            if self.uri.startswith("http"):
                remedy = "Start the server with --artifacts-destination, or make this place available here."
            raise InputError(
                f"MLflow at {self.shown}: cannot store files in {where} ({one_line(str(error))}). {remedy}"
            ) from error

    def history(self, name: str) -> tuple[list[int], list[float]]:
        """Steps and values of a logged metric; the last value for steps that were logged twice."""
        points = {m.step: m.value for m in self._client.get_metric_history(self.run_id, name)}
        return list(points), list(points.values())

    @property
    def experiment(self) -> str:
        """Name of the experiment of the run."""
        run = self._client.get_run(self.run_id)
        return self._client.get_experiment(run.info.experiment_id).name

    def finish(self, status: str = "FINISHED") -> None:
        self._client.set_terminated(self.run_id, status)


def tracking_uri(home: Path) -> str:
    """$MLFLOW_TRACKING_URI, else an SQLite file in the home folder.

    SQLite paths are made absolute, because Ray workers have another working directory.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not uri:
        folder = home / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        return sqlite_uri(folder / DATABASE)
    database = sqlite_path(uri)
    return uri if database is None else sqlite_uri(database.expanduser().resolve())


def open_named_run(
    uri: str,
    experiment: str,
    name: str,
    folder: Path,
    params: dict[str, str],
    parent: Tracker | None = None,
    *,
    replace: bool = False,
) -> tuple[Tracker, bool]:
    """The MLflow run of a folder, found by its folder tag or created, and whether it is new.

    Args:
        params: parameters, logged if the run is new.
        parent: parent run of a new run.
        replace: always create a new run; an earlier one stays in MLflow but no longer belongs to the folder.

    Raises:
        InputError: the tracking server or database reports an error.
    """
    client = open_client(uri)
    with explained_errors(uri):
        experiment_id = _experiment_id(client, uri, experiment)
        found = run_of_folder(client, [experiment_id], folder)
        if found and replace:
            client.delete_tag(found.info.run_id, RUN_DIR_TAG)
        elif found:
            tracker = Tracker(uri, found.info.run_id, experiment_id)
            client.update_run(tracker.run_id, "RUNNING")
            return tracker, False
        tags = {MLFLOW_RUN_NAME: name, RUN_DIR_TAG: str(folder)} | _source_tags()
        if parent is not None:  # this process is a worker, with another command line
            tags[MLFLOW_PARENT_RUN_ID] = parent.run_id
            started = client.get_run(parent.run_id).data.tags
            tags |= {name: started[name] for name in (MLFLOW_SOURCE_NAME, MLFLOW_USER) if name in started}
        tracker = Tracker(uri, client.create_run(experiment_id, tags=tags).info.run_id, experiment_id)
        tracker.params(params)
    return tracker, True


def _source_tags() -> dict[str, str]:
    """What started the run: the columns User, Source and Version of the UI."""
    tags = {MLFLOW_SOURCE_NAME: sys.argv[0], MLFLOW_SOURCE_TYPE: SourceType.to_string(SourceType.LOCAL)}
    commit = provenance().get("git_commit")
    if commit:
        tags[MLFLOW_GIT_COMMIT] = commit
    with suppress(OSError, KeyError):  # a user id without a name, in a container
        tags[MLFLOW_USER] = getpass.getuser()
    return tags


def run_of_folder(client: MlflowClient, experiment_ids: list[str], folder: Path) -> Run | None:
    """The newest MLflow run with this folder as its folder tag; None if there is none."""
    # MLflow filters have no escape for quotes: use the LIKE wildcard instead and compare the results exactly.
    pattern = str(folder).replace("'", "_")
    token = None
    while True:
        page = client.search_runs(experiment_ids, f"tags.`{RUN_DIR_TAG}` LIKE '{pattern}'", page_token=token)
        for run in page:
            if run.data.tags[RUN_DIR_TAG] == str(folder):
                return run
        token = page.token
        if not token:
            return None


def _experiment_id(client: MlflowClient, uri: str, name: str) -> str:
    """The experiment of this name, created if it does not exist.

    With the tag KIND the UI's links lead to its list of runs, not to the pages for language models.

    Raises:
        InputError: it was deleted; MLflow then refuses new runs, and a new experiment of the same name.
    """
    with database_lock(uri):
        found = client.get_experiment_by_name(name)
        if found is None:
            try:
                return client.create_experiment(name, artifact_location=artifact_location(uri), tags={KIND_TAG: KIND})
            except MlflowException as error:
                found = client.get_experiment_by_name(name)
                if found is None or error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
                    raise  # otherwise another process has created it since
    if found.lifecycle_stage != LifecycleStage.ACTIVE:
        restore = f"MLFLOW_TRACKING_URI={shlex.quote(without_password(uri))} mlflow experiments restore"
        raise InputError(
            f"MLflow at {without_password(uri)}: the experiment {name!r} was deleted. Restore it: "
            f"{restore} --experiment-id {found.experiment_id}"
        )
    if found.tags.get(KIND_TAG) != KIND:  # created by another program, or inferred by the UI
        client.set_experiment_tag(found.experiment_id, KIND_TAG, KIND)
    return found.experiment_id
