"""Figures of embeddings: a map, scores of probes, probes under a selection shift.

Shape suffixes: M test galaxies, 2 axes of the map.
"""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from mmae.evaluation.representation.map import Plane
from mmae.evaluation.representation.probe_tasks import NOTHING, ProbeScores, ProbeTask
from mmae.evaluation.representation.probes import KNN, LINEAR
from mmae.evaluation.representation.scores import BIAS, R2, SIGMA
from mmae.evaluation.representation.shift import Shift, ShiftScores
from mmae.evaluation.representation.tables import METRICS, metrics_of
from mmae.metrics.bootstrap import Score
from mmae.report.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    LIGHT_GREY,
    ORANGE,
    PURPLE,
    SKY_BLUE,
    VERMILLION,
    say_absent,
    style,
)

REDSHIFT_CMAP = "viridis"
REDSHIFT_TICKS = (0.0, 0.2, 0.4, 0.7, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
TYPE_COLOURS = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY_BLUE, BLACK)
TYPE_MARKERS = "osD^vPX"  # types are distinguishable without colour
PROBE_MARKS = {KNN: (BLUE, "o"), LINEAR: (VERMILLION, "s")}
SYMBOLS = {SIGMA: r"$\sigma_\mathrm{NMAD}$", R2: "$R^2$"}
BASELINE_LABEL = "baseline"
COLUMNS, TITLE_LENGTH = 2, 48  # panels per row, and characters per line of their titles
OFFSET = 0.16  # vertical offset of the two probes from the middle of their row, in rows
AXIS_PERCENTILES = (0.25, 99.75)  # of the map; the galaxies outside are counted
MIN_FOR_PERCENTILES = 400  # with fewer galaxies, the axes include all of them


@style()
def map_figure(plane: Plane, redshift_M: np.ndarray, type_M: np.ndarray, type_name: str, *, seed: int) -> Figure:
    """The map coloured by redshift and by type; unknown values are grey.

    Args:
        seed: of the drawing order, so that no type always covers the others.
    """
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    _colour_by_redshift(figure, left, plane.xy_M2, redshift_M, seed)
    _colour_by_type(right, plane.xy_M2, type_M, seed)
    left.set_title("spectroscopic redshift")
    right.set_title(type_name)
    for ax in (left, right):
        ax.set_xlabel(f"first component ({plane.variance_2[0]:.0%} of the variance)")
        ax.set_box_aspect(1)
    left.set_ylabel(f"second component ({plane.variance_2[1]:.0%})")
    if len(plane.xy_M2) >= MIN_FOR_PERCENTILES:
        low, high = np.percentile(plane.xy_M2, AXIS_PERCENTILES, axis=0)
        low, high = low - 0.05 * (high - low), high + 0.05 * (high - low)
        left.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
        beyond = int(((plane.xy_M2 < low) | (plane.xy_M2 > high)).any(1).sum())
        if beyond:
            left.text(0.02, 0.02, f"{beyond} outside the axes", transform=left.transAxes, fontsize=7)
    return figure


def _colour_by_redshift(figure: Figure, ax: Axes, xy_M2: np.ndarray, redshift_M: np.ndarray, seed: int) -> None:
    known_M = np.isfinite(redshift_M)
    ax.scatter(*xy_M2[~known_M].T, s=6, color=LIGHT_GREY, linewidths=0, rasterized=True)
    if not known_M.any():
        say_absent(ax, "no redshifts")
        return
    order = np.random.default_rng(seed).permutation(np.flatnonzero(known_M))
    # Colours are linear in ln(1+z), like the redshift axes of the other figures.
    points = ax.scatter(
        *xy_M2[order].T, c=np.log1p(redshift_M[order]), cmap=REDSHIFT_CMAP, s=6, linewidths=0, rasterized=True
    )
    bar = figure.colorbar(points, ax=ax, label="redshift", pad=0.01, aspect=30)
    bar.ax.yaxis.set_major_locator(FixedLocator(np.log1p(REDSHIFT_TICKS)))
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{np.expm1(value):.3g}"))


def _colour_by_type(ax: Axes, xy_M2: np.ndarray, type_M: np.ndarray, seed: int) -> None:
    type_M = type_M.astype(str)
    ax.scatter(*xy_M2[type_M == ""].T, s=6, color=LIGHT_GREY, linewidths=0, rasterized=True)
    names, count = np.unique(type_M[type_M != ""], return_counts=True)
    if not len(names):
        say_absent(ax, "no types")
        return
    # The rarest last, so that the others do not cover it.
    for k, name in enumerate(names[np.argsort(-count, kind="stable")]):
        rows = np.random.default_rng(seed).permutation(np.flatnonzero(type_M == name))
        ax.scatter(
            *xy_M2[rows].T,
            s=8,
            color=TYPE_COLOURS[k % len(TYPE_COLOURS)],
            linewidths=0,
            alpha=0.8,
            marker=TYPE_MARKERS[k % len(TYPE_MARKERS)],
            label=f"{name} ({len(rows):,})",
            rasterized=True,
        )
    ax.legend(loc="best", markerscale=2)


@style()
def probe_figure(results: Sequence[tuple[ProbeTask, Sequence[ProbeScores]]]) -> Figure:
    """The first score of every task: one row per input, the baseline as a line."""
    lines = -(-len(results) // COLUMNS)
    figure = Figure(figsize=(9, 0.6 + 2.6 * lines), layout="constrained")
    axes = figure.subplots(lines, COLUMNS, squeeze=False)
    rows = list(dict.fromkeys(p.features for _, found in results for p in found if p.features != NOTHING))
    for ax in axes.flat[len(results) :]:
        ax.set_axis_off()
    for ax, (task, found) in zip(axes.flat, results, strict=False):
        metric = metrics_of(found[0].scores)[0]
        for result in found:
            score = result.scores[metric]
            if result.features == NOTHING:
                ax.axvline(METRICS[metric][1] * score.value, color=GREY, linestyle="--", label=BASELINE_LABEL)
            else:
                _dot(ax, rows.index(result.features), result.probe, score, metric, result.probe)
        _rows(ax, rows, labelled=ax in axes[:, 0])
        ax.set(title=fill(task.title, TITLE_LENGTH), xlabel=_axis_label(metric))
    _legend(figure, axes)
    return figure


@style()
def shift_figure(results: Sequence[tuple[Shift, Sequence[ShiftScores]]]) -> Figure:
    """Scatter, bias and outliers: filled for probes trained on selected galaxies, open for a draw from all."""
    metrics = metrics_of(results[0][1][0].difference)
    figure = Figure(figsize=(9, 0.6 + 2.7 * len(results)), layout="constrained")
    axes = figure.subplots(len(results), len(metrics), squeeze=False)
    for line, (shift, found) in zip(axes, results, strict=True):
        rows = list(dict.fromkeys(s.features for s in found))
        for ax, metric in zip(line, metrics, strict=True):
            for one in found:
                y = rows.index(one.features)
                _dot(ax, y, one.probe, one.everyone[metric], metric, f"{one.probe}, trained on all", filled=False)
                _dot(ax, y, one.probe, one.selected[metric], metric, f"{one.probe}, on the selected")
            _rows(ax, rows, labelled=ax is line[0])
            ax.set_xlabel(_axis_label(metric))
            if metric == BIAS:
                ax.axvline(0, color=GREY, linewidth=0.8, zorder=0)
            else:
                ax.set_xlim(left=0)
        line[len(metrics) // 2].set_title(f"selected: {shift.trained}; tested: {shift.tested}")
    _legend(figure, axes)
    return figure


def _dot(ax: Axes, row: int, probe: str, score: Score, metric: str, name: str, *, filled: bool = True) -> None:
    """A score with its interval; the probes of one row are drawn one below the other."""
    colour, marker = PROBE_MARKS[probe]
    value, low, high = METRICS[metric][1] * np.array([score.value, score.low, score.high])
    # The bootstrap percentiles of a few galaxies need not enclose the value.
    error = np.maximum([[value - low], [high - value]], 0)
    y = row + OFFSET * (2 * list(PROBE_MARKS).index(probe) - 1)
    ax.errorbar(
        value,
        y,
        xerr=error,
        color=colour,
        marker=marker,
        markersize=5,
        linestyle="",
        elinewidth=1.0,
        capsize=2,
        markerfacecolor=colour if filled else "white",
        label=name,
    )


def _rows(ax: Axes, rows: Sequence[str], *, labelled: bool) -> None:
    ax.set_yticks(range(len(rows)), [name.replace(" ", "\n") for name in rows] if labelled else [])
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    for y in range(1, len(rows)):
        ax.axhline(y - 0.5, color=LIGHT_GREY, linewidth=0.8, zorder=0)


def _axis_label(metric: str) -> str:
    return SYMBOLS.get(metric, METRICS[metric][0].heading)


def _legend(figure: Figure, axes: np.ndarray) -> None:
    """One legend below the panels, each label once."""
    found = {name: handle for ax in axes.flat for handle, name in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(found.values(), found.keys(), loc="outside lower center", ncols=len(found))
