"""Figures of the missing-modality surface: a map of the scatter, and lines against the image's masked fraction.

Shape suffixes: I image mask ratios, S spectrum mask ratios.
"""

from __future__ import annotations

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mmae.evaluation.surface.scores import ABSENT, CellIndex, Step, Surface
from mmae.metrics.redshift import ALL_Z
from mmae.report.style import BLACK, GREY, VERMILLION, outlined, style

# Pale for small scatter: black numbers stay readable on all but the darkest quarter.
MAP_CMAP = "Blues"
LINE_CMAP = "cividis"  # sequential, readable with colour blindness
LINE_CMAP_END = 0.9  # the last tenth is too pale on white
MARKERS = "osD^vP*X"
MIN_COLOUR_RANGE = 1.5  # smallest ratio of the colour bar's ends, so that noise does not appear as contrast
LOG_FROM = 8.0  # ratio of largest to smallest scatter above which the axis is logarithmic
ARROW_ENDS = 0.29  # distance from the cell's centre in cells; leaves the numbers uncovered
OFFSET = 0.012  # of the axis, between error bars of one mask ratio


@style()
def surface_figure(surface: Surface) -> Figure:
    """sigma_NMAD in every cell, more data towards the lower left, with arrows for significant rises."""
    n_i, n_s = len(surface.ratios_I), len(surface.ratios_S)
    figure = Figure(figsize=(2.4 + 1.25 * n_i, 1.4 + 0.85 * n_s), layout="constrained")
    ax = figure.subplots()
    sigma_SI = np.full((n_s, n_i), np.nan)
    for (i, s), scores in surface.cells.items():
        sigma_SI[s, i] = scores.sigma_nmad.value
    image = ax.imshow(sigma_SI, cmap=MAP_CMAP, norm=_norm(sigma_SI), aspect="auto")
    figure.colorbar(image, ax=ax, label=rf"$\sigma_\mathrm{{NMAD}}$, {ALL_Z}", pad=0.01, aspect=30)
    for (i, s), scores in surface.cells.items():
        sigma = scores.sigma_nmad
        ax.text(
            i,
            s,
            f"{_short(sigma.value)}\n$\\pm${_percent(sigma.error, sigma.value)}",
            ha="center",
            va="center",
            fontsize=8,
            color="white" if image.norm(sigma.value) > 0.75 else BLACK,
        )
    if surface.ratios_I[-1] == surface.ratios_S[-1] == ABSENT:
        corner = Rectangle((n_i - 1.5, n_s - 1.5), 1, 1, facecolor="white", edgecolor=GREY, hatch="///", linewidth=0)
        ax.add_patch(corner)
        ax.text(n_i - 1, n_s - 1, "no data", ha="center", va="center", fontsize=8, color=GREY, path_effects=outlined(3))
    for step in drawn_steps(surface):
        _draw_arrow(ax, step)
    ax.set_xticks(range(n_i), _names(surface.ratios_I))
    ax.set_yticks(range(n_s), _names(surface.ratios_S))
    ax.tick_params(length=0)
    ax.set(xlabel="masked fraction of the image", ylabel="masked fraction of the spectrum")
    return figure


def drawn_steps(surface: Surface) -> tuple[Step, ...]:
    """Single steps that hurt; if there are none, the most significant longer step that hurts."""
    single = tuple(step for step in surface.hurting if step.neighbours)
    return single or surface.hurting[:1]


def _draw_arrow(ax: Axes, step: Step) -> None:
    less, more = np.array(step.less, float), np.array(step.more, float)
    # Offset by about a third of a cell, so that the arrow does not cross the numbers.
    aside = np.array([0.0, ARROW_ENDS]) if less[1] == more[1] else np.array([ARROW_ENDS, 0.0])
    direction = (more - less) / np.abs(more - less).max()
    ax.annotate(
        "",
        more + aside - ARROW_ENDS * direction,
        less + aside + ARROW_ENDS * direction,
        arrowprops={
            "arrowstyle": "-|>",
            "color": VERMILLION,
            "linewidth": 2.0,
            "mutation_scale": 14,
            "shrinkA": 0,
            "shrinkB": 0,
            "linestyle": "-" if step.neighbours else "--",
        },
    )


@style()
def lines_figure(surface: Surface) -> Figure:
    """sigma_NMAD against the masked fraction of the image, one line per masked fraction of the spectrum."""
    figure = Figure(figsize=(7.5, 4.4), layout="constrained")
    ax = figure.subplots()
    colours = matplotlib.colormaps[LINE_CMAP](np.linspace(0, LINE_CMAP_END, len(surface.ratios_S)))
    place: dict[CellIndex, tuple[float, float]] = {}
    for s, name in enumerate(_names(surface.ratios_S)):
        cells = [cell for cell in surface.cells if cell[1] == s]
        if not cells:
            continue
        shift = OFFSET * (s - (len(surface.ratios_S) - 1) / 2)
        x = np.array([surface.ratios_I[i] for i, _ in cells]) + shift
        scores = [surface.cells[cell].sigma_nmad for cell in cells]
        value, low, high = np.array([(score.value, score.low, score.high) for score in scores]).T
        place.update(zip(cells, zip(x.tolist(), value.tolist(), strict=True), strict=True))
        # A skewed bootstrap distribution may leave the value outside its interval.
        error = np.maximum((value - low, high - value), 0)
        ax.errorbar(
            x, value, error, color=colours[s], marker=MARKERS[s % len(MARKERS)], markersize=5, capsize=2, label=name
        )
    for step in drawn_steps(surface):
        (x0, y0), (x1, y1) = place[step.less], place[step.more]
        if step.less[1] == step.more[1]:  # along the line of one spectrum ratio
            ax.plot((x0, x1), (y0, y1), color=VERMILLION, linewidth=4, alpha=0.6, zorder=0, gid="hurts")
    values = np.array([y for _, y in place.values()])
    if values.min() > 0 and values.max() / values.min() > LOG_FROM:
        ax.set_yscale("log")
    else:
        ax.set_ylim(bottom=0)
    ax.set_xticks(surface.ratios_I, _names(surface.ratios_I))
    ax.set(xlabel="masked fraction of the image", ylabel=rf"$\sigma_\mathrm{{NMAD}}$, {ALL_Z}")
    # Reversed to match the order of the lines: scatter falls with less of the spectrum masked.
    ax.legend(title="masked fraction\nof the spectrum", loc="center left", bbox_to_anchor=(1.01, 0.5), reverse=True)
    return figure


def _names(ratios: tuple[float, ...]) -> list[str]:
    return ["absent" if ratio == ABSENT else f"{ratio:g}" for ratio in ratios]


def _short(value: float) -> str:
    """Three significant digits without an exponent; fits into a cell down to 1e-5."""
    return np.format_float_positional(value, precision=3, fractional=False, trim="-")


def _percent(error: float, value: float) -> str:
    return f"{error / value:.1%}" if value > 0 else "0"


def _norm(sigma_SI: np.ndarray) -> LogNorm:
    known = sigma_SI[np.isfinite(sigma_SI) & (sigma_SI > 0)]
    if not known.size:
        return LogNorm(1, MIN_COLOUR_RANGE)
    middle, half = np.sqrt(known.min() * known.max()), np.sqrt(max(known.max() / known.min(), MIN_COLOUR_RANGE))
    return LogNorm(middle / half, middle * half)
