"""Redshift figures: points, limits, cells and scores."""

from __future__ import annotations

import numpy as np
from matplotlib.collections import QuadMesh

from mmae.metrics.redshift import OUTLIER_LIMIT, score_table
from mmae.plots.redshift import DENSITY_FROM, redshift_figure, running_percentiles, score_text
from mmae.report.style import VERMILLION
from tests.plots.inspect_figures import coloured, texts


def make_redshifts(rng, n):
    z = np.concatenate([rng.uniform(0.1, 0.39, n // 2), rng.uniform(0.41, 3.0, n - n // 2)])
    return z, z + 0.02 * (1 + z) * rng.standard_normal(n)


def test_few_galaxies_are_points_with_outlier_limits(rng):
    z, p = make_redshifts(rng, 200)
    figure = redshift_figure(z, p, "small, image only", {})
    main_all, main_low, strip_all, strip_low = figure.axes
    assert figure.get_suptitle() == "small, image only"
    for main, strip, keep in ((main_all, strip_all, z < 9), (main_low, strip_low, z < 0.4)):
        points = main.get_lines()[0]
        np.testing.assert_array_equal(points.get_xdata(), z[keep])
        np.testing.assert_array_equal(points.get_ydata(), p[keep])
        dz = (p[keep] - z[keep]) / (1 + z[keep])
        np.testing.assert_allclose(strip.get_lines()[0].get_ydata(), dz)
        one_to_one, upper, lower = coloured(main, VERMILLION)
        x = one_to_one.get_xdata()
        np.testing.assert_array_equal(one_to_one.get_ydata(), x)
        np.testing.assert_allclose(upper.get_ydata(), x + OUTLIER_LIMIT * (1 + x))
        np.testing.assert_allclose(lower.get_ydata(), x - OUTLIER_LIMIT * (1 + x))
        assert upper.get_linestyle() == "--"
        levels = sorted(li.get_ydata()[0] for li in coloured(strip, VERMILLION))
        assert levels == [-OUTLIER_LIMIT, 0.0, OUTLIER_LIMIT]


def test_outlier_limits_are_parallel_on_the_axes_of_all_redshifts(rng):
    main = redshift_figure(*make_redshifts(rng, 50), "", {}).axes[0]
    _, upper, lower = coloured(main, VERMILLION)
    to_page = main.transData.transform
    for limit in (upper, lower):
        page = to_page(np.column_stack([limit.get_xdata(), limit.get_ydata()])[-50:])
        slopes = np.diff(page[:, 1]) / np.diff(page[:, 0])
        np.testing.assert_allclose(slopes, slopes[0], rtol=1e-6)


def test_many_galaxies_are_drawn_as_counts_in_cells(rng):
    z, p = make_redshifts(rng, DENSITY_FROM * 2)
    main, low = redshift_figure(z, p, "", {}).axes[:2]
    for ax, keep in ((main, z < 9), (low, z < 0.4)):
        (cells,) = [c for c in ax.collections if isinstance(c, QuadMesh)]
        (bottom, top), (left, right) = ax.get_ylim(), ax.get_xlim()
        inside = keep & (p >= bottom) & (p <= top) & (z >= left) & (z <= right)
        assert cells.get_array().sum() == inside.sum()
        assert inside.sum() > 0.97 * keep.sum()


def test_inset_has_the_scores_of_its_panel(rng):
    z, p = make_redshifts(rng, 200)
    p[0], p[1] = np.nan, 5.0
    scores = score_table(z, {"image": p}, resamples=20)["image"]
    figure = redshift_figure(z, p, "", scores)
    for ax, name, n_outside in ((figure.axes[0], "all z", 1), (figure.axes[1], "z<0.4", 1)):
        (inset,) = [t.get_text() for t in ax.texts]
        assert inset == score_text(scores[name], n_outside)
        sigma = scores[name]["sigma_nmad"]
        assert f"{sigma.value:.4f}±{sigma.error:.4f}" in inset
        assert f"n = {scores[name]['outlier_rate'].n}" in inset
        assert [line.split()[0] for line in inset.splitlines()[-2:]] == ["1", "1"]  # not finite, outside the axes


def test_empty_panels_are_marked():
    figure = redshift_figure([], [], "nothing", {})
    assert texts(figure).count("no redshifts") == 4
    half = redshift_figure([0.7, 0.8], [0.7, 0.8], "no low redshift", {})
    assert texts(half).count("no redshifts") == 2


def test_running_percentiles_use_bins_of_equal_number(rng):
    x, y = rng.permutation(1000.0 * np.arange(400)), rng.standard_normal(400)
    centre, low, median, high = running_percentiles(x, y, per_bin=100)
    first = y[np.argsort(x)][:100]
    assert centre.size == 4
    assert median[0] == np.median(first)
    assert (low[0], high[0]) == tuple(np.percentile(first, [16, 84]))
    assert running_percentiles(x[:20], y[:20])[0].size == 0
