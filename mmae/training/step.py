"""One optimiser step in plain torch, shared by Ray workers, trials and benchmarks.

Shape suffixes as in mmae/model/batch.py.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import itertools
import math
import operator
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from mmae.config import OptimConfig, RunConfig
from mmae.loader.sampler import STEP, Portion
from mmae.model.batch import Batch, InputSpec
from mmae.model.build import Model, OwnOptimisation, build_model
from mmae.model.draws import Draws
from mmae.model.masking import draw_visible
from mmae.model.modalities import MODALITIES
from mmae.model.outputs import Losses
from mmae.model.view import View, count_visible, view_of
from mmae.training.muon import Muon
from mmae.training.parallel import of_all_workers, parts, shard, synchronised, whole

# Modules whose matrices Muon trains: transformer blocks, convolutions, the inner layers of the redshift head.
INNER = frozenset({"encoder", "decoder", "mixing", "blocks", "stem", "stem_to_token", "read", "hidden"})
DECODER_BLOCKS = frozenset({"decoder", "mixing"})
PARTS_OF_RUN = 50  # the average of the weights spans at most 1/50 of the steps so far


class NonFiniteLoss(RuntimeError):
    """The loss became NaN or infinite, so that training cannot continue."""


@dataclass
class TrainState:
    """All state that a step changes.

    Attributes:
        trained: `model`, wrapped by DDP if there are several workers.
        averaged: the moving average of its weights; None if the run has none.
        step: optimiser steps done.
        seconds: wall-clock time of these steps and their validations, over all starts of the run.
    """

    model: Model
    trained: nn.Module
    averaged: Model | None
    optimisers: list[torch.optim.Optimizer]
    step: int = 0
    seconds: float = 0.0

    @property
    def best_weights(self) -> Model:
        """The weights to validate and to save: the average if the run has one."""
        return self.averaged or self.model

    def whole_weights(self, config: RunConfig) -> Model:
        """`best_weights` as an unsharded model. Collective: every rank must call it."""
        tensors = self.best_weights.state_dict()
        if not any(isinstance(t, DTensor) for t in tensors.values()):
            return self.best_weights
        model = build_model(config.model, self.model.spec)
        model.load_state_dict({name: whole(t) for name, t in tensors.items()})
        return model.to(next(iter(tensors.values())).device)


def create_state(config: RunConfig, spec: InputSpec, device: torch.device, sharded_over: int = 0) -> TrainState:
    """A new model and optimiser; the weights depend on the seed and the bundle of `config.init` only.

    Args:
        sharded_over: number of workers over which every tensor is sharded; 0 for whole tensors.
    """
    torch.manual_seed(config.seed)
    model = synchronised(build_model(config.model, spec).to(device))
    if config.init:
        from mmae.training.start import start_from_bundle  # imported here: it reads tables, other steps do not

        start_from_bundle(model, config)
    averaged = copy.deepcopy(model) if config.optim.ema_decay else None
    if sharded_over:
        for sharded in (model, averaged):
            if sharded is not None:
                shard(sharded, device, sharded_over)
    return TrainState(
        model, model, averaged, _optimisers(model, config.optim, in_bfloat16(device, config.compute.precision))
    )


@torch.no_grad()
def _update_average(averaged: Model, model: Model, n_averaged: int, decay: float) -> None:
    """The moving average of weights, and of the batch-normalisation statistics that belong to them.

    It spans at most 1/PARTS_OF_RUN of the steps so far: old weights slow a short run down (docs/ablations.md). Integer
    tensors are counts and indices and are copied.

    Args:
        n_averaged: number of models averaged so far; not read from a tensor, as by torch's AveragedModel: a GPU would
            have to be waited for.
    """
    decay = min(decay, (1 + n_averaged) / (PARTS_OF_RUN + n_averaged)) if n_averaged else 0.0
    means, news = ([*m.parameters(), *m.buffers()] for m in (averaged, model))
    for dtype in {tensor.dtype for tensor in means}:
        mean, new = (parts([t for t in tensors if t.dtype == dtype]) for tensors in (means, news))
        if dtype.is_floating_point:
            get_ema_multi_avg_fn(decay)(mean, new, n_averaged)
        else:
            for old, now in zip(mean, new, strict=True):
                old.copy_(now)


def _optimisers(model: nn.Module, optim: OptimConfig, bfloat16: bool) -> list[torch.optim.Optimizer]:
    """AdamW, and Muon (Jordan et al. 2024) for the matrices of `INNER` layers if it has a learning rate.

    Updates of Muon are orthogonal matrices, scaled to the size of AdamW's: all directions of a matrix learn equally
    fast. The effect on scores and losses is in docs/ablations.md.

    Args:
        bfloat16: whether matrices are multiplied in bfloat16.
    """
    hidden = {name: p for name, p in model.named_parameters() if p.requires_grad and _is_hidden_matrix(name, p)}
    if not optim.muon_learning_rate or isinstance(model, OwnOptimisation):
        hidden = {}
    groups = _parameter_groups(model, optim.weight_decay, without=hidden)
    optimisers: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, lr=optim.learning_rate, fused=True)]
    if hidden:
        matrices = _muon_groups(hidden, optim)
        optimisers.append(Muon(matrices, bfloat16, lr=optim.muon_learning_rate))
    return optimisers


def _muon_groups(hidden: Mapping[str, nn.Parameter], optim: OptimConfig) -> list[dict]:
    """The matrices of the decoder, which have a rate of their own, and all others."""
    rate = optim.muon_learning_rate / optim.learning_rate
    decoder = {name for name in hidden if not DECODER_BLOCKS.isdisjoint(name.split("."))}
    groups = ((decoder, optim.muon_decoder_factor * rate), (hidden.keys() - decoder, rate))
    return [
        {
            "params": [p for name, p in hidden.items() if name in names],
            "weight_decay": optim.weight_decay,
            "rate_factor": factor,
        }
        for names, factor in groups
        if names
    ]


def _is_hidden_matrix(name: str, parameter: Tensor) -> bool:
    """Whether a parameter is a weight matrix of `INNER` layers."""
    return parameter.ndim == 2 and name.endswith("weight") and not INNER.isdisjoint(name.split("."))


def _parameter_groups(model: nn.Module, weight_decay: float, without: Collection[str] = ()) -> list[dict]:
    """Groups of parameters with the same weight decay and the same factor of the learning rate, `rate_factor`.

    Weight decay acts on matrices only, not on biases, norms, positions and queries, and all parameters learn at one
    rate, unless the model has its own rules. The group with the largest factor is the first: its rate is logged.

    Args:
        without: names of parameters that are in no group.
    """
    named = {name: p for name, p in model.named_parameters() if p.requires_grad and name not in without}
    factors: Mapping[str, float] = {}
    undecayed: Collection[str] = {n for n, p in named.items() if p.ndim != 2 or not n.endswith("weight")}
    if isinstance(model, OwnOptimisation):
        factors, undecayed = model.learning_rate_factors, model.undecayed
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in named.items():
        rule = (factors.get(name, 1.0), 0.0 if name in undecayed else weight_decay)
        groups.setdefault(rule, []).append(parameter)
    return [
        {"params": parameters, "weight_decay": decay, "rate_factor": factor}
        for (factor, decay), parameters in sorted(groups.items(), key=lambda item: item[0], reverse=True)
    ]


def learning_rate(step: int, optim: OptimConfig) -> float:
    """Linear warm-up, then a half cosine from learning_rate to final_learning_rate."""
    if step < optim.warmup_steps:
        return optim.learning_rate * (step + 1) / optim.warmup_steps
    progress = (step - optim.warmup_steps) / max(1, optim.steps - optim.warmup_steps)
    span = optim.learning_rate - optim.final_learning_rate
    return optim.final_learning_rate + 0.5 * span * (1 + math.cos(math.pi * min(1.0, progress)))


def dropout_seed(seed: int, step: int, rank: int) -> int:
    """Seed of torch's global generator in one step of one worker, a function of seed, step and rank only."""
    # 1_000_003 and 7919 are primes that give different (seed, step, rank) different seeds at all practical sizes.
    return ((seed * 1_000_003 + step) * 7919 + rank) % 2**63


def masked_rows(n: int, share: float) -> np.ndarray:
    """Rows of a batch of `n` galaxies that are shown masked: a fraction, spread evenly over the workers."""
    return np.flatnonzero(np.diff(np.ceil((np.arange(n + 1) * share).round(9))))


def draw_views(model: Model, batch: Batch, config: RunConfig, draws: Draws, portion: Portion) -> list[View]:
    """The masks of the views of a step, on the CPU. Collective: every worker must call it."""
    masks = [config.masks] if config.redshift_masks is None else [config.masks, config.redshift_masks]
    n = config.stream.batch_size if portion.world > 1 else len(batch)
    share = 1.0 if config.redshift_masks is None else config.masked_share
    chosen = [masked_rows(n, share), np.arange(n)]
    views = []
    for mask, row_G in zip(masks, chosen, strict=False):
        visible = draw_visible(batch, model.n_tokens, mask, draws)
        counts = of_all_workers(count_visible(visible), portion.rows(n), n) if portion.world > 1 else None
        row_B = row_G[(row_G >= draws.first) & (row_G < draws.first + draws.n)] - draws.first
        views.append(
            view_of(
                {name: tokens_BT[row_B] for name, tokens_BT in visible.items()},
                None if counts is None else counts[row_G],
                None if len(row_B) == len(batch) else row_B,
            )
        )
    return views


def in_bfloat16(device: torch.device, precision: str) -> bool:
    """Whether matrices are multiplied in bfloat16: with precision `bfloat16`, or on a GPU with `auto`."""
    return precision == "bfloat16" or (precision == "auto" and device.type == "cuda")


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager:
    """bfloat16 autocast, see `in_bfloat16`."""
    return torch.autocast(device.type, torch.bfloat16, enabled=in_bfloat16(device, precision))


def training_step(
    state: TrainState, batch: Batch, config: RunConfig, portion: Portion = Portion()
) -> tuple[Losses, Tensor]:
    """Forward, backward, clip, update, average. All random numbers are functions of the seed and the step.

    Args:
        batch: on the CPU, so that a GPU is not waited for.
        portion: the part of a batch that these galaxies are.

    Returns:
        The losses of this worker's targets, see `mean_over_workers`, and the norm of the gradient before clipping.
    """
    device = next(state.model.parameters()).device
    torch.manual_seed(dropout_seed(config.seed, state.step, portion.rank))
    draws = Draws(config.seed, STEP, state.step, n=len(batch), first=portion.rows(config.stream.batch_size).start)
    views = [view.to(device) for view in draw_views(state.model, batch, config, draws, portion)]
    batch = batch.to(device)
    if config.optim.augment:
        changed = [kind.augment(batch.values, draws) for kind in MODALITIES.values()]
        batch = replace(batch, values=functools.reduce(operator.or_, changed, batch.values))
    for group in itertools.chain.from_iterable(optimiser.param_groups for optimiser in state.optimisers):
        group["lr"] = group["rate_factor"] * learning_rate(state.step, config.optim)
    with autocast(device, config.compute.precision):
        losses = state.trained(batch, *views)
    for optimiser in state.optimisers:  # the model's own parameters are those of FSDP's forward pass here
        optimiser.zero_grad(set_to_none=True)
    losses.total.backward()
    for parameter in state.model.parameters():
        if (
            parameter.requires_grad and parameter.grad is None
        ):  # of a layer that no galaxy of the batch needs; every optimiser state is complete
            parameter.grad = torch.zeros_like(parameter)
    norm = whole(nn.utils.clip_grad_norm_(state.model.parameters(), config.optim.clip))
    for optimiser in state.optimisers:
        optimiser.step()
    if state.averaged is not None:
        _update_average(state.averaged, state.model, state.step, config.optim.ema_decay)
    state.step += 1
    return losses, norm


def require_finite(norm: float, step: int) -> None:
    """Raise NonFiniteLoss, with settings to change, if the gradient is not finite.

    Args:
        norm: of the gradient, equal on all workers, so that all of them stop; NaN on all if the loss is NaN on one.
    """
    if not math.isfinite(norm):
        raise NonFiniteLoss(
            f"the gradient is {norm} at step {step}. Lower optim.learning_rate or optim.clip, use "
            f"compute.precision float32, and check the survey's counts for extreme pixels."
        )
