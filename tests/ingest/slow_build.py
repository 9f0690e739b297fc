"""A survey whose later chunks wait at a gate, and a process that builds it until it is killed.

python -m tests.ingest.slow_build OUT MARKS GATE
"""

from __future__ import annotations

import sys
import time
import uuid
from dataclasses import replace
from functools import partial
from pathlib import Path

import ray

from mmae.core.ray_setup import WORKER_ENV, start_ray
from mmae.ingest.build import build_survey
from mmae.survey.source import ChunkRead, Source
from tests.survey.test_truth import memory_truth_source, read_with_truth

ROWS, CHUNK_ROWS = 200, 20
FREE_ROWS = 100  # chunks that start below do not wait


def marked_source(marks: Path, gate: Path | None = None) -> Source:
    """Every reading of a chunk leaves a file in `marks`; with a gate, late chunks wait for it."""
    source = memory_truth_source(ROWS, CHUNK_ROWS)
    return replace(source, read=partial(read_marked, marks=marks, gate=gate))


def read_marked(chunk, marks: Path, gate: Path | None) -> ChunkRead:
    (marks / f"{chunk['start'] // CHUNK_ROWS:06d}.{uuid.uuid4().hex}").touch()
    while gate is not None and chunk["start"] >= FREE_ROWS and not gate.exists():
        time.sleep(0.02)
    return read_with_truth(chunk)


def readings(marks: Path) -> dict[int, int]:
    """How often each chunk was read."""
    found = [int(path.name.split(".")[0]) for path in marks.iterdir()]
    return {index: found.count(index) for index in sorted(found)}


if __name__ == "__main__":
    out, marks, gate = (Path(argument) for argument in sys.argv[1:])
    ray.init(address="local", num_cpus=2, include_dashboard=False, runtime_env={"env_vars": WORKER_ENV})
    start_ray()
    build_survey([marked_source(marks, gate)], out)
