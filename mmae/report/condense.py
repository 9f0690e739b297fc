"""A table as people read it: a number and its error in one cell, as 0.0304±0.0007.

Tables keep the two apart, so that each is a number of its own in JSON and MLflow.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace

from mmae.report.contents import Cell, Table, Verdict, cell_text

# "error", "bias error", "bias error [%]", "its error", "error of bias": the error of the number before it.
IS_ERROR = re.compile(r"^error\b|\berror( \[.*\])?$")
MOST_DECIMALS = 7


class WithError(str):
    """A number and its error as text; stands to the right like a number."""


def condensed(table: Table) -> Table:
    """Errors go into the cells of the numbers before them: columns beside, rows below."""
    return _rows_condensed(_columns_condensed(table))


def _columns_condensed(table: Table) -> Table:
    keep: list[tuple[int, int | None]] = []  # column, and that of its error
    for k, heading in enumerate(table.columns):
        if keep and keep[-1][1] is None and IS_ERROR.search(heading) and not _text(table, keep[-1][0]):
            keep[-1] = (keep[-1][0], k)
        else:
            keep.append((k, None))
    rows = tuple(tuple(row[k] if e is None else with_error(row[k], row[e]) for k, e in keep) for row in table.rows)
    return replace(table, columns=tuple(table.columns[k] for k, _ in keep), rows=rows)


def _rows_condensed(table: Table) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for row in table.rows:
        name, above = row[0], rows[-1][0] if rows else None
        if isinstance(name, str) and isinstance(above, str) and _error_of(name) == above:
            rows[-1] = (above, *map(with_error, rows[-1][1:], row[1:]))
        else:
            rows.append(row)
    return replace(table, rows=tuple(rows))


def with_error(value: Cell, error: Cell) -> Cell:
    """Both as one text, the error to two digits; the value as it is where there is no error to show."""
    if not (_finite(value) and _finite(error) and error > 0):
        return value
    decimals = max(0, 1 - math.floor(math.log10(error)))
    if decimals > MOST_DECIMALS:
        return WithError(f"{cell_text(value)}±{cell_text(error)}")
    return WithError(f"{value:z.{decimals}f}±{error:.{decimals}f}".replace("-", "\N{MINUS SIGN}"))


def _error_of(name: str) -> str:
    """ "bias error [%]" -> "bias [%]"; no other row has an empty name."""
    return name.replace(" error", "", 1) if IS_ERROR.search(name) else ""


def _text(table: Table, column: int) -> bool:
    return any(isinstance(row[column], (str, Verdict)) for row in table.rows)


def _finite(cell: Cell) -> bool:
    return isinstance(cell, (int, float)) and math.isfinite(cell)
