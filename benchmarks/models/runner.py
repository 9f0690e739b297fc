"""Train one configuration on a survey in memory, in plain torch, for a given time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from benchmarks.models.survey import rows
from mmae.config import RunConfig
from mmae.loader.sampler import drawn_rows
from mmae.model.batch import Batch, InputSpec
from mmae.training.step import TrainState, create_state, require_finite, training_step

WARM_UP, TIMED = 4, 24  # untimed and timed steps of the first estimate of the number of steps
CHECKS = 10  # progress checks per run

Monitor = Callable[[TrainState, float], None]
"""Called at every progress check with the state and the seconds spent."""


@dataclass(frozen=True)
class Trained:
    """A finished run.

    Attributes:
        config: with the number of steps that the budget allowed.
        seconds: time spent in training steps.
    """

    state: TrainState
    config: RunConfig
    seconds: float

    @property
    def galaxies(self) -> int:
        return self.state.step * self.config.stream.batch_size


def clock(device: torch.device) -> float:
    """Seconds: CPU time of this process on a CPU, which is independent of other processes; wall time on a GPU."""
    if device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def order(galaxies: Batch, config: RunConfig) -> Iterator[np.ndarray]:
    """Row numbers of consecutive batches; an epoch has every galaxy once, and those of rare kinds more often."""
    rng = np.random.default_rng(config.seed)
    unlabelled_N = np.flatnonzero(~galaxies.redshift_known_B.numpy())
    repeats_N = (1 / galaxies.weight_B.numpy()).round().astype(int)
    left_N = np.empty(0, int)
    while True:
        while len(left_N) < config.stream.batch_size:
            epoch_N = drawn_rows(repeats_N, unlabelled_N, config.stream.unlabelled, rng)
            left_N = np.concatenate([left_N, rng.permutation(epoch_N)])
        yield left_N[: config.stream.batch_size]
        left_N = left_N[config.stream.batch_size :]


def step_seconds(config: RunConfig, train: Batch, spec: InputSpec, device: torch.device) -> float:
    """Mean time of a training step, measured on a temporary model."""
    state = create_state(config, spec, device)
    times = []
    for which_N in order(train, config):
        started = clock(device)
        training_step(state, rows(train, which_N).to(device), config)
        times.append(clock(device) - started)
        if len(times) == WARM_UP + TIMED:
            break
    return statistics.mean(times[WARM_UP:])


def train_for(
    seconds: float,
    config: RunConfig,
    train: Batch,
    spec: InputSpec,
    device: torch.device,
    monitor: Monitor | None = None,
) -> Trained:
    """Train for `seconds`, with a learning rate schedule that ends with the last step.

    The number of steps is estimated again at every progress check, so that a temporary slowdown of the machine does not
    reduce it.

    Raises:
        NonFiniteLoss: see mmae/training/step.py.
    """
    steps = max(CHECKS, int(seconds / step_seconds(config, train, spec, device)))
    warmup = min(config.optim.warmup_steps, steps // CHECKS)
    config = replace(config, optim=replace(config.optim, steps=steps, warmup_steps=warmup))
    state = create_state(config, spec, device)
    spent, checks = 0.0, 0
    for which_N in order(train, config):
        started = clock(device)
        state.model.train()
        _, norm = training_step(state, rows(train, which_N).to(device), config)
        spent += clock(device) - started
        if spent < (checks + 1) * seconds / CHECKS:
            continue
        checks += 1
        require_finite(norm.item(), state.step)
        if monitor:
            monitor(state, spent)
        steps = state.step + round(max(0.0, seconds - spent) * state.step / spent)
        config = replace(config, optim=replace(config.optim, steps=steps))
        if checks == CHECKS:
            break
    return Trained(state, config, spent)
