"""Write a report to disk and log it to MLflow: HTML page, figures, and all numbers as JSON."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmae.report.contents import Cell, Finding, Measured, Section, Table, Verdict, numbers, tally
from mmae.report.page import render_page
from mmae.report.style import save_figure
from mmae.tracking.runs import Tracker

PAGE, NUMBERS = "report.html", "report.json"


def save_report(
    folder: Path,
    title: str,
    facts: Mapping[str, str],
    sections: Sequence[Section],
    kind: str,
    summary: Sequence[Finding] = (),
    **more: Any,
) -> Path:
    """Write report.html, report.json and the figures into a folder, and return the page.

    Figures of an earlier report in this folder are removed.

    Args:
        facts: what the report was made from: name -> text.
        kind: value of "format" in report.json.
        summary: answers at the top of the page.
        more: additional plain values for report.json.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    of_summary = [finding.drawing for finding in summary if finding.drawing is not None]
    for drawing in (*of_summary, *(drawing for section in sections for drawing in section.drawings)):
        png = folder / f"{drawing.name}.png"
        if isinstance(drawing.figure, Path):
            shutil.copyfile(drawing.figure, png)
        else:
            save_figure(drawing.figure, png)
    judged, met = tally(sections)
    content = {
        "format": kind,
        **facts,
        **more,
        "judged": judged,
        "met": met,
        "summary": [_finding_values(finding) for finding in summary],
        "sections": [_section_values(s) for s in sections],
        "numbers": numbers(sections),
    }
    (folder / NUMBERS).write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")
    page = folder / PAGE
    page.write_text(render_page(title, facts, sections, folder, summary))
    return page


def log_report(tracker: Tracker, sections: Sequence[Section], page: Path) -> None:
    """Log numbers as metrics, and page and figures as artifacts in a folder of the same name as on disk."""
    tracker.metrics(numbers(sections))
    log_page(tracker, page)


def log_page(tracker: Tracker, page: Path) -> None:
    """Log page, figures and report.json as artifacts in a folder of the same name as on disk."""
    for file in (page, page.parent / NUMBERS, *sorted(page.parent.glob("*.png"))):
        tracker.file(file, page.parent.name)


def _finding_values(finding: Finding) -> dict[str, Any]:
    return {
        "title": finding.title,
        "verdicts": [_plain(verdict) for verdict in finding.verdicts],
        "text": finding.text,
        "section": finding.section,
    }


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
