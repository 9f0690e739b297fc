"""The one exception that means "your input is wrong, here is the mend"."""

from __future__ import annotations


class InputError(ValueError):
    """Bad input from the user: a file, row, field or option.

    The message names what is wrong, where, and how to mend it. The command line
    prints it alone, without a traceback, and exits with status 2.
    """
