"""Command lines from configuration dataclasses, and error messages for invalid input."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tyro

from mmae.core.errors import InputError, input_error_behind, one_line
from mmae.core.interrupts import interrupted_status
from mmae.core.settings import from_yaml

INPUT_ERROR_STATUS = 2
TRACEBACK = "--traceback"
TRACEBACK_HELP = f"{TRACEBACK}  prints Python's traceback before an error message."


def parse_job(kind: type, description: str, argv: list[str] | None = None) -> Any:
    """The configuration of a job: the defaults of the dataclass or --config, with single fields overridden.

    Raises:
        InputError: an invalid file or value.
        SystemExit: --help, or an option that does not exist.
    """
    start = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    start.add_argument("--config", type=Path, default=None)
    chosen, rest = start.parse_known_args(argv)
    default = from_yaml(chosen.config, kind) if chosen.config else None
    return parse(
        kind,
        f"{description}\n\nStart from  --config FILE.yaml, then override single fields.",
        default=default,
        argv=rest,
    )


def parse(kind: type, description: str, default: Any = None, argv: list[str] | None = None) -> Any:
    """Parse a command line into a dataclass.

    Raises:
        InputError: the dataclass refuses a value.
        SystemExit: --help, or an option that does not exist.
    """
    options = {} if default is None else {"default": default}
    description = f"{description}\n\n{TRACEBACK_HELP}"
    try:
        return tyro.cli(kind, description=description, args=argv, config=(tyro.conf.AvoidSubcommands,), **options)
    except ValueError as error:
        raise InputError(str(error)) from error


def main(job: Callable[[], object]) -> None:
    """Run a job. An error that the user can remedy ends the process with a one-line message and status 2.

    Other exceptions are raised. With the option --traceback, which is removed from the command line, the traceback
    is printed before the message.
    """
    with_traceback = TRACEBACK in sys.argv
    sys.argv[:] = [argument for argument in sys.argv if argument != TRACEBACK]
    try:
        job()
    except KeyboardInterrupt as error:
        print("interrupted. The same command continues the job, or starts it again.", file=sys.stderr)
        sys.exit(interrupted_status(error))
    except Exception as error:
        input_error = input_error_behind(error) or _tracking_error_behind(error)
        if input_error is None:
            raise
        if with_traceback:
            traceback.print_exception(error)
        print(f"error: {one_line(str(input_error))}", file=sys.stderr)
        sys.exit(INPUT_ERROR_STATUS)


def _tracking_error_behind(error: Exception) -> InputError | None:
    from mmae.tracking.database import tracking_error_behind  # imported here: MLflow takes a second to import

    return tracking_error_behind(error)
