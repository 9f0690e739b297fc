"""A training through Ray Train and Ray Data against a bare loop, by turns, each in processes of its own.

    python -m benchmarks.performance.epoch --survey SURVEY

The bare loop takes the same steps, with batches that are in memory. A training is the command itself, with the
settings of its recipe, but fewer steps, and one validation in their middle; its rate between validations is that of
its curve `speed/galaxies_per_s`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from mlflow import MlflowClient
from mlflow.entities import Metric

from benchmarks.models.runner import order
from benchmarks.models.survey import load, rows
from benchmarks.performance.line import HEADER, Line, ratio, spread
from mmae.config import RunConfig
from mmae.loader.collate import input_spec
from mmae.model.batch import Batch
from mmae.recipes import recipe
from mmae.survey.store import Survey, open_survey
from mmae.training.loop import LOG_EVERY
from mmae.training.step import create_state, training_step

PART = "whole epoch"
ROOT = Path(__file__).parents[2]
WARM_UP = 20  # steps: the allocator and Ray Data settle
IN_MEMORY = 20  # different batches of the bare loop
BETWEEN, WHOLE = {2: "at least 0.9", 1: "at least 0.98"}, {2: "at least 0.85", 1: ""}  # targets, by threads of torch


def bare_steps(survey: Survey, config: RunConfig, steps: int) -> float:
    """Galaxies/s of training steps with batches that are in memory, without the first WARM_UP steps."""
    train = load(survey, "train", config.stream.repeat_rare)
    batches = [rows(train, which) for which, _ in zip(order(train, config), range(IN_MEMORY), strict=False)]
    state = create_state(config, input_spec(survey.spec), torch.device("cpu"))
    state.model.train()
    for step, batch in enumerate(_repeated(batches, WARM_UP + steps)):
        if step == WARM_UP:
            started = time.perf_counter()
        training_step(state, batch, config)
    return steps * config.stream.batch_size / (time.perf_counter() - started)


def _repeated(batches: list[Batch], n: int) -> Iterator[Batch]:
    return (batches[i % len(batches)] for i in range(n))


def bare(survey: Path, steps: int, threads: int) -> float:
    """`bare_steps` in a process of its own."""
    arguments = ["--survey", str(survey), "--steps", str(steps), "--threads", str(threads), "--bare"]
    result = subprocess.run(
        [sys.executable, "-m", __spec__.name, *arguments], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return float(result.stdout.split()[-1])


def trained(survey: Path, steps: int, threads: int, home: Path, name: str) -> tuple[float, float]:
    """Galaxies/s of `ray_jobs/pretrain.py` between validations, and of the whole training of its recipe.

    The second follows from the first and the seconds of a validation with its checkpoint, in the middle of these steps.
    """
    config = recipe("small")
    middle = WARM_UP + steps // (2 * LOG_EVERY) * LOG_EVERY
    options: dict[str, object] = {
        "--survey": survey,
        "--name": name,
        "--optim.steps": 2 * middle - WARM_UP,
        "--validation.every": middle,
        "--compute.threads": threads,
    }
    pretrain(options, home, "local")
    points = speed_curve(home, name)
    between = statistics.harmonic_mean([point.value for step, point in points.items() if step > WARM_UP])
    validated = (points[middle + LOG_EVERY].timestamp - points[middle].timestamp) / 1000  # with LOG_EVERY steps
    validation = validated - LOG_EVERY * config.stream.batch_size / points[middle + LOG_EVERY].value
    galaxies = config.optim.steps * config.stream.batch_size
    seconds = galaxies / between + config.optim.steps // config.validation.every * validation
    return between, galaxies / seconds


def pretrain(options: dict[str, object], home: Path, address: str) -> None:
    """Run `ray_jobs/pretrain.py` with these options and a short scoring, on the Ray at this address."""
    options = options | {"--score.bootstrap": 20, "--score.recalibration": 50}
    subprocess.run(
        [sys.executable, "ray_jobs/pretrain.py", *(str(part) for pair in options.items() for part in pair)],
        cwd=ROOT,
        env=os.environ | {"MMAE_HOME": str(home), "PYTHONPATH": str(ROOT), "RAY_ADDRESS": address},
        check=True,
        capture_output=True,
    )


def speed_curve(home: Path, name: str) -> dict[int, Metric]:
    """Points of the curve of galaxies/s of a run, by step."""
    client = MlflowClient(f"sqlite:///{home}/mlflow/mlflow.db")
    (run,) = client.search_runs([e.experiment_id for e in client.search_experiments()], f"run_name = '{name}'")
    return {point.step: point for point in client.get_metric_history(run.info.run_id, "speed/galaxies_per_s")}


def lines(survey: Path, steps: int, repeats: int, threads: tuple[int, ...] = (2, 1)) -> list[Line]:
    """The lines of the table."""
    found = []
    with tempfile.TemporaryDirectory() as name:
        for n in threads:
            loop, between, whole = [], [], []
            for repeat in range(repeats):
                loop.append(bare(survey, steps, n))
                rates = trained(survey, steps, n, Path(name), f"threads-{n}-{repeat}")
                between.append(rates[0])
                whole.append(rates[1])
            what = f"torch threads: {n}"
            found += [
                Line(PART, f"bare loop, {what} [galaxies/s]", spread(loop)),
                Line(
                    PART, f"pretrain.py between validations, of it, {what}", f"{ratio(between, loop):.2f}", BETWEEN[n]
                ),
                Line(PART, f"pretrain.py with validations, of it, {what}", f"{ratio(whole, loop):.2f}", WHOLE[n]),
            ]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--survey", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=80, help="of each training")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, nargs="+", default=[2, 1])
    parser.add_argument("--bare", action="store_true", help=argparse.SUPPRESS)  # the bare loop, in this process
    arguments = parser.parse_args()
    if arguments.bare:
        torch.set_num_threads(arguments.threads[0])
        print(bare_steps(open_survey(arguments.survey), recipe("small"), arguments.steps))
        return
    print(HEADER)
    for line in lines(arguments.survey.resolve(), arguments.steps, arguments.repeats, tuple(arguments.threads)):
        print(line.markdown(), flush=True)


if __name__ == "__main__":
    main()
