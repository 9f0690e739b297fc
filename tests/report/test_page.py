"""The page escapes its contents; the terminal lists verdicts."""

from __future__ import annotations

import io
import re

from rich.console import Console

from mmae.report.contents import Column, Finding, Section, Table, Verdict
from mmae.report.page import render_page
from mmae.report.terminal import print_verdicts


def test_page_escapes_html_in_all_texts(tmp_path):
    table = Table(
        "t", "<b>title</b>", (Column("a", "a & b"), Column("verdict")), (("<script>", Verdict("misses: <x>", False)),)
    )
    html = render_page("a<b", {"made from": '<img src="http://x">'}, [Section("s", "S", "1 < 2", (table,))], tmp_path)
    assert html.count("<script>") == 1 and '<img src="http' not in html and "1 &lt; 2" in html
    assert "0 of 1" in html


def test_sections_are_closed_below_a_summary_and_open_without_one(tmp_path):
    section = Section("s", "S", "text", (Table("t", "T", (Column("a"),), (("x",),)),) * 2)
    finding = Finding("Question", (Verdict("2 < 3 times better", True), Verdict("unknown")), "1 & 2", "s")
    plain = render_page("p", {"made": "from"}, [section], tmp_path)
    summed = render_page("p", {"made": "from"}, [section], tmp_path, [finding])
    assert len(re.findall("<details[^>]* open>", plain)) == 2 and not re.findall("<details[^>]* open>", summed)
    assert "2 &lt; 3 times better" in summed and "1 &amp; 2" in summed and 'href="#s"' in summed
    # The summary comes before the sections, and every link of the page has its target.
    assert summed.index("Question") < summed.index("<h2>S</h2>")
    ids = set(re.findall('id="([^"]+)"', summed))
    assert set(re.findall('href="#([^"]+)"', summed)) <= ids


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
