"""Many small jobs side by side, as Ray Data tasks or as processes of this machine: the ways in which building,
indexing and matching run in parallel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import joblib

Job = dict[str, Any]


class Runner(Protocol):
    """What `work` makes of each job, in their order; plain values in and out."""

    def __call__(self, jobs: list[Job], work: Callable[[Job], Job], workers: int | None = None) -> Iterator[Job]: ...


def in_ray(jobs: list[Job], work: Callable[[Job], Job], workers: int | None = None) -> Iterator[Job]:
    """A `Runner` on a Ray cluster, one CPU for each job. A job whose worker or node dies is done again.

    Args:
        workers: at most this many at once; None: as many as the cluster has CPUs.
    """
    import ray.data  # here: what runs in processes needs no Ray

    if not jobs:
        return iter(())
    # Ray warns of a limit that the number of jobs cannot reach.
    at_once = ray.data.TaskPoolStrategy(size=None if workers is None else min(workers, len(jobs)))
    dataset = ray.data.from_items(jobs, override_num_blocks=len(jobs))
    return dataset.map(work, num_cpus=1, compute=at_once).iter_rows()


def in_processes(jobs: list[Job], work: Callable[[Job], Job], workers: int | None = None) -> Iterator[Job]:
    """A `Runner` without Ray, on the CPUs of this machine.

    Args:
        workers: at most this many at once; None: as many as there are CPUs.
    """
    return joblib.Parallel(n_jobs=workers or -1, return_as="generator")(joblib.delayed(work)(job) for job in jobs)
