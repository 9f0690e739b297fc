"""The terminal: text is printed as it is."""

from __future__ import annotations

from typing import Any

from rich.console import Console


def terminal(**options: Any) -> Console:
    """A console that does not interpret the text: [brackets] and :colons: in paths are no markup.

    Args:
        options: those of `rich.console.Console`.
    """
    return Console(markup=False, emoji=False, highlight=False, **options)
