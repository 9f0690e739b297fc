"""Text with brackets and colons is printed as it is."""

from __future__ import annotations

import io
import re
from pathlib import Path

from rich.table import Table

import mmae
from mmae.core.terminal import terminal


def test_paths_are_not_markup():
    text = io.StringIO()
    path = "/data/[v1]/[bold]/:star:/[/x]"
    table = Table(title=path)
    table.add_column(path)
    table.add_row(path)
    console = terminal(file=text, width=200)
    console.print(path, style="bold")
    console.print(table)
    assert text.getvalue().count(path) == 4


def test_all_consoles_are_made_here():
    """Another console would interpret [brackets] in paths as markup."""
    sources = {path: path.read_text() for path in Path(mmae.__file__).parent.rglob("*.py")}
    assert [path.name for path, text in sources.items() if re.search(r"\bConsole\(", text)] == ["terminal.py"]
