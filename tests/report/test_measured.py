"""Values with errors: one cell on the page, two metrics in MLflow."""

from __future__ import annotations

import re
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from mmae.report.contents import Column, Drawing, Measured, Section, Table, Verdict, cell_text, numbers
from mmae.report.page import render_page


def table(names: tuple[str, ...], *rows) -> Table:
    return Table("t", "T", tuple(Column(name) for name in names), tuple(tuple(row) for row in rows))


def test_value_and_error_are_two_metrics():
    given_table = Table(
        "t",
        "T",
        (Column("mode"), Column("bias_percent", "bias [%]")),
        (("image", Measured(12.345, 0.678)), ("both", None)),
    )
    found = numbers([Section("s", "", "", (given_table,))])
    assert found == {"s/t/image/bias_percent": 12.345, "s/t/image/bias_percent_error": 0.678}


@pytest.mark.parametrize(
    ("measured", "shown"),
    [
        (Measured(12.345, 0.678), "12.35±0.68"),
        (Measured(0.03038, 0.00075), "0.03038±0.00075"),
        (Measured(-4.5e-4, 1e-5), "−0.000450±0.000010"),
        (Measured(1234.0, 56.0), "1234±56"),
        (Measured(7.5, 0.0), "7.5"),
        (Measured(7.5, float("nan")), "7.5"),
        (Measured(float("nan"), 0.1), "-"),
    ],
)
def test_error_is_shown_with_two_digits(measured, shown):
    assert cell_text(measured) == shown


@given(st.floats(-1e4, 1e4), st.floats(1e-6, 1e3))
def test_rounding_is_below_5_percent_of_the_error(value, error):
    shown, shown_error = re.fullmatch(r"(−?[\d.]+)±([\d.]+)", cell_text(Measured(value, error))).groups()
    assert abs(float(shown.replace("−", "-")) - value) <= 0.051 * error
    # With two digits, rounding changes the error by at most 5%; errors above 100 are rounded to integers.
    assert float(shown_error) == pytest.approx(error, rel=0.051)


def test_figures_follow_the_first_table_and_text_columns_are_marked(tmp_path):
    first, second = table(("score", "value"), ("rms", Measured(0.5, 0.02))), table(("x",), (Verdict("well", True),))
    (tmp_path / "d.png").write_bytes(b"pixels")
    drawing = Drawing("d", "seen", Figure())
    page = render_page("P", {}, [Section("s", "S", "text", (first, second), (drawing,))], tmp_path)
    assert "<td>0.500±0.020</td>" in page and "<th>value</th>" in page and '<th class="text">score</th>' in page
    assert page.index("0.500±0.020") < page.index(b64encode(b"pixels").decode()) < page.index("well")
