"""What each step of a search set aside: the rows of its rejection table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from astropy.table import Table


@dataclass(frozen=True)
class Rejections:
    """`count` rows that `step` set aside, and the `reason`, in words a user can act on."""

    step: str
    reason: str
    count: int


def rejections(step: str, reasons: Iterable[tuple[str, int]]) -> list[Rejections]:
    """One entry for each reason that set anything aside."""
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
