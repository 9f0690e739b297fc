"""Figures of a study: how it went, what it cost, and what the parameters do.

Scatter is validated sigma_NMAD from the image alone throughout, lower is better.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from mmae.report.style import BLACK, BLUE, GREY, LIGHT_GREY, ORANGE, VERMILLION, say_absent, style
from mmae.study.results import TrialRecord, complete, pareto_front

SCATTER_LABEL = r"validation $\sigma_\mathrm{NMAD}$, image only"
NAMES = {
    "image_mask_ratio": "image mask ratio",
    "spectrum_mask_ratio": "spectrum mask ratio",
    "image_patch": "image patch [pix]",
    "spectrum_patch": "spectrum patch [samples]",
    "depth": "depth",
    "width": "width",
    "learning_rate": "learning rate",
}
LOG_FROM = 3.0  # range of scatter from which its axis is logarithmic


@style()
def history_figure(records: Sequence[TrialRecord]) -> Figure:
    """Scatter of every trial in its order, and the best of the full budget so far."""
    figure = Figure(figsize=(8, 4), layout="constrained")
    ax = figure.subplots()
    stopped = [r for r in records if r.state == "stopped" and r.looks]
    full = [r for r in records if r.state == "complete"]
    if stopped:
        ax.plot(
            [r.number for r in stopped],
            [r.scatter.value for r in stopped],
            "o",
            color=LIGHT_GREY,
            markeredgecolor=GREY,
            label="stopped early: at its last look",
        )
    _with_errors(ax, [r.number for r in full], full, BLUE, "full budget")
    best, steps = math.inf, []
    for record in full:
        best = min(best, record.scatter.value)
        steps.append((record.number, best))
    if steps:
        end = max(r.number for r in records)
        ax.step(
            [*(x for x, _ in steps), end],
            [*(y for _, y in steps), best],
            where="post",
            color=VERMILLION,
            label="best so far, full budget",
        )
    for record in records:
        if record.state == "failed":
            ax.axvline(record.number, color=ORANGE, linestyle=":", zorder=0)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlabel="trial", ylabel=SCATTER_LABEL)
    _scale(ax, [r.scatter.value for r in (*stopped, *full)])
    ax.legend(loc="best")
    return figure


@style()
def looks_figure(records: Sequence[TrialRecord], n_looks: int) -> Figure:
    """Scatter of every trial against the budget it had spent: where the scheduler stopped which."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    ax = figure.subplots()
    ranked = [r.number for r in complete(records)]
    for record in records:
        if not record.looks:
            continue
        budget = [look / n_looks for look in record.looks]
        values = list(record.looks.values())
        if record.number in ranked[:1]:
            look = {"color": VERMILLION, "zorder": 4, "label": f"best: trial {record.number}", "linewidth": 1.8}
        elif record.state == "complete":
            look = {"color": BLUE, "zorder": 3, "label": "full budget"}
        else:
            look = {"color": GREY, "alpha": 0.7, "label": "stopped early"}
        ax.plot(budget, values, marker="o", markersize=3, **look)
    handles = dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    ax.legend(handles.values(), handles.keys(), loc="best")
    ax.set(xlabel="fraction of the budget", ylabel=SCATTER_LABEL, xlim=(0, 1.03))
    _scale(ax, [v for r in records for v in r.looks.values()])
    return figure


@style()
def importance_figure(importances: Mapping[str, Mapping[str, float]]) -> Figure:
    """Bars a parameter, one colour for each title of `importances`."""
    names = list(next(iter(importances.values())))[::-1]
    figure = Figure(figsize=(7, 1.2 + 0.5 * len(names)), layout="constrained")
    ax = figure.subplots()
    height = 0.8 / len(importances)
    for k, (title, shares) in enumerate(importances.items()):
        places = [i + 0.4 - (k + 0.5) * height for i in range(len(names))]
        ax.barh(places, [shares.get(name, 0.0) for name in names], height, label=title)
    ax.set_yticks(range(len(names)), [NAMES[name] for name in names])
    ax.tick_params(axis="y", which="both", length=0)
    ax.set(xlabel="share of the variance of the scatter (fANOVA)", xlim=(0, 1))
    ax.legend(loc="lower right")
    return figure


@style()
def slice_figure(records: Sequence[TrialRecord], look: int, n_looks: int) -> Figure:
    """Scatter against each parameter: all trials at the last look they share, and full trials."""
    names, full = varied(records), complete(records)
    by_row = [(r"$\sigma_\mathrm{NMAD}$, full budget", full, n_looks)] if full else []
    if look < n_looks or not full:
        seen = [r for r in records if look in r.looks]
        by_row.insert(0, (f"$\\sigma_\\mathrm{{NMAD}}$, all trials\nafter {look} of {n_looks} looks", seen, look))
    figure = Figure(figsize=(2.6 * len(names), 2.8 * len(by_row)), layout="constrained")
    panels = figure.subplots(len(by_row), len(names), squeeze=False, sharex="col", sharey="row")
    for row, (label, shown, at) in zip(panels, by_row, strict=True):
        for ax, name in zip(row, names, strict=True):
            places = places_of(records, name)
            x = [places[r.number] for r in shown]
            if shown is full:
                _with_errors(ax, x, full, BLUE, None)
                ax.plot(x[0], full[0].scatter.value, "o", color=VERMILLION, zorder=5)
            else:
                ax.plot(x, [r.looks[at] for r in shown], "o", color=GREY, markersize=4)
            name_axis(ax, "x", records, name)
            ax.label_outer()
        row[0].set_ylabel(label)
        _scale(row[0], [r.looks[at] for r in shown])
    return figure


@style()
def pareto_figure(records: Sequence[TrialRecord]) -> Figure:
    """Scatter of full trials against what they cost, with the trials that no other beats in both."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    full = complete(records)
    sides = (("full_flops", 1.0, "training cost [FLOP]"), ("throughput", -1.0, "inference [galaxies/s]"))
    for ax, (name, sign, label) in zip(figure.subplots(1, 2, sharey=True), sides, strict=True):
        if not full:
            say_absent(ax, "no full trial")
            continue
        _with_errors(ax, [r.cost(name) for r in full], full, GREY, "full trials")
        front = pareto_front([(sign * r.cost(name), r.scatter.value) for r in full])
        ax.plot(
            [full[i].cost(name) for i in front],
            [full[i].scatter.value for i in front],
            "o-",
            color=VERMILLION,
            drawstyle="steps-post" if sign > 0 else "steps-pre",
            label="Pareto front",
            zorder=4,
        )
        for record in full:
            ax.annotate(
                str(record.number),
                (record.cost(name), record.scatter.value),
                fontsize=7,
                color=BLACK,
                xytext=(4, 3),
                textcoords="offset points",
            )
        costs = [r.cost(name) for r in full]
        ax.set(xlabel=label, xscale="log" if max(costs) > LOG_FROM * min(costs) else "linear")
        ax.legend(loc="best")
    figure.axes[0].set_ylabel(SCATTER_LABEL)
    return figure


def _with_errors(ax: Axes, x: Sequence[float], records: Sequence[TrialRecord], colour: str, label: str | None) -> None:
    low = [max(0.0, r.scatter.value - r.scatter.low) for r in records]
    high = [max(0.0, r.scatter.high - r.scatter.value) for r in records]
    ax.errorbar(
        x,
        [r.scatter.value for r in records],
        yerr=(low, high),
        fmt="o",
        color=colour,
        label=label,
        elinewidth=0.9,
        capsize=2,
    )


def varied(records: Sequence[TrialRecord]) -> list[str]:
    return [name for name in NAMES if any(name in r.parameters for r in records)]


def _is_listed(name: str) -> bool:
    return not name.endswith(("ratio", "rate"))


def places_of(records: Sequence[TrialRecord], name: str) -> dict[int, float]:
    """Where each trial stands on the axis of a parameter: choices stand side by side."""
    values = sorted({r.parameters[name] for r in records if name in r.parameters})
    return {
        r.number: float(values.index(r.parameters[name]) if _is_listed(name) else r.parameters[name])
        for r in records
        if name in r.parameters
    }


def name_axis(ax: Axes, axis: str, records: Sequence[TrialRecord], name: str) -> None:
    ax.set(**{f"{axis}label": NAMES[name]})
    if _is_listed(name):
        values = sorted({r.parameters[name] for r in records if name in r.parameters})
        ax.set(
            **{
                f"{axis}ticks": range(len(values)),
                f"{axis}ticklabels": [f"{v:g}" for v in values],
                f"{axis}lim": (-0.5, len(values) - 0.5),
            }
        )
        return
    places = [r.parameters[name] for r in records if name in r.parameters]
    low, high = min(places), max(places)
    if name == "learning_rate":
        ax.set(**{f"{axis}scale": "log", f"{axis}lim": (0.9 * low, 1.1 * high)})
    else:
        margin = 0.07 * (high - low) or 0.05
        ax.set(**{f"{axis}lim": (low - margin, high + margin)})


def _scale(ax: Axes, values: Sequence[float]) -> None:
    if not values or min(values) <= 0 or max(values) < LOG_FROM * min(values):
        return
    ax.set_yscale("log")
    for formatter in (ax.yaxis.set_major_formatter, ax.yaxis.set_minor_formatter):
        formatter(FuncFormatter(lambda value, _: f"{value:.2g}"))
