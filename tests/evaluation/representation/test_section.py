"""Sections on embeddings and selection shift: tables, left-out parts, figures."""

from __future__ import annotations

import dataclasses
import json

import matplotlib
import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from mmae.evaluation.representation.figures import map_figure, probe_figure
from mmae.evaluation.representation.map import Plane
from mmae.evaluation.representation.probe_tasks import make_probe_tasks, run_probes
from mmae.evaluation.representation.section import FAR_NOTE, representation_section, shift_section
from mmae.evaluation.representation.targets import Features, common_sample
from mmae.metrics.bootstrap import Score
from mmae.report.contents import numbers
from mmae.report.save import save_report
from tests.evaluation.cells import n_numbers
from tests.evaluation.representation.galaxies import random_features, random_targets

QUICK = {"seed": 0, "resamples": 20}
TRAIN, TEST = random_targets(200, 1), random_targets(100, 2)
IMAGE, SPECTRUM = random_features(TRAIN, TEST), random_features(TRAIN, TEST, noise=0.005)
NOT_SEEN = Features(np.full((200, 6), np.nan), np.full((100, 6), np.nan))


@pytest.fixture(scope="module")
def sections():
    embeddings = {"image": IMAGE, "spectrum": SPECTRUM}
    return [make(embeddings, TRAIN, TEST, **QUICK) for make in (representation_section, shift_section)]


def texts(figure: Figure) -> list[str]:
    return [t.get_text() for t in figure.findobj(matplotlib.text.Text) if t.get_text()]


def test_sections_have_all_tables_and_figures(sections):
    representation, shift = sections
    assert [(s.name, s.left_out) for s in sections] == [("representation", ""), ("shift", "")]
    assert [t.name for t in representation.tables] == ["redshift", "magnitude", "star_formation", "type"]
    assert [t.name for t in shift.tables] == ["bright_to_faint", "near_to_far"]
    assert [d.name for s in sections for d in s.drawings] == ["representation_probes", "representation_map", "shift"]
    assert [len(t.rows) for t in representation.tables] == [7, 5, 7, 7]
    assert [len(t.rows) for t in shift.tables] == [18, 18]


def test_every_number_has_a_unique_name(sections):
    assert len(numbers(sections)) == sum(map(n_numbers, sections))


def test_numbers_are_the_scores_in_the_unit_of_the_column(sections):
    found = numbers(sections)
    assert found["representation/redshift/image_linear/sigma_nmad"] == pytest.approx(0.02, rel=0.35)
    assert 0 < found["representation/redshift/image_linear/sigma_nmad_error"] < 0.005
    assert found["representation/redshift/spectrum_linear/sigma_nmad"] == pytest.approx(0.005, rel=0.35)
    assert found["representation/redshift/image_linear/sigma_nmad_difference"] < 0
    assert "representation/redshift/nothing_training_median/sigma_nmad_difference" not in found
    assert found["representation/type/nothing_most_common_type/balanced_accuracy_percent"] == pytest.approx(100 / 3)
    keys = [f"shift/near_to_far/image_knn_{which}/outliers_percent" for which in ("selected", "all", "difference")]
    selected, everyone, difference = (found[key] for key in keys)
    assert 1 < selected <= 100 and difference == pytest.approx(selected - everyone)
    assert found["shift/near_to_far/image_knn_selected/n_test"] == (TEST.redshift_N >= 0.4).sum()


def test_note_on_extrapolation_is_below_the_near_to_far_table_only(sections):
    notes = {t.name: t.note for t in sections[1].tables}
    assert FAR_NOTE in notes["near_to_far"] and FAR_NOTE not in notes["bright_to_faint"]


def test_sections_are_reproducible_with_a_seed(sections):
    again = [
        make({"image": IMAGE, "spectrum": SPECTRUM}, TRAIN, TEST, **QUICK)
        for make in (representation_section, shift_section)
    ]
    assert numbers(again) == numbers(sections)


def test_report_is_written(sections, tmp_path):
    save_report(tmp_path, "test", {}, sections, "test")
    assert len(list(tmp_path.glob("*.png"))) == 3
    assert json.loads((tmp_path / "report.json").read_text())["numbers"]


@pytest.mark.parametrize("make", [representation_section, shift_section])
def test_section_without_embeddings_is_left_out(make):
    for embeddings in ({}, {"image": NOT_SEEN}):
        section = make(embeddings, TRAIN, TEST, **QUICK)
        assert not section.tables and not section.drawings and section.left_out
    assert "Mode image: 0 training" in section.left_out


def test_missing_targets_and_modes_leave_out_only_their_tables():
    train, test = (dataclasses.replace(t, star_formation_N=np.full(len(t), np.nan)) for t in (TRAIN, TEST))
    near = dataclasses.replace(test, redshift_N=0.3 * test.redshift_N)
    section = representation_section({"image": NOT_SEEN, "spectrum": SPECTRUM}, train, near, **QUICK)
    assert [t.name for t in section.tables] == ["redshift", "magnitude", "type"]
    assert [d.name for d in section.drawings] == ["representation_probes"]
    for part in ("Mode image", "Star formation: Dn4000: 0 training", "Map"):
        assert part in section.left_out
    shift = shift_section({"image": NOT_SEEN, "spectrum": SPECTRUM}, train, near, **QUICK)
    assert [t.name for t in shift.tables] == ["bright_to_faint"] and len(shift.drawings) == 1
    assert "test z > 0.4" in shift.left_out


def test_galaxies_without_targets_have_a_map_only():
    def unknown(t):
        nan_N = np.full(len(t), np.nan)
        return dataclasses.replace(
            t, redshift_N=nan_N, magnitude_N=nan_N, star_formation_N=nan_N, type_N=np.full(len(t), "", object)
        )

    section = representation_section({"image": IMAGE}, unknown(TRAIN), unknown(TEST), **QUICK)
    assert not section.tables and [d.name for d in section.drawings] == ["representation_map"]
    left, right = section.drawings[0].figure.axes[:2]
    assert len(left.texts) == len(right.texts) == 1  # notes instead of points
    assert not shift_section({"image": IMAGE}, unknown(TRAIN), unknown(TEST), **QUICK).drawings


def test_map_figure_shows_positions_redshifts_and_types():
    rng = np.random.default_rng(0)
    xy_M2, redshift_M = rng.normal(size=(60, 2)), rng.uniform(0, 2, 60)
    type_M = np.where(xy_M2[:, 0] > 0, "LRG", "ELG").astype(object)
    redshift_M[:5], type_M[:7] = np.nan, ""
    figure = map_figure(Plane(xy_M2, np.array([0.4, 0.2])), redshift_M, type_M, "target class", seed=0)
    left, right = figure.axes[:2]
    grey, coloured = [c for c in left.get_children() if isinstance(c, PathCollection)]
    assert len(grey.get_offsets()) == 5
    colour_of = {tuple(xy): colour for xy, colour in zip(coloured.get_offsets(), coloured.get_array(), strict=True)}
    assert len(colour_of) == 55
    for xy, z in zip(xy_M2[5:], redshift_M[5:], strict=True):
        assert colour_of[tuple(xy)] == pytest.approx(np.log(1 + z))
    for points in [c for c in right.get_children() if isinstance(c, PathCollection)][1:]:
        positive = points.get_offsets()[:, 0] > 0
        assert positive.all() if points.get_label().startswith("LRG") else not positive.any()
    assert any("40%" in t for t in texts(figure))


def test_galaxies_outside_the_axes_of_a_large_map_are_counted():
    xy_M2 = np.random.default_rng(0).normal(size=(2000, 2))
    xy_M2[0] = 1000.0
    figure = map_figure(Plane(xy_M2, np.array([0.4, 0.2])), np.ones(2000), np.full(2000, "LRG"), "type", seed=0)
    (low, high), (bottom, top) = figure.axes[0].get_xlim(), figure.axes[0].get_ylim()
    inside = ((xy_M2 > (low, bottom)) & (xy_M2 < (high, top))).all(1)
    (note,) = figure.axes[0].texts
    assert high < 10 and str(2000 - inside.sum()) in note.get_text()


def test_figures_show_the_scores(sections):
    figure = sections[0].drawings[0].figure
    titles = {ax.get_title(): ax for ax in figure.axes}
    assert {"Redshift", "Magnitude in i [AB]", "Star formation: Dn4000", "Target class"} <= set(titles)
    found = numbers(sections)
    shown = {round(x, 9) for line in titles["Redshift"].get_lines() for x in np.atleast_1d(line.get_xdata())}
    for row in ("image_knn", "image_linear", "spectrum_knn", "spectrum_linear", "nothing_training_median"):
        assert round(found[f"representation/redshift/{row}/sigma_nmad"], 9) in shown
    shift = sections[1].drawings[0].figure
    shown = {round(x, 9) for line in shift.axes[5].get_lines() for x in np.atleast_1d(line.get_xdata())}
    for row in ("image_knn_selected", "image_linear_all", "magnitudes_only_knn_selected"):
        assert round(found[f"shift/near_to_far/{row}/outliers_percent"], 9) in shown


def test_interval_that_does_not_contain_the_value_can_be_drawn():
    sample = common_sample({"image": IMAGE}, TRAIN, TEST)
    task = make_probe_tasks(sample)[0][0]
    found = [
        dataclasses.replace(p, scores={"sigma_nmad": Score(0.1, 0.2, 0.3, 9)})
        for p in run_probes(task, sample, **QUICK)
    ]
    assert probe_figure([(task, found)]).axes
