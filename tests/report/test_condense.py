"""Numbers and their errors in one cell, for people; the table itself keeps them apart."""

from __future__ import annotations

import re
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from mmae.report.condense import WithError, condensed, with_error
from mmae.report.contents import Drawing, Section, Table, Verdict, numbers
from mmae.report.page import render_page


def table(columns, *rows) -> Table:
    return Table("t", "T", tuple(columns), tuple(tuple(row) for row in rows))


def test_columns_of_errors_go_into_those_before_them():
    given_table = table(
        (
            "mode",
            "n",
            "bias [%]",
            "bias error [%]",
            "size",
            "its error",
            "rise",
            "error",
            "spread",
            "error of spread [%]",
        ),
        ("image", 1200, 12.345, 0.678, 0.03038, 0.00075, -4.5e-4, 1e-5, 7.0, None),
        ("both", 3, None, 0.1, 1234.0, 56.0, 0.0, 0.02, 7.5, 0.0),
    )
    shown = condensed(given_table)
    assert shown.columns == ("mode", "n", "bias [%]", "size", "rise", "spread")
    assert shown.rows[0] == ("image", 1200, "12.35±0.68", "0.03038±0.00075", "−0.000450±0.000010", 7.0)
    assert shown.rows[1] == ("both", 3, None, "1234±56", "0.000±0.020", 7.5)
    # In JSON and MLflow they are two numbers still.
    assert numbers([Section("s", "", "", (given_table,))])["s/t/image/bias_error_pct"] == 0.678


def test_rows_of_errors_go_into_those_above_them():
    shown = condensed(
        table(
            ("score", "image", "both"),
            ("galaxies", 10, 10),
            ("bias [%]", 1.0, -2.0),
            ("bias error [%]", 0.25, 0.31),
            ("rms", 0.1, 0.2),
        )
    )
    assert shown.rows == (("galaxies", 10, 10), ("bias [%]", "1.00±0.25", "−2.00±0.31"), ("rms", 0.1, 0.2))


@pytest.mark.parametrize(
    "columns",
    [
        ("line", "error"),  # of no number
        ("n", "|error| > 0.1 mag [%]"),  # a rate of errors, not an error
        ("n", "terror"),
    ],
)
def test_what_is_no_error_of_a_number_stays(columns):
    given_table = table(columns, ("a" if columns[0] == "line" else 5, 0.5))
    assert condensed(given_table) == given_table


@given(st.floats(-1e4, 1e4), st.floats(1e-6, 1e3))
def test_what_is_shown_is_within_a_twentieth_of_the_error(value, error):
    shown, shown_error = re.fullmatch(r"(−?[\d.]+)±([\d.]+)", with_error(value, error)).groups()
    assert abs(float(shown.replace("−", "-")) - value) <= 0.051 * error
    # Two digits: rounding moves the error itself by 5% at most, errors above a hundred to the unit.
    assert float(shown_error) == pytest.approx(error, rel=0.051)


def test_on_the_page_they_stand_right_like_numbers_and_figures_follow_the_first_table(tmp_path):
    first, second = table(("score", "value", "error"), ("rms", 0.5, 0.02)), table(("x",), (Verdict("well", True),))
    (tmp_path / "d.png").write_bytes(b"pixels")
    drawing = Drawing("d", "seen", Figure())
    page = render_page("P", {}, [Section("s", "S", "text", (first, second), (drawing,))], tmp_path)
    assert "<td>0.500±0.020</td>" in page and "<th>value</th>" in page and "error</th>" not in page
    assert page.index("0.500±0.020") < page.index(b64encode(b"pixels").decode()) < page.index("well")
    assert isinstance(with_error(0.5, 0.02), WithError) and with_error(0.5, float("nan")) == 0.5
