"""Jobs that are ended by a signal: as an exception, with its exit status, and its status in MLflow."""

from __future__ import annotations

import signal
import threading
from typing import NoReturn

INTERRUPTED_STATUS = 130  # by which shells report a process ended by Ctrl-C (SIGINT)
TERMINATED_STATUS = 143  # the same for SIGTERM
KILLED, FAILED = "KILLED", "FAILED"  # statuses of an MLflow run


class Terminated(KeyboardInterrupt):
    """SIGTERM: `ray job stop`, or a batch system.

    Attributes:
        received: whether this process has got SIGTERM; `ray.get` raises a plain KeyboardInterrupt in its place.
    """

    received = False


def raise_on_sigterm() -> None:
    """Let SIGTERM raise `Terminated` in the main thread. Call it after `ray.init`, whose handler aborts the process."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminate)


def _terminate(signum: int, frame: object) -> NoReturn:
    Terminated.received = True
    raise Terminated


def interrupted_status(error: KeyboardInterrupt) -> int:
    """The exit status of a job that Ctrl-C or SIGTERM has ended."""
    terminated = Terminated.received or isinstance(error, Terminated)
    return TERMINATED_STATUS if terminated else INTERRUPTED_STATUS


def end_status(error: BaseException) -> str:
    """The status in MLflow of a run that this exception has ended."""
    return KILLED if isinstance(error, KeyboardInterrupt) else FAILED
