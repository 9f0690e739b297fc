"""The export job: a finished run to a bundle, and to the model registry of MLflow."""

from __future__ import annotations

from pathlib import Path

import mlflow
from mlflow import register_model
from rich.console import Console

from mmae.bundle.config import ExportConfig
from mmae.bundle.files import read_description
from mmae.bundle.mlflow_model import log_bundle
from mmae.bundle.write import write_bundle
from mmae.core.errors import InputError
from mmae.core.terminal import terminal
from mmae.inference.find_run import find_run
from mmae.inference.stored_scores import read_scores
from mmae.tracking.database import explained_errors
from mmae.tracking.runs import Tracker, tracking_uri


def export(config: ExportConfig, console: Console | None = None) -> Path:
    """Write the bundle of a run.

    Raises:
        InputError: there is no such run, its checkpoint is damaged, or the folder has other files.
    """
    console = console or terminal()
    uri = tracking_uri(config.home_path)
    found = find_run(config.run, config.home_path, uri)
    if config.register and found.run is None:
        raise InputError(f"--register {config.register}: {found.checkpoint} belongs to no run in MLflow at this home.")
    stored = read_scores(found.checkpoint.parent)
    scores = None if stored is None else stored.table
    out = write_bundle(found.checkpoint, Path(config.out), config.name or found.name, scores, config.license)
    weights = read_description(out).weights_sha256
    lines = [f"bundle  {out}", f"weights sha256 {weights}", f'use     mmae.load("{out}")']
    if config.register and found.run is not None:
        version = register(out, found.run, config.register)
        lines.append(f"MLflow  models:/{config.register}/{version}   {found.run.how_to_look}")
    console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)
    return out


def register(bundle: Path, tracker: Tracker, name: str) -> str:
    """Store a bundle in an MLflow run, register it as a model and return its version.

    Raises:
        InputError: the tracking server reports an error.
    """
    source = log_bundle(bundle, tracker)
    with explained_errors(tracker.uri):
        mlflow.set_tracking_uri(tracker.uri)
        return str(register_model(source, name).version)
