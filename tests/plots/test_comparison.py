"""The figure of one score of several methods shows its values and leaves out missing ones."""

from __future__ import annotations

import math

from mmae.plots.comparison import comparison_figure
from mmae.report.contents import Measured


def test_values_are_drawn_in_order_and_missing_ones_are_left_out():
    values = {"model": Measured(0.01, 0.02), "none": Measured(math.nan, math.nan), "median": Measured(0.2, math.nan)}
    (ax,) = comparison_figure(values, "scatter").axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["model", "median"]
    assert [container[0].get_xdata()[0] for container in ax.containers] == [0.01, 0.2]
    assert ax.get_xscale() == "log" and ax.get_ylim()[0] > ax.get_ylim()[1]  # the first is at the top


def test_no_value_is_an_empty_figure():
    (ax,) = comparison_figure({}, "scatter").axes
    assert not ax.containers
