"""The report as one HTML page that opens without a network, on its own, also within MLflow."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from mmae.report.condense import WithError, condensed
from mmae.report.contents import Cell, Section, Table, Verdict, cell_text, tally

CSS = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222; margin: 2rem auto; max-width: 75rem;
  padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { border-bottom: 1px solid #ccc; padding-bottom: .2rem; margin-top: 2.5rem; }
table { border-collapse: collapse; margin: .6rem 0; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: .3rem 0; }
th, td { padding: .15rem .7rem .15rem 0; text-align: right; border-bottom: 1px solid #eee;
  white-space: nowrap; }
th { white-space: normal; vertical-align: bottom; }
td.met, td.missed, td.open { white-space: normal; min-width: 9rem; }
th.text, td.text { text-align: left; }
.met { color: #00664a; } .missed { color: #a33c00; font-weight: 600; } .open { color: #777; }
.note { color: #555; max-width: 60rem; }
.left-out { background: #fff3d6; padding: .4rem .7rem; max-width: 60rem; }
.scroll { overflow-x: auto; } img { max-width: 100%; } figcaption { color: #555; } figure { margin: 1rem 0; }
"""
CLASSES = {True: "met", False: "missed", None: "open"}


def render_page(title: str, facts: Mapping[str, str], sections: Sequence[Section], folder: Path) -> str:
    """The whole page.

    Args:
        title: of the page.
        facts: what the report is about, as lines of a list.
        sections: in order.
        folder: where the figure of a drawing is NAME.png.
    """
    judged, met = tally(sections)
    total = f"<p><strong>{met} of {judged} judged lines are met.</strong></p>" if judged else ""
    listed = "".join(f"<li>{escape(k)}: {escape(v)}</li>" for k, v in facts.items())
    contents = "".join(f'<li><a href="#{s.name}">{escape(s.title)}</a> {_summary(s)}</li>' for s in sections)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
        f"<style>{CSS}</style></head><body>\n<h1>{escape(title)}</h1>\n<ul>{listed}</ul>\n"
        f"{total}\n<ol>{contents}</ol>\n" + "\n".join(_section(s, folder) for s in sections) + "\n</body></html>\n"
    )


def _summary(section: Section) -> str:
    judged, met = tally([section])
    if judged:
        return f'<span class="{CLASSES[met == judged]}">{met} of {judged}</span>'
    return '<span class="open">left out</span>' if section.left_out and not section.tables else ""


def _section(section: Section, folder: Path) -> str:
    parts = [f'<h2 id="{section.name}">{escape(section.title)}</h2>', f'<p class="note">{escape(section.text)}</p>']
    if section.left_out:
        parts.append(f'<p class="left-out">{escape(section.left_out)}</p>')
    tables = [_table(t) for t in section.tables]
    figures = [
        f'<figure><img src="{_inline(folder / f"{d.name}.png")}" alt="{escape(d.caption)}"><figcaption>{escape(d.caption)}'
        "</figcaption></figure>"
        for d in section.drawings
    ]
    # The first table is the answer; people would rather look at figures than read the others.
    return "\n".join([*parts, *tables[:1], *figures, *tables[1:]])


def _inline(image: Path) -> str:
    # Within the page: MLflow shows a page without the files beside it, and a page is mailed alone.
    return f"data:image/png;base64,{b64encode(image.read_bytes()).decode()}"


def _table(table: Table) -> str:
    table = condensed(table)
    rows, columns = table.rows, table.columns
    is_text = [
        any(isinstance(row[k], (str, Verdict)) and not isinstance(row[k], WithError) for row in rows)
        for k in range(len(columns))
    ]
    head = "".join(f"<th{_class(t)}>{escape(c)}</th>" for c, t in zip(columns, is_text, strict=True))
    lines = ["".join(_cell(cell, t) for cell, t in zip(row, is_text, strict=True)) for row in rows]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    note = f'<p class="note">{escape(table.note)}</p>' if table.note else ""
    return (
        f'<div class="scroll"><table><caption>{escape(table.title)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{note}"
    )


def _class(text: bool) -> str:
    return ' class="text"' if text else ""


def _cell(cell: Cell, text: bool) -> str:
    if isinstance(cell, Verdict):
        return f'<td class="text {CLASSES[cell.ok]}">{escape(cell.text)}</td>'
    return f"<td{_class(text)}>{escape(cell_text(cell))}</td>"
