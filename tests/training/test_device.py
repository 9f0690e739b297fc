"""A step on a device other than the CPU: no tensor of the CPU slips into it, in forward, backward and optimisers.

A CPU build of torch has no other device than `meta`, whose tensors have shapes and no values: an operation on one of
its tensors and one of the CPU raises, and so does one that reads values.
"""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import torch

from mmae.training.step import create_state, training_step
from tests.model.galaxies import SPEC, TINY_PAPER, random_batch, tiny, without
from tests.training.test_parallel import RUN
from tests.training.test_waiting import CNN_RUN, run_of

META = torch.device("meta")


@pytest.fixture
def meta(monkeypatch):
    """Makes torch accept `meta` where it asks for devices that compute: autocast and the fused AdamW."""
    autocast, adamw = torch.autocast, torch.optim.AdamW

    def on_meta(device_type: str, *args: Any, **options: Any) -> contextlib.AbstractContextManager:
        return contextlib.nullcontext() if device_type == META.type else autocast(device_type, *args, **options)

    monkeypatch.setattr(torch, "autocast", on_meta)
    monkeypatch.setattr(torch.optim, "AdamW", lambda *args, **options: adamw(*args, **(options | {"fused": False})))


@pytest.mark.parametrize(
    "run",
    [RUN, run_of(tiny(magnitudes={"use": True})), run_of(TINY_PAPER), CNN_RUN],
    ids=["two views", "magnitudes", "paper", "cnn"],
)
def test_a_step_stays_on_its_device(run, meta):
    state = create_state(run, SPEC, META)
    batch = without(random_batch(8), image=[1], spectrum=[2, 3], redshift=[4])
    for _ in range(2):  # the first step creates the moments of the optimisers
        losses, norm = training_step(state, batch, run)
        assert losses.total.device == norm.device == META
    assert all(parameter.device == META for parameter in state.model.parameters())


def test_tensors_of_the_cpu_are_noticed():
    with pytest.raises(RuntimeError, match="device"):
        torch.empty(3, device=META) + torch.ones(3)
