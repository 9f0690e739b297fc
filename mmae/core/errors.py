"""The one exception that means "your input is wrong, here is the mend"."""

from __future__ import annotations


class InputError(ValueError):
    """Bad input from the user: a file, row, field or option.

    The message names what is wrong, where, and how to mend it. The command line
    prints it alone, without a traceback, and exits with status 2.
    """


def input_error_behind(error: BaseException | None) -> InputError | None:
    """The InputError that Ray wrapped on its way from a worker, if that is what happened."""
    while error is not None:
        if type(error) is InputError:
            return error
        # Ray hides the worker's exception in `cause`, Python's own chaining in __cause__.
        hidden = getattr(error, "cause", None)
        error = hidden if isinstance(hidden, BaseException) else error.__cause__
    return None
