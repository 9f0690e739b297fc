"""The short `--help` of a command: its common options in groups."""

from __future__ import annotations

import argparse
import re
import shutil
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import tyro

Groups = Mapping[str, Sequence[str]]
"""Title of a group -> its options, such as `--optim.steps`."""
HELP_POSITION = 26  # column of the texts; longer options have a line of their own
NO_DEFAULT = (" (default: '')", " (default: None)", " (default: )", " (default: False)")


def short_help(
    kind: type, description: str, groups: Groups, *, prog: str, aliases: Mapping[str, str], **options: Any
) -> str:
    """The help text of some options of a dataclass. Options that the configuration does not have are left out.

    Args:
        prog: the command.
        aliases: other name of an option -> the option.
        options: those of `tyro.cli`, by which the command is parsed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        full = tyro.extras.get_parser(kind, **options)
    actions = {name: action for action in full._actions for name in action.option_strings}
    formatter = partial(
        argparse.RawDescriptionHelpFormatter, max_help_position=HELP_POSITION, width=shutil.get_terminal_size().columns
    )
    usage = f"{prog.replace('%', '%%')} [OPTIONS]"
    parser = argparse.ArgumentParser(usage=usage, description=description, add_help=False, formatter_class=formatter)
    for title, names in groups.items():
        group = parser.add_argument_group(title)
        for name in names:
            action = actions.get(aliases.get(name, name))
            if action is not None:
                _add(group, name, action)
    return parser.format_help()


def _add(group: Any, name: str, action: argparse.Action) -> None:
    """Add an option of the full help to a group; one without a value has no metavar."""
    if action.metavar is None:
        group.add_argument(name, action="store_true", help=_text(action))
    else:
        group.add_argument(name, metavar=_metavar(str(action.metavar)), help=_text(action))


def _metavar(full: str) -> str:
    """`PATH` for `{None}|PATH`, and `INT ...` for `[INT [INT ...]]`."""
    several = re.fullmatch(r"\[(.+) \[\1 \.\.\.\]\]", full)
    return f"{several[1]} ..." if several else full.removeprefix("{None}|")


def _text(action: argparse.Action) -> str:
    """The help text of an option, with its default."""
    text = action.help or ""
    for empty in NO_DEFAULT:
        text = text.removesuffix(empty)
    return text
