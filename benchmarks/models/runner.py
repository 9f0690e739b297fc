"""Train one configuration on a survey in memory, in plain torch, for a budget of time."""

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

WARM_UP, TIMED = 4, 24  # steps from which the number of steps that the budget allows is taken
LOOKS = 10  # at a run's progress

Look = Callable[[TrainState, float], None]
"""Called ten times in a run with the state and the seconds spent."""


@dataclass(frozen=True)
class Trained:
    """A run that used up its budget.

    Attributes:
        config: with the number of steps that the budget allowed.
        seconds: spent in steps.
    """

    state: TrainState
    config: RunConfig
    seconds: float

    @property
    def galaxies(self) -> int:
        return self.state.step * self.config.stream.batch_size


def clock(device: torch.device) -> float:
    """Of this process's CPU time on a CPU, which other processes do not disturb; of the wall on a GPU."""
    if device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def order(galaxies: Batch, config: RunConfig) -> Iterator[np.ndarray]:
    """Row numbers of batch after batch; every galaxy of an epoch once before any comes again."""
    rng = np.random.default_rng(config.seed)
    unlabelled_N = np.flatnonzero(~galaxies.redshift_known_B.numpy())
    left_N = np.empty(0, int)
    while True:
        while len(left_N) < config.stream.batch_size:
            epoch_N = drawn_rows(len(galaxies), unlabelled_N, config.stream.unlabelled, rng)
            left_N = np.concatenate([left_N, rng.permutation(epoch_N)])
        yield left_N[: config.stream.batch_size]
        left_N = left_N[config.stream.batch_size :]


def step_seconds(config: RunConfig, train: Batch, spec: InputSpec, device: torch.device) -> float:
    """Of one step, measured on a model that is thrown away."""
    state = create_state(config, spec, device)
    taken = []
    for which_N in order(train, config):
        started = clock(device)
        training_step(state, rows(train, which_N).to(device), config)
        taken.append(clock(device) - started)
        if len(taken) == WARM_UP + TIMED:
            return statistics.mean(taken[WARM_UP:])


def train_for(
    seconds: float, config: RunConfig, train: Batch, spec: InputSpec, device: torch.device, look: Look | None = None
) -> Trained:
    """As many steps as the budget allows, on a schedule that ends with them.

    How many that is, is measured again at every look, so that a machine that was busy for a while takes no steps away.

    Raises:
        NonFiniteLoss: of mmae/training/step.py.
    """
    steps = max(LOOKS, int(seconds / step_seconds(config, train, spec, device)))
    warmup = min(config.optim.warmup_steps, steps // LOOKS)
    config = replace(config, optim=replace(config.optim, steps=steps, warmup_steps=warmup))
    state = create_state(config, spec, device)
    spent, looks = 0.0, 0
    for which_N in order(train, config):
        started = clock(device)
        state.model.train()
        _, norm = training_step(state, rows(train, which_N).to(device), config)
        spent += clock(device) - started
        if spent < (looks + 1) * seconds / LOOKS:
            continue
        looks += 1
        require_finite(norm.item(), state.step)
        if look:
            look(state, spent)
        steps = state.step + round(max(0.0, seconds - spent) * state.step / spent)
        config = replace(config, optim=replace(config.optim, steps=steps))
        if looks == LOOKS:
            return Trained(state, config, spent)
