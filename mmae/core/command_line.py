"""The names of the commands, as the console script `mmae NAME` and as scripts."""

from __future__ import annotations

import re
import sys

CONSOLE_SCRIPT = "mmae"
COMMANDS = {
    "build-survey": "ray_jobs/build_survey.py",
    "pretrain": "ray_jobs/pretrain.py",
    "sweep": "tune/sweep.py",
    "evaluate": "ray_jobs/evaluate.py",
    "export": "ray_jobs/export.py",
    "predict": "ray_jobs/predict.py",
    "browse": "ray_jobs/browse.py",
    "search": "ray_jobs/search.py",
    "align": "ray_jobs/align.py",
    "audit": "ray_jobs/audit.py",
    "follow-up": "ray_jobs/follow_up.py",
    "steep-spectrum": "ray_jobs/steep_spectrum.py",
}
"""Name -> script, in the order in which they are used."""


def command(name: str) -> str:
    """How a user types a command: `mmae NAME` if this process was started so, else `python` and its script."""
    started_by_console_script = sys.argv[0].split(" ")[0] == CONSOLE_SCRIPT
    return f"{CONSOLE_SCRIPT} {name}" if started_by_console_script else f"python {COMMANDS[name]}"


def as_typed(text: str) -> str:
    """A text in which lines that start with a script start with the command as a user types it."""
    for name, script in COMMANDS.items():
        text = re.sub(rf"^( *)python {re.escape(script)}", rf"\1{command(name)}", text, flags=re.MULTILINE)
    return text
