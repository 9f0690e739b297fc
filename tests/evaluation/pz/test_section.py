"""Section on p(z): modes, strata, left-out parts, figures."""

from __future__ import annotations

import numpy as np
import pytest

from mmae.core.errors import InputError
from mmae.evaluation.pz.section import HIDDEN, pz_section
from mmae.metrics import pz_calibration as ca
from mmae.metrics.pz_scores import crps
from mmae.report.contents import NOT_JUDGED, numbers, tally
from tests.evaluation.cells import n_numbers, rows_by_column
from tests.metrics.samples import drawn

N = 900
RIGHT, TRUTH_N = drawn(N, 1)
NARROW, _ = drawn(N, 1, stretch=1 / 1.5)
ALL_N = np.ones(N, bool)
FEW_N = np.arange(N) % 3 == 0
BRIGHT_N = np.arange(N) < 500
Z_SPEC_N = np.where(np.arange(N) == 7, np.nan, TRUTH_N)
FAMILIES = {
    "redshift": {"below 1": Z_SPEC_N < 1, "1 and above": Z_SPEC_N >= 1},
    "magnitude": {"bright": BRIGHT_N, "faint": ~BRIGHT_N, "none": np.zeros(N, bool)},
}


@pytest.fixture(scope="module")
def section():
    return pz_section(
        {"image": (RIGHT, ALL_N), "both": (NARROW, FEW_N)},
        Z_SPEC_N,
        FAMILIES,
        seed=1,
        resamples=50,
        object_id_N=np.array([f"galaxy {row}" for row in range(N)], object),
    )


def table(section, name):
    return {
        tuple(cell for cell in list(row.values())[:2] if isinstance(cell, str)): row
        for row in rows_by_column(section, name)
    }


def test_scores_are_of_galaxies_with_inputs_and_redshift(section):
    scores = table(section, "scores")
    known_N = np.isfinite(Z_SPEC_N)
    assert scores["image",]["n"] == N - 1
    assert scores["both",]["n"] == (FEW_N & known_N).sum()
    seen_N = FEW_N & known_N
    expected = crps(NARROW.chosen(seen_N), Z_SPEC_N[seen_N]).mean()
    assert scores["both",]["crps"].value == pytest.approx(expected)
    assert all(row["at_floor"] == 0 for row in scores.values())


def test_each_mode_has_a_verdict(section):
    found = table(section, "calibration")
    assert found["image",]["verdict"].ok is True
    assert found["both",]["verdict"].ok is False and ca.OVER_CONFIDENT in found["both",]["verdict"].text
    assert tally([section]) == (2, 1)


def test_coverage_by_level(section):
    rows = table(section, "coverage")
    assert {mode for mode, _ in rows} == {"image", "both"} and len(rows) == 2 * len(ca.LEVELS)
    for (_, level), row in rows.items():
        assert row["excess_percent"] == pytest.approx(row["inside_percent"] - float(level.rstrip("%")))
        assert row["low_percent"] < row["inside_percent"] < row["high_percent"]
    assert rows["both", "68%"]["excess_percent"] < -10 < -5 < rows["image", "68%"]["excess_percent"]


def test_strata_are_scored_separately_and_empty_strata_left_out(section):
    rows = table(section, "by_magnitude")
    assert set(rows) == {(mode, part) for mode in ("image", "both") for part in ("bright", "faint")}
    bright_N = BRIGHT_N & np.isfinite(Z_SPEC_N)
    expected = crps(RIGHT.chosen(bright_N), Z_SPEC_N[bright_N]).mean()
    assert rows["image", "bright"]["n"] == 499 and rows["image", "bright"]["crps"].value == pytest.approx(expected)
    assert rows["image", "bright"]["finding"].text == ca.fault_text(ca.calibrate(np.linspace(0.0005, 0.9995, 1000)))
    assert all(row["finding"].ok is None for row in rows.values())
    assert rows["both", "bright"]["finding"] != rows["image", "bright"]["finding"]  # too few galaxies


def test_strata_by_true_redshift_are_not_judged_and_by_estimate_are(section):
    assert "redshift" in HIDDEN
    assert all(row["finding"] is NOT_JUDGED for row in table(section, "by_redshift").values())
    by_point = table(section, "by_median_of_p_z")
    assert not any(row["finding"] is NOT_JUDGED for row in by_point.values())
    assert sum(row["n"] for (mode, _), row in by_point.items() if mode == "image") == N - 1
    judged = pz_section({"image": (RIGHT, ALL_N)}, Z_SPEC_N, FAMILIES, seed=1, resamples=20, hidden=())
    assert not any(row["finding"] is NOT_JUDGED for row in table(judged, "by_redshift").values())


def test_significance_of_findings_accounts_for_the_number_of_strata():
    high, truth_N = drawn(N, 1, shift=0.11)
    assert ca.SIGNIFICANCE / 31 < ca.calibrate(ca.randomised_pit(high, truth_N, 1)).p_value < ca.SIGNIFICANCE
    many = {"all": ALL_N, **{f"only {row}": np.arange(N) == row for row in range(30)}}
    section = pz_section({"image": (high, ALL_N)}, truth_N, {"one": {"all": ALL_N}, "many": many}, seed=1, resamples=5)
    assert ca.BIASED in table(section, "by_one")["image", "all"]["finding"].text
    assert ca.BIASED not in table(section, "by_many")["image", "all"]["finding"].text


def test_every_number_has_a_unique_name(section):
    found = numbers([section])
    assert len(found) == n_numbers(section)
    assert found["pz/coverage/image_68pct/inside_percent"] == pytest.approx(68, abs=7)
    assert {"pz/scores/image/crps", "pz/scores/image/crps_error", "pz/calibration/both/p_value"} <= set(found)


def test_pit_figure_shows_every_mode(section):
    figures = {d.name: d.figure for d in section.drawings}
    assert list(figures) == ["pz_pit", "pz_coverage", "pz_stacked", "pz_examples"]
    titles = [ax.get_title() for ax in figures["pz_pit"].axes]
    assert titles == ["image (899 galaxies)", "both (300 galaxies)"]
    assert all(d.caption for d in section.drawings)
    for ax, n in zip(figures["pz_pit"].axes, (899, 300), strict=True):
        steps = next(p for p in ax.patches if hasattr(p, "get_data") and len(p.get_data().values) == 20)
        assert steps.get_data().values.mean() == pytest.approx(1)  # a density
        assert (np.round(steps.get_data().values * n / 20, 6) % 1 == 0).all()


def test_stacked_figure_shows_normalised_densities(section):
    for ax in {d.name: d.figure for d in section.drawings}["pz_stacked"].axes:
        for steps in ax.patches:
            values, edges, _ = steps.get_data()
            assert (values * np.diff(edges)).sum() == pytest.approx(1)


def test_examples_are_spread_over_the_sorted_redshifts(section):
    axes = {d.name: d.figure for d in section.drawings}["pz_examples"].axes
    shown = [ax.get_title() for ax in axes if ax.get_title()]
    z = [float(title.split("= ")[1]) for title in shown]
    assert len(shown) == 6 and z == sorted(z) and shown[0].startswith("galaxy")
    rows = [int(title.split(",")[0].split()[1]) for title in shown]
    assert all(FEW_N[row] for row in rows)  # galaxies with p(z) in every mode
    assert z == pytest.approx(TRUTH_N[rows], abs=6e-4)
    assert all(len(ax.patches) == 2 for ax in axes)


def test_model_without_pdf_is_left_out():
    section = pz_section({}, Z_SPEC_N, FAMILIES, seed=0)
    assert section.name == "pz" and not section.tables and not section.drawings
    assert "p(z)" in section.left_out and "`small`" in section.left_out


def test_mode_without_galaxies_is_left_out():
    none_N = np.zeros(N, bool)
    section = pz_section({"image": (RIGHT, ALL_N), "spectrum": (RIGHT, none_N)}, Z_SPEC_N, {}, seed=0, resamples=20)
    assert "spectrum" in section.left_out and [row[0] for row in section.tables[0].rows] == ["image"]
    assert [t.name for t in section.tables] == ["scores", "calibration", "coverage", "by_median_of_p_z"]
    unlabelled = pz_section({"image": (RIGHT, ALL_N)}, np.full(N, np.nan), {}, seed=0)
    assert not unlabelled.tables and "image" in unlabelled.left_out


def test_single_galaxy_is_drawn_and_not_judged():
    few = RIGHT.chosen(np.arange(1))
    section = pz_section({"image": (few, np.array([True]))}, TRUTH_N[:1], {}, seed=0, resamples=20)
    assert table(section, "calibration")["image",]["verdict"].ok is None
    assert len(section.drawings) == 4


def test_redshifts_above_the_bins_are_counted_at_the_floor():
    z_N = np.where(np.arange(N) < 5, 9.0, TRUTH_N)
    section = pz_section({"image": (RIGHT, ALL_N)}, z_N, {}, seed=0, resamples=20)
    row = table(section, "scores")["image",]
    assert row["at_floor"] == 5 and row["pit_outliers_percent"].value == pytest.approx(100 * 5 / N, abs=0.3)


@pytest.mark.parametrize(
    ("pdfs", "families", "named"),
    [
        ({"image": (RIGHT, ALL_N[:-1])}, {}, "image"),
        ({"image": (RIGHT.chosen(FEW_N), ALL_N)}, {}, "image"),
        ({"image": (RIGHT, ALL_N.astype(int))}, {}, "image"),
        ({"image": (RIGHT, ALL_N)}, {"kind": {"QSO": ALL_N[:3]}}, "QSO"),
        ({"image": (RIGHT, ALL_N)}, {"kind": {"QSO": np.arange(N)}}, "QSO"),
    ],
)
def test_inconsistent_arrays_are_refused(pdfs, families, named):
    with pytest.raises(InputError, match=named):
        pz_section(pdfs, Z_SPEC_N, families, seed=0)
