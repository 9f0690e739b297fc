"""One model on several workers: a copy on each (DDP), or a shard of every tensor on each (FSDP2).

Several workers train like one: random numbers depend on the row in the batch, losses are means over the targets of
all workers, and batch normalisation is over the galaxies of all workers (mmae/model/workers.py).
Sharded tensors are DTensors. Checkpoints and validation need whole tensors and gather them with `whole`, a
collective operation in which every rank must take part.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from mmae.model.build import Model
from mmae.model.outputs import Losses
from mmae.model.precision import at_least_float32
from mmae.model.workers import n_workers, sum_over_workers

# In some batches, layers have no galaxy to work on: those of a modality or of whole images. Buffers are equal already.
DDP_OPTIONS = {"find_unused_parameters": True, "forward_sync_buffers": False}


def synchronised(model: Model) -> Model:
    """The model with batch normalisation over the galaxies of all workers, on GPUs by torch's own layer."""
    if n_workers() > 1 and next(model.parameters()).is_cuda:
        return cast(Model, nn.SyncBatchNorm.convert_sync_batchnorm(model))
    return model


def of_all_workers(value_BX: np.ndarray, mine: slice, n: int) -> np.ndarray:
    """Integers of the galaxies of all workers, from those of this one.

    Args:
        mine: the galaxies of this worker among the `n` of all.
    """
    value_GX = torch.zeros(n, *value_BX.shape[1:], dtype=torch.int64)
    value_GX[mine] = torch.from_numpy(value_BX)
    dist.all_reduce(value_GX)
    return value_GX.numpy()


def mean_over_workers(losses: Losses) -> dict[str, Tensor]:
    """The losses of a step, over the targets of all workers; the total is under "". Collective."""
    named = {"": losses.total, **losses.parts}
    mean = sum_over_workers(torch.stack([at_least_float32(loss.detach()) for loss in named.values()])) / n_workers()
    return dict(zip(named, mean, strict=True))


def shard(model: nn.Module, device: torch.device, world: int) -> None:
    """Shard every parameter, gradient and moment over the workers; all are gathered once per batch.

    Not block by block: a block is called once for each group of galaxies with the same visible modalities, and would be
    gathered as often.
    """
    fully_shard(model, mesh=init_device_mesh(device.type, (world,)))


def whole(tensor: Tensor) -> Tensor:
    """The full tensor, gathered from all workers if it is sharded."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def as_part_of(tensor: Tensor, own: Tensor) -> Tensor:
    """A whole tensor, sharded like `own` if the shapes agree."""
    if isinstance(own, DTensor) and own.shape == tensor.shape:
        return distribute_tensor(tensor, own.device_mesh, own.placements)
    return tensor


def parts(tensors: Sequence[Tensor]) -> list[Tensor]:
    """This worker's shard of each tensor."""
    return [t.to_local() if isinstance(t, DTensor) else t for t in tensors]
