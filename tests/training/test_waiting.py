"""A training step sets no shape by the values of a tensor, and reads none: a GPU would have to be waited for."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mmae.config import RunConfig
from mmae.model.config import CNNConfig, MaskConfig
from mmae.training.step import create_state, training_step
from tests.model.galaxies import SPEC, TINY_PAPER, random_batch, tiny, without
from tests.training.test_parallel import RUN

aten = torch.ops.aten
INDEXING = (aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_)
DEPENDENT = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}


class Waits(TorchDispatchMode):
    """Records operations that depend on values: nonzero, item, unique, masked_select, indices that are masks, ..."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket in INDEXING:
            waits = any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1])
        else:
            waits = bool(DEPENDENT.intersection(func.tags))
        if waits:
            self.found.append(str(func))
        return func(*args, **(kwargs or {}))


def run_of(model: Any, image_ratio: tuple[float, float] = (0.5, 0.5)) -> RunConfig:
    return RunConfig(model=model, masks=MaskConfig(image_ratio=image_ratio, drop_spectrum=0.5, drop_magnitudes=0.3))


CNN_RUN = run_of(CNNConfig(width=2, depth=1, halvings=2, hidden=4), image_ratio=(0.0, 0.0))


@pytest.mark.parametrize(
    "run",
    [RUN, run_of(tiny(magnitudes={"use": True})), run_of(TINY_PAPER), CNN_RUN],
    ids=["two views", "magnitudes", "paper", "cnn"],
)
def test_a_step_reads_no_values(run):
    state = create_state(run, SPEC, torch.device("cpu"))
    batch = without(random_batch(8), image=[1], spectrum=[2, 3], redshift=[4])
    for _ in range(2):  # the first step creates the moments of the optimisers and copies the average
        with Waits() as waits:
            training_step(state, batch, run)
        assert waits.found == []


def test_waits_are_found():
    with Waits() as waits:
        x = torch.ones(3)
        x[x > 0] += x[x > 0].sum().item()
        x.nonzero()
    assert len(waits.found) == 5  # three indices that are masks, item, nonzero
