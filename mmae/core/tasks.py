"""Run many small jobs in parallel, as Ray Data tasks or as local processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import joblib

from mmae.core.errors import InputError, input_error_behind

Job = dict[str, Any]
ERROR = "error of this job"  # key of a result that is the message of an InputError


class Runner(Protocol):
    """Applies `work` to each job and yields the results in the order of the jobs; jobs and results are plain values."""

    def __call__(self, jobs: list[Job], work: Callable[[Job], Job], workers: int | None = None) -> Iterator[Job]: ...


def in_ray(jobs: list[Job], work: Callable[[Job], Job], workers: int | None = None) -> Iterator[Job]:
    """A `Runner` on a Ray cluster, one CPU per job. Jobs lost with their worker or node are retried.

    Args:
        workers: maximum number of concurrent jobs; None: the number of CPUs of the cluster.

    Raises:
        InputError: a job raised it. Jobs return its message as data, because Ray would print a traceback.
    """
    if not jobs:
        return iter(())
    import ray.data  # imported here: `in_processes` does not need Ray

    # Ray warns if the limit exceeds the number of jobs.
    at_once = ray.data.TaskPoolStrategy(size=None if workers is None else min(workers, len(jobs)))
    dataset = ray.data.from_items(jobs, override_num_blocks=len(jobs))
    return _results(dataset.map(_returning_errors(work), num_cpus=1, compute=at_once).iter_rows())


def in_actors(
    jobs: list[Job], make: Callable[[], Callable[[Job], Job]], actors: int, cpus: float, gpus: float = 0
) -> Iterator[Job]:
    """Apply work that keeps a state, such as a model, to each job; yield the results in the order of the jobs.

    Actors that die are replaced, and their jobs are repeated.

    Args:
        make: makes the work, once in each actor.
        actors: number of processes.
        cpus, gpus: of each.

    Raises:
        InputError: a job raised it.
    """
    if not jobs:
        return iter(())
    import ray.data  # imported here: `in_processes` does not need Ray

    dataset = ray.data.from_items(jobs, override_num_blocks=len(jobs)).map(
        _Actor,  # type: ignore[arg-type]  # Ray takes a class too
        fn_constructor_args=(make,),
        compute=ray.data.ActorPoolStrategy(size=min(actors, len(jobs))),
        num_cpus=cpus,
        num_gpus=gpus or None,
    )
    return _results(dataset.iter_rows())


class _Actor:
    """Makes its work with the first job, so that an error in `make` is returned like those of jobs."""

    def __init__(self, make: Callable[[], Callable[[Job], Job]]):
        self.make = make
        self.work: Callable[[Job], Job] | None = None

    def __call__(self, job: Job) -> Job:
        return _returning_errors(self._do)(job)

    def _do(self, job: Job) -> Job:
        if self.work is None:
            self.work = self.make()
        return self.work(job)


def _returning_errors(work: Callable[[Job], Job]) -> Callable[[Job], Job]:
    def run(job: Job) -> Job:
        try:
            return work(job)
        except Exception as error:
            input_error = input_error_behind(error)
            if input_error is None:
                raise
            return {ERROR: str(input_error)}

    return run


def _results(rows: Iterable[Job]) -> Iterator[Job]:
    for row in rows:
        if row.get(ERROR) is not None:
            raise InputError(row[ERROR])
        row.pop(ERROR, None)
        yield row


def in_processes(jobs: list[Job], work: Callable[[Job], Job], workers: int | None = None) -> Iterator[Job]:
    """A `Runner` on the CPUs of this machine, without Ray.

    Args:
        workers: maximum number of concurrent jobs; None: the number of CPUs.
    """
    return iter(joblib.Parallel(n_jobs=workers or -1, return_as="generator")(joblib.delayed(work)(job) for job in jobs))
