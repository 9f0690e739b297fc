"""Records, figures and report of a study, from synthetic trials."""

from __future__ import annotations

import json
import math
import warnings
from dataclasses import replace
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure
from optuna.trial import TrialState

from mmae.metrics.bootstrap import EMPTY, Score
from mmae.metrics.redshift import ALL_Z, LOW_Z
from mmae.recipes import recipe
from mmae.report.contents import Measured, Section, numbers
from mmae.report.save import save_report
from mmae.study.config import Space, StudyConfig
from mmae.study.figures import history_figure, importance_figure, pareto_figure, slice_figure, validations_figure
from mmae.study.figures_map import contour_figure, heat_figure
from mmae.study.objective import HIDDEN, SCATTER, THROUGHPUT, TRAINING_COST
from mmae.study.report import study_sections, winner_rows, winner_section
from mmae.study.results import TrialRecord, common_validation, complete, importances, pair_study, read_records

SPACE = Space()
STUDY = StudyConfig(run=recipe("small"))
FIGURES = {
    "history",
    "validations",
    "pareto_full_flops",
    "pareto_throughput",
    "importance",
    "slices",
    "slices_full",
    "contours",
    "mask_patch",
}


def record(number: int, state: str = "complete", n_validations: int = 9, **parameters) -> TrialRecord:
    """A trial whose scatter depends on its image patch, a little on its mask ratio, and on nothing else."""
    rng = np.random.default_rng(number)
    drawn = {
        "image_patch": int(rng.choice([4, 8, 16])),
        "spectrum_patch": int(rng.choice([64, 128])),
        "depth": int(rng.choice([2, 4])),
        "image_mask_ratio": float(rng.uniform(0.2, 0.6)),
        "spectrum_mask_ratio": float(rng.uniform(0.5, 0.9)),
    } | parameters
    end = 0.02 + 0.002 * drawn["image_patch"] + 0.005 * drawn["image_mask_ratio"]
    validations = {k: end * (10 - k) for k in range(1, n_validations + 1)}
    scatter = (
        Score(validations[n_validations], 0.9 * validations[n_validations], 1.1 * validations[n_validations], 0)
        if validations
        else EMPTY
    )
    costs = {
        "full_flops": 1e12 / drawn["image_patch"],
        "throughput": 100.0 * drawn["image_patch"],
        "seconds": 60.0,
        "galaxies_seen": 2000.0 * n_validations,
        "galaxies_per_s": 100.0,
        "parameters": 1e5,
        "flops_per_galaxy": 1e7,
    }
    return TrialRecord(
        number, state, drawn, validations, scatter, n_validations / 9, costs if validations else {}, "", ""
    )


def with_reconstruction(r: TrialRecord) -> TrialRecord:
    """The record with a hidden-pixel error that improves where the scatter gets worse, unless it has failed."""
    if not r.validations:
        return r
    return replace(r, costs=r.costs | {HIDDEN.key: 1 / r.scatter.value + 0.1 * r.number})


@pytest.fixture
def records() -> list[TrialRecord]:
    stopped = [record(n, "stopped", 1) for n in range(8, 14)]
    failed = TrialRecord(14, "failed", record(14).parameters, {}, EMPTY, 0.0, {}, "RuntimeError: <reason>", "")
    return [*(record(n) for n in range(8)), *stopped, failed]


def test_only_full_trials_are_ranked(records):
    full = complete(records)
    assert len(full) == 8 and full[0].parameters["image_patch"] == min(r.parameters["image_patch"] for r in full)
    assert [r.scatter.value for r in full] == sorted(r.scatter.value for r in full)


def test_common_validation_is_the_last_that_all_trials_reached(records):
    assert common_validation(records) == 1
    assert common_validation([r for r in records if r.state != "stopped"]) == 9
    assert common_validation(records[-1:]) == 0  # failed trials do not count


def test_importance_finds_the_parameter_that_the_scatter_depends_on(records):
    shares = importances(records, 1, SPACE, seed=0)
    assert next(iter(shares)) == "image_patch" and shares["image_patch"] > 0.5
    assert set(shares) == set(records[0].parameters) and sum(shares.values()) == pytest.approx(1)
    assert importances(records[:5], 1, SPACE, seed=0) == {}


@pytest.mark.parametrize("x", [TRAINING_COST, THROUGHPUT, HIDDEN], ids=lambda measure: measure.key)
def test_pareto_front_has_the_trials_that_no_other_beats(records, x):
    records = [with_reconstruction(r) for r in records]
    full = complete(records)
    sign = {"minimize": 1, "maximize": -1}[x.direction]
    points = {r.number: (sign * r.cost(x.key), r.scatter.value) for r in full}
    front = {
        number
        for number, (x, y) in points.items()
        if not any((a, b) != (x, y) and a <= x and b <= y for a, b in points.values())
    }
    assert {trial.number for trial in pair_study(records, x, SCATTER, SPACE).best_trials} == front


def test_figures_show_the_trials(records):
    line = history_figure(records, SPACE, SCATTER).axes[0].lines[0]  # the others are the ends of error bars
    assert np.all(np.diff(line.get_ydata()) <= 0) and line.get_ydata()[-1] == complete(records)[0].scatter.value
    lines = [line for line in validations_figure(records, 9, SCATTER).axes[0].lines if len(line.get_xdata())]
    assert len(lines) == 14  # all but the failed trial
    *panels, bar = slice_figure(records, 1, SPACE, SCATTER).axes
    assert len(panels) == 5 and all(len(panel.collections[0].get_offsets()) == 14 for panel in panels)
    (image_patch,) = [panel for panel in panels if panel.get_xlabel() == "image patch [pix]"]
    assert [t.get_text() for t in image_patch.get_xticklabels()] == ["4", "8", "16"]
    assert len(contour_figure(records, 1, 9, SCATTER).axes) == 4 * 4 + 1
    cells = [text.get_text() for text in heat_figure(records, 1, 9, SCATTER).axes[0].texts]
    assert sum(int(cell.split("n = ")[1]) for cell in cells) == 14
    labels = {text.get_text() for text in pareto_figure(records, THROUGHPUT, SCATTER, SPACE).axes[0].texts}
    assert labels == {str(n) for n in range(8)}


def test_plots_of_optuna_leave_matplotlib_unchanged(records):
    with matplotlib.rc_context({"font.size": 7.25}):
        mine = pyplot.figure()
        settings, backend = dict(matplotlib.rcParams), matplotlib.get_backend()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for figure in (
                history_figure(records, SPACE, SCATTER),
                importance_figure(records, 1, SPACE, 0, SCATTER),
                slice_figure(records, 1, SPACE, SCATTER),
                pareto_figure(records, TRAINING_COST, SCATTER, SPACE),
            ):
                assert isinstance(figure, Figure)
        assert dict(matplotlib.rcParams) == settings and matplotlib.get_backend() == backend
        assert pyplot.get_fignums() == [mine.number]
        pyplot.close(mine)


def test_the_report_has_every_section_and_figure(records, tmp_path):
    base = records[3].parameters
    sections = study_sections(STUDY, records, base, {1: Score(0.01, -0.001, 0.02, 9)}, Section("test", "Test", ""))
    assert [s.name for s in sections] == ["best", "test", "history", "cost", "parameters", "trials"]
    page = save_report(tmp_path, "Study", {}, sections, "mmae-study-1").read_text()
    for name in FIGURES:
        assert (tmp_path / f"{name}.png").stat().st_size > 5000
    assert page.count("data:image/png") == sum(len(s.drawings) for s in sections) == len(list(tmp_path.glob("*.png")))
    assert "RuntimeError: &lt;reason&gt;" in page and "3 base" in page
    best, winner = sections[0].tables[0].rows, complete(records)[0]
    assert len(best) >= 5 and best[0][0].split()[0] == str(winner.number)
    assert best[0][1] == Measured(winner.scatter.value, winner.scatter.error)
    behind = {row[0].split()[0]: row[2] for row in best}
    assert behind.pop("1") == Measured(0.01, pytest.approx(0.0105)) and set(behind.values()) == {None}
    (table,) = sections[-1].tables
    assert len(table.rows) == 15
    assert {row[1] for row in table.rows} == {"complete", "stopped at 11%", "failed"}


def test_the_numbers_of_the_report_have_stable_names(records):
    found = numbers(study_sections(STUDY, records, None, {}, None))
    names = {name.rsplit("/", 1)[1] for name in found if name.startswith("best/best/")}
    assert names == {"sigma_nmad", "sigma_nmad_error", *records[0].parameters}
    winner = complete(records)[0]
    assert found[f"best/best/{winner.number}/sigma_nmad"] == winner.scatter.value
    assert found["parameters/importance/image_patch_pix/common_validation"] > 0.5
    assert found["trials/trials/0_complete/weights"] == 1e5


def test_scores_on_the_test_split_keep_value_and_error_in_json(records):
    scores = {"sigma_nmad": Score(0.03, 0.028, 0.032, 9), "bias": Score(-0.001, -0.002, 0.0, 9)}
    scores["outlier_rate"] = Score(0.05, 0.04, 0.06, 9)
    rows = json.loads(json.dumps(winner_rows({"image": {LOW_Z: scores, ALL_Z: scores}})))
    found = numbers([winner_section(records[0], rows, SCATTER)])
    assert found["test/scores/image_only/sigma_nmad"] == 0.03
    assert found["test/scores/image_only/sigma_nmad_low_z_error"] == pytest.approx(0.002)
    assert found["test/scores/image_only/outlier_rate_percent"] == pytest.approx(5.0)
    old = [["image only", "0.0300±0.0020", "0.0300±0.0020", "0.0010±0.0010", "5.00±1.00%"]]
    assert list(winner_section(records[0], old, SCATTER).tables[0].rows[0]) == old[0]


def test_the_base_run_is_shown_also_if_it_is_not_among_the_best(records):
    worst = complete(records)[-1]
    rows = study_sections(STUDY, records, worst.parameters, {}, None)[0].tables[0].rows
    assert rows[-1][0] == f"{worst.number} base" and len(rows) == 6


def test_few_or_failed_trials_make_a_report_without_the_analysis_of_parameters(records, tmp_path):
    for some in (records[:1], records[:3], records[-1:], records[8:10], [records[0], records[-1]]):
        sections = study_sections(STUDY, some, None, {}, None)
        save_report(tmp_path, "Study", {}, sections, "mmae-study-1")
        (parameters,) = [s for s in sections if s.name == "parameters"]
        assert parameters.left_out and "--trials" in parameters.left_out and not parameters.tables


def test_a_study_of_one_parameter_has_no_figures_of_pairs(tmp_path):
    records = [
        TrialRecord(r.number, r.state, {"depth": r.parameters["depth"]}, r.validations, r.scatter, 1.0, r.costs, "", "")
        for r in (record(n) for n in range(8))
    ]
    study = StudyConfig(space=Space((), (), (), (), (2, 4)), run=recipe("small"))
    sections = study_sections(study, records, None, {}, None)
    save_report(tmp_path, "Study", {}, sections, "mmae-study-1")
    assert {d.name for s in sections for d in s.drawings} == FIGURES - {"slices_full", "contours", "mask_patch"}


def test_the_front_of_scatter_and_reconstruction_is_shown_where_trials_have_both(records):
    records = [with_reconstruction(r) for r in records]
    records[0] = replace(records[0], costs={k: v for k, v in records[0].costs.items() if k != HIDDEN.key})
    sections = {s.name: s for s in study_sections(STUDY, records, None, {}, None)}
    fronts = {f"pareto_{measure.key}" for measure in (HIDDEN, TRAINING_COST, THROUGHPUT)}
    assert {d.name for d in sections["cost"].drawings} == fronts
    labels = {text.get_text() for text in pareto_figure(records, HIDDEN, SCATTER, SPACE).axes[0].texts}
    assert labels == {str(n) for n in range(1, 8)}  # trial 0 is of an earlier version
    found = numbers(list(sections.values()))
    assert found["trials/trials/1_complete/reconstruction"] == records[1].cost(HIDDEN.key)
    assert "trials/trials/0_complete/reconstruction" not in found


@pytest.mark.parametrize(
    ("name", "word"), [("small", "hidden-pixel error"), ("magnitudes", "error of hidden magnitudes")]
)
def test_a_study_of_the_reconstruction_ranks_and_labels_by_it(records, name, word):
    records = [with_reconstruction(r) for r in records]
    study = StudyConfig(run=recipe(name), objective="reconstruction")
    sections = study_sections(study, records, None, {}, None)
    best = sections[0].tables[0]
    winner = min(records[:8], key=lambda r: r.cost(HIDDEN.key))
    assert winner.number != complete(records)[0].number
    assert best.rows[0][0] == str(winner.number) and best.rows[0][1].value == winner.cost(HIDDEN.key)
    assert [column.name for column in best.columns[:4]] == ["trial", "reconstruction", "behind_best", "sigma_nmad"]
    assert word.capitalize() in sections[1].drawings[0].caption
    figures = {d.name: d.figure for s in sections for d in s.drawings}
    for drawn in ("history", "validations", "pareto_full_flops"):
        assert figures[drawn].axes[0].get_ylabel() == f"validation {word}"
    assert figures["pareto_reconstruction"].axes[0].get_ylabel() == SCATTER.axis


def test_trials_of_an_earlier_version_have_no_reconstruction():
    trial = SimpleNamespace(
        number=0,
        state=TrialState.COMPLETE,
        params={"depth": 2},
        user_attrs={"looks": {"1": 0.1}, "costs": {"progress": 1.0}, "scatter": [0.1, 0.09, 0.11], "run_id": "a"},
    )
    (read,) = read_records([trial])
    assert read.scatter.value == 0.1 and math.isnan(read.score(HIDDEN).value)
