"""The exception for invalid user input."""

from __future__ import annotations


class InputError(ValueError):
    """Invalid user input: a file, row, field or option.

    The message states what is wrong, where, and how to fix it. The command line prints it without a traceback and
    exits with status 2.
    """


def input_error_behind(error: BaseException | None) -> InputError | None:
    """The InputError in the chain of causes of an exception; None if there is none."""
    while error is not None:
        if type(error) is InputError:
            return error
        # Ray stores the worker's exception in `cause`, exception chaining in `__cause__`.
        cause = getattr(error, "cause", None)
        error = cause if isinstance(cause, BaseException) else error.__cause__
    return None
