"""One model on several workers: a copy on each (DDP), or a part of every tensor on each (FSDP2).

Sharded tensors are DTensors. What looks at whole ones (checkpoints, validation) gathers them here; gathering is a
collective, so every rank must take part.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor


def shard(model: nn.Module, device: torch.device, world: int) -> None:
    """Split every parameter, gradient and moment over the workers; all are gathered once for a batch.

    Not block by block: a block is called once for each group of galaxies that show the same modalities, and workers
    whose batches have other groups would wait for each other's calls forever.
    """
    fully_shard(model, mesh=init_device_mesh(device.type, (world,)))


def whole(tensor: Tensor) -> Tensor:
    """A tensor with the parts of all workers."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def as_part_of(tensor: Tensor, own: Tensor) -> Tensor:
    """A whole tensor, sharded as `own` is if it has its shape."""
    if isinstance(own, DTensor) and own.shape == tensor.shape:
        return distribute_tensor(tensor, own.device_mesh, own.placements)
    return tensor


def parts(tensors: Sequence[Tensor]) -> list[Tensor]:
    """What this worker holds of each tensor."""
    return [t.to_local() if isinstance(t, DTensor) else t for t in tensors]
