"""One model on several workers: a copy on each (DDP), or a shard of every tensor on each (FSDP2).

Sharded tensors are DTensors. Checkpoints and validation need whole tensors and gather them with `whole`, a
collective operation in which every rank must take part.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

# On each worker, some layers may have no galaxy to work on: those of a modality or of whole images.
DDP_OPTIONS = {"find_unused_parameters": True}


def shard(model: nn.Module, device: torch.device, world: int) -> None:
    """Shard every parameter, gradient and moment over the workers; all are gathered once per batch.

    Not block by block: a block is called once for each group of galaxies with the same visible modalities, and
    workers whose batches have different groups would deadlock.
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
