"""Sums over the workers that share a training step, so that several workers train like one.

Legend of suffixes: batch.py; F feature maps.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed._functional_collectives import all_reduce


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
        total_F, squares_F, n = self._moments(x_BFHW.float())
        mean_F = total_F / n
        variance_F = squares_F / n - mean_F.square()
        assert self.running_mean is not None and self.running_var is not None and self.momentum is not None
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean_F.float(), self.momentum)
            self.running_var.lerp_((variance_F * n / (n - 1)).float(), self.momentum)
        scale_F = self.weight * (variance_F + self.eps).rsqrt()
        shift_F = self.bias - mean_F * scale_F
        return (x_BFHW * scale_F.float()[:, None, None] + shift_F.float()[:, None, None]).to(x_BFHW.dtype)

    @staticmethod
    def _moments(x_BFHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Sums and sums of squares of each map over all workers, in double precision, and the number of pixels."""
        n = x_BFHW.numel() // x_BFHW.shape[1]
        mean_F = x_BFHW.sum((0, 2, 3)) / max(n, 1)
        squares_F = (x_BFHW - mean_F[:, None, None]).square().sum((0, 2, 3)).double()  # about the mean: not rounded off
        mean_F = mean_F.double()
        sums_3F = torch.stack([n * mean_F, squares_F + n * mean_F.square(), torch.full_like(mean_F, n)])
        total_F, squares_F, n_F = sum_over_workers(sums_3F)
        return total_F, squares_F, n_F
