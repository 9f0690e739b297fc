"""The output of --dry-run: search space, budget and a time estimate. No file is written."""

from __future__ import annotations

import os
import statistics
import time

import optuna
import torch
from rich.console import Console

from mmae.inference.predict import predict_redshifts
from mmae.model.batch import Batch, InputSpec
from mmae.model.draws import Draws
from mmae.model.masking import draw_visible
from mmae.model.view import view_of
from mmae.report.contents import Cell, Column, Table
from mmae.report.terminal import rich_table
from mmae.study.budget import Plan, noise_batch, plan_trial
from mmae.study.config import StudyConfig
from mmae.study.space import Parameters, extremes, space_lines, suggest
from mmae.training.loop import validation_masks
from mmae.training.step import TrainState, create_state, training_step

# With these numbers the estimate takes about 20 s. FLOPs are averaged over fewer masks than for a trial.
TIMED_STEPS, COUNTED_GALAXIES, SMALLEST_BATCH = 2, 8, 4
SECONDS_OF_A_POINT = 0.6
N_RANDOM = 3
BASE, CHEAPEST, MOST_EXPENSIVE, RANDOM = "base run", "cheapest", "most expensive", "random"
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
    """Time a few steps of trials of the space, with small batches if they are slow; print the estimate of the study."""
    searched = tuple(space_lines(config.space, config.run, spec))
    columns = (Column("parameter"), Column("searched"), Column("base_run"))
    console.print(rich_table(Table("space", f"study {config.full_name}: space", columns, searched)))
    console.print(f"objective {config.objective}: trials are stopped and ranked by their {config.criterion.name}")
    points = points_to_time(config, spec)
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
    drawn = [seconds[name] for name in points if name.startswith(RANDOM)]
    cases = (statistics.mean(drawn), seconds[CHEAPEST], seconds[MOST_EXPENSIVE])
    middle, low, high = (config.trials * share * trial / concurrent / 60 for trial in cases)
    stopping = {
        "none": "without early stopping",
        "asha": f"with {share:.0%} of all full budgets (ASHA)",
        "median": "without the savings of the median rule",
    }[config.scheduler]
    console.print(
        f"{config.trials} trials {stopping}, {concurrent} at a time on this machine: about {middle:.2g} minutes, "
        f"the mean of {len(drawn)} random trials of the space; {low:.2g} minutes if all were the cheapest, {high:.2g} "
        f"if all were the most expensive.",
        highlight=False,
    )


def points_to_time(config: StudyConfig, spec: InputSpec) -> dict[str, Parameters]:
    """The base run, the cheapest and the most expensive trial, and random ones: Optuna searches around none of them."""
    cheapest, most_expensive = extremes(config.space, config.run, spec)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=config.run.seed))
    drawn = {f"{RANDOM} {k}": suggest(study.ask(), config.space, config.run, spec) for k in range(1, 1 + N_RANDOM)}
    # The base run may have values outside the space.
    return {BASE: {}, CHEAPEST: cheapest, MOST_EXPENSIVE: most_expensive} | drawn


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
    plan = plan_trial(config, parameters, spec, COUNTED_GALAXIES)
    state = create_state(plan.run, spec, device)
    few = noise_batch(min(SMALLEST_BATCH, plan.run.stream.batch_size), spec).to(device)
    _step_seconds(state, few, plan)  # warm up
    per_galaxy = _step_seconds(state, few, plan) / len(few)
    # A small batch takes longer per galaxy where the model is fast: then there is time for a whole one.
    affordable = int(SECONDS_OF_A_POINT / TIMED_STEPS / per_galaxy)
    batch = noise_batch(min(plan.run.stream.batch_size, max(affordable, len(few))), spec).to(device)
    step = statistics.median(_step_seconds(state, batch, plan) for _ in range(TIMED_STEPS)) / len(batch)
    validated = _validation_seconds(state, batch, plan) / len(batch)
    seconds = plan.galaxies * step
    seconds += config.looks * validated * min(validation_galaxies, plan.run.validation.galaxies)
    row = (name, plan.run.optim.steps, plan.galaxies, plan.flops_per_galaxy / 1e6, plan.flops / 1e12, 1 / step, seconds)
    return row, seconds


def _step_seconds(state: TrainState, batch: Batch, plan: Plan) -> float:
    started = time.perf_counter()
    losses, _ = training_step(state, batch, plan.run)
    losses.total.item()  # waits for a GPU, which computes asynchronously
    return time.perf_counter() - started


@torch.no_grad()
def _validation_seconds(state: TrainState, batch: Batch, plan: Plan) -> float:
    """The seconds of a validation of one batch: loss, and redshifts of every input mode."""
    state.model.eval()
    started = time.perf_counter()
    masks = validation_masks(plan.run.masks)
    visible = draw_visible(batch, state.model.n_tokens, masks, Draws(0, n=len(batch)))
    state.model(batch, view_of(visible).to(batch.redshift_B.device))
    predict_redshifts(state.model, [batch], batch.redshift_B.device)
    return time.perf_counter() - started
