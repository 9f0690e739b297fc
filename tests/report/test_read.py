"""A stored report is read back as the same sections."""

from __future__ import annotations

import pytest
from matplotlib.figure import Figure

from mmae.core.errors import InputError
from mmae.report.contents import Column, Drawing, Measured, Section, Table, Verdict, numbers
from mmae.report.read import read_sections
from mmae.report.save import save_report

TABLE = Table(
    "t",
    "Title",
    (Column("name"), Column("value", "value [mag]"), Column("n"), Column("verdict"), Column("free")),
    (
        ("a", Measured(1.5, 0.25), 3, Verdict("well", True), "text"),
        ("b", Measured(float("nan"), float("nan")), 4, Verdict("not judged"), None),
        ("c", 0.5, 0, Verdict("misses", False), None),
    ),
    "A note.",
)


def test_sections_are_read_as_they_were_written(tmp_path):
    section = Section("s", "S", "text", (TABLE,), (Drawing("figure", "caption", Figure()),), "left out")
    save_report(tmp_path, "title", {}, [section], "kind")
    (again,) = read_sections(tmp_path)
    assert numbers([again]) == numbers([section])
    (table,) = again.tables
    assert table.columns == TABLE.columns and table.note == TABLE.note
    assert table.rows[0] == TABLE.rows[0] and table.rows[2] == TABLE.rows[2]
    (drawing,) = again.drawings
    assert drawing.figure == tmp_path / "figure.png" and drawing.figure.exists()
    assert (again.name, again.title, again.text, again.left_out) == ("s", "S", "text", "left out")
    # The figure of a stored report is copied into another one.
    save_report(tmp_path / "second", "title", {}, [again], "kind")
    assert (tmp_path / "second/figure.png").read_bytes() == drawing.figure.read_bytes()


@pytest.mark.parametrize("content", [None, "{}", "not JSON"])
def test_an_incomplete_report_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "report.json").write_text(content)
    with pytest.raises(InputError, match="report.json"):
        read_sections(tmp_path)
