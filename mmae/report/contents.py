"""The contents of a report: sections with tables, figures and verdicts, independent of the output format."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Verdict:
    """Result of a check as text; ok is None if the line is not judged."""

    text: str
    ok: bool | None = None


@dataclass(frozen=True)
class Measured:
    """A value and its 68% error (half the width of the interval); NaN if there is no error."""

    value: float
    error: float


Cell = str | int | float | None | Verdict | Measured
"""None and NaN both stand for a missing number."""

NOT_JUDGED = Verdict("not judged")
MOST_DECIMALS = 7  # with more, value and error are formatted separately


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: metric name in MLflow and report.json: letters, digits and underscores.
        heading: heading on the page and in the terminal, with unit; default: the name with spaces.
    """

    name: str
    heading: str = ""

    def __post_init__(self) -> None:
        if not self.heading:
            object.__setattr__(self, "heading", self.name.replace("_", " "))


@dataclass(frozen=True)
class Table:
    """A table. The leading text cells of a row are the name of the row.

    Attributes:
        name: letters and underscores; part of the metric names.
        rows: one cell per column.
        note: one or two sentences below the table.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Drawing:
    """A figure, or the PNG file of one, with the stem of its file name in the report and a caption."""

    name: str
    caption: str
    figure: Figure | Path


@dataclass(frozen=True)
class Section:
    """A section of a report.

    Attributes:
        left_out: why (part of) the section is missing, and how to include it.
        abreast: number of figures side by side.
    """

    name: str
    title: str
    text: str
    tables: tuple[Table, ...] = ()
    drawings: tuple[Drawing, ...] = ()
    left_out: str = ""
    abreast: int = 1


@dataclass(frozen=True)
class Finding:
    """One answer in the summary of a report.

    Attributes:
        title: the question, in a few words.
        verdicts: the answer: sentences with their number and what it is compared with.
        text: the numbers.
        section: name of the section with the details.
        drawing: a small figure.
    """

    title: str
    verdicts: tuple[Verdict, ...]
    text: str
    section: str
    drawing: Drawing | None = None


def judge_ratio(value: float, target: float, tolerance: float) -> Verdict:
    """Whether value / target is within 1 +- tolerance."""
    if not (math.isfinite(value) and math.isfinite(target)) or target == 0:
        return Verdict("no value to judge")
    ratio = value / target
    if abs(ratio - 1) <= tolerance:
        return Verdict(f"within {tolerance:.0%}", True)
    return Verdict(f"misses: {ratio:.3g} x the target", False)


def judge_difference(value: float, target: float, tolerance: float, unit: str = "") -> Verdict:
    """Whether |value - target| is at most `tolerance`."""
    difference = value - target
    if not math.isfinite(difference):
        return Verdict("no value to judge")
    unit = f" {unit}" if unit else ""
    if abs(difference) <= tolerance:
        return Verdict(f"within {tolerance:g}{unit}", True)
    return Verdict(f"misses: by {difference:+.3g}{unit}".replace("-", "\N{MINUS SIGN}"), False)


def judge_factor(value: float, target: float, factor: float) -> Verdict:
    """Whether value is within target / factor to target x factor."""
    if not (math.isfinite(value) and math.isfinite(target)) or target <= 0:
        return Verdict("no value to judge")
    ratio = value / target
    if 1 / factor <= ratio <= factor:
        return Verdict(f"within a factor of {factor:g}", True)
    return Verdict(f"misses: {ratio:.3g} x the target", False)


def judge_range(value: float, low: float, high: float) -> Verdict:
    """Whether value is within low to high."""
    if not math.isfinite(value):
        return Verdict("no value to judge")
    if low <= value <= high:
        return Verdict(f"within {low:g} to {high:g}", True)
    return Verdict(f"misses: {'below' if value < low else 'above'} {low:g} to {high:g}", False)


def judge_at_most(value: float, limit: float) -> Verdict:
    """Whether value is at most `limit`."""
    if not math.isfinite(value):
        return Verdict("no value to judge")
    if value <= limit:
        return Verdict(f"at most {limit:g}", True)
    return Verdict(f"misses: {value / limit:.3g} x the target", False)


def judge_at_least(value: float, limit: float) -> Verdict:
    """Whether value is at least `limit`."""
    if not math.isfinite(value):
        return Verdict("no value to judge")
    if value >= limit:
        return Verdict(f"at least {limit:g}", True)
    return Verdict(f"misses: {value / limit:.3g} x the target", False)


def judge_all(*verdicts: Verdict) -> Verdict:
    """Combined verdict: met if all judged verdicts are met."""
    judged = [v for v in verdicts if v.ok is not None]
    if not judged:
        return verdicts[0]
    missed = [v for v in judged if not v.ok]
    if not missed:
        return Verdict(", ".join(dict.fromkeys(v.text for v in judged)), True)
    texts = [v.text.removeprefix("misses: ") for v in missed]
    return Verdict("misses: " + "; ".join(texts), False)


def tally(sections: Iterable[Section]) -> tuple[int, int]:
    """Number of judged lines, and number of those that are met."""
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
    """All finite numbers of the tables, with names that MLflow accepts.

    The name is `section/table/row/column`, with the leading text cells of the row: "pixels/moments/g_mean/ratio". The
    error of a `Measured` has the suffix `_error`.
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
    """The leading text cells of a row."""
    texts = []
    for cell in row:
        if not isinstance(cell, str):
            break
        texts.append(cell)
    return texts


def slug(text: str) -> str:
    """The text reduced to lower-case letters, digits, dots, hyphens and underscores."""
    text = text.replace("<", "lt").replace(">", "gt").replace("%", "pct")
    return re.sub(r"[^A-Za-z0-9.\-]+", "_", text).strip("_").lower()


def cell_text(cell: Cell) -> str:
    """A cell as text: four significant digits, or as many as two digits of the error require; `-` if missing."""
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
