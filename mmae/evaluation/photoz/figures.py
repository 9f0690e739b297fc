"""Figures of point redshifts: z_pred against z_spec by mode, and scores against redshift and magnitude.

Shape suffixes: N galaxies, B bins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mmae.evaluation.photoz.scoring import FamilyScores
from mmae.evaluation.photoz.strata import MAGNITUDE, REDSHIFT
from mmae.metrics.bootstrap import Score, Scores
from mmae.metrics.redshift import ALL_Z, LOW_Z, ScoreTable, selection
from mmae.plots.redshift import REDSHIFT_TICKS, draw_limits, draw_points, scale_axes
from mmae.report.score_table import with_error
from mmae.report.style import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY_BLUE, VERMILLION, say_absent, style

# (left, bottom, width, height) in axes coordinates, clear of the diagonal and of the outlier limits.
CORNERS = ((0.08, 0.56, 0.38, 0.36), (0.60, 0.09, 0.38, 0.36))
MARKS = ((BLUE, "o"), (VERMILLION, "s"), (GREEN, "D"), (PURPLE, "^"), (ORANGE, "v"), (SKY_BLUE, "P"))
OFFSET = 0.01  # of the axis, between markers of one bin
TRENDS = (
    ("sigma_nmad", r"$\sigma_\mathrm{NMAD}$", 1.0),
    ("bias", "bias (median $dz$)", 1.0),
    ("outlier_rate", r"$|dz|>0.15$ [%]", 100.0),
)
PANELS_A_ROW = 3


@style()
def modes_figure(
    redshift_N: np.ndarray, predictions: Mapping[str, np.ndarray], table: ScoreTable, titles: Mapping[str, str]
) -> Figure:
    """z_pred against z_spec of every mode, linear in log(1 + z), with an inset of z_spec < 0.4.

    Args:
        redshift_N: spectroscopic; NaN where unknown.
        predictions: mode -> (N,); pairs with a value that is not finite are not drawn.
        table: scores "all z" and "z<0.4" of every mode.
        titles: mode -> panel title, in the order of the panels.
    """
    rows = -(-len(titles) // PANELS_A_ROW)
    columns = min(len(titles), PANELS_A_ROW)
    figure = Figure(figsize=(3.9 * columns, 4.3 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).flat
    for (mode, title), ax in zip(titles.items(), axes, strict=False):  # axes second: the rest is used below
        drawn_N = np.isfinite(predictions[mode]) & selection(redshift_N, ALL_Z)
        ax.set_title(f"{title}, {_summary(table[mode][ALL_Z])}", fontsize=9)
        if drawn_N.any():
            _draw_mode(ax, redshift_N[drawn_N], predictions[mode][drawn_N], table[mode])
        else:
            say_absent(ax, "no redshifts")
        ax.set(xlabel=r"$z_\mathrm{spec}$", ylabel=r"$z_\mathrm{pred}$")
    for ax in axes:
        ax.set_axis_off()
    return figure


def _draw_mode(ax: Axes, z_spec_N: np.ndarray, z_pred_N: np.ndarray, scores: Mapping[str, Scores]) -> None:
    scale_axes(ax, None, z_spec_N, ALL_Z)
    ax.set_box_aspect(1)
    draw_points(ax, z_spec_N, z_pred_N)
    draw_limits(ax)
    low_N = selection(z_spec_N, LOW_Z)
    if not low_N.any():
        return
    corner = min(CORNERS, key=lambda corner: _covered(ax, corner, z_spec_N, z_pred_N))
    inset = ax.inset_axes(corner)
    scale_axes(inset, None, z_spec_N[low_N], LOW_Z)
    draw_points(inset, z_spec_N[low_N], z_pred_N[low_N])
    draw_limits(inset)
    inset.set_title(f"$z<0.4$: {with_error(scores[LOW_Z]['sigma_nmad'])}", fontsize=7, pad=2)
    inset.set_xticks([0, 0.2, 0.4])
    inset.tick_params(labelsize=6)


def _covered(ax: Axes, corner: tuple[float, float, float, float], z_spec_N: np.ndarray, z_pred_N: np.ndarray) -> int:
    """Number of galaxies under an inset in this corner."""
    x_N, y_N = (ax.transScale + ax.transLimits).transform(np.column_stack([z_spec_N, z_pred_N])).T
    left, bottom, width, height = corner
    return int(((x_N > left) & (x_N < left + width) & (y_N > bottom) & (y_N < bottom + height)).sum())


def _summary(scores: Scores) -> str:
    return (
        f"n = {scores['outlier_rate'].n:,}\n"
        rf"$\sigma_\mathrm{{NMAD}}$ {with_error(scores['sigma_nmad'])}, "
        f"outliers {with_error(scores['outlier_rate'], percent=True)}"
    )


@style()
def trend_figure(families: Sequence[FamilyScores], titles: Mapping[str, str]) -> Figure:
    """Scatter, bias and outlier rate in bins of redshift and of magnitude, all modes in one panel.

    Args:
        families: redshift and magnitude are drawn, if present.
        titles: mode -> label.
    """
    shown = [family for family in families if family.name in (REDSHIFT, MAGNITUDE)]
    figure = Figure(figsize=(4.6 * len(shown) + 0.6, 7.2), layout="constrained")
    axes = figure.subplots(len(TRENDS), len(shown), sharex="col", sharey="row", squeeze=False)
    marks = {mode: MARKS[k % len(MARKS)] for k, mode in enumerate(titles)}
    for column, family in enumerate(shown):
        for ax, (metric, label, scale) in zip(axes[:, column], TRENDS, strict=True):
            if family.name == REDSHIFT:
                ax.set_xscale("function", functions=(np.log1p, np.expm1))
                ax.set_xticks(REDSHIFT_TICKS)
            _draw_trend(ax, family, metric, scale, marks)
            if column == 0:
                ax.set_ylabel(label)
        axes[-1, column].set_xlabel(family.title)
    values = [
        s.scores["sigma_nmad"].low
        for family in shown
        for strata in family.of_mode.values()
        for s in strata
        if s.scores is not None
    ]
    if values and min(values) > 0:
        axes[0, 0].set_yscale("log")  # the scatter from spectra is a hundred times smaller than from images
    handles = [
        Line2D([], [], color=colour, marker=marker, markersize=5, label=titles[mode])
        for mode, (colour, marker) in marks.items()
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    return figure


def _draw_trend(
    ax: Axes, family: FamilyScores, metric: str, scale: float, marks: Mapping[str, tuple[str, str]]
) -> None:
    bins = {mode: [s for s in family.of_mode[mode] if s.scores is not None and np.isfinite(s.centre)] for mode in marks}
    centres = [s.centre for strata in bins.values() for s in strata]
    if not centres:
        say_absent(ax, "too few galaxies", keep_x=True)
        return
    to_axis = ax.xaxis.get_transform()  # markers are evenly spaced on the page
    step = OFFSET * float(np.ptp(to_axis.transform(np.array(centres))))
    for k, (mode, strata) in enumerate(bins.items()):
        moved_B = to_axis.transform(np.array([s.centre for s in strata])) + step * (k - (len(bins) - 1) / 2)
        _errorbar(ax, to_axis.inverted().transform(moved_B), [s.scores[metric] for s in strata], scale, *marks[mode])
    if metric == "bias":
        ax.axhline(0.0, color=GREY, linestyle="--", linewidth=0.9, zorder=0)


def _errorbar(ax: Axes, x_B: np.ndarray, scores: Sequence[Score], scale: float, colour: str, marker: str) -> None:
    if not scores:
        return
    value_B, low_B, high_B = scale * np.array([(s.value, s.low, s.high) for s in scores]).T
    # A bootstrap interval need not contain the value; bar lengths must not be negative.
    ax.errorbar(
        x_B,
        value_B,
        (np.maximum(value_B - low_B, 0), np.maximum(high_B - value_B, 0)),
        color=colour,
        marker=marker,
        markersize=4,
        linewidth=0.9,
        elinewidth=1.0,
        capsize=2,
    )
