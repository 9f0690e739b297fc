"""All measurements of speed, printed as one table.

    python -m benchmarks.performance --survey SURVEY                   an hour on two quiet cores
    python -m benchmarks.performance --survey SURVEY --part input      one part
    python -m benchmarks.performance --survey SURVEY --dry             tiny sizes, to see that it runs

Each line is a ratio of two things measured by turns in one run, or a figure with its range.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks import start
from benchmarks.performance import epoch, input, memory, model_step, nodes
from benchmarks.performance.line import HEADER, Line, spread
from mmae.recipes import recipe
from mmae.survey.store import open_survey

STEP_TARGETS = {(model_step.MASKED, "float32"): "at least 10", (model_step.MASKED, "bfloat16"): "at least 12"}


def parts(survey: Path, dry: bool) -> dict[str, Callable[[], list[Line]]]:
    """The parts of the table by name, with their sizes."""
    repeats = 1 if dry else 5
    opened, stream = open_survey(survey), recipe("small").stream
    return {
        "input": lambda: input.lines(opened, stream, rows=512 if dry else 16_384, repeats=repeats),
        "epoch": lambda: epoch.lines(survey, steps=20 if dry else 80, repeats=repeats, threads=(2,) if dry else (2, 1)),
        "nodes": lambda: nodes.lines(
            survey, steps=20 if dry else 40, repeats=1 if dry else 3, counts=(1, 2) if dry else nodes.NODES
        ),
        "start": lambda: _start(survey, repeats),
        "step": lambda: [_of_step(row) for row in model_step.rows(batch=4 if dry else 64, steps=repeats)],
        "memory": lambda: memory.lines(
            opened, rows=2048 if dry else 40_000, points=2 if dry else 5, sizes=(2000,) if dry else memory.SIZES
        ),
    }


def _start(survey: Path, repeats: int) -> list[Line]:
    with tempfile.TemporaryDirectory() as home:
        helped = [start.timed(start.ROOT, [command, "--help"], Path(home)).wall for command in start.commands()]
        steps = [start.first_step(start.ROOT, survey, Path(home)).mark for _ in range(repeats)]
    found = [seconds for seconds in steps if seconds is not None]
    return [
        Line("start", "`--help`, slowest of all commands [s]", f"{max(helped):.1f}", "at most 2"),
        Line("start", "`pretrain.py`, to its first step [s]", spread(found, 1), "at most 12"),
    ]


def _of_step(row: model_step.Row) -> Line:
    of_paper = row.of_paper if row.of_paper_float32 is None else row.of_paper_float32
    what = f"{row.name.strip()}, {row.precision}: speed relative to the published model in float32"
    return Line("step", what, f"{of_paper:.2f}", STEP_TARGETS.get((row.name, row.precision), ""))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--survey", type=Path, required=True)
    parser.add_argument("--part", nargs="+", default=["input", "epoch", "nodes", "start", "step", "memory"])
    parser.add_argument("--dry", action="store_true", help="tiny sizes, to see that it runs")
    arguments = parser.parse_args()
    print(f"{os.cpu_count()} cores, {platform.machine()}, {platform.platform()}, torch {torch.__version__}\n\n{HEADER}")
    every = parts(arguments.survey.expanduser().resolve(), arguments.dry)
    for name in arguments.part:
        for line in every[name]():
            print(line.markdown(), flush=True)


if __name__ == "__main__":
    main()
