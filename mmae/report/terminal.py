"""Print a report in the terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from mmae.report.contents import Cell, Measured, Section, Table, Verdict, cell_text, leading_texts

MAX_VERDICTS = 5  # sections with more verdicts show only their number
STYLES = {True: "green", False: "bold red", None: "dim"}


def print_section(section: Section, console: Console) -> None:
    """Print title, tables and `left_out` of a section; its text is only on the page."""
    console.print(f"\n{section.title}", style="bold", highlight=False)
    if section.left_out:
        console.print(section.left_out, style="yellow", highlight=False, soft_wrap=True)
    for table in section.tables:
        console.print(rich_table(table))
        if table.note:
            console.print(table.note, style="dim", highlight=False)


def print_verdicts(sections: Iterable[Section], console: Console) -> None:
    """Print the number of met verdicts of each section, and the single verdicts if there are few."""
    for section in sections:
        judged = [
            (leading_texts(row), cell)
            for table in section.tables
            for row in table.rows
            for cell in row
            if isinstance(cell, Verdict) and cell.ok is not None
        ]
        if not judged:
            continue
        met = sum(bool(verdict.ok) for _, verdict in judged)
        console.print(f"\n{section.title}: {met} of {len(judged)} met", style="bold", highlight=False)
        for names, verdict in judged if len(judged) <= MAX_VERDICTS else ():
            console.print(Text(f"  {', '.join(names)}: {verdict.text}", style=_style(verdict)))


def rich_table(table: Table) -> RichTable:
    """A table with right-aligned numbers and coloured verdicts (which are also given as text)."""
    shown = RichTable(
        title=table.title,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 0, 0, 1),
    )
    for k, column in enumerate(table.columns):
        numeric = any(isinstance(row[k], (int, float, Measured)) or row[k] is None for row in table.rows)
        # Headings and verdicts may be wrapped, numbers not.
        widest = max((len(cell_text(row[k])) for row in table.rows), default=0) if numeric else None
        shown.add_column(column.heading, justify="right" if numeric else "left", min_width=widest)
    for row in table.rows:
        shown.add_row(*(Text(cell_text(cell), style=_style(cell)) for cell in row))
    return shown


def _style(cell: Cell) -> str:
    return STYLES[cell.ok] if isinstance(cell, Verdict) else ""
