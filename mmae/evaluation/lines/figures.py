"""Figures of lines and continuum: results by line, BPT diagram, examples, errors against wavelength.

Shape suffixes: N galaxies, K galaxies or blocks of wavelength, W samples of a window.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from mmae.evaluation.lines.catalogue import KEYS, LINES, resolution_element
from mmae.evaluation.lines.compare import MEDIAN_OF_NOISE, compare_ratio
from mmae.evaluation.lines.continuum import ContinuumMeasures
from mmae.evaluation.lines.measures import Example, LineMeasures
from mmae.evaluation.lines.tables import AMPLITUDE_TARGET, RATIOS, SHIFT_TARGET, SIGNAL_CUTS, WIDTH_TARGET, Summary
from mmae.plots.spectrum import FLUX_UNIT
from mmae.report.style import BLACK, BLUE, GREEN, GREY, LIGHT_GREY, ORANGE, VERMILLION, say_absent, style

COLOURS = (BLUE, VERMILLION, GREEN, ORANGE)
# The paper's three spectra (arXiv:2510.22527): width and amplitude ratio, and shift in resolution elements.
PAPER = {
    "halpha": (528 / 34.5, 0.62 / 3.04, (7066.8 - 7042.8) / float(resolution_element(7042.8))),
    "lya": (312 / 48, 5.8 / 17.2, np.nan),
    "civ": (648 / 72, 2.48 / 7.07, np.nan),
}
WIDTH_RANGE, AMPLITUDE_RANGE, SHIFT_RANGE = (0.3, 30.0), (0.03, 3.0), (-30.0, 30.0)  # values are clipped to these
MAX_CONNECTED = 60  # with at most this many galaxies, lines connect observed and reconstructed points
PLAIN = FuncFormatter(lambda value, _: f"{value:g}".replace("-", "\N{MINUS SIGN}"))
PERCENTILES = (16.0, 50.0, 84.0)
NO_LINE = "no line was bright and hidden"


@style()
def line_figure(found: Sequence[Summary]) -> Figure:
    """Width ratio, amplitude ratio and centre shift by line, one box per situation.

    Boxes are the interquartile range, whiskers 5 to 95% of the galaxies; targets are shaded.
    """
    here = [s for s in found if s.cut == SIGNAL_CUTS[0] and len(s.compared)]
    figure = Figure(figsize=(10, 8), layout="constrained")
    if not here:
        say_absent(figure.subplots(), NO_LINE)
        return figure
    keys = [key for key in KEYS if any(s.line.key == key for s in here)]
    situations = list(dict.fromkeys(s.situation for s in here))
    width, amplitude, shift = figure.subplots(3, 1, sharex=True)
    panels = (
        (width, lambda s: s.compared.width_K, (WIDTH_RANGE[0], WIDTH_TARGET), WIDTH_RANGE, "width ratio"),
        (amplitude, lambda s: s.compared.amplitude_K, AMPLITUDE_TARGET, AMPLITUDE_RANGE, "amplitude ratio"),
        (
            shift,
            lambda s: s.compared.shift_K / s.compared.element_K,
            (-SHIFT_TARGET, SHIFT_TARGET),
            SHIFT_RANGE,
            "centre shift [resolution elements]",
        ),
    )
    places = [keys.index(key) for key in PAPER if key in keys]
    for which, (ax, of, target, limits, name) in enumerate(panels):
        ax.axhspan(*target, color=LIGHT_GREY, alpha=0.6, linewidth=0, zorder=0, label="target")
        ax.axhline(0.0 if ax is shift else 1.0, color=GREY, linewidth=0.8, zorder=1)
        for k, situation in enumerate(situations):
            _draw_boxes(
                ax,
                [s for s in here if s.situation == situation],
                of,
                keys,
                limits,
                (k - 0.5 * (len(situations) - 1)) / (len(situations) + 0.5),
                COLOURS[k % len(COLOURS)],
            )
        ax.plot(
            places,
            [PAPER[keys[p]][which] for p in places],
            "*",
            color=BLACK,
            markersize=9,
            zorder=5,
            label="paper, one spectrum each",
        )
        ax.set_yscale(**({"value": "symlog", "linthresh": 1.0} if ax is shift else {"value": "log"}))
        ax.yaxis.set_major_formatter(PLAIN)
        ax.set(ylabel=name, ylim=limits)
    shift.set_xticks(range(len(keys)), [LINES[KEYS.index(key)].label for key in keys])
    shift.set_xlim(-0.6, len(keys) - 0.4)
    figure.legend(*amplitude.get_legend_handles_labels(), loc="outside upper center", ncols=len(situations) + 2)
    return figure


def _draw_boxes(
    ax: Axes, here: Sequence[Summary], of, keys: Sequence[str], limits: tuple[float, float], offset: float, colour: str
) -> None:
    """Boxes of the values `of(summary)` of one situation, at the positions of its lines."""
    values, places = [], []
    for s in here:
        value_K = of(s)[np.isfinite(of(s))]
        if value_K.size:
            values.append(np.clip(value_K, *limits))
            places.append(keys.index(s.line.key) + offset)
    if not values:
        return
    drawn = ax.boxplot(
        values,
        positions=places,
        widths=0.28,
        whis=(5, 95),
        showfliers=False,
        patch_artist=True,
        manage_ticks=False,
        medianprops={"color": BLACK},
        whiskerprops={"color": colour},
        capprops={"color": colour},
    )
    for box in drawn["boxes"]:
        box.set(facecolor=colour, alpha=0.55, edgecolor=colour)
    drawn["boxes"][0].set_label(here[0].situation)


@style()
def bpt_figure(measures: LineMeasures) -> Figure:
    """[O III]/H-beta against [N II]/H-alpha, observed and reconstructed, one panel per situation."""
    situations = list(measures.hidden)
    figure = Figure(figsize=(4.8 * max(len(situations), 1), 4.4), layout="constrained")
    axes = figure.subplots(1, max(len(situations), 1), sharex=True, sharey=True, squeeze=False)[0]
    for ax, situation in zip(axes, situations, strict=False):
        x, y = (compare_ratio(measures, over, under, situation) for over, under in RATIOS)
        _, in_x, in_y = np.intersect1d(x.galaxy_K, y.galaxy_K, return_indices=True)
        if not in_x.size:
            say_absent(ax, "no galaxy has all four lines")
            continue
        complete = np.isfinite(x.reconstructed_K[in_x]) & np.isfinite(y.reconstructed_K[in_y])
        if in_x.size <= MAX_CONNECTED:
            ax.plot(
                [x.observed_K[in_x], x.reconstructed_K[in_x]],
                [y.observed_K[in_y], y.reconstructed_K[in_y]],
                color=GREY,
                linewidth=0.5,
                zorder=1,
            )
        size = 4 if in_x.size < 500 else 2
        ax.plot(
            x.observed_K[in_x],
            y.observed_K[in_y],
            "o",
            color=BLUE,
            markersize=size,
            markeredgewidth=0,
            alpha=0.7,
            label=f"observed ({in_x.size:,})",
        )
        ax.plot(
            x.reconstructed_K[in_x],
            y.reconstructed_K[in_y],
            "D",
            color=VERMILLION,
            markersize=size,
            markeredgewidth=0,
            alpha=0.7,
            label=f"reconstructed ({int(complete.sum()):,} have all four)",
        )
        grid = np.linspace(-1.8, -0.05, 100)
        ax.plot(grid, 0.61 / (grid - 0.05) + 1.3, color=BLACK, linewidth=0.9, label="Kauffmann+2003")
        grid = np.linspace(-1.8, 0.35, 100)
        ax.plot(grid, 0.61 / (grid - 0.47) + 1.19, color=BLACK, linewidth=0.9, linestyle="--", label="Kewley+2001")
        ax.set(title=situation, xlabel=r"log [N II] / H$\alpha$", xlim=(-1.8, 0.8), ylim=(-1.4, 1.4))
        ax.legend(loc="lower left", fontsize=7)
    axes[0].set_ylabel(r"log [O III] / H$\beta$")
    return figure


@style()
def example_figure(examples: Sequence[Example]) -> Figure:
    """Observed and reconstructed spectra around single lines, with the fits; one row per line."""
    keys = list(dict.fromkeys(e.line for e in examples))
    if not keys:
        figure = Figure(figsize=(8, 2), layout="constrained")
        say_absent(figure.subplots(), NO_LINE)
        return figure
    columns = max(sum(e.line == key for e in examples) for key in keys)
    figure = Figure(figsize=(3.6 * columns, 0.6 + 2.9 * len(keys)), layout="constrained")
    axes = figure.subplots(len(keys), columns, squeeze=False)
    for row, key in zip(axes, keys, strict=True):
        here = [e for e in examples if e.line == key]
        for ax, example in zip(row, here, strict=False):
            _draw_example(ax, example)
        for ax in row[len(here) :]:
            ax.set_axis_off()
    handles = {label: handle for ax in axes.flat for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=4)
    figure.supxlabel(r"observed wavelength, vacuum [$\mathrm{\AA}$]", fontsize=10)
    figure.supylabel(rf"$f_\lambda$ [{FLUX_UNIT}]", fontsize=10)
    return figure


def _draw_example(ax: Axes, example: Example) -> None:
    ax.plot(example.wavelength_W, example.flux_W, color=GREY, linewidth=0.5, alpha=0.6, zorder=0, label="observed")
    ax.plot(example.wavelength_W, example.fitted_W, color=BLACK, label="observed, fit")
    shown = [example.fitted_W]
    for k, (situation, (flux_W, fitted_W)) in enumerate(example.reconstructed.items()):
        colour = COLOURS[k % len(COLOURS)]
        ax.plot(example.wavelength_W, flux_W, color=colour, linewidth=1.6, alpha=0.45, label=situation)
        ax.plot(example.wavelength_W, fitted_W, color=colour, linewidth=1.0, linestyle="--", label=f"{situation}, fit")
        shown += [flux_W, fitted_W]
    ax.set_title(f"{LINES[KEYS.index(example.line)].label}, z = {example.redshift:.3f}", fontsize=9)
    ax.set_xlim(example.wavelength_W[0], example.wavelength_W[-1])
    # All fits are inside the panel, the noise need not be.
    low, high = np.nanmin(np.concatenate(shown)), np.nanmax(np.concatenate(shown))
    low, high = min(low, np.nanpercentile(example.flux_W, 2)), max(high, np.nanpercentile(example.flux_W, 98))
    ax.set_ylim(low - 0.08 * (high - low), high + 0.12 * (high - low))


@style()
def continuum_figure(measures: ContinuumMeasures) -> Figure:
    """Fractional error of the continuum, and the error in units of the noise, against wavelength."""
    figure = Figure(figsize=(9, 5.6), layout="constrained")
    fraction, noise = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    for k, name in enumerate(measures.pull):
        colour = COLOURS[k % len(COLOURS)]
        low_K, median_K, high_K = 100 * _percentiles(measures.fraction[name], PERCENTILES)
        fraction.plot(measures.wavelength_K, median_K, color=colour, label=f"{name}: median")
        fraction.fill_between(
            measures.wavelength_K, low_K, high_K, color=colour, alpha=0.2, linewidth=0, label="16 to 84%"
        )
        typical_K = _percentiles(np.abs(measures.pull[name]), (50.0,))[0] / MEDIAN_OF_NOISE
        noise.plot(measures.wavelength_K, typical_K, color=colour)
    fraction.axhline(0.0, color=BLACK, linewidth=0.8)
    noise.axhline(1.0, color=BLACK, linewidth=0.8, linestyle="--")
    fraction.set(
        ylabel="(reconstructed $-$ observed) / observed [%]", xlim=(measures.wavelength_K[0], measures.wavelength_K[-1])
    )
    fraction.legend(ncols=max(len(measures.pull), 1))
    noise.set(xlabel=r"observed wavelength [$\mathrm{\AA}$]", ylabel="|error| / noise", yscale="log")
    noise.yaxis.set_major_formatter(PLAIN)
    noise.yaxis.set_minor_formatter(PLAIN)
    return figure


def _percentiles(value_NK: np.ndarray, percents: tuple[float, ...]) -> np.ndarray:
    """Percentiles over the galaxies; NaN, without a warning, for blocks without galaxies."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanpercentile(value_NK, percents, axis=0)
