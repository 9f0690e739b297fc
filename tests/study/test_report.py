"""Records, figures and sections of a study, from trials made up here."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mmae.metrics.bootstrap import Score
from mmae.recipes import recipe
from mmae.report.contents import Section
from mmae.report.save import save_report
from mmae.study.config import Space, StudyConfig
from mmae.study.figures import history_figure, looks_figure, pareto_figure, slice_figure
from mmae.study.figures_map import contour_figure, heat_figure
from mmae.study.report import study_sections
from mmae.study.results import TrialRecord, common_look, complete, importances, pareto_front

SPACE = Space()
STUDY = StudyConfig(run=recipe("small"))
NAN = Score(math.nan, math.nan, math.nan, 0)


def record(number: int, state: str = "complete", n_looks: int = 9, **parameters) -> TrialRecord:
    """A trial whose scatter depends on its image patch, a little on its mask ratio, and on nothing else."""
    rng = np.random.default_rng(number)
    drawn = {
        "image_patch": int(rng.choice([8, 16, 32])),
        "spectrum_patch": int(rng.choice([64, 128])),
        "depth": int(rng.choice([2, 3])),
        "image_mask_ratio": float(rng.uniform(0.2, 0.6)),
        "spectrum_mask_ratio": float(rng.uniform(0.5, 0.9)),
    } | parameters
    end = 0.02 + 0.002 * drawn["image_patch"] + 0.005 * drawn["image_mask_ratio"]
    looks = {k: end * (10 - k) for k in range(1, n_looks + 1)}
    scatter = Score(looks[n_looks], 0.9 * looks[n_looks], 1.1 * looks[n_looks], 0) if looks else NAN
    costs = {
        "full_flops": 1e12 / drawn["image_patch"],
        "throughput": 100.0 * drawn["image_patch"],
        "seconds": 60.0,
        "galaxies_seen": 2000.0 * n_looks,
        "galaxies_per_s": 100.0,
        "parameters": 1e5,
        "flops_per_galaxy": 1e7,
    }
    return TrialRecord(number, state, drawn, looks, scatter, n_looks / 9, costs if looks else {}, "", "")


@pytest.fixture
def records() -> list[TrialRecord]:
    stopped = [record(n, "stopped", 1) for n in range(8, 14)]
    failed = TrialRecord(14, "failed", record(14).parameters, {}, NAN, 0.0, {}, "RuntimeError: <out of luck>", "")
    return [*(record(n) for n in range(8)), *stopped, failed]


def test_full_trials_are_ranked_and_others_are_not(records):
    full = complete(records)
    assert len(full) == 8 and full[0].parameters["image_patch"] == min(r.parameters["image_patch"] for r in full)
    assert [r.scatter.value for r in full] == sorted(r.scatter.value for r in full)


def test_trials_are_compared_where_all_have_been(records):
    assert common_look(records) == 1
    assert common_look([r for r in records if r.state != "stopped"]) == 9
    assert common_look(records[-1:]) == 0  # a failed trial hides no look of the others, and shows none


def test_what_matters_is_found(records):
    shares = importances(records, 1, SPACE, seed=0)
    assert next(iter(shares)) == "image_patch" and shares["image_patch"] > 0.5
    assert set(shares) == set(records[0].parameters) and sum(shares.values()) == pytest.approx(1)
    assert importances(records[:5], 1, SPACE, seed=0) == {}


@pytest.mark.parametrize(
    ("points", "front"),
    [
        ([(1, 3), (2, 2), (3, 1)], [0, 1, 2]),
        ([(1, 1), (2, 2)], [0]),
        ([(2, 1), (1, 2), (2, 2)], [1, 0]),
        ([(1, 1), (1, 1)], [0, 1]),
        ([(1, 2), (1, 1)], [1]),
        ([], []),
    ],
)
def test_pareto_front(points, front):
    assert pareto_front(points) == front


def test_figures_show_the_trials(records):
    figure = history_figure(records)
    (step,) = [line for line in figure.axes[0].lines if line.get_label().startswith("best so far")]
    assert np.all(np.diff(step.get_ydata()) <= 0) and step.get_ydata()[-1] == complete(records)[0].scatter.value
    lines = [line for line in looks_figure(records, 9).axes[0].lines if len(line.get_xdata())]
    assert len(lines) == 14  # a line for each but the failed trial
    figure = slice_figure(records, 1, 9)
    assert len(figure.axes) == 2 * 5
    assert len(slice_figure(complete(records), 9, 9).axes) == 5
    assert [t.get_text() for t in figure.axes[5 + 2].get_xticklabels()] == ["8", "16", "32"]
    assert len(contour_figure(records, 1, 9).axes) == 4 * 4 + 1
    cells = [text.get_text() for text in heat_figure(records, 1, 9).axes[0].texts]
    assert sum(int(cell.split("n = ")[1]) for cell in cells) == 14
    numbers = {text.get_text() for text in pareto_figure(records).axes[0].texts}
    assert numbers == {str(n) for n in range(8)}


def test_the_report_has_every_section_and_figure(records, tmp_path):
    base = records[3].parameters
    sections = study_sections(STUDY, records, base, {1: Score(0.01, -0.001, 0.02, 9)}, Section("test", "Test", ""))
    assert [s.name for s in sections] == ["best", "test", "history", "cost", "parameters", "trials"]
    page = save_report(tmp_path, "Study", {}, sections, "mmae-study-1").read_text()
    for name in ("history", "looks", "pareto", "importance", "slices", "contours", "mask_patch"):
        assert (tmp_path / f"{name}.png").stat().st_size > 5000
    assert page.count("data:image/png") == sum(len(s.drawings) for s in sections) == len(list(tmp_path.glob("*.png")))
    assert "RuntimeError: &lt;out of luck&gt;" in page and "3 base" in page
    best = sections[0].tables[0].rows
    assert len(best) >= 5 and best[0][0].split()[0] == str(complete(records)[0].number)
    (table,) = sections[-1].tables
    assert len(table.rows) == 15
    assert {row[1] for row in table.rows} == {"complete", "stopped at 11%", "failed"}


def test_the_base_run_is_shown_however_far_behind(records):
    worst = complete(records)[-1]
    rows = study_sections(STUDY, records, worst.parameters, {}, None)[0].tables[0].rows
    assert rows[-1][0] == f"{worst.number} base" and len(rows) == 6


def test_few_or_hopeless_trials_still_make_a_report(records, tmp_path):
    for some in (records[:1], records[:3], records[-1:], records[8:10], [records[0], records[-1]]):
        sections = study_sections(STUDY, some, None, {}, None)
        save_report(tmp_path, "Study", {}, sections, "mmae-study-1")
        assert any("Fewer than 6 trials" in s.left_out for s in sections)


def test_a_single_varied_parameter_makes_a_report(tmp_path):
    records = [
        TrialRecord(r.number, r.state, {"depth": r.parameters["depth"]}, r.looks, r.scatter, 1.0, r.costs, "", "")
        for r in (record(n) for n in range(8))
    ]
    study = StudyConfig(space=Space((), (), (), (), (2, 3)), run=recipe("small"))
    sections = study_sections(study, records, None, {}, None)
    save_report(tmp_path, "Study", {}, sections, "mmae-study-1")
    assert {d.name for s in sections for d in s.drawings} == {"history", "looks", "pareto", "importance", "slices"}
