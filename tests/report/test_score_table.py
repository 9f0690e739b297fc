"""The score table in the terminal."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console

from mmae.metrics.bootstrap import Score
from mmae.metrics.redshift import score_table
from mmae.report.score_table import print_scores, with_error


@pytest.fixture
def table():
    rng = np.random.default_rng(5)
    z = rng.uniform(0, 1, 400)
    image = z + 0.02 * (1 + z) * rng.standard_normal(400)
    return score_table(z, {"image": image, "spectrum": np.where(z < 0.01, np.nan, z)}, z_train=z, resamples=50)


def printed(table, width=80, **options) -> str:
    console = Console(file=io.StringIO(), width=width)
    print_scores(table, console, **options)
    return console.file.getvalue()


def row(text: str, name: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.strip().startswith(name)]
    return line.replace(name, "").split()


def test_each_mode_has_a_row_within_80_columns(table):
    text = printed(table)
    for mode, name in (("image", "image only"), ("training median", "training median")):
        low_z, all_z = table[mode]["z<0.4"], table[mode]["all z"]
        assert row(text, name) == [
            with_error(low_z["sigma_nmad"]),
            with_error(all_z["sigma_nmad"]),
            with_error(all_z["bias"]),
            with_error(all_z["outlier_rate"], percent=True),
        ]
    assert max(map(len, text.splitlines())) <= 80


def test_the_widest_scores_fit_into_80_columns():
    """Those of a spectrum have five digits, an outlier rate of a bad model three before the point."""
    rng = np.random.default_rng(3)
    z = rng.uniform(0, 1, 300)
    exact = score_table(z, {"spectrum": z - 2e-5 * rng.standard_normal(300)}, z_train=z, resamples=50)
    text = printed(exact | score_table(z, {"image": z - 0.5 * (1 + z)}, z_train=z, resamples=50))
    assert len(row(text, "spectrum only")) == len(row(text, "image only")) == len(row(text, "training median")) == 4
    assert "100.00" in text and max(len(line) for line in text.splitlines() if "±" in line) <= 80


def test_baseline_is_last_and_counts_are_given(table):
    text = printed({"training median": table["training median"], "image": table["image"]})
    assert text.index("image only") < text.index("training median")
    n = table["image"]["z<0.4"]["outlier_rate"].n
    assert f"{n} at z<0.4, 400 at all z" in text


def test_counts_are_given_per_mode_if_they_differ(table):
    few = score_table([0.1, 0.2, 0.7], {"both": [0.1, 0.2, 0.7]}, resamples=2)
    text = printed(table | few, 120)
    assert "(both): 2 at z<0.4, 3 at all z" in text
    assert "(image only, spectrum only, training median): " in text


def test_numbers_of_predictions_that_are_not_finite_are_reported(table):
    missing = int(table["spectrum"]["all z"]["not_finite"].value)
    assert missing > 0
    assert f"spectrum only: {missing} of 400 " in printed(table, 120)
    assert "image only: " not in printed(table, 120)


def test_published_values_are_shown_only_on_request_with_a_note(table):
    assert "paper" not in printed(table)
    text = printed(table, 200, paper=True)
    assert row(text, "paper *") == ["0.0163", "0.0210", "4.63%"]
    assert "20,181" in text


def test_empty_tables_and_selections_are_printed():
    assert "redshift from" in printed({})
    text = printed(score_table([0.5], {"both": [0.5]}, resamples=2))
    assert row(text, "both")[0] == "-"


@pytest.mark.parametrize(
    ("score", "percent", "expected"),
    [
        (Score(0.02104, 0.0207, 0.0213, 9), False, "0.0210±0.0003"),
        (Score(-0.0123, -0.0133, -0.0113, 9), False, "−0.0123±0.0010"),
        (Score(-0.00001, -0.0003, 0.0003, 9), False, "0.0000±0.0003"),  # no minus zero
        (Score(0.00012, 0.00011, 0.00013, 9), False, "0.00012±0.00001"),
        (Score(0.0463, 0.0448, 0.0478, 9), True, "4.63±0.15%"),
        (Score(3.0, float("nan"), float("nan"), 9), False, "3.0000"),
        (Score(float("nan"), float("nan"), float("nan"), 0), False, "-"),
        (None, False, "-"),
    ],
)
def test_score_with_error_as_text(score, percent, expected):
    assert with_error(score, percent) == expected
