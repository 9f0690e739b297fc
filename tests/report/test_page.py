"""The page escapes its contents; the terminal lists verdicts."""

from __future__ import annotations

import io

from rich.console import Console

from mmae.report.contents import Column, Section, Table, Verdict
from mmae.report.page import render_page
from mmae.report.terminal import print_verdicts


def test_page_escapes_html_in_all_texts(tmp_path):
    table = Table(
        "t", "<b>title</b>", (Column("a", "a & b"), Column("verdict")), (("<script>", Verdict("misses: <x>", False)),)
    )
    html = render_page("a<b", {"made from": '<img src="http://x">'}, [Section("s", "S", "1 < 2", (table,))], tmp_path)
    assert "<script>" not in html and '<img src="http' not in html and "1 &lt; 2" in html
    assert "0 of 1" in html


def test_terminal_lists_few_verdicts_and_counts_many():
    few = Table(
        "few",
        "Few",
        (Column("line"), Column("verdict")),
        (("a", Verdict("well", True)), ("b", Verdict("misses", False)), ("c", Verdict("not judged"))),
    )
    many = Table(
        "many", "Many", (Column("line"), Column("verdict")), tuple((f"m{i}", Verdict("well", True)) for i in range(6))
    )
    console = Console(file=io.StringIO(), width=80)
    print_verdicts(
        [Section("s", "First", "", (few,)), Section("t", "Second", "", (many,)), Section("u", "Third", "")], console
    )
    first, a, b, second = [line for line in console.file.getvalue().splitlines() if line]
    assert first.startswith("First: 1 of 2") and second.startswith("Second: 6 of 6")
    assert (a.strip(), b.strip()) == ("a: well", "b: misses")
