"""Matched budgets: how long a trial is, so that none is favoured for being cheap or punished for it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mmae.config import RunConfig
from mmae.model.batch import Batch, InputSpec
from mmae.model.modalities import MODALITIES
from mmae.study.config import StudyConfig
from mmae.study.space import Parameters, run_of
from mmae.training.step import create_state, training_step

# Of the batch and the mask draws over which FLOPs are averaged. Every trial gets the same draws.
COUNTED_GALAXIES, COUNTED_STEPS = 8, 8


@dataclass(frozen=True)
class Plan:
    """One trial at full length.

    Attributes:
        run: what it trains, with its own number of steps.
        flops_per_galaxy: floating-point operations of one training step, forward and backward,
            for one galaxy; the mean over the masks that are drawn.
    """

    run: RunConfig
    flops_per_galaxy: float

    @property
    def galaxies(self) -> int:
        """Training galaxies of a full trial."""
        return self.run.optim.steps * self.run.stream.batch_size

    @property
    def flops(self) -> float:
        """Of the training of a full trial."""
        return self.galaxies * self.flops_per_galaxy


def plan_trial(config: StudyConfig, parameters: Parameters, spec: InputSpec) -> Plan:
    """How a trial trains: its parameters, and as many steps as the budget gives it."""
    run = run_of(parameters, config.run)
    per_galaxy = flops_per_galaxy(run, spec)
    galaxies = float(config.galaxies_seen)
    if config.budget == "flops":
        galaxies *= flops_per_galaxy(config.run, spec) / per_galaxy
    steps = max(1, round(galaxies / run.stream.batch_size))
    optim = replace(
        run.optim,
        steps=steps,
        warmup_steps=round(run.optim.warmup_steps * steps / config.run.optim.steps),
        # An average over hundreds of steps would still hold the untrained weights at the first
        # look. The end of the cosine does the averaging.
        ema_decay=0.0,
    )
    validation = replace(run.validation, every=math.ceil(steps / config.looks))
    compute = replace(run.compute, workers=config.workers_per_trial, threads=max(1, int(config.cpus_per_trial)))
    return Plan(replace(run, optim=optim, validation=validation, compute=compute), per_galaxy)


def look_at(step: int, steps: int, looks: int) -> int:
    """Which of the looks the validation after a step is: 1, ..., looks."""
    return max(1, round(looks * step / steps))


def flops_per_galaxy(run: RunConfig, spec: InputSpec) -> float:
    """Floating-point operations of a training step, per galaxy, on any device."""
    run = replace(run, compute=replace(run.compute, precision="float32"))
    state, batch = create_state(run, spec, torch.device("cpu")), noise_batch(COUNTED_GALAXIES, spec)
    # The plain attention: the counter knows the fused one of a GPU and not that of a CPU.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        for _ in range(COUNTED_STEPS):
            training_step(state, batch, run)
    return counter.get_total_flops() / (COUNTED_GALAXIES * COUNTED_STEPS)


def noise_batch(n: int, spec: InputSpec) -> Batch:
    """Galaxies of noise, complete: for counting and timing, not for learning."""
    generator = torch.Generator().manual_seed(0)
    yes_B = torch.ones(n, dtype=torch.bool)
    shapes = {name: shape for kind in MODALITIES.values() for name, shape in kind.shapes(spec).items()}
    return Batch(
        values={name: torch.randn(n, *shape, generator=generator) for name, shape in shapes.items()}
        | {"ivar": torch.ones(n, spec.n_wavelengths)},
        present=dict.fromkeys(MODALITIES, yes_B),
        redshift_B=torch.rand(n, generator=generator),
        redshift_known_B=yes_B,
        object_id=[str(i) for i in range(n)],
    )
