"""Muon (Jordan et al. 2024) with the same updates on any number of workers."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, Replicate


class Muon(torch.optim.Muon):
    """torch.optim.Muon, with a choice of precision and from whole matrices.

    Torch's own always computes orthogonal matrices in bfloat16, and those of sharded gradients from partial sums that
    are rounded to bfloat16: updates then depend on the number of workers.

    Args:
        bfloat16: compute orthogonal matrices in bfloat16; else in the precision of the weights.
        options: of torch.optim.Muon. Updates have the size of AdamW's (`adjust_lr_fn` "match_rms_adamw").
    """

    def __init__(self, params: Any, bfloat16: bool, **options: Any):
        super().__init__(params, adjust_lr_fn="match_rms_adamw", **options)
        self.bfloat16 = bfloat16

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Update all parameters that have a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)

    def _update(self, parameter: Tensor, group: dict[str, Any]) -> None:
        gradient, momentum = parameter.grad, group["momentum"]
        state = self.state[parameter]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        mean = state["momentum_buffer"].lerp_(gradient, 1 - momentum)
        update = gradient.lerp(mean, momentum) if group["nesterov"] else mean
        if isinstance(update, DTensor):
            update = update.redistribute(placements=[Replicate()])
        update = update.bfloat16() if self.bfloat16 else update
        update = orthogonal(update, group["ns_coefficients"], group["ns_steps"], group["eps"])
        if isinstance(update, DTensor):
            update = update.redistribute(placements=parameter.placements)
        size = 0.2 * math.sqrt(max(parameter.shape))  # 0.2 is the typical RMS of AdamW's updates (Liu et al. 2025)
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.add_(update.to(parameter.dtype), alpha=-group["lr"] * size)


def orthogonal(matrix: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """Nearly the closest orthogonal matrix, by Newton-Schulz iterations: singular values from about 0.7 to 1.2."""
    a, b, c = coefficients
    wide = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    wide = wide / wide.norm().clamp(min=eps)
    for _ in range(steps):
        gram = wide @ wide.T
        wide = torch.addmm(wide, torch.addmm(gram, gram, gram, beta=b, alpha=c), wide, beta=a)
    return wide.T if matrix.shape[0] > matrix.shape[1] else wide
