"""Command lines from configuration dataclasses, and error messages for invalid input."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import tyro

from mmae.core.command_line import as_typed
from mmae.core.errors import InputError, input_error_behind, one_line
from mmae.core.interrupts import interrupted_status
from mmae.core.settings import from_yaml
from mmae.core.short_help import Groups, short_help

INPUT_ERROR_STATUS = 2
TRACEBACK = "--traceback"
TRACEBACK_HELP = f"{TRACEBACK}  prints Python's traceback before an error message."
HELP_ALL = "--help-all"
HELP_ALL_HELP = f"{HELP_ALL}   shows all options; all can be used."


def parse_job(kind: type, description: str, argv: list[str] | None = None, common: Groups | None = None) -> Any:
    """The configuration of a job: the defaults of the dataclass or --config, with single fields overridden.

    Args:
        common: as in `parse`.

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
        common=common,
    )


def parse(
    kind: type,
    description: str,
    default: Any = None,
    argv: list[str] | None = None,
    common: Groups | None = None,
    aliases: Mapping[str, str] = MappingProxyType({}),
) -> Any:
    """Parse a command line into a dataclass.

    Args:
        common: the options that --help shows; --help-all shows all. None: both show all.
        aliases: other name of an option -> the option.

    Raises:
        InputError: the dataclass refuses a value.
        SystemExit: --help, or an option that does not exist.
    """
    given = sys.argv[1:] if argv is None else argv
    options: dict[str, Any] = {"config": (tyro.conf.AvoidSubcommands,)}
    if default is not None:
        options["default"] = default
    description = f"{as_typed(description)}\n\n{TRACEBACK_HELP}"
    if common and not {"-h", "--help"}.isdisjoint(given):
        description = f"{description}\n{HELP_ALL_HELP}"
        print(short_help(kind, description, common, prog=sys.argv[0], aliases=aliases, **options))
        sys.exit(0)
    given = ["--help" if argument == HELP_ALL else _named(argument, aliases) for argument in given]
    try:
        return tyro.cli(kind, description=description, args=given, **options)
    except ValueError as error:
        raise InputError(str(error)) from error


def _named(argument: str, aliases: Mapping[str, str]) -> str:
    """The argument with the name of the option itself."""
    name, equals, value = argument.partition("=")
    return f"{aliases.get(name, name)}{equals}{value}"


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
