"""Time from a command to its first result: `--help`, the first training step, a trial's overhead in a study.

    python -m benchmarks.start --survey SURVEY
    python -m benchmarks.start --survey SURVEY --checkout ../before .     # two checkouts, by turns
    python -m benchmarks.start --dry                                      # one --help, as a smoke test

Prints a table of medians: wall seconds, and processor seconds of the command and of all processes that it starts. On a
machine with other jobs only the processor seconds can be compared.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
RUN = ("--optim.steps", "4", "--validation.every", "2", "--validation.galaxies", "32", "--stream.batch-size", "32")
RUN += ("--score.bootstrap", "20", "--score.recalibration", "50")
STUDY = ("--trials", "4", "--concurrent", "1", "--scheduler", "none", "--looks", "1", "--galaxies-seen", "64")
STUDY += ("--run.stream.batch-size", "32", "--run.validation.galaxies", "32", "--run.score.bootstrap", "20")
FIRST_STEP = re.compile(rb"training: (step )?1/|\b1\.00/4\.00")  # the bar; lines and bars of earlier versions
POLL_S = 0.1


@dataclass(frozen=True)
class Timed:
    """A finished command.

    Attributes:
        wall, cpu: seconds.
        mark: wall seconds until its output matched a pattern; None if it never did.
    """

    wall: float
    cpu: float
    mark: float | None


def timed(checkout: Path, arguments: list[str], home: Path, pattern: re.Pattern[bytes] | None = None) -> Timed:
    """Run a Python command in a checkout.

    Raises:
        SystemExit: the command fails; its output is printed.
    """
    environment = os.environ | {"PYTHONPATH": str(checkout), "MMAE_HOME": str(home), "RAY_ADDRESS": "local"}
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *arguments], cwd=checkout, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    seconds: dict[int, float] = {}
    ended = threading.Event()
    poll = threading.Thread(target=_poll, args=(process.pid, seconds, ended))
    poll.start()
    output, mark = b"", None
    while chunk := os.read(process.stdout.fileno(), 65536):
        output += chunk
        if mark is None and pattern is not None and pattern.search(output):
            mark = time.perf_counter() - started
    status = process.wait()
    wall = time.perf_counter() - started
    ended.set()
    poll.join()
    if status:
        raise SystemExit(f"{' '.join(arguments)}: status {status}\n{output.decode(errors='replace')[-4000:]}")
    return Timed(wall, sum(seconds.values()), mark)


def _poll(pid: int, seconds: dict[int, float], ended: threading.Event) -> None:
    """Keep the processor seconds of a process and its descendants, each as seen last."""
    root = psutil.Process(pid)
    while not ended.wait(POLL_S):
        try:
            for process in (root, *root.children(recursive=True)):
                times = process.cpu_times()
                seconds[process.pid] = times.user + times.system
        except psutil.NoSuchProcess:
            continue


def commands() -> list[str]:
    """All commands of the project."""
    return sorted(f"{file.parent.name}/{file.name}" for file in (*ROOT.glob("ray_jobs/*.py"), *ROOT.glob("tune/*.py")))


def first_step(checkout: Path, survey: Path, home: Path) -> Timed:
    name = f"start-{time.time_ns()}"
    arguments = ["ray_jobs/pretrain.py", "--survey", str(survey), "--name", name, *RUN]
    return timed(checkout, arguments, home, FIRST_STEP)


def trial_overheads(checkout: Path, survey: Path, home: Path) -> list[float]:
    """Wall seconds between the ends of two trials, less those of the training and its validation."""
    from mmae.study.storage import read_store

    name = f"start-{time.time_ns()}"
    timed(checkout, ["tune/sweep.py", "--run.survey", str(survey), "--name", name, *STUDY], home)
    trials = sorted(read_store(home / "studies" / name).trials, key=lambda trial: trial.datetime_complete)
    return [
        (trial.datetime_complete - before.datetime_complete).total_seconds() - trial.user_attrs["costs"]["seconds"]
        for before, trial in zip(trials, trials[1:], strict=False)
    ]


def by_turns(checkouts: list[Path], measure: Callable[[Path], Timed], repeats: int) -> dict[Path, list[Timed]]:
    found: dict[Path, list[Timed]] = {checkout: [] for checkout in checkouts}
    for _ in range(repeats):
        for checkout in checkouts:
            found[checkout].append(measure(checkout))
    return found


def print_row(what: str, checkout: Path, wall: list[float], cpu: list[float]) -> None:
    text = [f"{statistics.median(values):.1f}" if values else "" for values in (wall, cpu)]
    print(f"| {what} | {checkout.name} | {text[0]} | {text[1]} |", flush=True)


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--survey", type=Path, help="an existing survey; without it only --help is timed")
    parser.add_argument("--checkout", type=Path, nargs="+", default=[ROOT])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--home", type=Path, help="folder for runs and studies; default: a temporary one")
    parser.add_argument("--dry", action="store_true", help="time one --help, once")
    arguments = parser.parse_args()
    checkouts = [checkout.resolve() for checkout in arguments.checkout]
    repeats = 1 if arguments.dry else arguments.repeats
    print("| command | checkout | wall [s] | CPU [s] |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        home = (arguments.home or Path(scratch)).resolve()
        for command in commands()[:1] if arguments.dry else commands():
            found = by_turns(checkouts, lambda checkout, c=command: timed(checkout, [c, "--help"], home), repeats)
            for checkout, runs in found.items():
                print_row(f"{command} --help", checkout, [r.wall for r in runs], [r.cpu for r in runs])
        if arguments.dry or arguments.survey is None:
            return
        survey = arguments.survey.resolve()
        first_step(checkouts[0], survey, home)  # creates the MLflow database
        found = by_turns(checkouts, lambda checkout: first_step(checkout, survey, home), repeats)
        for checkout, runs in found.items():
            print_row("pretrain.py, to the first step", checkout, [r.mark for r in runs if r.mark], [])
            print_row("pretrain.py, 4 steps, whole", checkout, [r.wall for r in runs], [r.cpu for r in runs])
        for checkout in checkouts:
            print_row("a trial's overhead", checkout, trial_overheads(checkout, survey, home), [])


if __name__ == "__main__":
    main()
