"""What --dry-run prints: the space, the budget, and how long it will take. Nothing is created."""

from __future__ import annotations

import os
import time

import torch
from rich.console import Console

from mmae.inference.predict import predict_redshifts
from mmae.model.batch import InputSpec
from mmae.report.contents import Cell, Table
from mmae.report.terminal import rich_table
from mmae.study.budget import noise_batch, plan_trial
from mmae.study.config import StudyConfig
from mmae.study.space import Parameters, base_parameters, extremes, space_lines
from mmae.training.step import create_state, training_step

TIMED_STEPS = 3


def print_estimate(config: StudyConfig, spec: InputSpec, validation_galaxies: int, console: Console) -> None:
    """Measure the cheapest, the base and the dearest trial for a few steps, and print what follows."""
    searched = tuple((name, text, f"{value:g}") for name, text, value in space_lines(config.space, config.run))
    console.print(
        rich_table(Table("space", f"study {config.full_name}: space", ("parameter", "searched", "base run"), searched))
    )
    cheap, dear = extremes(config.space, config.run, spec)
    points = {"cheapest": cheap, "base run": base_parameters(config.space, config.run, spec) or {}, "dearest": dear}
    seconds, rows = {}, []
    for name, parameters in points.items():
        row, seconds[name] = _measured(name, config, parameters, spec, validation_galaxies)
        rows.append(row)
    budget = {
        "galaxies": f"{config.galaxies_seen:,} galaxies each",
        "flops": f"the FLOPs of the base run over {config.galaxies_seen:,} galaxies",
    }[config.budget]
    columns = ("full trial", "steps", "galaxies", "MFLOP/galaxy", "TFLOP", "galaxies/s", "seconds")
    console.print(rich_table(Table("budget", f"budget: {budget}, {config.looks} looks", columns, tuple(rows))))
    share, at_once = expected_share(config), concurrency(config, os.cpu_count() or 1)
    low, middle, high = (config.trials * share * seconds[name] / at_once / 60 for name in points)
    stopping = {
        "none": "without a scheduler",
        "asha": f"of which ASHA leaves {share:.0%} if it is not fooled",
        "median": "less what the median rule saves",
    }[config.scheduler]
    console.print(
        f"{config.trials} trials {stopping}, {at_once} at a time on this machine: about {middle:.0f} minutes, "
        f"if all are as dear as the base run; {low:.0f} to {high:.0f} between the cheapest and the dearest.",
        highlight=False,
    )


def expected_share(config: StudyConfig) -> float:
    """Fraction of all full budgets that is spent, if ASHA keeps one in `reduction` at each rung."""
    if config.scheduler != "asha":
        return 1.0
    share, kept, rung = 0.0, 1.0, config.grace
    before = 0
    while rung < config.looks:
        share += kept * (rung - before) / config.looks
        before, kept, rung = rung, kept / config.reduction, rung * config.reduction
    return share + kept * (config.looks - before) / config.looks


def concurrency(config: StudyConfig, cpus: float, gpus: float = 0.0, gpus_per_worker: float = 0.0) -> int:
    """Trials that fit side by side, at least one: Ray says what is missing if not even that fits."""
    if config.concurrent:
        return min(config.concurrent, config.trials)
    fit = cpus / (config.cpus_per_trial * config.workers_per_trial)
    if gpus_per_worker:
        fit = min(fit, gpus / (gpus_per_worker * config.workers_per_trial))
    return max(1, min(int(fit), config.trials))


def _measured(
    name: str, config: StudyConfig, parameters: Parameters, spec: InputSpec, validation_galaxies: int
) -> tuple[tuple[Cell, ...], float]:
    """A row of the budget table, and the seconds of a full trial."""
    device = torch.device("cuda" if config.gpus_per_trial and torch.cuda.is_available() else "cpu")
    torch.set_num_threads(max(1, int(config.cpus_per_trial * config.workers_per_trial)))
    plan = plan_trial(config, parameters, spec)
    batch = noise_batch(plan.run.stream.batch_size, spec).to(device)
    state = create_state(plan.run, spec, device)
    training_step(state, batch, plan.run)  # warm up
    started = time.perf_counter()
    for _ in range(TIMED_STEPS):
        losses, _ = training_step(state, batch, plan.run)
    losses.total.item()
    step = (time.perf_counter() - started) / TIMED_STEPS
    started = time.perf_counter()
    predict_redshifts(state.model, [batch], device)
    look = (time.perf_counter() - started) * min(validation_galaxies, plan.run.validation.galaxies) / len(batch)
    seconds = plan.run.optim.steps * step + config.looks * look
    row = (
        name,
        plan.run.optim.steps,
        plan.galaxies,
        plan.flops_per_galaxy / 1e6,
        plan.flops / 1e12,
        len(batch) / step,
        seconds,
    )
    return row, seconds
