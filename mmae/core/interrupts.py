"""Exit statuses of jobs that are ended by a signal, and what such a job leaves in MLflow."""

from __future__ import annotations

import signal

INTERRUPTED_STATUS = 130  # by which shells report a process ended by Ctrl-C (SIGINT)
KILLED, FAILED = "KILLED", "FAILED"  # statuses of an MLflow run


def interrupted_status(error: BaseException) -> int | None:
    """The exit status of a job that Ctrl-C or SIGTERM has ended; None for any other exception.

    After `ray.init`, SIGTERM (`ray job stop`, a batch system) raises SystemExit with the number of the signal.
    """
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED_STATUS
    if isinstance(error, SystemExit) and error.code == signal.SIGTERM:
        return 128 + signal.SIGTERM
    return None


def end_status(error: BaseException) -> str:
    """The status in MLflow of a run that this exception has ended."""
    return FAILED if interrupted_status(error) is None else KILLED
