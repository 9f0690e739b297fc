"""Figures of a study over two parameters at once: contours of all pairs, mask ratio by patch."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.tri import Triangulation

from mmae.report.style import VERMILLION, say_absent, style
from mmae.study.figures import NAMES, name_axis, places_of, varied
from mmae.study.results import TrialRecord

CMAP = "Blues_r"  # dark is low scatter, and good
LEVELS = 10
RATIO_BINS = 4
PAIRS = (("image_mask_ratio", "image_patch"), ("spectrum_mask_ratio", "spectrum_patch"))


@style()
def contour_figure(records: Sequence[TrialRecord], look: int, n_looks: int) -> Figure:
    """Scatter at one look over every pair of parameters, linear between the trials."""
    seen = [r for r in records if look in r.looks]
    names = varied(seen)
    n = len(names) - 1
    figure = Figure(figsize=(2.3 * n + 1.2, 2.0 * n + 0.6), layout="constrained")
    panels = figure.subplots(n, n, squeeze=False, sharex="col", sharey="row")
    values = np.array([r.looks[look] for r in seen])
    norm = Normalize(values.min(), values.max())
    for row in range(n):
        for column in range(n):
            ax = panels[row][column]
            if column > row:
                ax.set_axis_off()
                continue
            x, y = (_column(seen, name) for name in (names[column], names[row + 1]))
            _draw_contours(ax, x, y, values, norm)
            for axis, name in (("x", names[column]), ("y", names[row + 1])):
                name_axis(ax, axis, seen, name)
            ax.label_outer()
    figure.colorbar(
        matplotlib.cm.ScalarMappable(norm, CMAP),
        ax=panels,
        aspect=40,
        pad=0.02,
        label=rf"$\sigma_\mathrm{{NMAD}}$ after {look} of {n_looks} looks",
    )
    return figure


def _column(records: Sequence[TrialRecord], name: str) -> np.ndarray:
    places = places_of(records, name)
    return np.array([places[r.number] for r in records])


def _draw_contours(ax: Axes, x: np.ndarray, y: np.ndarray, values: np.ndarray, norm: Normalize) -> None:
    points, inverse = np.unique(np.stack([x, y], 1), axis=0, return_inverse=True)
    means = np.bincount(inverse.ravel(), values) / np.bincount(inverse.ravel())
    span = np.ptp(points, axis=0)
    # Triangles need three points that are not in a line, and axes of like size.
    if len(points) >= 3 and (span > 0).all() and np.linalg.matrix_rank(points - points[0]) == 2:
        triangles = Triangulation(*(points / span).T).triangles
        ax.tricontourf(*points.T, triangles, means, LEVELS, cmap=CMAP, norm=norm)
    ax.scatter(x, y, c=values, cmap=CMAP, norm=norm, edgecolors="black", linewidths=0.5, s=18, zorder=3)


@style()
def heat_figure(records: Sequence[TrialRecord], look: int, n_looks: int) -> Figure:
    """The lowest scatter at one look in every cell of mask ratio and patch, and the trials in it."""
    seen = [r for r in records if look in r.looks]
    values = np.array([r.looks[look] for r in seen])
    norm = Normalize(values.min(), values.max())
    figure = Figure(figsize=(9.5, 3.6), layout="constrained")
    panels = figure.subplots(1, 2)
    for ax, (ratio, patch) in zip(panels, PAIRS, strict=True):
        if not {ratio, patch} <= set(varied(seen)):
            say_absent(ax, f"{NAMES[ratio]} and {NAMES[patch]}\nare not both varied")
            continue
        _draw_cells(ax, seen, values, ratio, patch, norm)
    figure.colorbar(
        matplotlib.cm.ScalarMappable(norm, CMAP),
        ax=panels,
        aspect=25,
        pad=0.02,
        label=rf"lowest $\sigma_\mathrm{{NMAD}}$ after {look} of {n_looks} looks",
    )
    return figure


def _draw_cells(
    ax: Axes, seen: Sequence[TrialRecord], values: np.ndarray, ratio: str, patch: str, norm: Normalize
) -> None:
    ratios = np.array([r.parameters[ratio] for r in seen])
    edges = np.linspace(ratios.min(), ratios.max(), RATIO_BINS + 1)
    row_N = np.clip(np.searchsorted(edges, ratios, side="right") - 1, 0, RATIO_BINS - 1)
    column_N = _column(seen, patch).astype(int)
    lowest = np.full((RATIO_BINS, column_N.max() + 1), np.nan)
    for row, column in {*zip(row_N, column_N, strict=True)}:
        cell_N = (row_N == row) & (column_N == column)
        lowest[row, column] = values[cell_N].min()
        best = lowest[row, column] == values.min()
        ax.text(
            column,
            row,
            f"{lowest[row, column]:.4f}\nn = {cell_N.sum()}",
            ha="center",
            va="center",
            fontsize=8,
            color=VERMILLION if best else "black",
            weight="bold" if best else "normal",
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 1.5},
        )
    ax.imshow(lowest, cmap=CMAP, norm=norm, aspect="auto")
    name_axis(ax, "x", seen, patch)
    ax.set(ylabel=NAMES[ratio], yticks=np.arange(RATIO_BINS + 1) - 0.5, yticklabels=[f"{e:.2f}" for e in edges])
