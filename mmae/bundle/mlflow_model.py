"""A bundle as an MLflow model with a signature, for `mlflow models predict`, `serve` and the model registry.

No pickle: MLflow runs mmae/bundle/pyfunc_model.py and gives it the folder of the bundle.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import warnings
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import mlflow.pyfunc
from mlflow.environment_variables import MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from mlflow.types.schema import Array
from mlflow.utils.mlflow_tags import MLFLOW_LOGGED_MODELS

import mmae
from mmae.bundle.predictions import LIMITS
from mmae.tracking.runs import Tracker

FOLDER = "model"  # in the artifacts of a run
SUBPACKAGES = ("astro", "bundle", "core", "inference", "model")  # that a loaded bundle imports from
NEEDED = ("torch", "numpy", "safetensors", "mlflow", "pandas")
SCALARS = (*LIMITS, "z_mean", "z_mode", "anomaly", "anomaly_image", "anomaly_spectrum")


def log_bundle(bundle: Path, tracker: Tracker) -> str:
    """Store a bundle as an MLflow model in a run, and return its URI.

    Raises:
        InputError: the artifact store cannot be written.
    """
    MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR.set(False)  # a few small files
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*input example")  # 100 kB of JSON, for a signature that is declared
        path = Path(folder) / FOLDER
        mlflow.pyfunc.save_model(
            path,
            mlflow_model=Model(artifact_path=FOLDER, run_id=tracker.run_id),
            python_model=str(Path(__file__).with_name("pyfunc_model.py")),
            artifacts={"bundle": str(bundle)},
            signature=signature(mmae.load(bundle).modalities),
            code_paths=[str(copied_code(Path(folder)))],
            pip_requirements=[f"{name}=={metadata.version(name).partition('+')[0]}" for name in NEEDED],
        )
        tracker.folder(path, FOLDER)
        tracker.tags({MLFLOW_LOGGED_MODELS: json.dumps([Model.load(path).get_tags_dict()])})
    return f"runs:/{tracker.run_id}/{FOLDER}"


def copied_code(folder: Path) -> Path:
    """The part of this package that a loaded bundle needs, for a machine on which it is not installed."""
    package = Path(mmae.__file__).parent
    copy = folder / package.name
    for name in SUBPACKAGES:
        shutil.copytree(package / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(mmae.__file__, copy / "__init__.py")
    return copy


def signature(modalities: Sequence[str]) -> ModelSignature:
    """Columns of the table that a model of these modalities takes, each optional, and of the one that it returns."""
    numbers = Array(DataType.double)
    inputs: list[ColSpec | TensorSpec] = []
    if "image" in modalities:
        inputs.append(ColSpec(Array(Array(numbers)), "image", required=False))
    for modality, names in (("spectrum", ("flux", "ivar")), ("magnitudes", ("magnitudes", "magnitude_errors"))):
        if modality in modalities:
            inputs += [ColSpec(numbers, name, required=False) for name in names]
    outputs: list[ColSpec | TensorSpec] = [ColSpec(DataType.double, name) for name in SCALARS]
    outputs += [ColSpec(DataType.integer, "flags"), ColSpec(numbers, "embedding")]
    outputs.append(ColSpec(numbers, "pz", required=False))
    # A model that reads modalities of one's own only takes no table of these columns.
    return ModelSignature(Schema(inputs) if inputs else None, Schema(outputs))
