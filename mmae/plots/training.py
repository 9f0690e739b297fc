"""Learning curves: losses and validation scatter against the step."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from numpy.typing import ArrayLike

from mmae.plots.redshift import running_percentiles
from mmae.report.style import GREY, RC, outlined, say_absent, style

BASELINE = "baseline/"  # curves with this prefix are drawn as a horizontal line at their last value
SCATTER = "sigma_nmad"  # curves with this in their name are drawn in the lower panel
NOISY_FROM = 150  # number of points from which a running median is drawn over the single steps
RUNNING_BINS = 60
LOG_FROM = 4.0  # ratio of largest to smallest scatter from which the axis is logarithmic
LINESTYLES = ("-", "--", ":", "-.")  # used in turn if there are more curves than colours


@style()
def loss_figure(history: Mapping[str, tuple[ArrayLike, ArrayLike]], title: str = "") -> Figure:
    """Losses (log scale) and, if available, validation sigma_NMAD (lower panel) against the step.

    Values that are not finite are omitted. If a loss is zero or negative, such as a negative log-likelihood, the scale
    is symlog: linear around zero, logarithmic beyond.

    Args:
        history: name -> (steps, values). Names that contain "sigma_nmad" are scatter, all others losses; those that
            start with "baseline/" are levels.
        title: title of the figure.
    """
    curves = {name: _finite(steps, values) for name, (steps, values) in history.items()}
    losses = {name: curve for name, curve in curves.items() if SCATTER not in name}
    scatters = {name: curve for name, curve in curves.items() if SCATTER in name}

    # Fixed margins: the figure is drawn at every validation, and a layout engine would take as long as the drawing.
    figure = Figure(figsize=(8, 6 if scatters else 4))
    figure.subplots_adjust(left=0.1, right=0.98, top=0.94 if title else 0.97, bottom=0.08 if scatters else 0.12)
    figure.suptitle(title)
    if scatters:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2), gridspec_kw={"hspace": 0.06})
        if _draw_curves(lower, scatters, marker="o"):
            _scale_scatter(lower, scatters)
            lower.set_ylabel(r"validation $\sigma_\mathrm{NMAD}$")
        else:
            say_absent(lower, "no validation scatter", keep_x=True)
    else:
        upper = lower = figure.subplots()
    if _draw_curves(upper, losses, marker=None):
        _scale_losses(upper, losses)
        upper.set_ylabel("loss")
    else:
        say_absent(upper, "no losses", keep_x=True)
    lower.set_xlabel("step")
    return figure


def _finite(steps: ArrayLike, values: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    steps, values = np.asarray(steps, float), np.asarray(values, float)
    keep = np.isfinite(steps) & np.isfinite(values)
    return steps[keep], values[keep]


def _draw_curves(ax: Axes, curves: Mapping[str, tuple[np.ndarray, np.ndarray]], marker: str | None) -> bool:
    """Draw all curves that have points; False if there are none."""
    colours = RC["axes.prop_cycle"].by_key()["color"]
    drawn = False
    for i, (name, (steps, values)) in enumerate(curves.items()):
        if steps.size == 0:
            continue
        drawn = True
        if name.startswith(BASELINE):
            label = f"baseline: {name.split('/')[-1].replace('_', ' ')}"
            ax.axhline(values[-1], color=GREY, linestyle="--", label=label, zorder=1)
            continue
        line = {"color": colours[i % len(colours)], "linestyle": LINESTYLES[i // len(colours) % len(LINESTYLES)]}
        if steps.size < NOISY_FROM:
            ax.plot(steps, values, label=name, marker=marker, markersize=3, **line)
            continue
        ax.plot(steps, values, linewidth=0.6, alpha=0.35, **line)
        centre, _, median, _ = running_percentiles(steps, values, per_bin=3, max_bins=RUNNING_BINS)
        ax.plot(centre, median, label=name, path_effects=outlined(), **line)
    if drawn:
        ax.legend(loc="upper right", ncols=2)
        ax.grid(True, color="#EEEEEE", linewidth=0.6)
    return drawn


def _scale_losses(ax: Axes, losses: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
    values = np.concatenate([values for _, values in losses.values()])
    if (values > 0).all():
        ax.set_yscale("log")
        return
    size = np.abs(values[values != 0])
    # Linear up to the median absolute value, so that the zero crossing takes little space.
    ax.set_yscale("symlog", linthresh=float(np.median(size)) if size.size else 1.0)
    ax.axhline(0.0, color="black", linewidth=0.4)


def _scale_scatter(ax: Axes, scatters: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
    values = np.concatenate([values for _, values in scatters.values()])
    # On a log axis with a smaller range there are too few tick labels.
    if values.min() <= 0 or values.max() < LOG_FROM * values.min():
        return
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())
