"""Figures of a study: Optuna's plots in the style of the project, and the validations of every trial.

The criterion is the number by which the study ranks trials, see objective.py; lower is better. Scatter is validated
sigma_NMAD in the study's input mode (the image, if the model reads it).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from optuna.exceptions import ExperimentalWarning
from optuna.visualization.matplotlib import (
    plot_optimization_history,
    plot_param_importances,
    plot_pareto_front,
    plot_slice,
)

from mmae.metrics.bootstrap import Score
from mmae.report.style import BLACK, BLUE, GREY, RC, VERMILLION, style
from mmae.study.config import Space
from mmae.study.objective import Measure
from mmae.study.results import (
    TrialRecord,
    complete,
    full_with,
    importance_evaluator,
    optuna_study,
    pair_study,
    study_at,
)

NAMES = {
    "image_mask_ratio": "image mask ratio",
    "spectrum_mask_ratio": "spectrum mask ratio",
    "image_patch": "image patch [pix]",
    "spectrum_patch": "spectrum patch [samples]",
    "depth": "depth",
    "width": "width",
    "learning_rate": "learning rate",
}
LOG_FROM = 3.0  # an axis is logarithmic from this ratio of the largest to the smallest value


@contextmanager
def optuna_plot() -> Iterator[None]:
    """Keep what Optuna's plots change of matplotlib inside the block: style, backend and open figures.

    They draw with pyplot. Agg needs no display; figures stay usable after pyplot has closed them.
    """
    with style(), warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        backend, open_before = matplotlib.get_backend(), plt.get_fignums()
        plt.switch_backend("agg")
        matplotlib.rcParams["figure.constrained_layout.use"] = True  # before a colour bar is drawn
        try:
            yield
        finally:
            for number in set(plt.get_fignums()) - set(open_before):
                plt.close(number)
            plt.switch_backend(backend)


def _restyled(axes: Axes | np.ndarray, width: float, height: float) -> Figure:
    """The figure of Optuna's axes with the project's fonts, names and white background.

    Optuna sets the style sheet ggplot itself, so rcParams given before have no effect.
    """
    panels = np.atleast_1d(axes).ravel()
    figure = panels[0].figure
    figure.suptitle("")
    figure.set_layout_engine("constrained")
    figure.set_size_inches(width, height)
    figure.set_facecolor("white")
    for ax in figure.axes:
        ax.set_title("")
        ax.set_title("", loc="left")
        ax.set_facecolor("white")
        ax.grid(False)
        ax.set_axisbelow(True)
        for spine in ax.spines.values():
            spine.set(edgecolor=BLACK, linewidth=0.8, visible=True)
        ax.tick_params(which="both", direction="in", colors=BLACK, labelsize=RC["xtick.labelsize"])
        for axis in (ax.xaxis, ax.yaxis):
            axis.label.set(color=BLACK, fontsize=RC["axes.labelsize"])
            axis.set_label_text(NAMES.get(axis.get_label_text(), axis.get_label_text()))
        for text in ax.texts:
            text.set_fontsize(RC["xtick.labelsize"])
    return figure


def history_figure(records: Sequence[TrialRecord], space: Space, criterion: Measure) -> Figure:
    """The criterion of the full trials in their order, with 68% errors if it has any, and the lowest so far."""
    full = full_with(records, criterion)
    with optuna_plot():
        ax = plot_optimization_history(
            optuna_study(full, space, lambda r: [r.score(criterion).value]), target_name=criterion.axis
        )
        ax.lines[0].set(drawstyle="steps-post", label="lowest so far", color=VERMILLION, alpha=1.0)
        ax.collections[0].set(label="trial with the full budget", color=BLUE)
        _add_errors(ax, [r.number for r in full], [r.score(criterion) for r in full])
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set_xlabel("trial")
        _scale(ax, [r.score(criterion).value for r in full])
        figure = _restyled(ax, 8, 4)
        _legend(ax)
    return figure


def importance_figure(
    records: Sequence[TrialRecord], validation: int, space: Space, seed: int, criterion: Measure
) -> Figure:
    """Share of the variance of the criterion at one validation that each parameter explains."""
    with optuna_plot():
        ax = plot_param_importances(
            study_at(records, validation, space), evaluator=importance_evaluator(seed), target_name=criterion.name
        )
        ax.set(xlabel=f"share of the variance of the {criterion.name} (fANOVA)", ylabel="")
        names = [label.get_text() for label in ax.get_yticklabels()]
        ax.set_yticks(ax.get_yticks(), [NAMES.get(name, name) for name in names])
        ax.get_legend().remove()
        figure = _restyled(ax, 7, 1.2 + 0.4 * len(names))
    return figure


def slice_figure(records: Sequence[TrialRecord], validation: int, space: Space, criterion: Measure) -> Figure:
    """The criterion at one validation against each parameter; colour is the number of the trial."""
    with optuna_plot():
        names = varied(records)
        axes = plot_slice(study_at(records, validation, space), params=names, target_name=criterion.symbol)
        figure = _restyled(axes, 2.1 * len(names) + 1.2, 3.2)
        figure.axes[-1].set_ylabel("trial")  # the colour bar
    return figure


def pareto_figure(records: Sequence[TrialRecord], x: Measure, y: Measure, space: Space) -> Figure:
    """One number of the full trials against another, with the Pareto front; labels are numbers of trials."""
    shown = full_with(records, x, y)
    with optuna_plot():
        ax = plot_pareto_front(pair_study(shown, x, y, space), target_names=[x.axis, y.axis])
        for points in ax.collections:
            front = points.get_label() == "Best Trial"
            points.set(label="Pareto front" if front else "other full trials", color=VERMILLION if front else GREY)
        at = [r.score(x).value for r in shown]
        scores = [r.score(y) for r in shown]
        _add_errors(ax, at, scores)
        for record, place, score in zip(shown, at, scores, strict=True):
            ax.annotate(str(record.number), (place, score.value), xytext=(4, 3), textcoords="offset points")
        if max(at) > LOG_FROM * min(at):
            ax.set_xscale("log")
        figure = _restyled(ax, 6.5, 4.2)
        _legend(ax)
    return figure


# Not Optuna's plot_intermediate_values: it has one legend line and one colour for each trial, so that
# neither the best trial nor the stopped ones can be found.
@style()
def validations_figure(records: Sequence[TrialRecord], n_validations: int, criterion: Measure) -> Figure:
    """The criterion of every trial against the budget spent: where the scheduler stopped which trial."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    ax = figure.subplots()
    best = [r.number for r in complete(records, criterion)][:1]
    for record in records:
        if not record.validations:
            continue
        budget = [validation / n_validations for validation in record.validations]
        if record.number in best:
            line = {"color": VERMILLION, "zorder": 4, "label": f"best: trial {record.number}", "linewidth": 1.8}
        elif record.state == "complete":
            line = {"color": BLUE, "zorder": 3, "label": "full budget"}
        else:
            line = {"color": GREY, "alpha": 0.7, "label": "stopped early"}
        ax.plot(budget, list(record.validations.values()), marker="o", markersize=3, **line)
    ax.set(xlabel="fraction of the budget", ylabel=criterion.axis, xlim=(0, 1.03))
    _scale(ax, [v for r in records for v in r.validations.values()])
    _legend(ax)
    return figure


def _legend(ax: Axes) -> None:
    """One legend entry for each label, above the axes: within them it would cover points."""
    entries = dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    ax.legend(
        entries.values(),
        entries.keys(),
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        ncols=len(entries),
        facecolor="white",
        fontsize=RC["legend.fontsize"],
    )


def _add_errors(ax: Axes, x: Sequence[float], scores: Sequence[Score]) -> None:
    """The 68% intervals, below the points; nothing for scores without errors."""
    if not any(math.isfinite(score.error) for score in scores):
        return
    values = [score.value for score in scores]
    low = [max(0.0, score.value - score.low) for score in scores]
    high = [max(0.0, score.high - score.value) for score in scores]
    ax.errorbar(x, values, yerr=(low, high), fmt="none", ecolor=GREY, elinewidth=0.9, capsize=2, zorder=0)


def varied(records: Sequence[TrialRecord]) -> list[str]:
    """Names of the parameters that differ between trials, in the order of `NAMES`."""
    return [name for name in NAMES if any(name in r.parameters for r in records)]


def _scale(ax: Axes, values: Sequence[float]) -> None:
    """A logarithmic axis where the values span more than `LOG_FROM`."""
    if not values or min(values) <= 0 or max(values) < LOG_FROM * min(values):
        return
    ax.set_yscale("log")
    formatters: tuple[Callable, ...] = (ax.yaxis.set_major_formatter, ax.yaxis.set_minor_formatter)
    for formatter in formatters:
        formatter(FuncFormatter(lambda value, _: f"{value:.2g}"))
