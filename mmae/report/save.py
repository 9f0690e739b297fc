"""Write a report to disk and log it to MLflow: HTML page, figures, and all numbers as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmae.report.contents import Cell, Measured, Section, Table, Verdict, numbers, tally
from mmae.report.page import render_page
from mmae.report.style import save_figure
from mmae.tracking.runs import Tracker

PAGE, NUMBERS = "report.html", "report.json"


def save_report(
    folder: Path, title: str, facts: Mapping[str, str], sections: Sequence[Section], kind: str, **more: Any
) -> Path:
    """Write report.html, report.json and the figures into a folder, and return the page.

    Figures of an earlier report in this folder are removed.

    Args:
        facts: entries of the list below the title: name -> text.
        kind: value of "format" in report.json.
        more: additional plain values for report.json.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    for section in sections:
        for drawing in section.drawings:
            save_figure(drawing.figure, folder / f"{drawing.name}.png")
    judged, met = tally(sections)
    content = {
        "format": kind,
        **facts,
        **more,
        "judged": judged,
        "met": met,
        "sections": [_section_values(s) for s in sections],
        "numbers": numbers(sections),
    }
    (folder / NUMBERS).write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")
    page = folder / PAGE
    page.write_text(render_page(title, facts, sections, folder))
    return page


def log_report(tracker: Tracker, sections: Sequence[Section], page: Path) -> None:
    """Log numbers as metrics, and page and figures as artifacts in a folder of the same name as on disk."""
    tracker.metrics(numbers(sections))
    log_page(tracker, sections, page)


def log_page(tracker: Tracker, sections: Sequence[Section], page: Path) -> None:
    """Log page, figures and report.json as artifacts in a folder of the same name as on disk."""
    for name in (PAGE, NUMBERS, *(f"{d.name}.png" for section in sections for d in section.drawings)):
        tracker.file(page.parent / name, page.parent.name)


def _section_values(section: Section) -> dict[str, Any]:
    return {
        "name": section.name,
        "title": section.title,
        "text": section.text,
        "left_out": section.left_out,
        "tables": [_table_values(t) for t in section.tables],
        "figures": [{"file": f"{d.name}.png", "caption": d.caption} for d in section.drawings],
    }


def _table_values(table: Table) -> dict[str, Any]:
    return {
        "name": table.name,
        "title": table.title,
        "note": table.note,
        "columns": [{"name": column.name, "heading": column.heading} for column in table.columns],
        "rows": [[_plain(cell) for cell in row] for row in table.rows],
    }


def _plain(cell: Cell) -> Any:
    if isinstance(cell, Verdict):
        return {"verdict": cell.text, "ok": cell.ok}
    if isinstance(cell, Measured):
        return {"value": _plain(cell.value), "error": _plain(cell.error)}
    if isinstance(cell, float) and not math.isfinite(cell):
        return None
    return cell
