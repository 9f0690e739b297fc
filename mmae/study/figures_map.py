"""Figures of a study over two parameters at once: contours of all pairs, mask ratio by patch size.

Optuna has no map of cells. Its plot_contour is not used: every panel gets colour levels of its own while the
colour bar is that of the first panel, panels are filled where no trial is, every pair is shown twice, and the
labels of its panels overlap. Here all panels share one colour scale and end at the outermost trials.

Shape suffix: N trials.
"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.tri import Triangulation

from mmae.report.style import VERMILLION, say_absent, style
from mmae.study.figures import NAMES, varied
from mmae.study.objective import Measure
from mmae.study.results import TrialRecord

CMAP = "Blues_r"  # dark is a low value
LEVELS = 10
RATIO_BINS = 4
PAIRS = (("image_mask_ratio", "image_patch"), ("spectrum_mask_ratio", "spectrum_patch"))


@style()
def contour_figure(records: Sequence[TrialRecord], validation: int, n_validations: int, criterion: Measure) -> Figure:
    """The criterion at one validation over every pair of parameters, linear between the trials."""
    reached = [r for r in records if validation in r.validations]
    names = varied(reached)
    n = len(names) - 1
    figure = Figure(figsize=(2.3 * n + 1.2, 2.0 * n + 0.6), layout="constrained")
    panels = figure.subplots(n, n, squeeze=False, sharex="col", sharey="row")
    value_N = np.array([r.validations[validation] for r in reached])
    norm = Normalize(value_N.min(), value_N.max())
    for row in range(n):
        for column in range(n):
            ax = panels[row][column]
            if column > row:
                ax.set_axis_off()
                continue
            x_N, y_N = (_coordinates(reached, name) for name in (names[column], names[row + 1]))
            _draw_contours(ax, x_N, y_N, value_N, norm)
            for axis, name in (("x", names[column]), ("y", names[row + 1])):
                _label_axis(ax, axis, reached, name)
            ax.label_outer()
    figure.colorbar(
        matplotlib.cm.ScalarMappable(norm, CMAP),
        ax=panels,
        aspect=40,
        pad=0.02,
        label=f"{criterion.symbol} at validation {validation} of {n_validations}",
    )
    return figure


def _draw_contours(ax: Axes, x_N: np.ndarray, y_N: np.ndarray, value_N: np.ndarray, norm: Normalize) -> None:
    points, inverse = np.unique(np.stack([x_N, y_N], 1), axis=0, return_inverse=True)
    means = np.bincount(inverse.ravel(), value_N) / np.bincount(inverse.ravel())
    span = np.ptp(points, axis=0)
    # A triangulation needs three points that are not on a line, and axes of similar length.
    if len(points) >= 3 and (span > 0).all() and np.linalg.matrix_rank(points - points[0]) == 2:
        triangles = Triangulation(*(points / span).T).triangles
        ax.tricontourf(*points.T, triangles, means, LEVELS, cmap=CMAP, norm=norm)
    ax.scatter(x_N, y_N, c=value_N, cmap=CMAP, norm=norm, edgecolors="black", linewidths=0.5, s=18, zorder=3)


@style()
def heat_figure(records: Sequence[TrialRecord], validation: int, n_validations: int, criterion: Measure) -> Figure:
    """The lowest criterion at one validation, and the number of trials, in cells of mask ratio and patch size."""
    reached = [r for r in records if validation in r.validations]
    value_N = np.array([r.validations[validation] for r in reached])
    norm = Normalize(value_N.min(), value_N.max())
    figure = Figure(figsize=(9.5, 3.6), layout="constrained")
    panels = figure.subplots(1, 2)
    for ax, (ratio, patch) in zip(panels, PAIRS, strict=True):
        if not {ratio, patch} <= set(varied(reached)):
            say_absent(ax, f"{NAMES[ratio]} and {NAMES[patch]}\nare not both varied")
            continue
        _draw_cells(ax, reached, value_N, ratio, patch, norm, criterion.format)
    figure.colorbar(
        matplotlib.cm.ScalarMappable(norm, CMAP),
        ax=panels,
        aspect=25,
        pad=0.02,
        label=f"lowest {criterion.symbol} at validation {validation} of {n_validations}",
    )
    return figure


def _draw_cells(
    ax: Axes,
    records: Sequence[TrialRecord],
    value_N: np.ndarray,
    ratio: str,
    patch: str,
    norm: Normalize,
    value_format: str,
) -> None:
    ratio_N = np.array([r.parameters[ratio] for r in records])
    edges = np.linspace(ratio_N.min(), ratio_N.max(), RATIO_BINS + 1)
    row_N = np.clip(np.searchsorted(edges, ratio_N, side="right") - 1, 0, RATIO_BINS - 1)
    column_N = _coordinates(records, patch).astype(int)
    lowest = np.full((RATIO_BINS, column_N.max() + 1), np.nan)
    for row, column in {*zip(row_N, column_N, strict=True)}:
        cell_N = (row_N == row) & (column_N == column)
        lowest[row, column] = value_N[cell_N].min()
        best = lowest[row, column] == value_N.min()
        ax.text(
            column,
            row,
            f"{lowest[row, column]:{value_format}}\nn = {cell_N.sum()}",
            ha="center",
            va="center",
            fontsize=8,
            color=VERMILLION if best else "black",
            weight="bold" if best else "normal",
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 1.5},
        )
    ax.imshow(lowest, cmap=CMAP, norm=norm, aspect="auto")
    _label_axis(ax, "x", records, patch)
    ax.set(ylabel=NAMES[ratio], yticks=np.arange(RATIO_BINS + 1) - 0.5, yticklabels=[f"{e:.2f}" for e in edges])


def _is_listed(name: str) -> bool:
    """Whether a parameter is chosen from a list; the others are ranges."""
    return not name.endswith(("ratio", "rate"))


def _choices(records: Sequence[TrialRecord], name: str) -> list[float]:
    return sorted({r.parameters[name] for r in records if name in r.parameters})


def _coordinates(records: Sequence[TrialRecord], name: str) -> np.ndarray:
    """Coordinate (N,) of each trial on the axis of a parameter: its value, or the index of its choice."""
    values = _choices(records, name)
    return np.array(
        [float(values.index(r.parameters[name]) if _is_listed(name) else r.parameters[name]) for r in records]
    )


def _label_axis(ax: Axes, axis: str, records: Sequence[TrialRecord], name: str) -> None:
    """Label, ticks and limits of the axis of a parameter; choices are evenly spaced."""
    ax.set(**{f"{axis}label": NAMES[name]})
    values = _choices(records, name)
    if _is_listed(name):
        ax.set(
            **{
                f"{axis}ticks": range(len(values)),
                f"{axis}ticklabels": [f"{v:g}" for v in values],
                f"{axis}lim": (-0.5, len(values) - 0.5),
            }
        )
        return
    low, high = values[0], values[-1]
    if name == "learning_rate":
        ax.set(**{f"{axis}scale": "log", f"{axis}lim": (0.9 * low, 1.1 * high)})
    else:
        margin = 0.07 * (high - low) or 0.05
        ax.set(**{f"{axis}lim": (low - margin, high + margin)})
