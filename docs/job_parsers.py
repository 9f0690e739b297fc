"""The options of the scripts in ray_jobs/ and tune/, without running them."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import tyro

ROOT = Path(__file__).parents[1]


class _Parses(BaseException):
    """Raised where a script would parse its command line; not an Exception, so that no script catches it."""

    def __init__(self, kind: type, options: dict[str, Any]):
        super().__init__(kind.__name__)
        self.kind, self.options = kind, options


def scripts() -> list[Path]:
    return sorted([*(ROOT / "ray_jobs").glob("*.py"), *(ROOT / "tune").glob("*.py")])


def parser_call(script: Path, arguments: list[str]) -> tuple[type, dict[str, Any]]:
    """The configuration class of a script, and the keyword arguments of `tyro.cli`, for these arguments.

    The script is run as far as there.

    Raises:
        SystemExit: the script ends before it parses, with a message on stderr (wrong --recipe, no file of --config).
    """

    def parses(kind: type, **options: Any) -> None:
        raise _Parses(kind, {"args": arguments} | {name: value for name, value in options.items() if value is not None})

    with patch.object(tyro, "cli", parses), patch.object(sys, "argv", [str(script), *arguments]):
        try:
            runpy.run_path(str(script), run_name="__main__")
        except _Parses as call:
            return call.kind, call.options
    raise RuntimeError(f"{script}: parses no options with tyro.cli.")
