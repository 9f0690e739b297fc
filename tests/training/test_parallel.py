"""Several workers train like one: copied (DDP) and sharded (FSDP2) models, in plain torch.

In float64 all differences are rounding errors of 1e-16, and any other is a difference of masks, means or statistics.
In float32 training amplifies rounding errors until they are as large (docs/performance_workers.md).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import multiprocessing
from torch.nn.parallel import DistributedDataParallel

from mmae.config import OptimConfig, RunConfig
from mmae.loader.config import StreamConfig
from mmae.loader.sampler import Portion
from mmae.model.batch import Batch
from mmae.model.config import MaskConfig
from mmae.training.parallel import DDP_OPTIONS, mean_over_workers
from mmae.training.step import TrainState, create_state, training_step
from tests.model.galaxies import SPEC, random_batch, rows, tiny, without

pytestmark = pytest.mark.long
CPU = torch.device("cpu")
GALAXIES = 8
RUN = RunConfig(
    model=tiny(width=8, depth=1, decoder_width=8, image={"stem_width": 2, "stem_depth": 1, "mixing": 1}),
    masks=MaskConfig(image_ratio=(0.2, 0.8), spectrum_ratio=(0.2, 0.8), drop_image=0.1, drop_spectrum=0.5),
    redshift_masks=MaskConfig(image_ratio=(0.0, 0.0), spectrum_ratio=(0.0, 0.9), drop_image=0.0, drop_spectrum=0.9),
    masked_share=0.5,
    stream=StreamConfig(batch_size=GALAXIES),
    # The rates of the recipe `small`.
    optim=OptimConfig(
        steps=800, learning_rate=1e-3, muon_learning_rate=3e-3, muon_decoder_factor=2.0, warmup_steps=50, ema_decay=0.5
    ),
)
STEPS = {"float64": 10, "float32": 50}
TOLERANCE = {"float64": 1e-10, "float32": 1e-5}  # largest relative difference of losses
STRATEGIES = ("ddp", "fsdp")
SLOW = ((2, "float64"), (4, "float32"))


def galaxies(step: int, dtype: torch.dtype) -> Batch:
    """Some without an image, a spectrum or a redshift: parts of two galaxies lack whole groups.

    Galaxies without a redshift have no spectrum: lines would be drawn at their most probable redshift, and a rounding
    error can change which one that is.
    """
    batch = without(random_batch(GALAXIES, seed=step), image=[3 * (step % 2)], spectrum=[1, 4, 5], redshift=[1, 4])
    return batch.map(lambda tensor: tensor.to(dtype) if tensor.is_floating_point() else tensor)


def train(precision: str, strategy: str = "", portion: Portion = Portion()) -> dict[str, Any]:
    """Losses and norm of the gradient, step by step, and the statistics of batch normalisation at the end."""
    dtype = getattr(torch, precision)
    torch.set_default_dtype(dtype)
    try:
        state = create_state(RUN, SPEC, CPU, sharded_over=portion.world if strategy == "fsdp" else 0)
        if strategy == "ddp":
            state.trained = DistributedDataParallel(state.model, **DDP_OPTIONS)
        mine = list(range(GALAXIES))[portion.rows(GALAXIES)]
        history = []
        for step in range(STEPS[precision]):
            losses, norm = training_step(state, rows(galaxies(step, dtype), mine), RUN, portion)
            named = mean_over_workers(losses) | {"gradient norm": norm}
            history.append({name: value.item() for name, value in named.items()})
        return {"history": history, "statistics": statistics(state)}
    finally:
        torch.set_default_dtype(torch.float32)


def statistics(state: TrainState) -> dict[str, list[float]]:
    """Running statistics of batch normalisation, of the model and of its average."""
    return {
        f"{which}.{name}": buffer.tolist()
        for which, model in (("model", state.model), ("average", state.averaged))
        for name, buffer in model.named_buffers()
        if "running" in name
    }


def train_with_all_strategies(rank: int, world: int, precision: str, folder: str) -> None:
    """One process, a worker of a group."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/init", rank=rank, world_size=world)
    for strategy in STRATEGIES:
        found = train(precision, strategy, Portion(rank, world))
        Path(folder, f"{strategy}-{rank}.json").write_text(json.dumps(found))
    dist.destroy_process_group()


@dataclass(frozen=True)
class Group:
    """Workers that have trained, and the folder of their results."""

    world: int
    precision: str
    folder: Path

    def results(self, strategy: str) -> list[dict[str, Any]]:
        return [json.loads((self.folder / f"{strategy}-{rank}.json").read_text()) for rank in range(self.world)]


@pytest.fixture(
    scope="module",
    params=[(4, "float64"), (2, "float32"), *(pytest.param(g, marks=pytest.mark.slow) for g in SLOW)],
    ids=lambda group: f"{group[0]}-{group[1]}",
)
def group(request, tmp_path_factory) -> Group:
    group = Group(*request.param, tmp_path_factory.mktemp("workers"))
    arguments = group.world, group.precision, str(group.folder)
    multiprocessing.set_forkserver_preload([__name__])  # torch is imported once for all workers
    multiprocessing.start_processes(train_with_all_strategies, arguments, group.world, start_method="forkserver")
    return group


@cache
def one_worker(precision: str) -> dict[str, Any]:
    return train(precision)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_several_workers_train_like_one(group, strategy):
    """Masks, augmentations, losses, gradients, updates and statistics of batch normalisation."""
    precision = group.precision
    workers, expected = group.results(strategy), one_worker(precision)
    assert all(worker == workers[0] for worker in workers)  # one model is trained, and validated
    found = workers[0]
    difference = {
        name: max(abs(here[name] - there[name]) / there[name] for here, there in pairs(found, expected))
        for name in expected["history"][0]
    }
    print(f"{strategy}, {group.world} workers, {precision}: largest relative differences {difference}")
    norm = difference.pop("gradient norm")
    assert max(difference.values()) < TOLERANCE[precision]
    if precision == "float64":
        assert norm < TOLERANCE[precision]
        for name, values in expected["statistics"].items():
            assert found["statistics"][name] == pytest.approx(values, rel=1e-9, abs=1e-12), name


def pairs(found: dict[str, Any], expected: dict[str, Any]) -> list[tuple[dict[str, float], dict[str, float]]]:
    """The same steps of two histories."""
    return list(zip(found["history"], expected["history"], strict=True))
