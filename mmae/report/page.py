"""Render a report as a single self-contained HTML page, which can be viewed offline and within MLflow."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from mmae.report.contents import Cell, Section, Table, Verdict, cell_text, tally

TEMPLATE = "page.html"
CLASSES = {True: "met", False: "missed", None: "open"}  # CSS classes of the template


def render_page(title: str, facts: Mapping[str, str], sections: Sequence[Section], folder: Path) -> str:
    """The page as HTML.

    Args:
        title: page title.
        facts: entries of the list below the title: name -> text.
        sections: sections in order.
        folder: folder of the figures NAME.png.
    """
    environment = Environment(
        loader=PackageLoader("mmae", "report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    judged, met = tally(sections)
    return environment.get_template(TEMPLATE).render(
        title=title, facts=facts, judged=judged, met=met, sections=[_section(s, folder) for s in sections]
    )


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
        # Figures are embedded, because MLflow displays the page without its folder and pages are sent by mail.
        "figures": [
            {"png": b64encode((folder / f"{d.name}.png").read_bytes()).decode(), "caption": d.caption}
            for d in section.drawings
        ],
    }


def _table(table: Table) -> dict[str, Any]:
    is_text = [any(isinstance(row[k], (str, Verdict)) for row in table.rows) for k in range(len(table.columns))]
    return {
        "title": table.title,
        "note": table.note,
        "head": [
            {"text": column.heading, "classes": "text" if text else ""}
            for column, text in zip(table.columns, is_text, strict=True)
        ],
        "rows": [
            [
                {"text": cell_text(cell), "classes": _classes(cell, text)}
                for cell, text in zip(row, is_text, strict=True)
            ]
            for row in table.rows
        ],
    }


def _classes(cell: Cell, in_text_column: bool) -> str:
    if isinstance(cell, Verdict):
        return f"text {CLASSES[cell.ok]}"
    return "text" if in_text_column else ""
