"""From a command line to one function call, and from an exception to one clear line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tyro

from mmae.config import RunConfig
from mmae.core.errors import InputError, input_error_behind
from mmae.core.settings import from_yaml
from mmae.recipes import RECIPES, recipe

INPUT_ERROR_STATUS = 2
START = "\n".join(
    [
        "Start from  --recipe NAME  or  --config FILE.yaml, then change single fields.",
        "Recipes (default: small):",
        *(f"  {name:8} {(make.__doc__ or '').splitlines()[0]}" for name, make in RECIPES.items()),
    ]
)


def parse_run(description: str, argv: list[str] | None = None) -> RunConfig:
    """The configuration of a run: a recipe or a file to start from, then single fields.

    Raises:
        InputError: a wrong recipe, file or value.
        SystemExit: --help, or an option that does not exist.
    """
    default, rest = starting_run(argv)
    return parse(RunConfig, f"{description}\n\n{START}", default=default, argv=rest)


def starting_run(argv: list[str] | None = None) -> tuple[RunConfig, list[str]]:
    """The run that --recipe or --config names, and the other options.

    Raises:
        InputError: a wrong recipe or file, or both.
    """
    start = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    start.add_argument("--recipe", default=None)
    start.add_argument("--config", type=Path, default=None)
    chosen, rest = start.parse_known_args(argv)
    if chosen.recipe and chosen.config:
        raise InputError("--recipe and --config both say where to start from: give one of them.")
    return from_yaml(chosen.config, RunConfig) if chosen.config else recipe(chosen.recipe or "small"), rest


def parse_job(kind: type, description: str, argv: list[str] | None = None) -> Any:
    """The configuration of a job: the dataclass's own values or those of --config, then single fields.

    Raises:
        InputError: a wrong file or value.
        SystemExit: --help, or an option that does not exist.
    """
    start = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    start.add_argument("--config", type=Path, default=None)
    chosen, rest = start.parse_known_args(argv)
    default = from_yaml(chosen.config, kind) if chosen.config else None
    return parse(
        kind, f"{description}\n\nStart from  --config FILE.yaml, then change single fields.", default=default, argv=rest
    )


def parse(kind: type, description: str, default: Any = None, argv: list[str] | None = None) -> Any:
    """A typed command line from a dataclass.

    Raises:
        InputError: a value that the dataclass refuses.
        SystemExit: --help, or an option that does not exist.
    """
    options = {} if default is None else {"default": default}
    try:
        return tyro.cli(kind, description=description, args=argv, config=(tyro.conf.AvoidSubcommands,), **options)
    except ValueError as error:
        raise InputError(str(error)) from error


def main(job: Callable[[], object]) -> None:
    """Run a job; bad input ends with one line and status 2, anything else with its traceback."""
    try:
        job()
    except Exception as error:
        mend = input_error_behind(error)
        if mend is None:
            raise
        print(f"error: {mend}", file=sys.stderr)
        sys.exit(INPUT_ERROR_STATUS)
