"""A small figure that compares one score of several methods."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from mmae.report.contents import Measured
from mmae.report.style import GREY, RC, style

ROW_HEIGHT = 0.24  # inches
MARGIN = 1.35  # factor between the outermost values and the ends of the axis


@style()
def comparison_figure(values: Mapping[str, Measured], xlabel: str, highlighted: int = 1) -> Figure:
    """One row per method: the value with its error on a logarithmic axis, smaller to the left.

    Args:
        values: method -> positive score; those that are not finite or not positive are left out.
        xlabel: name of the score, with unit.
        highlighted: number of first methods in colour; the others, the baselines, are grey.
    """
    rows = [
        (name, score, RC["axes.prop_cycle"].by_key()["color"][0] if k < highlighted else GREY)
        for k, (name, score) in enumerate(values.items())
        if np.isfinite(score.value) and score.value > 0
    ]
    figure = Figure(figsize=(4.2, 0.55 + ROW_HEIGHT * len(rows)), layout="constrained")
    ax = figure.subplots()
    for y, (_, score, colour) in enumerate(rows):
        # The lower end stays on the axis where the error exceeds the value.
        error = score.error if np.isfinite(score.error) else 0.0
        ax.errorbar(
            score.value, y, xerr=[[min(error, 0.9 * score.value)], [error]], fmt="o", color=colour, markersize=5
        )
    ax.set_yticks(range(len(rows)), [name for name, _, _ in rows])
    ax.set_ylim(max(len(rows), 1) - 0.5, -0.5)
    ax.set_xscale("log")
    if rows:
        found = [score.value for _, score, _ in rows]
        ax.set_xlim(min(found) / MARGIN, max(found) * MARGIN)
        # Every decade is labelled, and parts of it if there are few.
        ax.xaxis.set_major_locator(LogLocator(subs=(1.0,) if max(found) > 20 * min(found) else (1.0, 2.0, 5.0)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.grid(True, axis="x", color="#E5E5E5", linewidth=0.6)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel(xlabel)
    return figure
