"""One radio spectrum drawn into one panel, and small parts that the search's figures share.

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
# The bar lies on the limit itself and the tip below it, in a panel of any size.
LIMIT_ARROW = Path(
    [(-0.5, 0), (0.5, 0), (0, 0), (0, -1.4), (-0.35, -0.9), (0, -1.4), (0.35, -0.9)],
    [*[Path.MOVETO, Path.LINETO] * 3, Path.LINETO],
)
LINE_NAMES = {"catalogue": "catalogue's index", "limits": "index from limits"}
ALPHA, PLUS_MINUS = "\N{GREEK SMALL LETTER ALPHA}", "\N{PLUS-MINUS SIGN}"
LIMIT = ", limit"
SIGMA = "\N{GREEK SMALL LETTER SIGMA}"


def value_of(row: Row, name: str) -> float:
    """A number of a row, NaN where it is masked."""
    return float(plain_column(np.ma.atleast_1d(row[name]))[0])


def text_of(row: Row, name: str) -> str:
    """A word of a row, "" where it is masked."""
    return "" if row[name] is np.ma.masked else str(row[name])


def minus_signs(text: str) -> str:
    """Hyphens of numbers as minus signs."""
    return text.replace("-", "\N{MINUS SIGN}")


def alpha_text(source: Row) -> str:
    """The adopted index with its error, in words where it is not known."""
    alpha, error = value_of(source, "alpha"), value_of(source, "alpha_err")
    if not np.isfinite(alpha):
        return f"{ALPHA} unknown"
    spread = f" {PLUS_MINUS} {error:.2f}" if np.isfinite(error) else ""
    return minus_signs(f"{ALPHA} = {alpha:.2f}{spread}")


def brightness(table: Table) -> tuple[np.ndarray, str]:
    """(N,) fitted flux density, mJy, or S/N where more of the rows have that; and the axis label."""
    flux, snr = (plain_column(table[name]) for name in ("sed_flux_mjy", "snr"))
    if np.isfinite(snr).sum() > np.isfinite(flux).sum():
        return snr, "S/N"
    return flux, "flux density (mJy)"


def measured_index(table: Table) -> np.ndarray:
    """(N,) bool: alpha is known, and not only from upper limits, where it leans on a prior."""
    return np.isfinite(plain_column(table["alpha"])) & (plain_column(table["alpha_from"]) != "limits")


def survey_looks(points: Table) -> dict[str, tuple[str, str]]:
    """Colour and marker by survey, in the order of the frequencies."""
    surveys, first = np.unique(plain_column(points["survey"]), return_index=True)
    ordered = surveys[np.argsort(plain_column(points["frequency_mhz"])[first], kind="stable")]
    return {
        str(name): (SURVEY_COLOURS[i % len(SURVEY_COLOURS)], SURVEY_MARKERS[i % len(SURVEY_MARKERS)])
        for i, name in enumerate(ordered)
    }


def legend_outside(figure: Figure, panels: Iterable[Axes], first: Iterable[str], **place) -> None:
    """One legend outside the panels, each name once: those of `first` in their order, then the others."""
    named = {}
    for ax in panels:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            named.setdefault(label, handle)
    for label, handle in named.items():
        if label.endswith(LIMIT):  # hung from its bar, the arrow would reach into the next entry
            named[label] = copy(handle)
            named[label].set(marker=LIMIT_ARROW.transformed(Affine2D().translate(0, 0.7)), markersize=8)
    wanted = [label for name in first for label in (name, name + LIMIT) if label in named]
    wanted += [label for label in named if label not in wanted]
    if named:
        figure.legend([named[label] for label in wanted], wanted, **place)


def frequency_range(points: Table, reference_mhz: float) -> tuple[float, float]:
    """Ends of a frequency axis, MHz, that holds all points and the reference."""
    frequency = plain_column(points["frequency_mhz"])
    ends = np.append(frequency[frequency > 0], reference_mhz)
    return float(ends.min() / 1.3), float(ends.max() * 1.3)


def draw_spectrum(
    ax: Axes,
    points: Table,
    source: Row,
    looks: Mapping[str, tuple[str, str]],
    reference_mhz: float,
    steep_limit: float,
    x_range: tuple[float, float],
    fontsize: float,
) -> None:
    """Points, limits, fit and text of one source; log axes in MHz and mJy.

    Args:
        points: (P) POINTS of the source.
        looks: of `survey_looks`, of these points or of more; `x_range`: so of `frequency_range`.
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
    _draw_points(ax, plain_column(points["survey"]), frequency, flux, error, is_limit, looks)
    x = np.geomspace(*frequency_range(points, reference_mhz), 121)
    model = _draw_fit(ax, source, x, reference_mhz, steep_limit)
    # An error larger than the flux reaches to zero, which a log axis cannot show.
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
    looks: Mapping[str, tuple[str, str]],
) -> None:
    for name, (colour, marker) in looks.items():
        seen, limit = (survey == name) & ~is_limit, (survey == name) & is_limit
        if seen.any():
            ax.errorbar(
                frequency[seen],
                flux[seen],
                error[seen],
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
    """The fit with its band and the comparison line; the fitted flux at `x`, empty without a fit."""
    alpha, flux = value_of(source, "alpha"), value_of(source, "sed_flux_mjy")
    if not (np.isfinite(alpha) and flux > 0):
        return np.zeros(0)
    ln_x, origin = np.log(x / reference_mhz), text_of(source, "alpha_from")
    # The curvature belongs to the fit: a catalogue's index is a straight line.
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
    """Index, chance to be steep and flags in the corner that holds least, or in room made above."""
    lines, p_steep = [alpha_text(source)], value_of(source, "p_steep")
    if np.isfinite(p_steep):
        lines.append(minus_signs(f"P({ALPHA} < {steep_limit:g}) = {p_steep:.2f}"))
    lines += text_of(source, "sed_flags").replace("_", " ").split(",") if text_of(source, "sed_flags") else []
    # A legend beside the panel will take a fifth of the room that it has now.
    panel = 0.8 * ax.get_window_extent().size / ax.figure.dpi * 72
    box = np.array([0.62 * max(map(len, lines)), 1.3 * len(lines) + 1]) * fontsize / panel + 0.03
    corners = [(x, y) for y in (1, 0) for x in (1, 0)]
    # A covered measurement is worse than any length of covered line.
    held = [999 * _held(ax, measured_P2, at, box) + _held(ax, model_P2, at, box) for at in corners]
    if min(held) >= 999:
        low, high = ax.get_ylim()
        ax.set_ylim(low, high * (high / low) ** (box[1] / (1 - min(box[1], 0.7))))
    x, y = corners[int(np.argmin(held))] if min(held) < 999 else (1, 1)
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


def _held(ax: Axes, drawn_P2: np.ndarray, corner: tuple[int, int], box: np.ndarray) -> int:
    """How many points lie in a box, given as a share of the panel, in one of its corners."""
    if not len(drawn_P2):
        return 0
    at_P2 = ax.transAxes.inverted().transform(ax.transData.transform(drawn_P2))
    return int((abs(at_P2 - corner) < box).all(1).sum())


def plain_ticks(axis: Axis) -> None:
    """Log ticks as 100, 200, 500 instead of powers of ten, of which a short axis holds one or two."""
    low, high = axis.get_view_interval()
    steps = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0) if high < 5 * low else (1.0, 2.0, 5.0)
    axis.set_major_locator(LogLocator(subs=steps if high < 60 * low else (1.0,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
