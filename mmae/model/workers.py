"""Sums over the workers that share a training step, so that several workers train like one.

Legend of suffixes: batch.py; F feature maps.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed._functional_collectives import all_reduce

from mmae.model.precision import at_least_float32


def n_workers() -> int:
    """Number of workers of a training step; 1 where no gradient is computed: each worker then scores its own part."""
    shared = dist.is_available() and dist.is_initialized() and torch.is_grad_enabled()
    return dist.get_world_size() if shared else 1


def sum_over_workers(x: Tensor) -> Tensor:
    """The sum of a tensor over all workers, equal on all of them. Its gradient is summed as well."""
    if n_workers() == 1:
        return x
    assert dist.group.WORLD is not None
    return all_reduce(x, "sum", dist.group.WORLD)


class BatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation over the galaxies of all workers; a worker may have none.

    `torch.nn.SyncBatchNorm` does this on GPUs, and replaces these layers there (mmae/training/parallel.py).
    """

    def forward(self, x_BFHW: Tensor) -> Tensor:
        if not self.training or n_workers() == 1:
            return super().forward(x_BFHW)
        mean_F, variance_F, n_F = _moments(at_least_float32(x_BFHW))
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None and self.momentum is not None
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean_F, self.momentum)
            self.running_var.lerp_((variance_F * n_F / (n_F - 1)).to(variance_F.dtype), self.momentum)
        scale_F = self.weight * (variance_F + self.eps).rsqrt()
        y_BFHW = (x_BFHW - mean_F[:, None, None]) * scale_F[:, None, None] + self.bias[:, None, None]
        return y_BFHW.to(x_BFHW.dtype)


def _moments(x_BFHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and variance of each map over the galaxies of all workers, and the number of its pixels.

    Sums about the mean of this worker: in double precision, those of all workers follow without rounding errors.
    """
    n = x_BFHW.numel() // x_BFHW.shape[1]
    mean_F = x_BFHW.detach().sum((0, 2, 3)) / max(n, 1)
    centred_BFHW = x_BFHW - mean_F[:, None, None]
    rest_F, squares_F = (y_BFHW.sum((0, 2, 3)).double() for y_BFHW in (centred_BFHW, centred_BFHW.square()))
    mean_F = mean_F.double()
    total_F = n * mean_F + rest_F
    n_F = torch.full_like(mean_F, n)
    total_F, squares_F, n_F = sum_over_workers(
        torch.stack([total_F, squares_F + 2 * mean_F * rest_F + n * mean_F.square(), n_F])
    )
    mean_F = total_F / n_F
    return mean_F.to(x_BFHW.dtype), (squares_F / n_F - mean_F.square()).to(x_BFHW.dtype), n_F
