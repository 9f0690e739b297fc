"""Figures of all sources: spectral indices, colours, sky map, and chance coincidences.

Tables have the columns of `mmae.steepspec.schema`. Suffixes: N sources, R regions, K moved sets.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import Table
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike
from scipy.stats import poisson

from mmae.report.style import (
    BLACK,
    BLUE,
    GREY,
    LIGHT_GREY,
    ORANGE,
    PURPLE,
    SKY_BLUE,
    VERMILLION,
    outlined,
    say_absent,
    style,
)
from mmae.steepspec.arrays import plain_column
from mmae.steepspec.classify import CLASSES, Thresholds
from mmae.steepspec.report.spectrum_panel import (
    ALPHA,
    brightness,
    legend_outside,
    measured_index,
    minus_signs,
    plain_ticks,
)
from mmae.steepspec.spectra.two_point import STEEP

BIN_WIDTH = 0.2  # of alpha
BINS_EACH_SIDE = 17  # of the steep limit, which is a bin edge; the outermost bins include all values beyond
MAX_CHANCE_BINS = 30
LOG_FROM = 30  # counts from which the axis is logarithmic, so that a few candidates are visible
MAX_ERROR_BARS = 400  # with more, error bars would hide the points
CLASS_STYLES = {
    "pulsar_candidate": (VERMILLION, "*", 9),
    "radio_galaxy": (BLUE, "o", 4),
    "agn": (PURPLE, "s", 4),
    "star": (ORANGE, "D", 4),
    "ambiguous": (GREY, "^", 4),
}
CLASS_NAMES = {name: name.replace("_", " ").replace("agn", "AGN") for name in CLASSES}
# Legend above the panel, where it cannot cover bars.
ABOVE = {"loc": "lower left", "bbox_to_anchor": (0.0, 1.0), "fontsize": 7.5, "borderaxespad": 0.2}


@style()
def alpha_figure(sources: Table, members: Table, steep_limit: float = STEEP) -> Figure:
    """Spectral indices of all sources, of those in error ellipses and of the candidates.

    Members and candidates are counts; all sources are scaled to the number of members, the distribution
    of members drawn at random. A source in two ellipses counts once. Indices from upper limits depend on a
    prior and are not drawn, only counted in the legend. The right panel is alpha against flux density, or
    against S/N if more sources have that.

    Args:
        sources: (N) SOURCES, the whole radio catalogue.
        members: MEMBERS; those with rank > 0 are candidates.
    """
    members = unique_sources(members)
    candidates = members[plain_column(members["rank"]) > 0]
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw_histograms(left, sources, members, candidates, steep_limit)
    _draw_against_brightness(right, sources, members, candidates, steep_limit)
    return figure


@style()
def colour_figure(members: Table, thresholds: Thresholds) -> Figure:
    """WISE colour against W2 with the AGN of Stern et al. (2012, ApJ 753, 30), and against optical - W2.

    Only reliable counterparts have magnitudes in the table; the title of each panel has the number of
    sources with magnitudes. A source in two ellipses is drawn once.

    Args:
        members: MEMBERS.
        thresholds: of the classification, for the AGN region.
    """
    members = unique_sources(members)
    w1, w2, optical = (plain_column(members[name]) for name in ("w1_mag", "w2_mag", "optical_mag"))
    figure = Figure(figsize=(10, 4.9), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    left_drawn = _draw_classes(left, members, w2, w1 - w2, "W1 and W2")
    right_drawn = _draw_classes(right, members, optical - w2, w1 - w2, "W1, W2 and an optical magnitude")
    left.set(xlabel="W2 (Vega mag)", ylabel="W1 \N{MINUS SIGN} W2 (Vega mag)")
    right.set(xlabel="optical (AB) \N{MINUS SIGN} W2 (Vega) (mag)")
    if left_drawn:
        _mark_agn(left, thresholds)
    if right_drawn:
        right.axhline(
            thresholds.wise_agn_colour,
            color=BLACK,
            linewidth=0.9,
            linestyle="--",
            zorder=1,
            label=f"W1 \N{MINUS SIGN} W2 = {thresholds.wise_agn_colour:g}",
        )
    legend_outside(figure, (left, right), CLASS_NAMES.values(), loc="outside lower center", ncols=4)
    return figure


@style()
def sky_figure(regions: Table, members: Table) -> Figure:
    """The regions in Galactic coordinates, Mollweide projection, longitude increasing to the left.

    Args:
        regions: (R) REGIONS.
        members: MEMBERS, for the regions with candidates.
    """
    figure = Figure(figsize=(9, 5.2), layout="constrained")
    ax = figure.add_subplot(projection="mollweide")
    longitude = np.arange(-150, 151, 30)
    ax.set_xticks(np.radians(longitude), [f"{-x % 360}\N{DEGREE SIGN}" for x in longitude])
    ax.grid(True, color=LIGHT_GREY, linewidth=0.5)
    latitude = np.arange(-60, 61, 30)
    ax.set_yticks(np.radians(latitude), [minus_signs(f"{y}\N{DEGREE SIGN}") for y in latitude])
    for text in ax.get_xticklabels():
        text.set(fontsize=7, path_effects=outlined())
    sky = SkyCoord(plain_column(regions["ra"]), plain_column(regions["dec"]), unit="deg").galactic
    x, y = -sky.l.wrap_at("180d").rad, sky.b.rad
    styles = (
        ("outside the radio survey", GREY, "x", 14),
        ("inside, no candidates", BLUE, "o", 16),
        ("candidates", VERMILLION, "o", 42),
        ("pulsar candidates", VERMILLION, "*", 150),
    )
    kind = _kind_of_region(regions, members)
    for i, (label, colour, marker, size) in enumerate(styles):
        at = kind == i
        ax.scatter(
            x[at],
            y[at],
            size,
            color=colour,
            marker=marker,
            linewidths=0.8,
            zorder=2 + i,
            gid=label,
            label=f"{label}: {at.sum():,}",
            edgecolors=None if marker == "x" else "white",
        )
    figure.legend(loc="outside lower center", ncols=4, title="gamma-ray regions, in Galactic coordinates")
    return figure


@style()
def chance_figure(panels: Mapping[str, tuple[ArrayLike, int]]) -> Figure:
    """Distribution of counts in moved regions and the observed count, one panel per kind of source.

    Args:
        panels: kind of source, for the title -> ((K,) counts in the moved sets, observed count).
    """
    figure = Figure(figsize=(max(4.6 * len(panels), 4.6), 3.8), layout="constrained")
    axes = figure.subplots(1, max(len(panels), 1), squeeze=False)[0]
    if not panels:
        say_absent(axes[0], "no chance estimate")
    for ax, (what, (counts_K, observed)) in zip(axes, panels.items(), strict=False):
        _draw_chance(ax, what, np.asarray(counts_K, int), int(observed))
    return figure


def unique_sources(members: Table) -> Table:
    """One row per source, a candidate row if the source is a candidate in any of its ellipses."""
    rank = plain_column(members["rank"])
    order = np.lexsort((rank, rank == 0))
    # Names may repeat in a catalogue, positions do not.
    position = plain_column(members["ra"]) + 1j * plain_column(members["dec"])
    _, first = np.unique(position[order], return_index=True)
    return members[np.sort(order[first])]


# --- spectral indices


def _draw_histograms(ax: Axes, sources: Table, members: Table, candidates: Table, steep_limit: float) -> None:
    edges = steep_limit + BIN_WIDTH * np.arange(-BINS_EACH_SIDE, BINS_EACH_SIDE + 1)
    groups = {"all sources": sources, "in error ellipses": members, "candidates": candidates}
    known = {name: plain_column(table["alpha"])[measured_index(table)] for name, table in groups.items()}
    if not known["all sources"].size:
        say_absent(ax, "no spectral indices")
        return
    share = len(known["in error ellipses"]) / len(known["all sources"])
    styles = {
        "all sources": {"color": LIGHT_GREY},
        "in error ellipses": {"color": BLUE, "histtype": "step"},
        "candidates": {"color": VERMILLION, "alpha": 0.75},
    }
    tallest = 0.0
    for name, alpha in known.items():
        scale = share if name == "all sources" and share > 0 else 1.0
        label = f"{_counted(name, groups[name])}{f'; scaled by {scale:.2g}' if scale != 1 else ''}"
        counts, *_ = ax.hist(
            np.clip(alpha, edges[0], edges[-1]),
            edges,
            label=label,
            gid=name,
            linewidth=1.4,
            weights=np.full(len(alpha), scale),
            **styles[name],
        )
        tallest = max(tallest, counts.max())
    ax.set_ylim(0, 1.1 * tallest)
    if tallest > LOG_FROM:
        ax.set(yscale="log", ylim=(0.5, 1.7 * tallest))
        plain_ticks(ax.yaxis)
    ax.axvline(steep_limit, color=BLACK, linestyle="--", linewidth=0.9)
    ax.set(
        xlim=(edges[0], edges[-1]),
        xlabel=f"spectral index {ALPHA} (outermost bins include values beyond)",
        ylabel=f"sources per {BIN_WIDTH:g} in {ALPHA}",
    )
    ax.legend(**ABOVE)


def _counted(name: str, table: Table) -> str:
    """Legend label with the numbers of sources that are drawn and not drawn."""
    drawn, without = measured_index(table), np.isnan(plain_column(table["alpha"]))
    left_out = {"from limits": ~drawn & ~without, f"without {ALPHA}": without}
    more = ", ".join(f"{rows.sum():,} {why}" for why, rows in left_out.items() if rows.any())
    return f"{name}: {drawn.sum():,}" + (f" (not drawn: {more})" if more else "")


def _draw_against_brightness(ax: Axes, sources: Table, members: Table, candidates: Table, steep_limit: float) -> None:
    _, name = brightness(sources)
    column = "snr" if name == "S/N" else "sed_flux_mjy"
    styles = (
        ("all sources", sources, GREY, 1.2, 0.0),
        ("in error ellipses", members, BLUE, 3.5, 0.3),
        ("candidates", candidates, VERMILLION, 5.5, 1.0),
    )
    drawn = 0
    for zorder, (label, table, colour, size, opacity) in enumerate(styles, 2):
        x, alpha, error = (plain_column(table[key]) for key in (column, "alpha", "alpha_err"))
        good = (x > 0) & measured_index(table)
        drawn += good.sum()
        bars = np.nan_to_num(error[good]) if opacity and good.sum() <= MAX_ERROR_BARS else None
        ax.errorbar(
            x[good],
            alpha[good],
            bars,
            fmt="o",
            color=colour,
            ecolor=(colour, opacity),
            elinewidth=0.7,
            markersize=size,
            markeredgewidth=0,
            zorder=zorder,
            label=label,
            gid=label,
            rasterized=label == "all sources",
        )  # vector graphics of a whole catalogue would be huge
    if not drawn:
        say_absent(ax, "no spectral indices with a brightness")
        return
    ax.axhline(steep_limit, color=BLACK, linestyle="--", linewidth=0.9, zorder=6)
    ax.set(xscale="log", xlabel=f"fitted {name}" if column != "snr" else name, ylabel=f"spectral index {ALPHA}")
    reach = BIN_WIDTH * BINS_EACH_SIDE
    ax.set_ylim(steep_limit - reach, steep_limit + reach)
    plain_ticks(ax.xaxis)
    ax.legend(
        title="1\N{GREEK SMALL LETTER SIGMA} errors for sources in ellipses",
        title_fontsize=7.5,
        alignment="left",
        ncols=3,
        **ABOVE,
    )


# --- colours


def _draw_classes(ax: Axes, members: Table, x: np.ndarray, y: np.ndarray, needed: str) -> bool:
    """Draw points by class, with the number of sources in the title; whether there were any points."""
    good = np.isfinite(x) & np.isfinite(y)
    none = (plain_column(members["counterpart_id"]) == "").sum()
    if len(members):
        ax.set_title(
            f"{good.sum():,} of {len(members):,} sources in ellipses have {needed};\n{none:,} have no counterpart",
            fontsize=9,
        )
    if not good.any():
        say_absent(ax, f"no source with {needed}")
        return False
    classes = plain_column(members["source_class"])
    for name in reversed(CLASSES):
        at = good & (classes == name)
        if at.any():
            colour, marker, size = CLASS_STYLES[name]
            ax.plot(
                x[at],
                y[at],
                marker,
                color=colour,
                markersize=size,
                markeredgecolor="white",
                gid=name,
                markeredgewidth=0.4,
                label=CLASS_NAMES[name],
            )
    return True


def _mark_agn(ax: Axes, thresholds: Thresholds) -> None:
    colour, faintest = thresholds.wise_agn_colour, thresholds.wise_agn_w2
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    high = max(high, colour + 0.4)
    ax.fill_between(
        [min(left, faintest - 1), faintest],
        colour,
        high,
        color=SKY_BLUE,
        alpha=0.2,
        linewidth=0,
        label=f"AGN (Stern+2012): W1 \N{MINUS SIGN} W2 \N{GREATER-THAN OR EQUAL TO} {colour:g}, W2 < {faintest:g}",
        gid="agn region",
        zorder=0,
    )
    ax.set(xlim=(min(left, faintest - 1), max(right, faintest + 0.5)), ylim=(low, high))


# --- sky and chance


def _kind_of_region(regions: Table, members: Table) -> np.ndarray:
    """(R,) 0: outside the survey, 1: inside, 2: with candidates, 3: with pulsar candidates."""
    names, region = plain_column(regions["name"]), plain_column(members["region"])
    candidate = plain_column(members["rank"]) > 0
    pulsar = candidate & (plain_column(members["source_class"]) == "pulsar_candidate")
    kind = plain_column(regions["in_footprint"]).astype(int)
    kind[np.isin(names, region[candidate])] = 2
    kind[np.isin(names, region[pulsar])] = 3
    return kind


def _draw_chance(ax: Axes, what: str, counts_K: np.ndarray, observed: int) -> None:
    if not counts_K.size:
        say_absent(ax, f"{what}: no moved regions")
        return
    low, high = int(counts_K.min()), int(counts_K.max())
    # Integer bin width, so that all bins contain the same number of integers.
    width = -(-(high - low + 1) // MAX_CHANCE_BINS)
    edges = np.arange(low, high + width + 1, width) - 0.5
    ax.hist(
        counts_K,
        edges,
        color=LIGHT_GREY,
        edgecolor=GREY,
        linewidth=0.6,
        gid="moved",
        label=f"{len(counts_K):,} moved sets: mean {counts_K.mean():.3g}",
    )
    around = np.arange(edges[0] - 3 * width, edges[-1] + 3.5 * width, width)
    expected = np.diff(poisson.cdf(around, counts_K.mean())) * len(counts_K)
    ax.plot(
        (around[1:] + around[:-1]) / 2,
        expected,
        color=BLUE,
        drawstyle="steps-mid",
        linewidth=1.0,
        label="Poisson with this mean",
    )
    reached = int((counts_K >= observed).sum())
    ax.axvline(
        observed,
        color=VERMILLION,
        linewidth=1.8,
        gid="observed",
        label=f"observed: {observed:,} (at least this in {reached:,} of {len(counts_K):,} sets)",
    )
    ax.set(xlabel="sources in the regions", ylabel="moved sets")
    ends = (min(low, observed) - width, max(high, observed) + width)
    ax.set_xlim(ends[0] - 0.05 * (ends[1] - ends[0]), ends[1] + 0.05 * (ends[1] - ends[0]))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(title=what, alignment="left", **ABOVE)
