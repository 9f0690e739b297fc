"""Save and restore a training run. The files of a checkpoint are listed in mmae/inference/checkpoint.py."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_optimizer_state_dict, set_optimizer_state_dict

from mmae.config import RunConfig
from mmae.core.errors import InputError
from mmae.core.settings import to_yaml
from mmae.inference.checkpoint import (
    CONFIG,
    STATE,
    TRAINING,
    WEIGHTS,
    load_weights,
    on_cpu,
    read_state,
    read_tensors,
    save_weights,
)
from mmae.model.build import Model
from mmae.training.parallel import as_part_of, whole
from mmae.training.step import TrainState

MODEL, OPTIMISER = "model.", "optimiser."
WHOLE = StateDictOptions(full_state_dict=True)  # gathers tensors that FSDP shards over the workers


def save_checkpoint(
    folder: Path | None, state: TrainState, model: Model, config: RunConfig, metrics: dict[str, float]
) -> None:
    """Write a checkpoint into an existing folder.

    Args:
        folder: None on all ranks but one; these only contribute their shards.
        model: `state.whole_weights(config)`.
    """
    tensors = {f"{MODEL}{name}": whole(t) for name, t in state.model.state_dict().items()}
    # Before the first step there are no moments, and get_optimizer_state_dict would create them with step 1.
    moments: dict[str, Any] = {}
    if state.step:
        moments = get_optimizer_state_dict(state.model, state.optimisers, options=WHOLE)["state"]
    for parameter, values in moments.items():
        tensors |= {f"{OPTIMISER}{moment}.{parameter}": t for moment, t in values.items()}
    if folder is not None:
        save_model(folder, state, model, config, metrics)
        save_file(on_cpu(tensors), folder / TRAINING)


def save_model(folder: Path, state: TrainState, model: Model, config: RunConfig, metrics: dict[str, float]) -> None:
    """Write the files of a checkpoint that `load_model` reads; not enough to continue training."""
    save_weights(folder, model)
    (folder / CONFIG).write_text(to_yaml(config))
    values = {
        "step": state.step,
        "seconds": state.seconds,
        "metrics": metrics,
        "input_spec": dataclasses.asdict(state.model.spec),
    }
    (folder / STATE).write_text(json.dumps(values, indent=1))


def restore_state(folder: Path, state: TrainState) -> None:
    """Load a checkpoint's weights, optimiser state, step and training time into a new state.

    Raises:
        InputError: the checkpoint is damaged or of another model.
    """
    values = read_state(folder)
    device = next(state.model.parameters()).device
    tensors = read_tensors(folder / TRAINING, device)
    _restore(state.model, _below(tensors, MODEL), folder)
    if state.averaged is not None:
        _restore(state.averaged, read_tensors(folder / WEIGHTS, device), folder)
    if values["step"]:
        _restore_optimiser(state, _below(tensors, OPTIMISER), folder)
    state.step = values["step"]
    state.seconds = values.get("seconds", 0.0)  # not in checkpoints of mmae 0.1


def _below(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def _restore(model: torch.nn.Module, tensors: dict[str, torch.Tensor], folder: Path) -> None:
    current = model.state_dict()
    load_weights(model, {name: as_part_of(t, current.get(name, t)) for name, t in tensors.items()}, folder)


def _restore_optimiser(state: TrainState, tensors: dict[str, torch.Tensor], folder: Path) -> None:
    current: dict[str, Any] = get_optimizer_state_dict(state.model, state.optimisers, options=WHOLE)
    moments: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        moment, _, parameter = name.partition(".")
        moments.setdefault(parameter, {})[moment] = tensor
    if moments.keys() != current["state"].keys():
        raise InputError(
            f"{folder / TRAINING}: the optimiser state is of another model, or was written before mmae 0.2. "
            f"The weights can be evaluated, but training cannot continue: start a new run with another --name."
        )
    set_optimizer_state_dict(
        state.model, state.optimisers, {"state": moments, "param_groups": current["param_groups"]}, options=WHOLE
    )
