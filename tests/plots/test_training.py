"""Learning curves: losses, scatter and running medians."""

from __future__ import annotations

import numpy as np

from mmae.plots.training import loss_figure
from tests.plots.inspect_figures import line, texts


def test_losses_and_scatter_are_in_separate_panels(rng):
    steps = np.arange(10)
    figure = loss_figure(
        {
            "train/loss": (steps, np.linspace(5, 1, 10)),
            "train/loss_image": (steps, np.r_[np.nan, np.linspace(2, 1, 9)]),
            "val/image/all_z/sigma_nmad": ([0, 5], [0.2, 0.02]),
        },
        "small",
    )
    upper, lower = figure.axes
    assert upper.get_yscale() == "log" and lower.get_yscale() == "log"
    np.testing.assert_array_equal(line(upper, "train/loss").get_ydata(), np.linspace(5, 1, 10))
    np.testing.assert_array_equal(line(upper, "train/loss_image").get_xdata(), steps[1:])
    np.testing.assert_array_equal(line(lower, "val/image/all_z/sigma_nmad").get_ydata(), [0.2, 0.02])
    assert len(upper.get_lines()) == 2 and len(lower.get_lines()) == 1


def test_levels_of_baselines_are_horizontal_lines():
    curves = {"val/image/sigma_nmad": ([5, 10], [0.1, 0.05]), "val/loss": ([5, 10], [2.0, 1.0])}
    levels = {"baseline/sigma_nmad/training_median": ([5, 10], [0.2, 0.2]), "baseline/image_loss/filled": ([5], [1.5])}
    upper, lower = loss_figure(curves | levels).axes
    for ax, level in ((upper, 1.5), (lower, 0.2)):
        (dashed,) = [one for one in ax.get_lines() if one.get_linestyle() == "--"]
        assert list(dashed.get_ydata()) == [level, level] and ax.get_ylim()[0] < level < ax.get_ylim()[1]


def test_long_histories_have_a_running_median(rng):
    values = np.exp(rng.standard_normal(2000))
    (ax,) = loss_figure({"loss": (np.arange(2000), values)}).axes
    raw, median = ax.get_lines()
    np.testing.assert_array_equal(raw.get_ydata(), values)
    assert median.get_label() == "loss"
    assert np.std(np.log(median.get_ydata())) < 0.5 * np.std(np.log(values))


def test_negative_losses_are_drawn_on_a_symlog_axis():
    (ax,) = loss_figure({"nll": ([0, 1, 2], [3.0, 0.0, -2.0])}).axes
    assert ax.get_yscale() == "symlog"
    np.testing.assert_array_equal(line(ax, "nll").get_ydata(), [3.0, 0.0, -2.0])


def test_empty_histories_are_marked():
    assert "no losses" in texts(loss_figure({}))
    figure = loss_figure({"loss": ([0], [1.0]), "val/sigma_nmad": ([], [])})
    assert "no validation scatter" in texts(figure)
