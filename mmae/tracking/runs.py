"""MLflow runs. A `Tracker` is a tracking URI and a run id, so any process can log to the run."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from matplotlib.figure import Figure
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME, MLFLOW_RUN_NOTE

from mmae.core.errors import InputError
from mmae.core.untrusted import without_password

RUN_DIR_TAG = "mmae.run_dir"
SQLITE = "sqlite:///"
PARAMS_PER_CALL, METRICS_PER_CALL = 100, 1000  # limits of MLflow's log_batch


@dataclass(frozen=True)
class Tracker:
    """One MLflow run."""

    uri: str
    run_id: str

    @cached_property
    def _client(self) -> MlflowClient:
        return MlflowClient(self.uri)

    def __getstate__(self) -> dict[str, str]:  # without the client, which cannot be pickled
        return {"uri": self.uri, "run_id": self.run_id}

    @property
    def shown(self) -> str:
        """The URI without credentials, for terminals and reports."""
        return without_password(self.uri)

    @property
    def how_to_look(self) -> str:
        """The command and address to view the run."""
        if self.uri.startswith("http"):
            return f"open {self.shown}"
        return f"mlflow ui --backend-store-uri {self.shown}   then open http://127.0.0.1:5000"

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
        for key, value in values.items():
            self._client.set_tag(self.run_id, key, value)

    def describe(self, text: str) -> None:
        """Set the description on the page of the run; Markdown."""
        self._client.set_tag(self.run_id, MLFLOW_RUN_NOTE, text)

    def figure(self, figure: Figure, path: str) -> None:
        self._client.log_figure(self.run_id, figure, path)

    def text(self, text: str, path: str) -> None:
        self._client.log_text(self.run_id, text, path)

    def file(self, path: Path, folder: str | None = None) -> None:
        self._client.log_artifact(self.run_id, str(path), folder)

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
        folder = home / "mlflow"
        folder.mkdir(parents=True, exist_ok=True)
        return f"{SQLITE}{folder / 'mlflow.db'}"
    if uri.startswith(SQLITE):
        return SQLITE + str(Path(uri.removeprefix(SQLITE)).expanduser().resolve())
    return uri


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
    try:
        client = MlflowClient(uri)
        found_experiment = client.get_experiment_by_name(experiment)
        experiment_id = (
            found_experiment.experiment_id if found_experiment else _create_experiment(client, uri, experiment)
        )
        found = run_of_folder(client, [experiment_id], folder)
        if found and replace:
            client.delete_tag(found.info.run_id, RUN_DIR_TAG)
        elif found:
            tracker = Tracker(uri, found.info.run_id)
            client.update_run(tracker.run_id, "RUNNING")
            return tracker, False
        tags = {MLFLOW_RUN_NAME: name, RUN_DIR_TAG: str(folder)}
        if parent is not None:
            tags[MLFLOW_PARENT_RUN_ID] = parent.run_id
        tracker = Tracker(uri, client.create_run(experiment_id, tags=tags).info.run_id)
        tracker.params(params)
    except MlflowException as error:
        raise InputError(f"MLflow at {without_password(uri)}: {error.message} Check MLFLOW_TRACKING_URI.") from error
    return tracker, True


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


def _create_experiment(client: MlflowClient, uri: str, name: str) -> str:
    # With a database and no server, MLflow would store artifacts in the current folder.
    location = None
    if uri.startswith(SQLITE):
        location = (Path(uri.removeprefix(SQLITE)).parent / "artifacts").as_uri()
    # With this tag the UI opens the list of runs instead of the pages for language models.
    kind = {"mlflow.experimentKind": "custom_model_development"}
    return client.create_experiment(name, artifact_location=location, tags=kind)
