"""Memory and rate of the input for surveys of any size: training batches of many galaxies, from a small object store.

    python -m benchmarks.performance.memory --survey SURVEY

A large survey has the shards of a small one many times, as links, so that it needs no disk; its files are in the page
cache. Every size is streamed in a process of its own.
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import psutil
import ray

from benchmarks.performance.line import HEADER, Line
from mmae.core.ray_setup import start_ray
from mmae.loader.stream import training_batches
from mmae.recipes import recipe
from mmae.survey.store import Survey, open_survey, write_manifest

PART = "memory"
ROOT = Path(__file__).parents[2]
STORE = 600_000_000  # bytes of the object store
SIZES = (10_000, 100_000, 1_000_000)
SHARED_MEMORY = Path("/dev/shm")


def repeated(survey: Survey, rows: int, folder: Path) -> Survey:
    """A survey with the training shards of another one, again and again, as links."""
    train = [shard for shard in survey.shards if shard.split == "train"]
    shards, n = [], 0
    for index, shard in enumerate(itertools.cycle(train)):
        if n >= rows:
            break
        path = folder / f"train/{index:06d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(survey.path / shard.path)
        shards.append(replace(shard, path=str(path.relative_to(folder))))
        n += shard.rows
    large = replace(survey, path=folder, shards=tuple(shards), truth_shards=())
    write_manifest(large)
    return large


def private_bytes() -> int:
    """Memory of this process and its children that they share with no other process."""
    this = psutil.Process()
    total = 0
    for process in (this, *this.children(recursive=True)):
        try:
            total += process.memory_full_info().uss
        except psutil.NoSuchProcess:
            continue
    return total


def stream(survey: Survey, rows: int, points: int) -> None:
    """Stream training batches and print, at some points of it: rows, rows/s since the last, private and shared MB."""
    used = psutil.disk_usage(str(SHARED_MEMORY)).used
    ray.init(address="local", object_store_memory=STORE, logging_level="ERROR")
    start_ray()
    config = recipe("small").stream
    steps = rows // config.batch_size
    started = time.perf_counter()
    batches = training_batches(survey, config, seed=0, steps=steps)
    next(batches)
    print(f"first {time.perf_counter() - started:.2f}", flush=True)
    before, at = 1, time.perf_counter()
    for step in range(2, steps + 1):
        next(batches)
        if step % max(1, steps // points) == 0:
            rate = (step - before) * config.batch_size / (time.perf_counter() - at)
            shared = psutil.disk_usage(str(SHARED_MEMORY)).used - used
            print(step * config.batch_size, f"{rate:.0f} {private_bytes() / 1e6:.0f} {shared / 1e6:.0f}", flush=True)
            before, at = step, time.perf_counter()


def streamed(survey: Path, rows: int, points: int) -> tuple[float, list[list[float]]]:
    """`stream` in a process of its own: seconds to the first batch, and the points."""
    arguments = ["--survey", str(survey), "--rows", str(rows), "--points", str(points), "--stream"]
    output = subprocess.run(
        [sys.executable, "-m", __spec__.name, *arguments],
        cwd=ROOT,
        env=os.environ | {"RAY_ADDRESS": "local"},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    first, points_ = (
        [line for line in output if line.startswith("first")],
        [line for line in output if line[:1].isdigit()],
    )
    return float(first[0].split()[1]), [[float(value) for value in line.split()] for line in points_]


def lines(survey: Survey, rows: int, points: int, sizes: tuple[int, ...] = SIZES) -> list[Line]:
    """The lines of the table.

    Args:
        rows: to stream of each survey.
        points: of the curve of memory.
    """
    found = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            large = repeated(survey, size, Path(folder) / "survey")
            first, curve = streamed(large.path, rows, points)
        rates = ", ".join(f"{rate:,.0f}" for _, rate, _, _ in curve[1:])
        private = ", ".join(f"{value:,.0f}" for _, _, value, _ in curve)
        shared = max(value for *_, value in curve)
        found += [
            Line(PART, f"{size:,} rows: first batch [s]", f"{first:.2f}"),
            Line(PART, f"{size:,} rows: rows/s", rates, "the same for all sizes"),
            Line(PART, f"{size:,} rows, object store {STORE / 1e6:.0f} MB: private memory [MB]", private, "flat"),
            Line(PART, f"{size:,} rows: shared memory, at most [MB]", f"{shared:,.0f}"),
        ]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--survey", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=40_000, help="rows to stream of each survey")
    parser.add_argument("--points", type=int, default=5, help="of the curve of memory")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--stream", action="store_true", help=argparse.SUPPRESS)  # in this process
    arguments = parser.parse_args()
    survey = open_survey(arguments.survey)
    if arguments.stream:
        stream(survey, arguments.rows, arguments.points)
        return
    print(HEADER)
    for line in lines(survey, arguments.rows, arguments.points, tuple(arguments.sizes)):
        print(line.markdown(), flush=True)


if __name__ == "__main__":
    main()
