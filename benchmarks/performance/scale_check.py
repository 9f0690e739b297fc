"""The model of benchmarks/performance/scale.py compared with what runs on this machine, without a GPU.

The time of a step of `small` is predicted from its counts and from measured rates of four typical operations: a matrix
product, a convolution, a sum of two tensors, and an operation on one number. They are measured between the steps, on
inputs that are not in the cache. Communication is counted in two processes. Legend of suffixes: mmae/model/batch.py.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as Fn
from torch import Tensor

from benchmarks.performance.model_step import SPEC, noise_galaxies
from benchmarks.performance.scale_counts import FLOAT32, count, counted_communication
from mmae.config import RunConfig
from mmae.recipes import recipe
from mmae.training.step import create_state, training_step

TOGETHER = 16  # galaxies of a step of two processes
COLD = 64 * 2**20  # bytes of different inputs that are used one after the other: more than a cache


@dataclass(frozen=True)
class Rates:
    """Rates of one thread, in SI units."""

    product: float  # floating-point operations per second
    convolution: float
    memory: float  # bytes per second
    overhead: float  # seconds of an operation


@dataclass(frozen=True)
class Check:
    """Predicted and measured seconds of a step on this machine, and bytes and sums of two workers."""

    batch: int
    rates: Rates
    seconds_predicted: float
    seconds_measured: float
    bytes_predicted: int
    bytes_counted: int
    sums_predicted: int
    sums_counted: int

    def __str__(self) -> str:
        rates = self.rates
        return (
            f"`small`, {self.batch} galaxies, one thread: {rates.product / 1e9:.1f} GFLOP/s in matrix products, "
            f"{rates.convolution / 1e9:.1f} in convolutions, {rates.memory / 1e9:.1f} GB/s and "
            f"{rates.overhead * 1e6:.1f} us per operation predict {self.seconds_predicted:.3f} s per step; measured "
            f"{self.seconds_measured:.3f} s ({self.seconds_predicted / self.seconds_measured - 1:+.0%}).\n"
            f"Two workers: {self.bytes_predicted:,} bytes in {self.sums_predicted} sums predicted, "
            f"{self.bytes_counted:,} in {self.sums_counted} counted."
        )


def check(batch: int = 64, steps: int = 5, run: RunConfig | None = None) -> Check:
    """Compare time and communication of a step with the prediction.

    Times are CPU times of the process, which depend little on other work of the machine.
    """
    run = recipe("small") if run is None else run
    run = replace(run, compute=replace(run.compute, precision="float32"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    counts = count(run, sizes=(max(2, batch // 4), batch), steps=steps)
    state, galaxies = create_state(run, SPEC, torch.device("cpu")), noise_galaxies(batch)
    measured, rates = [], []
    for _ in range(steps):
        measured.append(_seconds(lambda: training_step(state, galaxies, run)))
        rates.append(measure_rates(run, batch))
    torch.set_num_threads(threads)
    typical = Rates(*(statistics.median(getattr(r, name) for r in rates) for name in Rates.__dataclass_fields__))
    convolutions = counts.convolutions.of(batch)
    predicted = (
        (counts.flop.of(batch) - convolutions) / typical.product
        + convolutions / typical.convolution
        + counts.traffic.of(batch) / typical.memory
        + counts.operations * typical.overhead
    )
    total, sums = counted_communication(run, TOGETHER)
    return Check(
        batch=batch,
        rates=typical,
        seconds_predicted=predicted,
        seconds_measured=statistics.mean(measured),
        bytes_predicted=int(counts.gradient + counts.synchronised.of(TOGETHER)),
        bytes_counted=total,
        sums_predicted=counts.sums,
        sums_counted=sums,
    )


def _seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def measure_rates(run: RunConfig, batch: int) -> Rates:
    """Rates of operations with the sizes of the decoder and of the stem of a model."""
    image, width = run.model.modalities.image, run.model.decoder_width
    tokens = batch * (SPEC.image_size // image.patch) ** 2
    weight = torch.randn(width, 2 * width)
    product = _typical(lambda x: x @ weight, (tokens, width))
    maps, side = image.stem_width, SPEC.image_size // 2
    kernel = torch.randn(maps, maps, 3, 3).contiguous(memory_format=torch.channels_last)
    convolution = _typical(lambda x: Fn.conv2d(x, kernel, padding=1), (batch, maps, side, side))
    memory = _typical(lambda x: x + x, (tokens, width))
    return Rates(
        product=2 * tokens * width * 2 * width / product,
        convolution=2 * batch * side**2 * maps**2 * 9 / convolution,
        memory=2 * FLOAT32 * tokens * width / memory,
        overhead=_overhead(),
    )


def _typical(operation: Callable[[Tensor], Tensor], shape: tuple[int, ...]) -> float:
    """Median seconds of an operation, each time on another input of this shape."""
    first = torch.randn(shape)
    n = max(2, COLD // (FLOAT32 * first.numel()))
    inputs = [first + i for i in range(min(n, 32))]
    return statistics.median(_seconds(lambda x=x: operation(x)) for x in itertools.chain(inputs, inputs))


def _overhead(repeats: int = 1000) -> float:
    """Seconds of an operation on one number: half of forward and backward."""
    x = torch.ones(1, requires_grad=True)

    def chain() -> None:
        y = x
        for _ in range(repeats):
            y = y * 1.0
        y.backward()

    return _seconds(chain) / (2 * repeats)
