"""The output of --dry-run: search space, budget and a time estimate. No file is written."""

from __future__ import annotations

import os
import time

import torch
from rich.console import Console

from mmae.inference.predict import predict_redshifts
from mmae.model.batch import InputSpec
from mmae.report.contents import Cell, Column, Table
from mmae.report.terminal import rich_table
from mmae.study.budget import noise_batch, plan_trial
from mmae.study.config import StudyConfig
from mmae.study.space import Parameters, base_parameters, extremes, space_lines
from mmae.training.step import create_state, training_step

TIMED_STEPS = 3
BUDGET_COLUMNS = (
    Column("full_trial"),
    Column("steps"),
    Column("galaxies"),
    Column("mflop_per_galaxy", "MFLOP/galaxy"),
    Column("tflop", "TFLOP"),
    Column("galaxies_per_s", "galaxies/s"),
    Column("seconds"),
)


def print_estimate(config: StudyConfig, spec: InputSpec, validation_galaxies: int, console: Console) -> None:
    """Time a few steps of the cheapest, the base and the most expensive trial; print the estimate of the study."""
    searched = tuple(space_lines(config.space, config.run))
    columns = (Column("parameter"), Column("searched"), Column("base_run"))
    console.print(rich_table(Table("space", f"study {config.full_name}: space", columns, searched)))
    cheap, expensive = extremes(config.space, config.run, spec)
    base = base_parameters(config.space, config.run, spec) or {}
    points = {"cheapest": cheap, "base run": base, "most expensive": expensive}
    seconds, rows = {}, []
    for name, parameters in points.items():
        row, seconds[name] = _timed_row(name, config, parameters, spec, validation_galaxies)
        rows.append(row)
    budget = {
        "galaxies": f"{config.galaxies_seen:,} galaxies each",
        "flops": f"the FLOPs of the base run over {config.galaxies_seen:,} galaxies",
    }[config.budget]
    title = f"budget: {budget}, {config.looks} validations"
    console.print(rich_table(Table("budget", title, BUDGET_COLUMNS, tuple(rows))))
    share, concurrent = expected_share(config), concurrency(config, os.cpu_count() or 1)
    low, middle, high = (config.trials * share * seconds[name] / concurrent / 60 for name in points)
    stopping = {
        "none": "without early stopping",
        "asha": f"with {share:.0%} of all full budgets (ASHA)",
        "median": "without the savings of the median rule",
    }[config.scheduler]
    console.print(
        f"{config.trials} trials {stopping}, {concurrent} at a time on this machine: about {middle:.0f} minutes "
        f"at the cost of the base run; {low:.0f} minutes for the cheapest, {high:.0f} for the most expensive trials.",
        highlight=False,
    )


def expected_share(config: StudyConfig) -> float:
    """Fraction of all full budgets that is spent if ASHA keeps one in `reduction` at each rung."""
    if config.scheduler != "asha":
        return 1.0
    share, kept = 0.0, 1.0
    previous, rung = 0, config.grace
    while rung < config.looks:
        share += kept * (rung - previous) / config.looks
        previous, kept, rung = rung, kept / config.reduction, rung * config.reduction
    return share + kept * (config.looks - previous) / config.looks


def concurrency(config: StudyConfig, cpus: float, gpus: float = 0.0, gpus_per_worker: float = 0.0) -> int:
    """Number of trials that fit at the same time, at least one: Ray reports missing resources itself."""
    if config.concurrent:
        return min(config.concurrent, config.trials)
    fit = cpus / (config.cpus_per_trial * config.workers_per_trial)
    if gpus_per_worker:
        fit = min(fit, gpus / (gpus_per_worker * config.workers_per_trial))
    return max(1, min(int(fit), config.trials))


def _timed_row(
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
    validation = (time.perf_counter() - started) * min(validation_galaxies, plan.run.validation.galaxies) / len(batch)
    seconds = plan.run.optim.steps * step + config.looks * validation
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
