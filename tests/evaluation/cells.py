"""Helpers for tests of report tables."""

from __future__ import annotations

import math

from mmae.report.contents import Measured, Section


def n_numbers(section: Section) -> int:
    """Number of finite numbers in the cells of a section; a value with an error counts twice."""
    cells = [cell for table in section.tables for row in table.rows for cell in row]
    values = [x for cell in cells for x in ((cell.value, cell.error) if isinstance(cell, Measured) else (cell,))]
    return sum(isinstance(value, (int, float)) and math.isfinite(value) for value in values)


def rows_by_column(section: Section, name: str) -> list[dict]:
    """Rows of the table of this name, each as column name -> cell."""
    (table,) = [table for table in section.tables if table.name == name]
    return [{column.name: cell for column, cell in zip(table.columns, row, strict=True)} for row in table.rows]
