"""Muon against torch's own."""

import pytest
import torch

from mmae.training.muon import Muon

OPTIONS = {"lr": 2e-2, "weight_decay": 0.1}


def trained(make, shape: tuple[int, int]) -> torch.Tensor:
    """A matrix after four steps with random gradients."""
    torch.manual_seed(1)
    matrix = torch.nn.Parameter(torch.randn(shape))
    optimiser = make([matrix])
    for _ in range(4):
        matrix.grad = torch.randn(shape)
        optimiser.step()
    return matrix.detach()


@pytest.mark.parametrize("shape", [(6, 20), (20, 6)])
def test_updates_are_those_of_torch(shape):
    expected = trained(lambda p: torch.optim.Muon(p, adjust_lr_fn="match_rms_adamw", **OPTIONS), shape)
    assert torch.equal(trained(lambda p: Muon(p, bfloat16=True, **OPTIONS), shape), expected)
    # In float32, without the roundings of bfloat16: updates of 0.02 x 0.2 sqrt(20) x elements below 1, four times.
    full = trained(lambda p: Muon(p, bfloat16=False, **OPTIONS), shape)
    assert 0 < (full - expected).abs().max() < 4 * OPTIONS["lr"] * 0.2 * 20**0.5 * 0.1
