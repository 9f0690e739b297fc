"""One line of the table of measurements."""

from __future__ import annotations

import statistics
from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """A figure beside its target.

    Attributes:
        part: what was measured, such as "input".
        target: empty if the line only explains another one.
    """

    part: str
    what: str
    measured: str
    target: str = ""

    def markdown(self) -> str:
        return f"| {self.part} | {self.what} | {self.measured} | {self.target} |"


HEADER = "| part | what | measured | target |\n|---|---|---|---|"


def ratio(above: list[float], below: list[float]) -> float:
    """The median of the ratios of values that were measured by turns."""
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def spread(values: list[float], digits: int = 0) -> str:
    """Median and range."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:,.{digits}f} ({low:,.{digits}f} to {high:,.{digits}f})"
