"""The commands: `mmae NAME`, and the scripts of ray_jobs/ and tune/.

Each is a module with a docstring, which `--help` shows, and a function `job`, which parses the options and calls one
function. What takes long to import is imported by `job`, after `--help` and wrong options.
"""

from __future__ import annotations

import ast
import sys
from importlib import import_module
from pathlib import Path

from mmae.cli import main
from mmae.core.command_line import COMMANDS, CONSOLE_SCRIPT

USAGE = f"usage: {CONSOLE_SCRIPT} COMMAND [OPTIONS]"


def run(name: str) -> None:
    """Run a command with the options of this process."""
    main(import_module(f"{__name__}.{_module(name)}").job)


def console_script() -> None:
    """`mmae COMMAND [OPTIONS]`."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("-h", "--help"):
        print(overview())
        return
    if name not in COMMANDS:
        print(f"error: {CONSOLE_SCRIPT} {name}: choose one of {', '.join(COMMANDS)}.", file=sys.stderr)
        sys.exit(2)
    sys.argv[:2] = [f"{CONSOLE_SCRIPT} {name}"]
    run(name)


def overview() -> str:
    """Usage, and one line for each command: the first of its docstring."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {_first_line(name)}" for name in COMMANDS]
    return "\n".join([USAGE, "", *lines, "", f"{CONSOLE_SCRIPT} COMMAND --help  shows the options of a command."])


def _module(name: str) -> str:
    return name.replace("-", "_")


def _first_line(name: str) -> str:
    """Read from the file, because the import of all commands takes a second."""
    source = Path(__file__).with_name(f"{_module(name)}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]
