"""Drawing of a radio spectrum into a panel, and functions shared by the figures of the search.

Tables have the columns of `mmae.steepspec.schema`. Suffix: P points of a spectrum.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy

import numpy as np
from astropy.table import Row, Table
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.path import Path
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from matplotlib.transforms import Affine2D

from mmae.report.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    LIGHT_GREY,
    ORANGE,
    PURPLE,
    SKY_BLUE,
    VERMILLION,
    say_absent,
    short_name,
)
from mmae.steepspec.arrays import plain_column

SURVEY_COLOURS = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY_BLUE)
SURVEY_MARKERS = ("o", "s", "D", "^", "P")
# Marker with the bar at the limit and the arrow below it.
LIMIT_ARROW = Path(
    [(-0.5, 0), (0.5, 0), (0, 0), (0, -1.4), (-0.35, -0.9), (0, -1.4), (0.35, -0.9)],
    [*[Path.MOVETO, Path.LINETO] * 3, Path.LINETO],
)
LINE_NAMES = {"catalogue": "catalogue index", "limits": "index from limits"}
ALPHA, PLUS_MINUS = "\N{GREEK SMALL LETTER ALPHA}", "\N{PLUS-MINUS SIGN}"
LIMIT = ", limit"
SIGMA = "\N{GREEK SMALL LETTER SIGMA}"


def value_of(row: Row, name: str) -> float:
    """A number of a row, NaN where it is masked."""
    return float(plain_column(np.ma.atleast_1d(row[name]))[0])


def text_of(row: Row, name: str) -> str:
    """A text of a row, "" where it is masked."""
    return "" if row[name] is np.ma.masked else str(row[name])


def minus_signs(text: str) -> str:
    """The text with hyphens replaced by minus signs."""
    return text.replace("-", "\N{MINUS SIGN}")


def alpha_text(source: Row) -> str:
    """The adopted index with its error, or "unknown"."""
    alpha, error = value_of(source, "alpha"), value_of(source, "alpha_err")
    if not np.isfinite(alpha):
        return f"{ALPHA} unknown"
    spread = f" {PLUS_MINUS} {error:.2f}" if np.isfinite(error) else ""
    return minus_signs(f"{ALPHA} = {alpha:.2f}{spread}")


def brightness(table: Table) -> tuple[np.ndarray, str]:
    """(N,) fitted flux density in mJy, or S/N if more rows have that; and the axis label."""
    flux, snr = (plain_column(table[name]) for name in ("sed_flux_mjy", "snr"))
    if np.isfinite(snr).sum() > np.isfinite(flux).sum():
        return snr, "S/N"
    return flux, "flux density (mJy)"


def measured_index(table: Table) -> np.ndarray:
    """(N,) bool: alpha is known and not from upper limits, for which it depends on a prior."""
    return np.isfinite(plain_column(table["alpha"])) & (plain_column(table["alpha_from"]) != "limits")


def survey_styles(points: Table) -> dict[str, tuple[str, str]]:
    """Colour and marker by survey, in order of frequency."""
    surveys, first = np.unique(plain_column(points["survey"]), return_index=True)
    ordered = surveys[np.argsort(plain_column(points["frequency_mhz"])[first], kind="stable")]
    return {
        str(name): (SURVEY_COLOURS[i % len(SURVEY_COLOURS)], SURVEY_MARKERS[i % len(SURVEY_MARKERS)])
        for i, name in enumerate(ordered)
    }


def legend_outside(figure: Figure, panels: Iterable[Axes], first: Iterable[str], **place) -> None:
    """One legend outside the panels, each label once: those of `first` in their order, then the others."""
    named = {}
    for ax in panels:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            named.setdefault(label, handle)
    for label, handle in named.items():
        if label.endswith(LIMIT):  # centred, because the arrow would otherwise overlap the next entry
            named[label] = copy(handle)
            named[label].set(marker=LIMIT_ARROW.transformed(Affine2D().translate(0, 0.7)), markersize=8)
    wanted = [label for name in first for label in (name, name + LIMIT) if label in named]
    wanted += [label for label in named if label not in wanted]
    if named:
        figure.legend([named[label] for label in wanted], wanted, **place)


def frequency_range(points: Table, reference_mhz: float) -> tuple[float, float]:
    """Range of a frequency axis, MHz, that includes all points and the reference."""
    frequency = plain_column(points["frequency_mhz"])
    ends = np.append(frequency[frequency > 0], reference_mhz)
    return float(ends.min() / 1.3), float(ends.max() * 1.3)


def draw_spectrum(
    ax: Axes,
    points: Table,
    source: Row,
    styles: Mapping[str, tuple[str, str]],
    reference_mhz: float,
    steep_limit: float,
    x_range: tuple[float, float],
    fontsize: float,
) -> None:
    """Draw points, limits, fit and results of one source; logarithmic axes in MHz and mJy.

    Args:
        points: (P) POINTS of the source.
        styles: of `survey_styles`, for at least the surveys of these points.
        x_range: of `frequency_range`, including at least these points.
    """
    known_name = text_of(source, "known_name")
    ax.set_title(
        short_name(text_of(source, "source_id"), 30) + (f" ({known_name})" if known_name else ""), fontsize=fontsize + 1
    )
    points = points[(plain_column(points["flux_mjy"]) > 0) & (plain_column(points["frequency_mhz"]) > 0)]
    if not len(points):
        say_absent(ax, "no flux densities")
        return
    frequency, flux, noise, scale = (
        plain_column(points[name]) for name in ("frequency_mhz", "flux_mjy", "error_mjy", "scale_error")
    )
    error = np.hypot(np.nan_to_num(noise), np.nan_to_num(scale) * flux)
    is_limit = plain_column(points["is_limit"]).astype(bool)
    ax.set(xscale="log", yscale="log", xlim=x_range)
    _draw_points(ax, plain_column(points["survey"]), frequency, flux, error, is_limit, styles)
    x = np.geomspace(*frequency_range(points, reference_mhz), 121)
    model = _draw_fit(ax, source, x, reference_mhz, steep_limit)
    # The lower end is bounded, because an error larger than the flux has none on a logarithmic axis.
    low = np.where(is_limit, flux / 2.5, np.maximum(flux - error, flux / 3))
    high = np.where(is_limit, flux, flux + error)
    ax.set_ylim(min([*low, *model]) / 1.6, max([*high, *model]) * 1.6)
    measured = np.stack([np.tile(frequency, 3), np.concatenate([low, flux, high])], 1)
    _write_results(ax, source, measured, np.stack([x[: len(model)], model], 1), steep_limit, fontsize)
    for axis in (ax.xaxis, ax.yaxis):
        plain_ticks(axis)
    ax.tick_params(labelsize=fontsize)


def _draw_points(
    ax: Axes,
    survey: np.ndarray,
    frequency: np.ndarray,
    flux: np.ndarray,
    error: np.ndarray,
    is_limit: np.ndarray,
    styles: Mapping[str, tuple[str, str]],
) -> None:
    for name, (colour, marker) in styles.items():
        detected, limit = (survey == name) & ~is_limit, (survey == name) & is_limit
        if detected.any():
            ax.errorbar(
                frequency[detected],
                flux[detected],
                error[detected],
                fmt=marker,
                color=colour,
                markersize=5,
                elinewidth=1.0,
                label=name,
                zorder=3,
            )
        if limit.any():
            ax.plot(
                frequency[limit],
                flux[limit],
                linestyle="none",
                marker=LIMIT_ARROW,
                markersize=16,
                markerfacecolor="none",
                markeredgecolor=colour,
                markeredgewidth=1.3,
                label=name + LIMIT,
                gid="limit",
                zorder=3,
            )


def _draw_fit(ax: Axes, source: Row, x: np.ndarray, reference_mhz: float, steep_limit: float) -> np.ndarray:
    """Draw the fit with its error band and the comparison line; the fitted flux at `x`, empty without a fit."""
    alpha, flux = value_of(source, "alpha"), value_of(source, "sed_flux_mjy")
    if not (np.isfinite(alpha) and flux > 0):
        return np.zeros(0)
    ln_x, origin = np.log(x / reference_mhz), text_of(source, "alpha_from")
    # The curvature applies to a fit only: the index of a catalogue is a straight line.
    q = 0.0 if origin == "catalogue" else np.nan_to_num(value_of(source, "curvature"))
    q_err = 0.0 if q == 0 else value_of(source, "curvature_err")
    model = flux * np.exp(alpha * ln_x + q * ln_x**2)
    spread = np.sqrt(
        (value_of(source, "sed_flux_err_mjy") / flux) ** 2
        + (value_of(source, "alpha_err") * ln_x) ** 2
        + (q_err * ln_x**2) ** 2
    )
    if np.isfinite(spread).all():
        ax.fill_between(
            x,
            model * np.exp(-spread),
            model * np.exp(spread),
            color=LIGHT_GREY,
            linewidth=0,
            alpha=0.7,
            label=f"1{SIGMA}, errors independent",
            gid="band",
            zorder=1,
        )
    ax.plot(x, model, color=BLACK, label=LINE_NAMES.get(origin, "fit"), gid="fit", zorder=2)
    ax.plot(
        x,
        flux * np.exp(steep_limit * ln_x),
        color=GREY,
        linewidth=0.9,
        linestyle="--",
        label=minus_signs(f"{ALPHA} = {steep_limit:g}"),
        gid="steep limit",
        zorder=1.5,
    )
    return model


def _write_results(
    ax: Axes, source: Row, measured_P2: np.ndarray, model_P2: np.ndarray, steep_limit: float, fontsize: float
) -> None:
    """Write index, P(steep) and flags in the corner with the fewest points, or above after extending the axis."""
    lines, p_steep = [alpha_text(source)], value_of(source, "p_steep")
    if np.isfinite(p_steep):
        lines.append(minus_signs(f"P({ALPHA} < {steep_limit:g}) = {p_steep:.2f}"))
    lines += text_of(source, "sed_flags").replace("_", " ").split(",") if text_of(source, "sed_flags") else []
    # A legend beside the panel will take about a fifth of its present size.
    panel = 0.8 * ax.get_window_extent().size / ax.figure.dpi * 72
    box = np.array([0.62 * max(map(len, lines)), 1.3 * len(lines) + 1]) * fontsize / panel + 0.03
    corners = [(x, y) for y in (1, 0) for x in (1, 0)]
    # A covered measurement counts more than any length of covered line.
    covered = [
        999 * _points_in_corner(ax, measured_P2, at, box) + _points_in_corner(ax, model_P2, at, box) for at in corners
    ]
    if min(covered) >= 999:
        low, high = ax.get_ylim()
        ax.set_ylim(low, high * (high / low) ** (box[1] / (1 - min(box[1], 0.7))))
    x, y = corners[int(np.argmin(covered))] if min(covered) < 999 else (1, 1)
    ax.text(
        0.97 if x else 0.03,
        0.96 if y else 0.04,
        "\n".join(lines),
        transform=ax.transAxes,
        gid="results",
        ha="right" if x else "left",
        va="top" if y else "bottom",
        fontsize=fontsize,
        zorder=4,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.5},
    )


def _points_in_corner(ax: Axes, drawn_P2: np.ndarray, corner: tuple[int, int], box: np.ndarray) -> int:
    """Number of points in a box in one corner of the panel; `box` is its size as a fraction of the panel."""
    if not len(drawn_P2):
        return 0
    at_P2 = ax.transAxes.inverted().transform(ax.transData.transform(drawn_P2))
    return int((abs(at_P2 - corner) < box).all(1).sum())


def plain_ticks(axis: Axis) -> None:
    """Ticks of a logarithmic axis at 100, 200, 500: a short axis has only one or two powers of ten."""
    low, high = axis.get_view_interval()
    steps = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0) if high < 5 * low else (1.0, 2.0, 5.0)
    axis.set_major_locator(LogLocator(subs=steps if high < 60 * low else (1.0,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
