"""The report section that compares a search with the truth: numbers, verdicts, figures and errors."""

import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

from mmae.core.errors import InputError
from mmae.metrics.bootstrap import Score
from mmae.report.contents import Measured, Verdict, numbers, slug
from mmae.report.page import render_page
from mmae.steepspec.assessment.recovery import PURITIES, completeness, confusion, match_truth, selection_by_snr
from mmae.steepspec.assessment.section import assessment_section
from mmae.steepspec.assessment.tables import judge_score, judge_share
from mmae.steepspec.classify import CLASSES
from mmae.steepspec.schema import MEMBERS, SOURCES
from tests.steepspec.assessment.truth_tables import detect, made, make_members, make_regions, make_truth, pulled


def simulated_search(n=400, seed=0):
    """A search with candidates, chance sources and pulls of width 1."""
    rng = np.random.default_rng(seed)
    kinds = rng.choice(CLASSES[:4], n)
    names = np.array([f"R{i}" for i in range(8)])
    truth = make_truth(
        n,
        source_class=kinds,
        alpha=rng.normal(-1.2, 0.6, n),
        s1400_mjy=10 ** rng.normal(-0.3, 0.5, n),
        region=np.where((kinds == CLASSES[0]) & (rng.random(n) < 0.3), rng.integers(8, size=n), -1),
    )
    rows = np.flatnonzero(rng.random(n) < 0.8)
    error = rng.uniform(0.1, 0.4, len(rows))
    alpha = np.asarray(truth["alpha"])[rows] + error * rng.normal(size=len(rows))
    sources = detect(
        truth,
        rows,
        alpha=alpha,
        alpha_err=error,
        steep=alpha < -1.4,
        snr=5 + rng.exponential(20, len(rows)),
        source_class=rng.choice(CLASSES, len(rows)),
        p_steep=rng.random(len(rows)),
        n_detections=rng.integers(2, 6, len(rows)),
        vetoed=rng.random(len(rows)) < 0.1,
        alpha_from=rng.choice(["sed", "limits"], len(rows)),
    )
    inside = np.flatnonzero(rng.random(len(rows)) < 0.4)
    regions = make_regions(names[:6], rng.uniform(0.03, 0.4, 6))
    members = make_members(sources, inside, rng.choice(names[:6], len(inside)))
    return sources, members, regions, truth, names


def draw(section):
    """Save every figure and render the page, which must contain all of them."""
    with tempfile.TemporaryDirectory() as folder:
        for drawing in section.drawings:
            drawing.figure.savefig(Path(folder) / f"{drawing.name}.png", dpi=30)
        page = render_page("search", {}, [section], Path(folder))
    assert page.count("data:image/png") == len(section.drawings)


def cell_values(section):
    """Every finite number of the tables, the errors included."""
    cells = [cell for table in section.tables for row in table.rows for cell in row]
    values = [cell for cell in cells if isinstance(cell, (int, float))]
    values += [number for cell in cells if isinstance(cell, Measured) for number in (cell.value, cell.error)]
    return [value for value in values if np.isfinite(value)]


def test_every_number_has_its_own_metric_name_and_every_figure_is_drawn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        section = assessment_section(*simulated_search(), resamples=20)
        draw(section)
    assert (section.name, section.left_out) == ("truth", "")
    found = numbers([section])
    assert len(found) == len(cell_values(section)) > 300  # no two cells share a name
    for name in (
        "brief/pull_of_alpha_robust_width/value",
        "brief/pull_of_alpha_robust_width/value_error",
        "completeness_flux/truly_steep_0.6_to_1.2/detected",
        "completeness_alpha/all/classed_pulsar",
        "recovery/all/called_steep",
        "purity/all/purity_ellipses_n",
        "ellipse_chance/all/chance_sources_per_ellipse",
        "pulls_detections/4_or_more/mean_error",
        "calibration/two_detections_or_more_0.5_to_0.8/truly_steep",
        "injected/field_pulsars/injected",
        "confusion_steep/agn/ambiguous",
    ):
        assert f"truth/{name}" in found
    assert found["truth/brief/pull_of_alpha_robust_width/expected"] == 1
    assert len({drawing.name for drawing in section.drawings}) == 4


def test_numbers_of_the_section_equal_those_of_the_measurements():
    sources, members, regions, truth, names = simulated_search()
    found = numbers([assessment_section(sources, members, regions, truth, names, resamples=20)])
    match = match_truth(sources, truth)
    steep = completeness(sources, truth, match).by_flux["truly steep"]
    assert found["truth/brief/steep_pulsars_called_steep/value"] == steep.total["called steep"].value
    for label, score in zip(
        (*steep.labels, "all"), (*steep.scores["called steep"], steep.total["called steep"]), strict=True
    ):
        row = f"truth/completeness_flux/truly_steep_{slug(label)}"
        assert found[f"{row}/n"] == score.n
        assert found.get(f"{row}/called_steep") == (score.value if score.n else None)
        assert found.get(f"{row}/called_steep_error") == (score.error if score.n else None)
    purity = selection_by_snr(sources, members, truth, match).scores[PURITIES[2]]
    assert [found[f"truth/purity/{bin}/purity_no_field_pulsars_n"] for bin in ("below_7", "10_to_15")] == [
        purity[0].n,
        purity[2].n,
    ]
    matrix = confusion(sources, truth, match).steep_TF
    for (row, column), count in np.ndenumerate(matrix[:-1]):
        assert found[f"truth/confusion_steep/{CLASSES[row]}/{CLASSES[column]}"] == count


def test_opposite_biases_do_not_cancel_in_the_verdict():
    rng = np.random.default_rng(8)
    snr = np.repeat([6.0, 60.0], 1000)
    sources, truth, _ = pulled(rng.normal(size=2000) + np.where(snr < 10, 0.5, -0.5), snr=snr)
    regions, members = make_regions(["A"]), make_members(sources, [], [])
    section = assessment_section(sources, members, regions, truth, np.array(["A"]), resamples=50)
    verdicts = {row[0]: row[-1].ok for row in section.tables[0].rows if isinstance(row[-1], Verdict)}
    assert verdicts["pull of alpha, mean"] is True
    assert verdicts["pull of alpha, mean in the worst bin of S/N"] is False


def test_worst_bin_is_the_one_with_the_largest_deviation_in_errors():
    rng = np.random.default_rng(9)
    snr = np.repeat([6.0, 60.0], [100, 2500])
    sources, truth, _ = pulled(rng.normal(size=2600) + np.where(snr < 10, 0.5, -0.4), snr=snr)
    regions, members = make_regions(["A"]), make_members(sources, [], [])
    found = numbers([assessment_section(sources, members, regions, truth, np.array(["A"]), resamples=50)])
    assert found["truth/brief/pull_of_alpha_mean_in_the_worst_bin_of_s_n/n"] == 2500


def test_one_pointing_and_one_region_have_no_errors():
    sources, members, regions, truth, names = simulated_search(60)
    sources["pointing"], members["region"] = "P", names[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        section = assessment_section(sources, members, regions[:1], truth, names, resamples=5)
        draw(section)
    found = numbers([section])
    assert "truth/pulls_snr/all/mean" in found and "truth/pulls_snr/all/mean_error" not in found


EMPTY = {"sources": made(SOURCES, 0), "members": made(MEMBERS, 0), "regions": make_regions([]), "truth": make_truth(0)}


@pytest.mark.parametrize("emptied", [("sources", "members"), ("members", "regions"), ("truth",)])
def test_section_of_empty_tables(emptied):
    sources, members, regions, truth, names = simulated_search(60)
    tables = {"sources": sources, "members": members, "regions": regions, "truth": truth}
    tables |= {name: EMPTY[name] for name in emptied}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        section = assessment_section(*tables.values(), names, resamples=5)
    assert bool(section.left_out) == ("sources" in emptied)


def test_section_of_empty_untyped_tables():
    nothing = [Table({name: [] for name in table.colnames}) for table in EMPTY.values()]
    draw(assessment_section(*nothing, np.array([]), resamples=5))


def test_section_without_pulsars():
    sources, members, regions, truth, names = simulated_search(100)
    truth["source_class"], truth["region"] = "agn", -1
    found = numbers([assessment_section(sources, members, regions, truth, names, resamples=5)])
    assert "truth/brief/steep_pulsars_detected/value" not in found
    assert found["truth/brief/steep_pulsars_detected/n"] == 0 and found["truth/brief/purity_sky/value"] == 0


def test_verdicts_allow_a_tolerance_and_three_errors():
    def judged(score_value, error):
        return judge_score(Score(score_value, score_value - error, score_value + error, 9), 1.0).ok

    assert judged(1.05, 0.001) and judged(1.3, 0.1) and judged(0.7, 0.1)
    assert judged(1.3, 0.05) is False and judged(0.7, 0.05) is False
    assert judge_share(Score(np.nan, np.nan, np.nan, 0), 0.95).ok is None


@pytest.mark.parametrize(
    "table, column",
    [
        ("sources", "ra"),
        ("sources", "steep"),
        ("sources", "snr"),
        ("sources", "alpha_err"),
        ("sources", "p_steep"),
        ("members", "source_id"),
        ("members", "region"),
        ("regions", "semi_minor"),
        ("regions", "name"),
        ("truth", "alpha"),
        ("truth", "known"),
        ("truth", "region"),
        ("truth", "s1400_mjy"),
    ],
)
def test_error_names_the_missing_column(table, column):
    sources, members, regions, truth, names = simulated_search(60)
    tables = {"sources": sources, "members": members, "regions": regions, "truth": truth}
    tables[table].remove_column(column)
    with pytest.raises(InputError, match=rf"{table}.*\b{column}\b"):
        assessment_section(*tables.values(), names, resamples=5)
