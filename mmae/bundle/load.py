"""Load a bundle. This file and its imports need torch, numpy and safetensors only: no Ray, MLflow, pyarrow or pydantic.

Nothing is unpickled, and no code of the bundle is run.
"""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file

from mmae.bundle.bundle import Bundle
from mmae.bundle.files import CONFIG, COPY_AGAIN, WEIGHTS, read_description, sha256
from mmae.core.errors import InputError
from mmae.inference.flags import FILE as FLAGS
from mmae.inference.flags import load_flags
from mmae.model.build import build_model


def load_bundle(path: str | Path, device: str = "cpu") -> Bundle:
    """The trained model of a bundle, ready to predict.

    Args:
        path: folder written by ray_jobs/export.py, or `bundle` in the folder of a run.
        device: of torch, such as cpu or cuda.

    Raises:
        InputError: the folder is not a bundle, or its weights or limits have changed since it was written.
    """
    folder = Path(path).expanduser()
    description = read_description(folder)
    weights = _unchanged(folder / WEIGHTS, description.weights_sha256)
    limits = None
    if description.flags_sha256 is not None:
        _unchanged(folder / FLAGS, description.flags_sha256)
        limits = load_flags(folder)
    model = build_model(description.model, description.spec)
    try:
        model.load_state_dict(load_file(weights))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise InputError(f"{weights}: not the weights of the model in {CONFIG} ({error}). {COPY_AGAIN}") from error
    return Bundle(model.to(device).eval(), description, limits)


def _unchanged(path: Path, digest: str) -> Path:
    """The path of a file that has the bytes that were written.

    Raises:
        InputError: it has others, or is missing.
    """
    if not path.is_file():
        raise InputError(f"{path}: is missing. {COPY_AGAIN}")
    if sha256(path) != digest:
        raise InputError(f"{path}: its bytes are not those of the sha256 in {CONFIG}. {COPY_AGAIN}")
    return path
