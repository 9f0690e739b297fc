"""Render a report as a single self-contained HTML page, which can be viewed offline and within MLflow."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from mmae.report.contents import Cell, Drawing, Finding, Measured, Section, Table, Verdict, cell_text, tally

TEMPLATE = "page.html"
WIDE_FROM = 10  # columns; errors in such a table may be on a line below their value
CLASSES = {True: "met", False: "missed", None: "open"}  # CSS classes of the template


def render_page(
    title: str, facts: Mapping[str, str], sections: Sequence[Section], folder: Path, summary: Sequence[Finding] = ()
) -> str:
    """The page as HTML.

    Args:
        title: page title.
        facts: what the report was made from: name -> text.
        sections: sections in order. They are closed below a summary, and open without one.
        folder: folder of the figures NAME.png.
        summary: answers at the top of the page.
    """
    environment = Environment(
        loader=PackageLoader("mmae", "report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    judged, met = tally(sections)
    return environment.get_template(TEMPLATE).render(
        title=title,
        facts=facts,
        judged=judged,
        met=met,
        summary=[_finding(finding, folder) for finding in summary],
        sections=[_section(s, folder) for s in sections],
    )


def _finding(finding: Finding, folder: Path) -> dict[str, Any]:
    return {
        "title": finding.title,
        "verdicts": [{"text": verdict.text, "status": CLASSES[verdict.ok]} for verdict in finding.verdicts],
        "text": finding.text,
        "section": finding.section,
        "figure": _figure(finding.drawing, folder) if finding.drawing else None,
    }


def _section(section: Section, folder: Path) -> dict[str, Any]:
    judged, met = tally([section])
    return {
        "name": section.name,
        "title": section.title,
        "text": section.text,
        "left_out": section.left_out,
        "judged": judged,
        "met": met,
        "status": CLASSES[met == judged],
        "tables": [_table(table) for table in section.tables],
        "figures": [_figure(drawing, folder) for drawing in section.drawings],
        "abreast": section.abreast,
    }


def _figure(drawing: Drawing, folder: Path) -> dict[str, str]:
    # Figures are embedded, because MLflow displays the page without its folder and pages are sent by mail.
    return {"png": b64encode((folder / f"{drawing.name}.png").read_bytes()).decode(), "caption": drawing.caption}


def _table(table: Table) -> dict[str, Any]:
    is_text = [any(isinstance(row[k], (str, Verdict)) for row in table.rows) for k in range(len(table.columns))]
    return {
        "title": table.title,
        "note": table.note,
        "head": [
            {"text": column.heading, "classes": "text" if text else ""}
            for column, text in zip(table.columns, is_text, strict=True)
        ],
        "wide": len(table.columns) >= WIDE_FROM,
        "rows": [[_cell(cell, text) for cell, text in zip(row, is_text, strict=True)] for row in table.rows],
    }


def _cell(cell: Cell, in_text_column: bool) -> dict[str, str]:
    value, sign, error = cell_text(cell).partition("±") if isinstance(cell, Measured) else (cell_text(cell), "", "")
    return {"text": value, "error": sign + error, "classes": _classes(cell, in_text_column)}


def _classes(cell: Cell, in_text_column: bool) -> str:
    if isinstance(cell, Verdict):
        return f"text {CLASSES[cell.ok]}"
    return "text" if in_text_column else ""
