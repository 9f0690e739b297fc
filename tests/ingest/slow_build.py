"""A process that builds a survey and waits at a gate in the middle of one step, to be killed there.

python -m tests.ingest.slow_build STEP OUT MARKS GATE

STEP: read (on the Ray cluster at RAY_ADDRESS) or write (in this process). The later half of the chunks waits until the
file GATE exists.
"""

from __future__ import annotations

import sys
import time
import uuid
from dataclasses import replace
from functools import partial
from pathlib import Path

from mmae.core.ray_setup import start_ray
from mmae.ingest.build import build_survey
from mmae.survey.source import ChunkRead, Source
from tests.survey.test_truth import memory_truth_source, read_with_truth

ROWS, CHUNK_ROWS = 200, 20
FREE_ROWS = 100  # chunks that start below this row do not wait


def marked_source(marks: Path, gate: Path | None = None) -> Source:
    """Each reading of a chunk leaves a file in `marks`; with a gate, later chunks wait for it."""
    source = memory_truth_source(ROWS, CHUNK_ROWS)
    return replace(source, read=partial(read_marked, marks=marks, gate=gate))


def read_marked(chunk, marks: Path, gate: Path | None) -> ChunkRead:
    (marks / f"{chunk['start'] // CHUNK_ROWS:06d}.{uuid.uuid4().hex}").touch()
    if gate is not None and chunk["start"] >= FREE_ROWS:
        wait_for(gate)
    return read_with_truth(chunk)


def readings(marks: Path) -> dict[int, int]:
    """How many times each chunk was read."""
    found = [int(path.name.split(".")[0]) for path in marks.iterdir()]
    return {index: found.count(index) for index in sorted(found)}


def write_slowly(jobs, work, workers, gate: Path):
    """A `Runner` whose later jobs wait for the gate when they write shards."""
    for job in jobs:
        if "splits" in job and job["index"] >= FREE_ROWS // CHUNK_ROWS:
            wait_for(gate)
        yield work(job)


def wait_for(gate: Path) -> None:
    while not gate.exists():
        time.sleep(0.02)


if __name__ == "__main__":
    step, (out, marks, gate) = sys.argv[1], (Path(argument) for argument in sys.argv[2:])
    if step == "read":
        start_ray()
        build_survey([marked_source(marks, gate)], out, workers=2)
    else:
        build_survey([marked_source(marks)], out, run=partial(write_slowly, gate=gate))
