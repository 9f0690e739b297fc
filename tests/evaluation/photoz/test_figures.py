"""Figures of point redshifts: galaxies, scores, error bars."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_rgba

from mmae.evaluation.photoz.figures import MARKS, modes_figure, trend_figure
from mmae.evaluation.photoz.scoring import FamilyScores, score_predictions
from mmae.evaluation.photoz.strata import MIN_GALAXIES, redshift_family
from mmae.metrics.redshift import ALL_Z
from mmae.report.score_table import with_error

TITLES = {"image": "image only", "spectrum": "spectrum only"}


@pytest.fixture
def sky():
    rng = np.random.default_rng(5)
    z = np.concatenate([rng.uniform(0.01, 1.0, 300), [np.nan]])
    image, spectrum = z + 0.05 * rng.standard_normal(301), z + 0.001
    image[3], spectrum[:40] = np.inf, np.nan
    return z, {"image": image, "spectrum": spectrum}


@pytest.fixture
def scored(sky):
    z, predictions = sky
    return score_predictions(z, predictions, [redshift_family(z)], z_train=None, seed=0, resamples=30)


def points(ax) -> np.ndarray:
    return np.sort(np.column_stack([ax.get_lines()[0].get_xdata(), ax.get_lines()[0].get_ydata()]), axis=0)


def test_modes_figure_has_one_panel_per_mode_with_a_low_redshift_inset(sky, scored):
    z, predictions = sky
    figure = modes_figure(z, predictions, scored.table, TITLES)
    panels = [ax for ax in figure.axes if ax.axison]
    assert len(panels) == 2
    for ax, (mode, title) in zip(panels, TITLES.items(), strict=True):
        drawn_N = np.isfinite(z) & np.isfinite(predictions[mode])
        (inset,) = ax.child_axes
        for one, of_N in ((ax, drawn_N), (inset, drawn_N & (z < 0.4))):
            expected = np.sort(np.column_stack([z[of_N], predictions[mode][of_N]]), axis=0)
            np.testing.assert_array_equal(points(one), expected)
        scores = scored.table[mode]
        assert title in ax.get_title() and with_error(scores[ALL_Z]["sigma_nmad"]) in ax.get_title()
        assert f"n = {scores[ALL_Z]['outlier_rate'].n}" in ax.get_title()
        assert with_error(scores["z<0.4"]["sigma_nmad"]) in inset.get_title()
        assert inset.get_xlim() == (0.0, 0.4)


@pytest.mark.parametrize("below", [True, False])
def test_inset_is_in_the_corner_with_fewer_galaxies(below):
    z = np.concatenate([np.linspace(0.05, 3, 60), np.full(20, 2.8 if below else 0.3)])
    p = np.concatenate([np.linspace(0.05, 3, 60), np.full(20, 0.3 if below else 2.2)])
    table = score_predictions(z, {"image": p}, [], z_train=None, seed=0, resamples=5).table
    figure = modes_figure(z, {"image": p}, table, {"image": "image"})
    figure.canvas.draw()
    ax = next(ax for ax in figure.axes if ax.axison)
    (inset,) = ax.child_axes
    inside = inset.get_window_extent()
    covered = [inside.contains(*ax.transData.transform(pair)) for pair in zip(z, p, strict=True)]
    assert not any(covered)
    # The other corner contains twenty galaxies.
    left, middle = inside.x0, ax.get_window_extent().x0 + 0.5 * ax.get_window_extent().width
    assert (left < middle) == below


def test_panels_without_low_redshifts_or_without_finite_predictions():
    z = np.linspace(0.5, 1, 40)
    failed = np.full(40, np.inf)
    table = score_predictions(z, {"a": z, "b": failed}, [], z_train=None, seed=0, resamples=5).table
    first, second, *rest = modes_figure(z, {"a": z, "b": failed}, table, {"a": "a", "b": "b"}).axes
    assert not first.child_axes and not rest
    assert len(second.texts) == 1 and not second.lines


def test_panels_of_many_columns_are_in_rows():
    z = np.linspace(0.1, 1, 40)
    names = [f"p{k}" for k in range(8)]
    table = score_predictions(z, dict.fromkeys(names, z), [], z_train=None, seed=0, resamples=5).table
    axes = modes_figure(z, dict.fromkeys(names, z), table, {n: n for n in names}).axes
    assert [ax.axison for ax in axes] == [True] * 8 + [False]


def test_trend_figure_has_the_scores_and_intervals_of_the_bins(scored):
    (family,) = scored.families
    magnitude = FamilyScores("magnitude", "i [mag]", family.of_mode)
    other = FamilyScores("kind", "kind", family.of_mode)
    axes = np.array(trend_figure([family, other, magnitude], TITLES).axes).reshape(3, 2)
    for row, (metric, scale) in enumerate((("sigma_nmad", 1), ("bias", 1), ("outlier_rate", 100))):
        for ax in axes[row]:
            bars = list(ax.containers)
            assert len(bars) == 2
            for bar, mode, (colour, _) in zip(bars, TITLES, MARKS, strict=False):
                shown = [s for s in family.of_mode[mode] if s.n >= MIN_GALAXIES]
                assert len(shown) > 2
                line, _, (segments,) = bar.lines
                assert to_rgba(line.get_color()) == to_rgba(colour)
                np.testing.assert_allclose(line.get_ydata(), [scale * s.scores[metric].value for s in shown])
                np.testing.assert_allclose(line.get_xdata(), [s.centre for s in shown], atol=0.03)
                ends = np.array([segment[:, 1] for segment in segments.get_segments()])
                expected = np.array([(s.scores[metric].low, s.scores[metric].high) for s in shown])
                value = np.array([s.scores[metric].value for s in shown])
                np.testing.assert_allclose(ends[:, 0], scale * np.minimum(expected[:, 0], value), atol=1e-12)
                np.testing.assert_allclose(ends[:, 1], scale * np.maximum(expected[:, 1], value), atol=1e-12)
    assert [ax.get_xlabel() for ax in axes[-1]] == ["spectroscopic redshift", "i [mag]"]
    assert axes[0, 0].get_yscale() == "log" and axes[0, 0].get_xscale() == "function"


def test_trend_panels_with_too_few_galaxies_have_a_note():
    z = np.linspace(0.1, 0.15, MIN_GALAXIES - 1)
    scored = score_predictions(z, {"image": z}, [redshift_family(z)], z_train=None, seed=0, resamples=5)
    figure = trend_figure(scored.families, {"image": "image only"})
    assert all(len(ax.texts) == 1 and not ax.containers for ax in figure.axes)


def test_zero_scatter_is_drawn_on_a_linear_axis():
    z = np.linspace(0.1, 0.19, 60)
    scored = score_predictions(z, {"image": z}, [redshift_family(z)], z_train=None, seed=0, resamples=5)
    axes = trend_figure(scored.families, {"image": "image only"}).axes
    assert axes[0].get_yscale() == "linear"
