"""Rejections of each step of the search: the rows of the rejection table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from astropy.table import Table


@dataclass(frozen=True)
class Rejections:
    """Number of rows (`count`) that a `step` rejected for a `reason`."""

    step: str
    reason: str
    count: int


def rejections(step: str, reasons: Iterable[tuple[str, int]]) -> list[Rejections]:
    """One entry for each reason with a count above 0."""
    return [Rejections(step, reason, int(count)) for reason, count in reasons if count]


def rejection_table(entries: Iterable[Rejections]) -> Table:
    """Columns step, reason, count, in the order of the steps."""
    entries = list(entries)
    return Table(
        {
            "step": [entry.step for entry in entries],
            "reason": [entry.reason for entry in entries],
            "count": [entry.count for entry in entries],
        },
        dtype=["str", "str", "int64"],
    )
