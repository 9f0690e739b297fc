"""Verdicts, metric names, and formatting of cells."""

from __future__ import annotations

import math

import pytest

from mmae.report.contents import (
    NOT_JUDGED,
    Column,
    Section,
    Table,
    Verdict,
    cell_text,
    judge_all,
    judge_difference,
    judge_factor,
    judge_range,
    judge_ratio,
    numbers,
    tally,
)


@pytest.mark.parametrize(
    ("verdict", "ok"),
    [
        (judge_ratio(1.24, 1.0, 0.25), True),
        (judge_ratio(0.76, 1.0, 0.25), True),
        (judge_ratio(1.26, 1.0, 0.25), False),
        (judge_ratio(0.74, 1.0, 0.25), False),
        (judge_ratio(1.0, math.nan, 0.25), None),
        (judge_ratio(1.0, 0.0, 0.25), None),
        (judge_difference(0.49, 0.5, 0.02), True),
        (judge_difference(0.47, 0.5, 0.02), False),
        (judge_difference(math.nan, 0.5, 0.02), None),
        (judge_factor(2.1, 1.0, 2.0), False),
        (judge_factor(0.45, 1.0, 2.0), False),
        (judge_factor(0.55, 1.0, 2.0), True),
        (judge_range(0.03, 0.03, 0.05), True),
        (judge_range(0.029, 0.03, 0.05), False),
        (judge_range(0.051, 0.03, 0.05), False),
    ],
)
def test_values_at_and_around_the_limits_are_judged(verdict, ok):
    assert verdict.ok is ok


def test_missed_verdicts_give_the_deviation():
    assert "1.42" in judge_ratio(1.42, 1.0, 0.25).text
    assert "\N{MINUS SIGN}0.3 mag" in judge_difference(0.1, 0.4, 0.1, "mag").text
    text = judge_range(0.01, 0.03, 0.05).text
    assert "below" in text and "0.03" in text and "0.05" in text


def test_combined_verdict_is_met_only_if_all_are_met():
    good, bad = Verdict("within 25%", True), Verdict("misses: D = 0.4", False)
    assert judge_all(good, good).ok is True
    assert judge_all(good, bad) == bad
    assert judge_all(NOT_JUDGED, good).ok is True
    assert judge_all(NOT_JUDGED, NOT_JUDGED) == NOT_JUDGED


def sections() -> list[Section]:
    rows = (
        ("mean of counts", "g", 0.3, math.nan, Verdict("within 25%", True)),
        ("mean of counts", "r", 0.6, 3, Verdict("misses: 2 x the target", False)),
        ("mean of counts", "i", 0.6, None, NOT_JUDGED),
    )
    return [
        Section(
            "pixels",
            "Pixels",
            "",
            (
                Table(
                    "moments",
                    "",
                    (
                        Column("statistic"),
                        Column("band"),
                        Column("share_below_1_percent", "share < 1 [%]"),
                        Column("n"),
                        Column("verdict"),
                    ),
                    rows,
                ),
            ),
        )
    ]


def test_metric_names_consist_of_section_table_row_and_column():
    assert numbers(sections()) == {
        "pixels/moments/mean_of_counts_g/share_below_1_percent": 0.3,
        "pixels/moments/mean_of_counts_r/share_below_1_percent": 0.6,
        "pixels/moments/mean_of_counts_r/n": 3.0,
        "pixels/moments/mean_of_counts_i/share_below_1_percent": 0.6,
    }


def test_tally_counts_judged_and_met_lines():
    assert tally(sections()) == (2, 1)


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (12345, "12,345"),
        (0.28514, "0.2851"),
        (-0.5, "\N{MINUS SIGN}0.5"),
        (None, "-"),
        (math.nan, "-"),
        ("g", "g"),
        (NOT_JUDGED, "not judged"),
        (0.0, "0"),
        (3.2e-7, "3.20e\N{MINUS SIGN}07"),
    ],
)
def test_formatting_of_cells(cell, text):
    assert cell_text(cell) == text
