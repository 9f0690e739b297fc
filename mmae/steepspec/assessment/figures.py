"""Figures of a search over a simulated sky: completeness, purity, pulls, classes, ellipses.

Shape suffixes: B bins.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from mmae.metrics.bootstrap import Score
from mmae.report.contents import Measured, cell_text
from mmae.report.style import BLACK, BLUE, GREEN, GREY, LIGHT_GREY, ORANGE, PURPLE, VERMILLION, say_absent, style
from mmae.steepspec.assessment.bins import Binned
from mmae.steepspec.assessment.pulls import FITTED, LIMITS, MEAN, P_MEAN, P_TRUE, P_TRUE_NO_FIELD, WIDTH, Pulls
from mmae.steepspec.assessment.recovery import (
    CANDIDATE,
    CHANCE,
    CHANCE_CANDIDATES,
    ELLIPSE_SHARE,
    INSIDE,
    POPULATIONS,
    PURITIES,
    STAGES,
    Completeness,
    Confusion,
)
from mmae.steepspec.classify import CLASSES

MARKS = ((BLUE, "o"), (VERMILLION, "s"), (GREEN, "D"))
PULL_RANGE = 5.0  # pulls beyond are counted in the outermost bins
SHARE_CMAP = LinearSegmentedColormap.from_list("share", ["white", BLUE])
CLASS_NAMES = ("pulsar", "radio galaxy", "AGN", "star", "ambiguous")
MARKER_OFFSET = 0.015  # of the axis, between the markers of one bin
LEGEND = {PURITIES[0]: "whole simulated sky", PURITIES[1]: "in ellipses", PURITIES[2]: "in ellipses, no field pulsars"}


@style()
def completeness_figure(complete: Completeness, selected: Binned, steep_limit: float) -> Figure:
    """Completeness against expected flux and true alpha; recovery and purity against S/N.

    Args:
        complete: of `recovery.completeness`.
        selected: of `recovery.selection_by_snr`.
        steep_limit: vertical line in the panel of alpha.
    """
    figure = Figure(figsize=(9.5, 6.8), layout="constrained")
    flux, alpha, recovery, purity = figure.subplots(2, 2).flat
    population = POPULATIONS[0]
    _draw_rates(flux, complete.by_flux[population], STAGES, log=True)
    flux.set(title=f"{population} pulsars", ylabel="fraction of injected pulsars")
    if _draw_rates(alpha, complete.by_alpha, STAGES):
        alpha.axvline(steep_limit, color=GREY, linestyle="--", linewidth=0.9, zorder=0)
    alpha.set(title="all pulsars", ylabel="fraction of injected pulsars")
    _draw_rates(recovery, selected, STAGES[1:], log=True, marks=MARKS[1:])
    recovery.set(title="detected, truly steep pulsars", ylabel="fraction of detected pulsars")
    _draw_rates(purity, selected, PURITIES, log=True, marks=((GREY, "o"), (ORANGE, "s"), (BLACK, "D")))
    purity.set(title="pulsar candidates", ylabel="purity")
    return figure


@style()
def pull_figure(pulls: Pulls, calibration: Mapping[str, Binned]) -> Figure:
    """Histogram of pulls, their mean and robust width against S/N, and the calibration of p_steep.

    Args:
        pulls: of `pulls.alpha_pulls`.
        calibration: of `pulls.steep_calibration`.
    """
    figure = Figure(figsize=(9.5, 6.8), layout="constrained")
    (histogram, mean), (steep, width) = figure.subplots(2, 2)
    _draw_histogram(histogram, pulls)
    for ax, name, target in ((mean, MEAN, 0.0), (width, WIDTH, 1.0)):
        if _draw_scores(ax, pulls.by_snr, (name,), log=True, marks=MARKS[:1]):
            ax.axhline(target, color=GREY, linestyle="--", linewidth=0.9, zorder=0)
        ax.set_ylabel(f"{name} of the pulls")
    mean.set_title("errors from a bootstrap over pointings")
    _draw_calibration(steep, calibration)
    return figure


def _draw_histogram(ax: Axes, pulls: Pulls) -> None:
    if not pulls.pull.size:
        say_absent(ax, "no fitted spectral index with a true value")
        return
    # Bins of 0.25, or of 0.5 for few pulls.
    edges = np.linspace(-PULL_RANGE, PULL_RANGE, 41 if pulls.pull.size > 400 else 21)
    ax.hist(
        np.clip(pulls.pull, -PULL_RANGE, PULL_RANGE),
        edges,
        density=True,
        color=BLUE,
        alpha=0.35,
        label=f"{pulls.pull.size:,} sources",
    )
    x = np.linspace(-PULL_RANGE, PULL_RANGE, 300)
    ax.plot(x, np.exp(-0.5 * x**2) / np.sqrt(2 * np.pi), color=BLACK, label="normal, width 1")
    total = pulls.by_snr.total
    lines = [f"{name} {cell_text(Measured(total[name].value, total[name].error))}" for name in (MEAN, WIDTH)]
    beyond = int((np.abs(pulls.pull) > PULL_RANGE).sum())
    lines += [f"{beyond} beyond {PULL_RANGE:g}"] * bool(beyond)
    ax.text(0.03, 0.96, "\n".join(lines), transform=ax.transAxes, va="top", fontsize=8)
    ax.set(
        xlabel=r"($\alpha-\alpha_\mathrm{true}$) / error of $\alpha$",
        ylabel="density",
        title=r"pulls of $\alpha$",
        xlim=(-PULL_RANGE, PULL_RANGE),
    )
    ax.legend(loc="upper right")


def _draw_calibration(ax: Axes, calibration: Mapping[str, Binned]) -> None:
    if not any(shown.total[P_TRUE].n for shown in calibration.values()):
        say_absent(ax, "no source with p_steep and a true index")
        return
    ax.plot((0, 1), (0, 1), color=GREY, linestyle="--", linewidth=0.9)
    lines = (
        (FITTED, P_TRUE, FITTED),
        (FITTED, P_TRUE_NO_FIELD, f"{FITTED}, no field pulsars"),
        (LIMITS, P_TRUE, LIMITS),
    )
    for (group, name, label), (colour, marker) in zip(lines, MARKS, strict=True):
        p_B = np.array([score.value for score in calibration[group].scores[P_MEAN]])
        _errorbar(ax, p_B, calibration[group].scores[name], colour, marker, label)
    ax.set(
        xlabel="mean p_steep",
        ylabel="fraction truly steep",
        xlim=(-0.03, 1.03),
        ylim=(-0.03, 1.03),
        title="calibration of p_steep",
    )
    ax.legend(loc="upper left")


@style()
def confusion_figure(found: Confusion) -> Figure:
    """True class against found class: counts, and in colour the fraction of the true class.

    Args:
        found: of `recovery.confusion`.
    """
    figure = Figure(figsize=(10.5, 4.2), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for ax, matrix, title in zip(
        panels, (found.all_TF, found.steep_TF), ("all detected sources", "called steep"), strict=True
    ):
        image = _draw_matrix(ax, matrix[:-1])  # "ambiguous" is not a true class
        ax.set(title=f"{title} ({int(matrix.sum()):,})", xlabel="found class")
    panels[0].set_ylabel("true class")
    figure.colorbar(image, ax=panels, label="fraction of the true class", pad=0.01, aspect=30)
    return figure


def _draw_matrix(ax: Axes, matrix_TF: np.ndarray):
    total_T1 = matrix_TF.sum(axis=1, keepdims=True)
    share_TF = matrix_TF / np.maximum(total_T1, 1)
    image = ax.imshow(share_TF, cmap=SHARE_CMAP, vmin=0, vmax=1, origin="upper", aspect="auto")
    for (row, column), count in np.ndenumerate(matrix_TF):
        share = share_TF[row, column]
        percent = f"{share:.0%}" if share >= 0.005 else "<1%"
        text = f"{count:,}\n{percent}" if count else ("0" if total_T1[row, 0] else "\N{EN DASH}")
        ax.text(column, row, text, ha="center", va="center", fontsize=8, color="white" if share > 0.6 else BLACK)
    names = CLASS_NAMES[: matrix_TF.shape[0]]
    ax.set_xticks(range(len(CLASSES)), CLASS_NAMES)
    ax.set_yticks(range(len(names)), names)
    ax.tick_params(length=0)
    return image


@style()
def ellipse_figure(found: Binned) -> Figure:
    """Recovered pulsars, purity and chance sources against the size of the ellipse.

    Args:
        found: of `recovery.by_ellipse`.
    """
    figure = Figure(figsize=(9.5, 6.8), layout="constrained")
    (inside, purity), (chance, candidates) = figure.subplots(2, 2, sharex=True)
    if _draw_rates(inside, found, (INSIDE, CANDIDATE), log=True):
        inside.axhline(ELLIPSE_SHARE, color=GREY, linestyle="--", linewidth=0.9, zorder=0)
    inside.set(ylabel="fraction of detected pulsars", title="pulsars of the ellipses")
    _draw_rates(purity, found, PURITIES[1:], log=True, marks=((ORANGE, "s"), (BLACK, "D")))
    purity.set(ylabel="purity", title="steep candidates")
    for ax, name in ((chance, CHANCE), (candidates, CHANCE_CANDIDATES)):
        _draw_scores(ax, found, (name,), log=True, marks=((PURPLE, "o"),))
        ax.set_ylabel(name)
        ax.set_ylim(bottom=0)
    for ax in (inside, purity):
        ax.set_xlabel("")
    return figure


def _draw_rates(
    ax: Axes, shown: Binned, names: tuple[str, ...], *, log: bool = False, marks: tuple[tuple[str, str], ...] = MARKS
) -> bool:
    """Draw rates from 0 to 1 and the number of objects below, once if common to all; whether there were any."""
    if not _draw_scores(ax, shown, names, log=log, marks=marks):
        return False
    counts = [tuple(score.n for score in shown.scores[name]) for name in names]
    rows = (
        [(counts[0], GREY)]
        if len(set(counts)) == 1
        else [(row, colour) for row, (colour, _) in zip(counts, marks, strict=False)]
    )
    for k, (row, colour) in enumerate(rows):
        for x, n in zip(shown.centre, row, strict=True):
            if n:
                ax.text(x, -0.11 - 0.06 * k, f"{n:,}", ha="center", va="bottom", fontsize=7, color=colour)
    ax.set_ylim(-0.07 - 0.06 * len(rows), 1.05)
    ax.set_yticks(np.linspace(0, 1, 6))
    ax.axhline(0, color=LIGHT_GREY, linewidth=0.8, zorder=0)
    ax.legend(loc="best")
    return True


def _draw_scores(
    ax: Axes, shown: Binned, names: tuple[str, ...], *, log: bool, marks: tuple[tuple[str, str], ...]
) -> bool:
    """Draw scores with their intervals at the medians of the bins; whether there were any."""
    if not any(score.n for name in names for score in shown.scores[name]):
        say_absent(ax, f"no objects in the bins of {shown.quantity}")
        return False
    x_B = np.log(shown.centre) if log else shown.centre
    step = MARKER_OFFSET * np.ptp(x_B[np.isfinite(x_B)])
    for k, (name, (colour, marker)) in enumerate(zip(names, marks, strict=False)):
        moved_B = x_B + step * (k - (len(names) - 1) / 2)
        moved_B = np.exp(moved_B) if log else moved_B
        _errorbar(ax, moved_B, shown.scores[name], colour, marker, LEGEND.get(name, name))
    if log:
        ax.set_xscale("log")
        within_decade = np.nanmax(shown.centre) < 10 * np.nanmin(shown.centre)
        subs = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0) if within_decade else (1.0, 2.0, 5.0)
        ax.xaxis.set_major_locator(LogLocator(subs=subs))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xlabel(shown.quantity.replace("alpha", r"$\alpha$"))
    return True


def _errorbar(ax: Axes, x_B: np.ndarray, scores: tuple[Score, ...], colour: str, marker: str, label: str) -> None:
    value_B, low_B, high_B = np.array([(s.value, s.low, s.high) for s in scores]).T
    # A point without an interval (one pointing, one ellipse) is drawn without error bar.
    ax.plot(x_B, value_B, color=colour, linewidth=0.8, alpha=0.4)
    ax.errorbar(
        x_B,
        value_B,
        (value_B - low_B, high_B - value_B),
        color=colour,
        marker=marker,
        markersize=4,
        linestyle="",
        elinewidth=1.0,
        capsize=2,
        label=label,
    )
