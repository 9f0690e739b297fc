"""Read the sections of a stored report: the inverse of `save.py`."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from mmae.core.errors import InputError
from mmae.report.contents import Cell, Column, Drawing, Measured, Section, Table, Verdict
from mmae.report.save import NUMBERS


def read_sections(folder: Path) -> list[Section]:
    """The sections of the report in a folder; their figures are its PNG files.

    Raises:
        InputError: the folder has no complete report.json.
    """
    file = folder / NUMBERS
    try:
        return [_section(values, folder) for values in json.loads(file.read_text())["sections"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file}: cannot be read as a report ({error}). Make the report again.") from error


def _section(values: dict[str, Any], folder: Path) -> Section:
    drawings = [
        Drawing(Path(figure["file"]).stem, figure["caption"], folder / figure["file"]) for figure in values["figures"]
    ]
    tables = tuple(_table(table) for table in values["tables"])
    return Section(values["name"], values["title"], values["text"], tables, tuple(drawings), values["left_out"])


def _table(values: dict[str, Any]) -> Table:
    return Table(
        values["name"],
        values["title"],
        tuple(Column(column["name"], column["heading"]) for column in values["columns"]),
        tuple(tuple(_cell(cell) for cell in row) for row in values["rows"]),
        values["note"],
    )


def _cell(value: Any) -> Cell:
    if not isinstance(value, dict):
        return value
    if "verdict" in value:
        return Verdict(value["verdict"], value["ok"])
    return Measured(_number(value["value"]), _number(value["error"]))


def _number(value: float | None) -> float:
    return math.nan if value is None else value
