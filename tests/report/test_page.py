"""The page shows what it is given, and nothing of it as HTML."""

from __future__ import annotations

from mmae.report.contents import Section, Table, Verdict
from mmae.report.page import render_page


def test_the_page_escapes_what_it_shows():
    table = Table("t", "<b>title</b>", ("a & b", "verdict"), (("<script>", Verdict("misses: <x>", False)),))
    html = render_page("a<b", {"made from": '<img src="http://x">'}, [Section("s", "S", "1 < 2", (table,))])
    assert "<script>" not in html and '<img src="http' not in html and "1 &lt; 2" in html
    assert "0 of 1 judged lines are met" in html
