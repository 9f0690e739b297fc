"""Several workers train like one: copied (DDP) and sharded (FSDP2) models, in plain torch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import multiprocessing
from torch.nn.parallel import DistributedDataParallel

from mmae.config import OptimConfig, RunConfig
from mmae.loader.config import StreamConfig
from mmae.loader.sampler import Portion
from mmae.model.batch import Batch
from mmae.model.masking import MaskConfig
from mmae.training.parallel import DDP_OPTIONS, mean_over_workers
from mmae.training.step import TrainState, create_state, training_step
from tests.model.galaxies import SPEC, TINY, random_batch, rows, without

CPU = torch.device("cpu")
GALAXIES = 8
RUN = RunConfig(
    model=TINY,
    masks=MaskConfig(image_ratio=(0.2, 0.8), spectrum_ratio=(0.2, 0.8), drop_image=0.1, drop_spectrum=0.5),
    redshift_masks=MaskConfig(image_ratio=(0.0, 0.0), spectrum_ratio=(0.0, 0.9), drop_image=0.0, drop_spectrum=0.9),
    masked_share=0.5,
    stream=StreamConfig(batch_size=GALAXIES),
    # Small steps, and without Muon, which computes in bfloat16: the weights drift apart, as rounding errors grow.
    optim=OptimConfig(steps=50, learning_rate=1e-4, warmup_steps=10, ema_decay=0.5),
)


def galaxies(step: int) -> Batch:
    """Some without an image, a spectrum or a redshift: parts of two galaxies lack whole groups.

    Galaxies without a redshift have no spectrum: lines would be drawn at their most probable redshift, and a rounding
    error can change which one that is.
    """
    return without(random_batch(GALAXIES, seed=step), image=[3 * (step % 2)], spectrum=[1, 4, 5], redshift=[1, 4])


def train(state: TrainState, portion: Portion, steps: int) -> list[dict[str, float]]:
    """Losses and norm of the gradient, step by step."""
    mine = list(range(GALAXIES))[portion.rows(GALAXIES)]
    history = []
    for step in range(steps):
        losses, norm = training_step(state, rows(galaxies(step), mine), RUN, portion)
        named = mean_over_workers(losses) | {"gradient norm": norm}
        history.append({name: value.item() for name, value in named.items()})
    return history


def statistics(state: TrainState) -> dict[str, list[float]]:
    """Running statistics of batch normalisation, of the model and of its average."""
    return {
        f"{which}.{name}": buffer.tolist()
        for which, model in (("model", state.model), ("average", state.averaged))
        for name, buffer in model.named_buffers()
        if "running" in name
    }


def train_both_ways(rank: int, world: int, steps: int, folder: str) -> None:
    """One worker: writes the history of both strategies and the statistics at the end."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/init", rank=rank, world_size=world)
    copied, sharded = create_state(RUN, SPEC, CPU), create_state(RUN, SPEC, CPU, sharded_over=world)
    copied.trained = DistributedDataParallel(copied.model, **DDP_OPTIONS)
    for name, state in (("copied", copied), ("sharded", sharded)):
        found = {"history": train(state, Portion(rank, world), steps), "statistics": statistics(state)}
        Path(folder, f"{name}-{rank}.json").write_text(json.dumps(found))
    dist.destroy_process_group()


@pytest.mark.parametrize(("world", "steps"), [(2, 20)])
def test_several_workers_train_like_one(tmp_path, world, steps):
    """Masks, augmentations, losses, gradients and statistics of batch normalisation."""
    one = create_state(RUN, SPEC, CPU)
    expected = train(one, Portion(), steps)
    multiprocessing.spawn(train_both_ways, (world, steps, str(tmp_path)), nprocs=world)
    for strategy in ("copied", "sharded"):
        found = [json.loads((tmp_path / f"{strategy}-{rank}.json").read_text()) for rank in range(world)]
        assert all(worker == found[0] for worker in found)  # one model is trained, and validated
        difference = {
            name: max(
                abs(here[name] / there[name] - 1) for here, there in zip(found[0]["history"], expected, strict=True)
            )
            for name in expected[0]
        }
        print(f"{strategy}, {world} workers, {steps} steps: largest relative differences {difference}")
        assert difference.pop("gradient norm") < 1e-2
        assert max(difference.values()) < 1e-4  # rounding errors grow; other masks or means would be far larger
        for name, values in statistics(one).items():
            assert found[0]["statistics"][name] == pytest.approx(values, rel=1e-3, abs=1e-4), name
