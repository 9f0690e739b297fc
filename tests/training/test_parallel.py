"""Copied (DDP) and sharded (FSDP2) models on two processes have the gradients of one process, in plain torch."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed as dist
from torch import multiprocessing
from torch.nn.parallel import DistributedDataParallel

from mmae.config import OptimConfig, RunConfig
from mmae.model.masking import MaskConfig
from mmae.training.parallel import DDP_OPTIONS, whole
from mmae.training.step import TrainState, create_state, training_step
from tests.model.galaxies import SPEC, TINY, random_batch

CPU = torch.device("cpu")
WORLD, STEPS = 2, 3
RUN = RunConfig(
    model=TINY,
    masks=MaskConfig(image_ratio=(0.2, 0.8), spectrum_ratio=(0.2, 0.8), drop_image=0.1, drop_spectrum=0.5),
    redshift_masks=MaskConfig(image_ratio=(0.0, 0.0), spectrum_ratio=(0.0, 0.9), drop_image=0.0, drop_spectrum=0.9),
    optim=OptimConfig(steps=20, learning_rate=1e-3, muon_learning_rate=2e-3, warmup_steps=2, ema_decay=0.5, clip=1e9),
)


def gradients(state: TrainState) -> dict[str, torch.Tensor]:
    return {name: whole(p.grad).clone() for name, p in state.model.named_parameters()}


def expected_gradients(state: TrainState, rank: int) -> dict[str, torch.Tensor]:
    """Those of a copy of the model on this process, averaged over the processes without DDP."""
    alone = replace(state, model=copy.deepcopy(state.model))
    alone = replace(alone, trained=alone.model, averaged=None, optimisers=[])
    training_step(alone, random_batch(8, seed=WORLD * state.step + rank), RUN, rank)
    found = gradients(alone)
    for gradient in found.values():
        dist.all_reduce(gradient)
        gradient /= WORLD
    return found


def compare(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/init", rank=rank, world_size=WORLD)
    copied, sharded = create_state(RUN, SPEC, CPU), create_state(RUN, SPEC, CPU, sharded_over=WORLD)
    copied.trained = DistributedDataParallel(copied.model, **DDP_OPTIONS)
    for _ in range(STEPS):
        expected = expected_gradients(copied, rank)
        for state in (copied, sharded):
            training_step(state, random_batch(8, seed=WORLD * state.step + rank), RUN, rank)
            for name, gradient in gradients(state).items():
                scale = expected[name].abs().max().item()
                torch.testing.assert_close(gradient, expected[name], rtol=1e-3, atol=1e-3 * scale + 1e-6, msg=name)
    Path(folder, f"{rank}").write_text("equal")
    dist.destroy_process_group()


def test_gradients_of_copied_and_sharded_models_are_those_of_one_process(tmp_path):
    multiprocessing.spawn(compare, (str(tmp_path),), nprocs=WORLD)
    assert {p.name for p in tmp_path.iterdir() if p.read_bytes() == b"equal"} == {"0", "1"}
