"""Figures of the catalogue: redshifts, colours, magnitudes.

Shape suffixes: N simulated galaxies, M real galaxies, C bands, B magnitude bins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from mmae.realism.locus import LocusCell
from mmae.realism.measures import ColourBin
from mmae.report.style import (
    BLACK,
    BLUE,
    DENSITY_CMAP,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY_BLUE,
    VERMILLION,
    outlined,
    style,
)

CLASS_COLOURS = {
    "MAIN": GREEN,
    "BGS": BLUE,
    "LRG": VERMILLION,
    "ELG": SKY_BLUE,
    "QSO": PURPLE,
    "STAR": ORANGE,
    "PSF": PURPLE,
    "extended": BLUE,
    "unknown": GREY,
}
POINTS_BELOW = 300  # from this number of points a density is drawn
REDSHIFT_EDGES = np.expm1(np.linspace(0, np.log1p(4.4), 61))  # equal bins in ln(1 + z), the axis scale


@style()
def redshift_histogram(redshift_N: np.ndarray, class_N: np.ndarray, percentiles: Mapping[int, float]) -> Figure:
    """Redshift histogram by target class (stacked), with simulated and published percentiles.

    Args:
        class_N: target class.
        percentiles: percent -> published redshift.
    """
    figure = Figure(figsize=(8, 4), layout="constrained")
    ax, lower = figure.subplots(2, 1, sharex=True, height_ratios=(5, 1))
    order = list(CLASS_COLOURS)
    names = sorted(set(class_N.tolist()), key=lambda n: order.index(n) if n in order else len(order))
    ax.hist(
        [redshift_N[class_N == n] for n in names],
        bins=REDSHIFT_EDGES,
        stacked=True,
        weights=[np.full((class_N == n).sum(), 100 / redshift_N.size) for n in names],
        color=[CLASS_COLOURS.get(n, GREY) for n in names],
        edgecolor="white",
        linewidth=0.3,
        label=[f"{n} ({(class_N == n).mean():.1%})" for n in names],
    )
    ax.set_ylabel("share of galaxies per bin [%]")
    ax.set_xscale("function", functions=(np.log1p, np.expm1))
    ax.set_xticks([0, 0.2, 0.4, 0.7, 1, 1.5, 2, 3, 4])
    ax.set_xlim(0, 4.4)
    ax.legend(title="simulated")
    inner = [p for p in percentiles if 0 < p < 100]
    for y, values, colour in (
        (1, np.percentile(redshift_N, inner), BLACK),
        (0, [percentiles[p] for p in inner], VERMILLION),
    ):
        lower.plot(values, [y] * len(inner), "o-", color=colour, markersize=4)
        for value, percent in zip(values, inner, strict=True):
            lower.annotate(
                f"{percent}%",
                (value, y),
                xytext=(0, 4),
                textcoords="offset points",
                ha="center",
                fontsize=7,
                color=colour,
            )
    lower.set_yticks([0, 1], ["published", "simulated"])
    lower.set_ylim(-0.6, 1.9)
    lower.set_xlabel("redshift")
    return figure


@style()
def colour_figure(redshift_N: np.ndarray, mag_NC: np.ndarray, bins: Sequence[ColourBin]) -> Figure:
    """g-r, r-i, i-z against redshift: density of the simulated galaxies, percentiles of both samples."""
    figure = Figure(figsize=(11, 3.8), layout="constrained")
    bands = ("g", "r", "i", "z")
    for ax, (blue, red) in zip(figure.subplots(1, 3), ((0, 1), (1, 2), (2, 3)), strict=True):
        name = f"{bands[blue]}-{bands[red]}"
        colour_N = mag_NC[:, blue] - mag_NC[:, red]
        low, high = _range(colour_N, (-0.2, 2.2))
        draw_density(ax, redshift_N, colour_N, (0, 1.05), (low, high))
        colour_bins = [b for b in bins if b.colour == name]
        for shift, sample, colour, label in (
            (-0.006, "simulated", BLACK, "simulated"),
            (0.006, "real", VERMILLION, "zCOSMOS"),
        ):
            if colour_bins:
                middle = np.array([0.5 * (b.low + b.high) + shift for b in colour_bins])
                p16, p50, p84 = np.array([getattr(b, sample) for b in colour_bins]).T
                ax.errorbar(
                    middle,
                    p50,
                    (p50 - p16, p84 - p50),
                    fmt="o",
                    markersize=4,
                    color=colour,
                    label=label,
                    path_effects=outlined(1.0),
                    capsize=2,
                )
        ax.set(xlabel="redshift", ylabel=f"${name}$ [mag]", xlim=(0, 1.05), ylim=(low, high))
        if colour_bins:
            ax.legend(loc="lower right")
    return figure


@style()
def magnitude_figure(
    redshift_N: np.ndarray, mag_N: np.ndarray, real_redshift_M: np.ndarray, real_mag_M: np.ndarray
) -> Figure:
    """i magnitude against redshift for simulated and real galaxies."""
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    axes = figure.subplots(1, 2, sharex=True, sharey=True)
    for ax, z, mag, title in (
        (axes[0], redshift_N, mag_N, "simulated"),
        (axes[1], real_redshift_M, real_mag_M, "zCOSMOS-bright"),
    ):
        draw_density(ax, z, mag, (0, 1.5), (14, 24.5))
        ax.set(title=title, xlabel="redshift", xlim=(0, 1.5), ylim=(24.5, 14))
    axes[0].set_ylabel("$i$ [mag]")
    return figure


@style()
def photoz_figure(panels: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Predicted against spectroscopic redshift; panels: name -> spectroscopic and predicted redshifts."""
    figure = Figure(figsize=(3.6 * len(panels), 3.8), layout="constrained")
    axes = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    for ax, (name, (z_N, predicted_N)) in zip(axes, panels.items(), strict=True):
        draw_density(ax, z_N, predicted_N, (0, 1.6), (0, 1.6))
        line = np.array([0, 1.6])
        ax.plot(line, line, color=VERMILLION, linewidth=1)
        for sign in (-1, 1):
            ax.plot(line, line + sign * 0.15 * (1 + line), color=VERMILLION, linewidth=0.8, linestyle="--")
        ax.set(title=name, xlabel="spectroscopic redshift", xlim=(0, 1.6), ylim=(0, 1.6))
        ax.set_box_aspect(1)
    axes[0].set_ylabel("photometric redshift")
    return figure


@style()
def magnitude_error_figure(
    true_mag_NC: np.ndarray, offset_NC: np.ndarray, bands: Sequence[str], centres: np.ndarray, median_BC: np.ndarray
) -> Figure:
    """Catalogue minus true magnitude against true magnitude, with the running median."""
    figure = Figure(figsize=(2.6 * len(bands), 3.0), layout="constrained")
    axes = figure.subplots(1, len(bands), sharey=True, squeeze=False)[0]
    for c, (ax, band) in enumerate(zip(axes, bands, strict=True)):
        draw_density(ax, true_mag_NC[:, c], offset_NC[:, c], (15, 25), (-0.6, 0.6))
        ax.axhline(0, color=GREY, linewidth=0.8)
        ax.plot(centres, median_BC[:, c], color=VERMILLION, path_effects=outlined(1.2))
        ax.set(xlabel=f"true ${band}$ [mag]", xlim=(15, 25), ylim=(-0.6, 0.6))
    axes[0].set_ylabel("catalogue $-$ true [mag]")
    return figure


def draw_density(
    ax: Axes, x: np.ndarray, y: np.ndarray, x_range: tuple[float, float], y_range: tuple[float, float]
) -> None:
    """Two-dimensional histogram of points, or the points themselves if there are fewer than POINTS_BELOW."""
    use = np.isfinite(x) & np.isfinite(y)
    if use.sum() < POINTS_BELOW:
        ax.plot(x[use], y[use], ".", color=GREEN, markersize=2)
        return
    count, x_edges, y_edges = np.histogram2d(x[use], y[use], bins=70, range=(x_range, y_range))
    if count.any():
        ax.pcolormesh(
            x_edges,
            y_edges,
            np.where(count > 0, count, np.nan).T,
            cmap=DENSITY_CMAP,
            norm=LogNorm(1, max(count.max(), 2)),
            rasterized=True,
        )


def _range(values: np.ndarray, default: tuple[float, float]) -> tuple[float, float]:
    values = values[np.isfinite(values)]
    if values.size < 10:
        return default
    low, high = np.percentile(values, [0.5, 99.5])
    return float(low - 0.2), float(high + 0.2)


@style()
def locus_figure(without: Sequence[LocusCell], varied: Sequence[LocusCell]) -> Figure:
    """Fraction of real objects outside the simulated locus against redshift, a panel per real table."""
    names = list(dict.fromkeys(c.table for c in (*without, *varied)))
    figure = Figure(figsize=(2.4 * max(len(names), 1) + 1, 3.0), layout="constrained")
    panels = figure.subplots(1, max(len(names), 1), sharey=True, squeeze=False)[0]
    for ax, name in zip(panels, names, strict=False):
        for cells, colour, label in ((without, VERMILLION, "without variety"), (varied, BLUE, "with variety")):
            own = [c for c in cells if c.table == name]
            ax.errorbar(
                [(c.low + c.high) / 2 for c in own],
                [100 * c.outside for c in own],
                yerr=[100 * c.error for c in own],
                fmt="o-",
                markersize=3,
                color=colour,
                label=label,
            )
        ax.axhline(1, color=GREY, linestyle=":")
        ax.set(title=name, xlabel="redshift")
    panels[0].set_ylabel("outside [%]")
    panels[0].legend()
    return figure
