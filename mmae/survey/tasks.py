"""Many small jobs as Ray Data tasks: the one way in which building, indexing and matching run in parallel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import ray

Job = dict[str, Any]


def in_ray(jobs: list[Job], work: Callable[[Job], Job], workers: int | None = None) -> Iterator[Job]:
    """What `work` makes of each job, in their order, on one CPU each; plain values in and out.

    A job whose worker or node dies is done again.

    Args:
        workers: at most this many at once; None: as many as the cluster has CPUs.
    """
    if not jobs:
        return iter(())
    # Ray warns of a limit that the number of jobs cannot reach.
    at_once = ray.data.TaskPoolStrategy(size=None if workers is None else min(workers, len(jobs)))
    dataset = ray.data.from_items(jobs, override_num_blocks=len(jobs))
    return dataset.map(work, num_cpus=1, compute=at_once).iter_rows()
