"""The progress of a long job: a bar in a terminal, lines in a log file."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm

LINE_SECONDS = 30.0  # between two lines in a log file
BAR = "{desc}: {n_fmt}/{total_fmt} |{bar}| {remaining} left{postfix}"
LINE = "{desc}: {n_fmt}/{total_fmt}, {percentage:.0f}%, {remaining} left{postfix}"
FIRST_LINE = "{desc}: {n_fmt}/{total_fmt}{postfix}"
WITHOUT_TOTAL = "{desc}: {n_fmt}, {elapsed}{postfix}"
RATE = ", {rate_fmt}"  # if there is no other text behind the numbers


class ProgressBar(tqdm):
    """A bar of tqdm. If its output is not a terminal, it prints a line at the start, every LINE_SECONDS and at the end.

    Args:
        options: those of tqdm.
    """

    def __init__(self, *arguments: Any, **options: Any):
        self.in_terminal = (options.get("file") or sys.stderr).isatty()
        self._shown: tuple[float, str | None] | None = None
        if self.in_terminal:
            options["dynamic_ncols"] = True
        else:
            # miniters: the time is checked at every step, so that no thread of tqdm prints lines in between.
            options |= {"mininterval": LINE_SECONDS, "miniters": 1, "leave": False}
        super().__init__(*arguments, **options)

    @property
    def format_dict(self) -> dict[str, Any]:
        values = super().format_dict
        if "bar_format" not in values:  # a disabled bar
            return values
        template = BAR if self.in_terminal else LINE
        if self.total is None:
            template = WITHOUT_TOTAL
        elif self.n == self.initial and not self.in_terminal:
            return values | {"bar_format": FIRST_LINE}
        return values | {"bar_format": template if self.postfix else template + RATE}

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:
        """Show the bar, or print a line if there is something new."""
        if self.in_terminal:
            return super().display(msg, pos)
        now = (self.n, self.postfix)
        if msg == "" or now == self._shown:  # tqdm removes a bar by an empty message
            return False
        self._shown = now
        self.fp.write(f"{self}\n")
        self.fp.flush()
        return True

    def clear(self, nolock: bool = False) -> None:
        """Remove the bar for text that is printed above it; lines stay."""
        if self.in_terminal:
            super().clear(nolock)

    def close(self) -> None:
        if not self.in_terminal and not self.disable:
            self.display()
        super().close()
