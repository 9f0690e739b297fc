"""Command lines from configuration dataclasses, and error messages for invalid input."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tyro

from mmae.config import RunConfig
from mmae.core.errors import InputError, input_error_behind, one_line
from mmae.core.interrupts import interrupted_status
from mmae.core.settings import from_yaml
from mmae.recipes import RECIPES, recipe
from mmae.tracking.database import tracking_error_behind

INPUT_ERROR_STATUS = 2
TRACEBACK = "--traceback"
TRACEBACK_HELP = f"{TRACEBACK}  prints Python's traceback before an error message."
START = "\n".join(
    [
        "Start from  --recipe NAME  or  --config FILE.yaml, then override single fields.",
        "Recipes (default: small):",
        *(f"  {name:8} {(make.__doc__ or '').splitlines()[0]}" for name, make in RECIPES.items()),
    ]
)


def parse_run(description: str, argv: list[str] | None = None) -> RunConfig:
    """The configuration of a run: a recipe or file, with single fields overridden.

    Raises:
        InputError: an invalid recipe, file or value.
        SystemExit: --help, or an option that does not exist.
    """
    default, rest = starting_run(argv)
    config = parse(RunConfig, f"{description}\n\n{START}", default=default, argv=rest)
    require_same_recipe(default, config, "recipe")
    return config


def starting_run(argv: list[str] | None = None) -> tuple[RunConfig, list[str]]:
    """The configuration given by --recipe or --config, and the remaining options.

    Raises:
        InputError: an invalid recipe or file, or both options.
    """
    start = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    start.add_argument("--recipe", default=None)
    start.add_argument("--config", type=Path, default=None)
    chosen, rest = start.parse_known_args(argv)
    if chosen.recipe and chosen.config:
        raise InputError("--recipe and --config exclude each other: give one of them.")
    return from_yaml(chosen.config, RunConfig) if chosen.config else recipe(chosen.recipe or "small"), rest


def require_same_recipe(start: RunConfig, config: RunConfig, option: str) -> None:
    """Refuse an option that would change the name of the recipe only, and none of its settings.

    Args:
        start: the configuration before single fields were overridden.

    Raises:
        InputError: the name differs.
    """
    if config.recipe != start.recipe:
        raise InputError(
            f"{option} {config.recipe}: this changes only the name of the recipe. "
            f"Use --recipe {config.recipe} to start from its settings."
        )


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
        input_error = input_error_behind(error) or tracking_error_behind(error)
        if input_error is None:
            raise
        if with_traceback:
            traceback.print_exception(error)
        print(f"error: {one_line(str(input_error))}", file=sys.stderr)
        sys.exit(INPUT_ERROR_STATUS)
