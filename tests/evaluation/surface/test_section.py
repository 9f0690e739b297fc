"""Section on the surface: verdict, tables, figures."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_rgba

from mmae.evaluation.surface.figures import drawn_steps, lines_figure, surface_figure
from mmae.evaluation.surface.scores import score_surface
from mmae.evaluation.surface.section import PAPER_RISE, judge_surface, surface_section
from mmae.report.contents import numbers, tally
from mmae.report.style import VERMILLION
from tests.evaluation.surface.skies import RATIOS, monotone_scatter, predictions


def papers_scatter() -> np.ndarray:
    """Monotone except for the unmasked image without a spectrum."""
    scatter_IS = monotone_scatter()
    scatter_IS[1, 4], scatter_IS[0, 4] = 0.0210, 0.0304
    return scatter_IS


def surface_of(scatter_IS, n=800, seed=1, correlation=0.6):
    z_pred_ISN, z_spec_N = predictions(scatter_IS, n, seed, correlation)
    ratios = (RATIOS[: scatter_IS.shape[0]], RATIOS[: scatter_IS.shape[1]])
    return score_surface(z_pred_ISN, *ratios, z_spec_N, seed=0, resamples=60)


def section_of(scatter_IS, n=800):
    z_pred_ISN, z_spec_N = predictions(scatter_IS, n, 1)
    return surface_section(z_pred_ISN, RATIOS, RATIOS, z_spec_N, seed=0, resamples=60)


def arrows(figure) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    return [(text.xyann, text.xy) for text in figure.axes[0].texts if getattr(text, "arrow_patch", None)]


def test_monotone_surface_passes():
    surface = surface_of(monotone_scatter())
    verdict = judge_surface(surface)
    worst = max(step.detectable_fraction for step in surface.neighbours)
    assert verdict.ok is True and f"{worst:.1%}" in verdict.text


def test_verdict_fails_and_names_the_papers_rise():
    verdict = judge_surface(surface_of(papers_scatter()))
    assert verdict.ok is False
    assert "(image 0.25, spectrum absent) to (image 0, spectrum absent): +0.0" in verdict.text


def test_verdict_is_open_if_the_papers_rise_is_not_detectable():
    surface = surface_of(np.full((2, 2), 0.02), n=100, correlation=0.0)
    verdict = judge_surface(surface)
    assert not surface.hurting
    assert max(step.detectable_fraction for step in surface.neighbours) > PAPER_RISE
    assert verdict.ok is None


def test_section_tables():
    section = section_of(papers_scatter())
    assert section.name == "surface" and not section.left_out
    assert tally([section]) == (1, 0)
    assert {d.name for d in section.drawings} == {"surface", "surface_lines"}
    verdict, steps, cells = section.tables
    assert [row[:2] for row in verdict.rows] == [("single steps", 38), ("all steps", 176)]
    assert len(cells.rows) == 24
    assert steps.rows[0][:2] == ("image 0.25, spectrum absent", "image 0, spectrum absent")
    surface = surface_of(papers_scatter())
    n_hurting, significance = len(surface.hurting), [row[3] for row in steps.rows]
    assert min(significance[:n_hurting]) > max(significance[n_hurting:]) and verdict.rows[1][2] == n_hurting
    values = numbers([section])
    sigma = surface.cells[0, 4].sigma_nmad.value
    assert values["surface/cells/image_0_spectrum_absent/sigma_nmad"] == pytest.approx(sigma)
    largest = max(step.rise.value for step in surface.steps)
    assert values["surface/verdict/all_steps/largest_rise"] == pytest.approx(largest)
    assert values["surface/verdict/all_steps/largest_rise_error"] > 0
    detectable = max(step.detectable_fraction for step in surface.neighbours)
    assert values["surface/verdict/single_steps/detectable_rise_percent"] == pytest.approx(100 * detectable)


def test_few_galaxies_have_no_verdict_and_none_no_tables():
    few = section_of(monotone_scatter(), n=60)
    assert "60" in few.left_out and "100" in few.left_out
    assert [table.name for table in few.tables] == ["cells"] and len(few.drawings) == 2
    none = section_of(monotone_scatter(), n=0)
    assert none.left_out and not none.tables and not none.drawings
    assert tally([few, none]) == (0, 0)


def test_map_shows_every_cell_and_arrows_for_significant_rises():
    surface = surface_of(papers_scatter())
    figure = surface_figure(surface)
    shown = [text.get_text() for text in figure.axes[0].texts]
    assert len([text for text in shown if "%" in text]) == 24 and "no data" in shown
    assert shown[0].startswith(f"{surface.cells[0, 0].sigma_nmad.value:.3g}")
    drawn_SI = figure.axes[0].images[0].get_array()
    assert [drawn_SI[s, i] for i, s in surface.cells] == [c.sigma_nmad.value for c in surface.cells.values()]
    assert drawn_steps(surface) and all(step.neighbours for step in drawn_steps(surface))
    for step, (tail, head) in zip(drawn_steps(surface), arrows(figure), strict=True):
        # Arrows point in the direction of the step and end within half a cell of its ends.
        assert np.sign(np.subtract(head, tail)).tolist() == np.sign(np.subtract(step.more, step.less)).tolist()
        assert np.abs(np.subtract(head, step.more)).max() < 0.5 and np.abs(np.subtract(tail, step.less)).max() < 0.5
    assert not arrows(surface_figure(surface_of(monotone_scatter())))


def test_lines_show_the_cells_and_mark_significant_rises():
    surface = surface_of(papers_scatter())
    ax = lines_figure(surface).axes[0]
    assert len(ax.containers) == 5
    absent = ax.containers[-1].lines[0]
    np.testing.assert_allclose(absent.get_ydata(), [surface.cells[i, 4].sigma_nmad.value for i in range(4)])
    marked = [line for line in ax.lines if line.get_gid() == "hurts"]
    assert to_rgba(marked[0].get_color()) == to_rgba(VERMILLION)
    ends = [tuple(line.get_ydata()) for line in marked]
    assert (surface.cells[1, 4].sigma_nmad.value, surface.cells[0, 4].sigma_nmad.value) in ends
    unmarked = lines_figure(surface_of(monotone_scatter())).axes[0]
    assert not [line for line in unmarked.lines if line.get_gid() == "hurts"]


def test_rise_over_several_steps_is_drawn_dashed():
    scatter_IS = np.array([[0.02 * 1.08**k] for k in (4, 3, 2, 1, 0)])
    surface = surface_of(scatter_IS, seed=7, correlation=0.3)
    (step,) = drawn_steps(surface)
    assert not step.neighbours
    (text,) = [t for t in surface_figure(surface).axes[0].texts if getattr(t, "arrow_patch", None)]
    assert text.arrow_patch.get_linestyle() == "--"
