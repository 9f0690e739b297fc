"""A checkpoint is a folder of safetensors and JSON: nothing in it is ever unpickled.

    model.safetensors     the weights to use (averaged ones, if the run averages)
    training.safetensors  raw weights and optimiser moments, to go on training
    state.json            step, validation metrics, input sizes
    config.yaml           the run's configuration

Beside the weights of a finished run lies training_rows.parquet, whom it was trained on: evaluation/leaks.py.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from mmae.config import RunConfig, from_yaml, to_yaml
from mmae.errors import InputError
from mmae.model.batch import InputSpec
from mmae.model.build import Model, build_model
from mmae.training.parallel import as_part_of, whole
from mmae.training.step import TrainState

WEIGHTS, TRAINING, STATE, CONFIG = "model.safetensors", "training.safetensors", "state.json", "config.yaml"
STATE_FIELDS = {"step", "metrics", "input_spec", "averages"}


def save_checkpoint(
    folder: Path | None, state: TrainState, model: Model, config: RunConfig, metrics: dict[str, float]
) -> None:
    """Write a checkpoint into an existing folder.

    Args:
        folder: None on all ranks but one. Those only hand over their parts of a sharded model.
        model: `state.whole_weights(config)`.
    """
    tensors = {f"model.{name}": whole(t) for name, t in state.model.state_dict().items()}
    for index, moments in state.optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{name}": whole(t) for name, t in moments.items()}
    if folder is not None:
        save_model(folder, state, model, config, metrics)
        save_file(_contiguous(tensors), folder / TRAINING)


def save_model(
    folder: Path, state: TrainState, model: Model, config: RunConfig, metrics: dict[str, float]
) -> None:
    """Write the part of a checkpoint that `load_model` reads: no training goes on from it."""
    save_weights(folder, model)
    (folder / CONFIG).write_text(to_yaml(config))
    values = {
        "step": state.step,
        "metrics": metrics,
        "input_spec": dataclasses.asdict(state.model.spec),
        "averages": 0 if state.averaged is None else int(state.averaged.n_averaged),
    }
    (folder / STATE).write_text(json.dumps(values, indent=1))


def save_weights(folder: Path, model: Model) -> None:
    """Write a model's weights in place of those of its checkpoint."""
    save_file(_contiguous(model.state_dict()), folder / WEIGHTS)


def _contiguous(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: t.detach().cpu().contiguous() for name, t in tensors.items()}


def restore_state(folder: Path, state: TrainState) -> None:
    """Put a checkpoint's weights, moments and step into a fresh state.

    Raises:
        InputError: the checkpoint is damaged or belongs to another model.
    """
    values = read_state(folder)
    device = next(state.model.parameters()).device
    tensors = _load(folder / TRAINING, device)
    _load_weights(state.model, {k[6:]: t for k, t in tensors.items() if k.startswith("model.")}, folder)
    if state.averaged is not None:
        _load_weights(state.averaged.module, _load(folder / WEIGHTS, device), folder)
        state.averaged.n_averaged.fill_(values["averages"])
    optimiser = state.optimiser.state_dict()
    parameters = [p for group in state.optimiser.param_groups for p in group["params"]]
    for name, tensor in tensors.items():
        if name.startswith("optimiser."):
            _, index, moment = name.split(".")
            part = as_part_of(tensor, parameters[int(index)])
            optimiser["state"].setdefault(int(index), {})[moment] = part
    state.optimiser.load_state_dict(optimiser)
    state.step = values["step"]


def load_model(folder: Path, device: torch.device | str = "cpu") -> tuple[Model, RunConfig]:
    """The trained model of a checkpoint folder, in eval mode, and its configuration.

    Raises:
        InputError: no checkpoint there, or a damaged one.
    """
    folder = Path(folder)
    config = from_yaml(folder / CONFIG)
    spec = {k: tuple(v) if isinstance(v, list) else v for k, v in read_state(folder)["input_spec"].items()}
    model = build_model(config.model, InputSpec(**spec)).to(device)
    _load_weights(model, _load(folder / WEIGHTS, device), folder)
    return model.eval(), config


def read_state(folder: Path) -> dict[str, Any]:
    """The plain state of a checkpoint.

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


def _load(path: Path, device: torch.device | str) -> dict[str, torch.Tensor]:
    try:
        return load_file(path, device=str(device))
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: cannot read the weights ({error}). Use an earlier checkpoint.") from error


def _load_weights(model: torch.nn.Module, tensors: dict[str, torch.Tensor], folder: Path) -> None:
    own = model.state_dict()
    try:
        model.load_state_dict({name: as_part_of(t, own.get(name, t)) for name, t in tensors.items()})
    except RuntimeError as error:
        raise InputError(f"{folder}: weights do not fit the configured model ({error}).") from error
