"""What a report is made of: sections of tables, drawings and plain verdicts.

Nothing here knows about the sky, the terminal or HTML.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure


@dataclass(frozen=True)
class Verdict:
    """A judgement in words; ok is None where a line is shown and not judged."""

    text: str
    ok: bool | None = None


@dataclass(frozen=True)
class Measured:
    """A number with its 68% error (half of the interval); NaN where there is no error."""

    value: float
    error: float


Cell = str | int | float | None | Verdict | Measured
"""None and NaN both mean: there is no such number."""

NOT_JUDGED = Verdict("not judged")
MOST_DECIMALS = 7  # beyond, value and error are shown as they are


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: of its numbers in MLflow and in report.json: letters, digits and underscores.
        heading: as the page and the terminal show it, with the unit where there is one; by default the name.
    """

    name: str
    heading: str = ""

    def __post_init__(self) -> None:
        if not self.heading:
            object.__setattr__(self, "heading", self.name.replace("_", " "))


@dataclass(frozen=True)
class Table:
    """Rows whose leading texts name them.

    Attributes:
        name: short, of letters and underscores; part of the name of every number.
        columns: one for each cell of a row.
        rows: one cell a column.
        note: one or two sentences below the table.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Drawing:
    """A figure, the stem of its file and what it shows."""

    name: str
    caption: str
    figure: Figure


@dataclass(frozen=True)
class Section:
    """One comparison. `left_out` says why (a part of) it could not be made, and the mend."""

    name: str
    title: str
    text: str
    tables: tuple[Table, ...] = ()
    drawings: tuple[Drawing, ...] = ()
    left_out: str = ""


def judge_ratio(value: float, target: float, tolerance: float) -> Verdict:
    """Is value / target within 1 +- tolerance?"""
    if not (math.isfinite(value) and math.isfinite(target)) or target == 0:
        return Verdict("no value to judge")
    ratio = value / target
    if abs(ratio - 1) <= tolerance:
        return Verdict(f"within {tolerance:.0%}", True)
    return Verdict(f"misses: {ratio:.3g} x the target", False)


def judge_difference(value: float, target: float, tolerance: float, unit: str = "") -> Verdict:
    """Is |value - target| at most `tolerance`?"""
    difference = value - target
    if not math.isfinite(difference):
        return Verdict("no value to judge")
    unit = f" {unit}" if unit else ""
    if abs(difference) <= tolerance:
        return Verdict(f"within {tolerance:g}{unit}", True)
    return Verdict(f"misses: by {difference:+.3g}{unit}".replace("-", "\N{MINUS SIGN}"), False)


def judge_factor(value: float, target: float, factor: float) -> Verdict:
    """Is value from target / factor to target x factor?"""
    if not (math.isfinite(value) and math.isfinite(target)) or target <= 0:
        return Verdict("no value to judge")
    ratio = value / target
    if 1 / factor <= ratio <= factor:
        return Verdict(f"within a factor of {factor:g}", True)
    return Verdict(f"misses: {ratio:.3g} x the target", False)


def judge_range(value: float, low: float, high: float) -> Verdict:
    """Does value lie from low to high?"""
    if not math.isfinite(value):
        return Verdict("no value to judge")
    if low <= value <= high:
        return Verdict(f"within {low:g} to {high:g}", True)
    return Verdict(f"misses: {'below' if value < low else 'above'} {low:g} to {high:g}", False)


def judge_all(*verdicts: Verdict) -> Verdict:
    """One verdict of several: met only if all that were judged are met."""
    judged = [v for v in verdicts if v.ok is not None]
    if not judged:
        return verdicts[0]
    missed = [v for v in judged if not v.ok]
    if not missed:
        return Verdict(", ".join(dict.fromkeys(v.text for v in judged)), True)
    texts = [v.text.removeprefix("misses: ") for v in missed]
    return Verdict("misses: " + "; ".join(texts), False)


def tally(sections: Iterable[Section]) -> tuple[int, int]:
    """Number of lines that were judged, and of those that were met."""
    judged = [
        cell.ok
        for section in sections
        for table in section.tables
        for row in table.rows
        for cell in row
        if isinstance(cell, Verdict) and cell.ok is not None
    ]
    return len(judged), sum(judged)


def numbers(sections: Iterable[Section]) -> dict[str, float]:
    """Every finite number of the tables under a name that MLflow accepts.

    `section/table/row/column`, the row named by its leading texts: "pixels/moments/g_mean/ratio". The error of a
    `Measured` has the name of its value followed by `_error`.
    """
    found: dict[str, float] = {}
    for section in sections:
        for table in section.tables:
            for row in table.rows:
                key = "_".join(slug(cell) for cell in leading_texts(row))
                for column, cell in zip(table.columns, row, strict=True):
                    name = "/".join([section.name, table.name, key or "all", column.name])
                    if isinstance(cell, Measured):
                        found |= {name: cell.value, f"{name}_error": cell.error}
                    elif isinstance(cell, (int, float)):
                        found[name] = float(cell)
    return {name: value for name, value in found.items() if math.isfinite(value)}


def leading_texts(row: Sequence[Cell]) -> list[str]:
    """The texts that a row starts with."""
    texts = []
    for cell in row:
        if not isinstance(cell, str):
            break
        texts.append(cell)
    return texts


def slug(text: str) -> str:
    """Letters, digits, dots and underscores only."""
    text = text.replace("<", "lt").replace(">", "gt").replace("%", "pct")
    return re.sub(r"[^A-Za-z0-9.\-]+", "_", text).strip("_").lower()


def cell_text(cell: Cell) -> str:
    """A cell as it is shown: four significant digits, or to two digits of the error; `-` where there is no number."""
    if isinstance(cell, Verdict):
        return cell.text
    if isinstance(cell, Measured):
        return _with_error(cell)
    if isinstance(cell, str):
        return cell
    if cell is None or not math.isfinite(cell):
        return "-"
    if isinstance(cell, int):
        return f"{cell:,}"
    text = f"{cell:.4g}" if 1e-4 <= abs(cell) < 1e5 or cell == 0 else f"{cell:.2e}"
    return text.replace("-", "\N{MINUS SIGN}")


def _with_error(measured: Measured) -> str:
    value, error = measured.value, measured.error
    if not (math.isfinite(value) and math.isfinite(error) and error > 0):
        return cell_text(value)
    decimals = max(0, 1 - math.floor(math.log10(error)))
    if decimals > MOST_DECIMALS:
        return f"{cell_text(value)}±{cell_text(error)}"
    return f"{value:z.{decimals}f}±{error:.{decimals}f}".replace("-", "\N{MINUS SIGN}")
