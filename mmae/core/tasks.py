"""Run many small jobs in parallel, as Ray Data tasks or as local processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import joblib

Job = dict[str, Any]


class Runner(Protocol):
    """Applies `work` to each job and yields the results in the order of the jobs; jobs and results are plain values."""

    def __call__(self, jobs: list[Job], work: Callable[[Job], Job], workers: int | None = None) -> Iterator[Job]: ...


def in_ray(jobs: list[Job], work: Callable[[Job], Job], workers: int | None = None) -> Iterator[Job]:
    """A `Runner` on a Ray cluster, one CPU per job. Jobs lost with their worker or node are retried.

    Args:
        workers: maximum number of concurrent jobs; None: the number of CPUs of the cluster.
    """
    import ray.data  # imported here: `in_processes` does not need Ray

    if not jobs:
        return iter(())
    # Ray warns if the limit exceeds the number of jobs.
    at_once = ray.data.TaskPoolStrategy(size=None if workers is None else min(workers, len(jobs)))
    dataset = ray.data.from_items(jobs, override_num_blocks=len(jobs))
    return iter(dataset.map(work, num_cpus=1, compute=at_once).iter_rows())


def in_processes(jobs: list[Job], work: Callable[[Job], Job], workers: int | None = None) -> Iterator[Job]:
    """A `Runner` on the CPUs of this machine, without Ray.

    Args:
        workers: maximum number of concurrent jobs; None: the number of CPUs.
    """
    return iter(joblib.Parallel(n_jobs=workers or -1, return_as="generator")(joblib.delayed(work)(job) for job in jobs))
