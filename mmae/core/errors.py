"""The exception for invalid user input, and one line for every error that a user can remedy."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

CHOOSE = "Choose a folder that you can write to (MMAE_HOME, --home, --out), or change its permissions."
ADVICE = {
    errno.ENOSPC: "Free space there, then run the same command again.",
    errno.EDQUOT: "Free space there, then run the same command again.",
    errno.EROFS: CHOOSE,
    errno.EACCES: CHOOSE,
    errno.EPERM: CHOOSE,
    errno.EEXIST: "Choose another folder or name.",
    errno.ENOTDIR: "A part of this path is a file: choose another folder.",
    errno.EISDIR: "Give a file, not a folder.",
    errno.ENOENT: "Check the path.",
    errno.ENAMETOOLONG: "Choose a shorter name or folder.",
    errno.EMFILE: "Raise the limit of open files (ulimit -n).",
}
"""Errors of the file system that the same command would meet again, and their remedy."""


class InputError(ValueError):
    """Invalid user input: a file, row, field or option.

    The message states what is wrong, where, and how to fix it. The command line prints it without a traceback and
    exits with status 2.
    """


def input_error_behind(error: BaseException | None) -> InputError | None:
    """The InputError behind an exception, or one that explains an error of the file system; None if there is none."""
    chain = list(causes(error))
    for cause in chain:
        if type(cause) is InputError:
            return cause
    for cause in chain:
        if isinstance(cause, OSError) and cause.errno in ADVICE:
            return InputError(_os_error_line(cause, cause.errno))
    return None


def one_line(text: str) -> str:
    """The text without line breaks."""
    return " ".join(line.strip() for line in text.splitlines() if line.strip())


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """The exception and the exceptions that caused it, each once."""
    waiting, seen = [error], set()
    while waiting:
        error = waiting.pop(0)
        if not isinstance(error, BaseException) or id(error) in seen:
            continue
        seen.add(id(error))
        yield error
        # Ray stores the worker's exception in `cause`, Ray Train those of its workers in `worker_failures` and that
        # of its controller in `controller_failure`; exception chaining uses `__cause__`.
        waiting += [getattr(error, "cause", None), getattr(error, "controller_failure", None), error.__cause__]
        failures = getattr(error, "worker_failures", None)
        waiting += failures.values() if isinstance(failures, dict) else []


def _os_error_line(error: OSError, number: int) -> str:
    reason = os.strerror(number)
    where = f"{error.filename}: {reason}" if error.filename else one_line(str(error.strerror or reason))
    return f"{where}. {ADVICE[number]}"
