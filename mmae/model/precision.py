"""Floating-point precision of losses, sums and logits."""

from __future__ import annotations

import torch
from torch import Tensor


def at_least_float32(x: Tensor) -> Tensor:
    """A tensor of lower precision, of autocast, in float32; others as they are."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
