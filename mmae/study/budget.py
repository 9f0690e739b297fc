"""The length of a trial at equal budget: the same galaxies or the same FLOPs for all."""

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

# Galaxies whose masks the count of FLOPs averages, in one step; the draws are the same for every trial.
COUNTED_GALAXIES = 64


@dataclass(frozen=True)
class Plan:
    """One trial at full length.

    Attributes:
        run: its configuration, with its own number of steps.
        flops_per_galaxy: floating-point operations of one training step, forward and backward,
            per galaxy; the mean over the masks drawn.
    """

    run: RunConfig
    flops_per_galaxy: float

    @property
    def galaxies(self) -> int:
        """Training galaxies of a full trial."""
        return self.run.optim.steps * self.run.stream.batch_size

    @property
    def flops(self) -> float:
        """Floating-point operations of the training of a full trial."""
        return self.galaxies * self.flops_per_galaxy


def plan_trial(
    config: StudyConfig, parameters: Parameters, spec: InputSpec, counted_galaxies: int = COUNTED_GALAXIES
) -> Plan:
    """The configuration of a trial: its parameters, and the number of steps that the budget allows.

    Args:
        counted_galaxies: of the counts of FLOPs.
    """
    run = run_of(parameters, config.run)
    per_galaxy = flops_per_galaxy(run, spec, counted_galaxies)
    galaxies = float(config.galaxies_seen)
    if config.budget == "flops":
        galaxies *= flops_per_galaxy(config.run, spec, counted_galaxies) / per_galaxy
    steps = max(1, round(galaxies / run.stream.batch_size))
    optim = replace(
        run.optim,
        steps=steps,
        warmup_steps=round(run.optim.warmup_steps * steps / config.run.optim.steps),
        # An average over hundreds of steps would still contain the untrained weights at the first
        # validation. The end of the cosine schedule averages instead.
        ema_decay=0.0,
    )
    validation = replace(run.validation, every=math.ceil(steps / config.looks))
    compute = replace(run.compute, workers=config.workers_per_trial, threads=max(1, int(config.cpus_per_trial)))
    return Plan(replace(run, optim=optim, validation=validation, compute=compute), per_galaxy)


def validation_number(step: int, steps: int, validations: int) -> int:
    """The number of the validation after a step: 1, ..., validations."""
    return max(1, round(validations * step / steps))


def flops_per_galaxy(run: RunConfig, spec: InputSpec, galaxies: int = COUNTED_GALAXIES) -> float:
    """Floating-point operations of a training step, per galaxy, on any device.

    Args:
        galaxies: in the step. Those of the optimiser are shared by them.
    """
    run = replace(run, compute=replace(run.compute, precision="float32"))
    state, batch = create_state(run, spec, torch.device("cpu")), noise_batch(galaxies, spec)
    # Unfused attention: the counter has formulas for the fused kernels of GPUs but not for that of CPUs.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        training_step(state, batch, run)
    return counter.get_total_flops() / galaxies


def noise_batch(n: int, spec: InputSpec) -> Batch:
    """Galaxies of pure noise with all modalities, for counting FLOPs and for timing."""
    generator = torch.Generator().manual_seed(0)
    true_B = torch.ones(n, dtype=torch.bool)
    shapes = {name: shape for kind in MODALITIES.values() for name, shape in kind.shapes(spec).items()}
    return Batch(
        values={name: torch.randn(n, *shape, generator=generator) for name, shape in shapes.items()}
        | {"ivar": torch.ones(n, spec.n_wavelengths)},
        present=dict.fromkeys(MODALITIES, true_B),
        redshift_B=torch.rand(n, generator=generator),
        redshift_known_B=true_B,
        weight_B=torch.ones(n),
        object_id=[str(i) for i in range(n)],
    )
