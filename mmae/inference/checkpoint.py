"""Load a trained model from a checkpoint folder, without unpickling.

    model.safetensors     weights for inference (the moving average, if the run uses one)
    training.safetensors  raw weights and optimiser state, to continue training (mmae/training/checkpoint.py)
    state.json            step, validation metrics, input sizes
    config.yaml           the run's configuration

The checkpoint of a finished run also has training_rows.parquet, the list of training galaxies (mmae/survey/leaks.py).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from mmae.config import RunConfig
from mmae.core.errors import InputError
from mmae.core.files import partial_path
from mmae.core.settings import from_yaml
from mmae.model.batch import InputSpec
from mmae.model.build import Model, build_model

WEIGHTS, TRAINING, STATE, CONFIG = "model.safetensors", "training.safetensors", "state.json", "config.yaml"
BEST = "best"  # folder of the best checkpoint in the folder of a run
STATE_FIELDS = {"step", "metrics", "input_spec"}


def load_model(folder: Path, device: torch.device | str = "cpu") -> tuple[Model, RunConfig]:
    """The trained model of a checkpoint folder, in eval mode, and its configuration.

    Raises:
        InputError: the folder has no checkpoint, or a damaged one.
    """
    folder = Path(folder)
    config = from_yaml(folder / CONFIG, RunConfig)
    values = read_state(folder)["input_spec"].items()
    spec: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in values}
    model = build_model(config.model, InputSpec(**spec)).to(device)
    load_weights(model, read_tensors(folder / WEIGHTS, device), folder)
    return model.eval(), config


def read_state(folder: Path) -> dict[str, Any]:
    """The contents of state.json.

    Raises:
        InputError: the file is missing or damaged.
    """
    try:
        values = json.loads((folder / STATE).read_text())
    except (OSError, ValueError) as error:  # ValueError: not JSON, or not text
        raise InputError(f"{folder / STATE}: not a checkpoint ({error}). Use an earlier one.") from error
    missing = STATE_FIELDS - (values.keys() if isinstance(values, dict) else set())
    if missing:
        raise InputError(
            f"{folder / STATE}: not a checkpoint ({', '.join(sorted(missing))} missing). Use an earlier one."
        )
    return values


def read_tensors(path: Path, device: torch.device | str) -> dict[str, torch.Tensor]:
    """All tensors of a safetensors file.

    Raises:
        InputError: the file is missing or damaged.
    """
    try:
        return load_file(path, device=str(device))
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: cannot read the weights ({error}). Use an earlier checkpoint.") from error


def load_weights(model: torch.nn.Module, tensors: dict[str, torch.Tensor], folder: Path) -> None:
    """Load tensors into a model; `folder` is for the error message.

    Raises:
        InputError: names or shapes differ from those of the model.
    """
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise InputError(f"{folder}: weights do not fit the configured model ({error}).") from error


def save_weights(folder: Path, model: Model) -> None:
    """Replace the weights in a checkpoint folder atomically."""
    path = folder / WEIGHTS
    unfinished = partial_path(path)
    save_file(on_cpu(model.state_dict()), unfinished)
    unfinished.rename(path)


def on_cpu(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors as safetensors requires them: on the CPU and contiguous."""
    return {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
