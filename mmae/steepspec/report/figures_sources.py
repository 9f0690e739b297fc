"""Figures of single sources: finder charts of gamma-ray error ellipses, and radio spectra.

Tables have the columns of `mmae.steepspec.schema`. Suffixes: N sources, P points of a spectrum.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord, SkyOffsetFrame
from astropy.table import Row, Table
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import CenteredNorm
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from numpy.typing import ArrayLike

from mmae.astro.crossmatch import separation
from mmae.core.errors import InputError
from mmae.report.style import BLACK, GREEN, GREY, SIGNED_CMAP, outlined, say_absent, short_name, style
from mmae.steepspec.arrays import plain_column
from mmae.steepspec.regions import usable_ellipse
from mmae.steepspec.report.spectrum_panel import (
    ALPHA,
    alpha_text,
    brightness,
    draw_spectrum,
    frequency_range,
    legend_outside,
    measured_index,
    minus_signs,
    survey_styles,
    text_of,
    value_of,
)
from mmae.steepspec.spectra.two_point import STEEP

FIELD = 1.3  # half the side of a chart in semi-major axes
ALPHA_RANGE = 1.4  # half the range of the colour scale, centred on the steep limit
KEY_ROWS = 12  # maximum number of candidates in the key of a chart
GALLERY_PANELS = 12


@style()
def finder_chart(
    region: Row, sources: Table, candidates: Table, beam_arcsec: float | None = None, steep_limit: float = STEEP
) -> Figure:
    """Tangent-plane chart of an error ellipse, east to the left: its radio sources and candidates.

    The size of the circles is flux density, or S/N if more sources in the field have that; sources
    without either have the smallest size. The colour is alpha; grey: unknown, or from upper limits and
    hence dependent on a prior. Steep sources are marked by a ring.

    Args:
        region: one of REGIONS.
        sources: (N) SOURCES in and around the ellipse, candidates included; others are not drawn.
        candidates: MEMBERS of this region, possibly none; those of rank 0 are not numbered.
        beam_arcsec: FWHM of the radio beam, drawn as a disc in a corner.
        steep_limit: centre of the colour scale (white).

    Raises:
        InputError: the region has no usable ellipse.
    """
    outline = tangent_plane(region, *ellipse_outline(region))
    half = FIELD * float(np.hypot(*outline).max())
    near, at_N2 = _in_field(region, sources, half)
    ranks = plain_column(candidates["rank"]) if len(candidates) else np.zeros(0)
    ranked = candidates[ranks > 0]
    ranked = ranked[np.argsort(plain_column(ranked["rank"]), kind="stable")]

    figure = Figure(figsize=(8.3, 6.1), layout="constrained")
    chart, key = figure.subplots(1, 2, width_ratios=(5.0, 2.4))
    chart.set(
        xlim=(half, -half),
        ylim=(-half, half),
        aspect="equal",
        xlabel="offset east (arcmin)",
        ylabel="offset north (arcmin)",
    )
    centre = minus_signs(_centre(region).to_string("hmsdms", precision=0))
    chart.set_title(f"{region['name']}\ncentre {centre} (ICRS)")
    chart.plot(*outline, color=GREEN, label="95% error ellipse", gid="ellipse")
    chart.plot(0, 0, "+", color=GREEN, markersize=9)
    size_name = _draw_sources(figure, chart, near, *at_N2.T, steep_limit)
    _draw_numbers(chart, ranked, region, at_N2)
    _draw_scale(chart, half, beam_arcsec, at_N2)
    _write_key(key, ranked, size_name, chart.get_legend_handles_labels()[0])
    return figure


@style()
def sed_figure(points: Table, source: Row, reference_mhz: float, steep_limit: float = STEEP) -> Figure:
    """Flux density against frequency: measurements, upper limits, fit and a line with the steep-limit index.

    Error bars are noise and flux-scale error in quadrature; the shaded band is the 1-sigma error of the
    fit from the errors of flux, alpha and curvature without their covariances, which are not in the
    tables. Without a fit only the points are drawn.

    Args:
        points: (P) POINTS of this source; non-positive fluxes are not drawn, because the axis is logarithmic.
        source: one row of SOURCES.
        reference_mhz: reference frequency of alpha and of the fitted flux.
        steep_limit: index of the comparison line.
    """
    figure = Figure(figsize=(7.0, 4.3), layout="constrained")
    ax = figure.subplots()
    styles, x_range = survey_styles(points), frequency_range(points, reference_mhz)
    draw_spectrum(ax, points, source, styles, reference_mhz, steep_limit, x_range, fontsize=8)
    ax.set(xlabel="frequency (MHz)", ylabel="flux density (mJy)")
    legend_outside(figure, [ax], styles, loc="outside right upper")
    return figure


@style()
def sed_gallery(
    points: Table,
    sources: Table,
    rows: Sequence[int],
    reference_mhz: float,
    title: str = "",
    steep_limit: float = STEEP,
) -> Figure:
    """The spectra of up to 12 sources, drawn as in `sed_figure`, with the same survey styles in all panels.

    Args:
        points: POINTS of all sources, with `source` the row in `sources`.
        sources: (N) SOURCES.
        rows: of `sources`, in the order of the panels.

    Raises:
        InputError: more than 12 rows.
    """
    if len(rows) > GALLERY_PANELS:
        raise InputError(f"gallery of {len(rows)} spectra: give at most {GALLERY_PANELS} per figure")
    across = max(1, min(3, len(rows)))
    down = max(1, -(-len(rows) // across))
    figure = Figure(figsize=(3.0 * across + 0.6, 2.35 * down + 0.9), layout="constrained")
    figure.suptitle(title)
    panels = figure.subplots(down, across, squeeze=False).ravel()
    source_P = plain_column(points["source"])
    drawn = points[np.isin(source_P, list(rows))]
    styles, x_range = survey_styles(drawn), frequency_range(drawn, reference_mhz)
    for ax, row in zip(panels, rows, strict=False):
        own = points[source_P == row]
        draw_spectrum(ax, own, sources[row], styles, reference_mhz, steep_limit, x_range, fontsize=7)
    for ax in panels[max(len(rows), 1) :]:
        ax.set_axis_off()
    if not len(rows):
        say_absent(panels[0], "no sources")
        return figure
    for i, ax in enumerate(panels[: len(rows)]):
        if i + across >= len(rows):
            ax.set_xlabel("frequency (MHz)")
        if i % across == 0:
            ax.set_ylabel("flux density (mJy)")
    legend_outside(figure, panels, styles, loc="outside lower center", ncols=2 * across)
    return figure


def ellipse_outline(region: Row, n: int = 361) -> tuple[np.ndarray, np.ndarray]:
    """ICRS degrees (n,), (n,) along the edge of the ellipse; the last point is the first.

    Raises:
        InputError: the region has no usable ellipse.
    """
    if not usable_ellipse(region):
        raise InputError(f"{region['name']}: no usable 95% ellipse; choose from `regions.usable_ellipse`")
    from_axis = np.linspace(0, 2 * np.pi, n)
    major, minor, pa = (value_of(region, name) for name in ("semi_major", "semi_minor", "pa"))
    radius = np.hypot(np.cos(from_axis) / major, np.sin(from_axis) / minor) ** -1
    edge = _centre(region).directional_offset_by(from_axis * u.rad + pa * u.deg, radius * u.deg)
    return edge.ra.deg, edge.dec.deg


def tangent_plane(region: Row, ra: ArrayLike, dec: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Offsets east and north (N,), arcmin, in the gnomonic projection about the region's centre.

    NaN for positions 90 degrees or more away, for which the projection is undefined.
    """
    sky = SkyCoord(np.asarray(ra), np.asarray(dec), unit="deg").transform_to(SkyOffsetFrame(origin=_centre(region)))
    lon, lat = sky.lon.rad, sky.lat.rad
    front = np.cos(lat) * np.cos(lon) > 1e-9
    east, north = np.tan(lon), np.tan(lat) / np.cos(lon)
    return tuple(np.where(front, np.degrees(x) * 60, np.nan) for x in (east, north))


def _centre(region: Row) -> SkyCoord:
    return SkyCoord(value_of(region, "ra"), value_of(region, "dec"), unit="deg")


def _in_field(region: Row, sources: Table, half: float) -> tuple[Table, np.ndarray]:
    """The sources of the field, and their offsets (N,2) east and north."""
    ra, dec = (plain_column(sources[name]) for name in ("ra", "dec"))
    # The separation on the sphere is never larger than the offset in the tangent plane.
    near = separation(value_of(region, "ra"), value_of(region, "dec"), ra, dec) * 60 <= half * np.sqrt(2)
    at_N2 = np.stack(tangent_plane(region, ra[near], dec[near]), 1)
    inside = (abs(at_N2) <= half).all(1)
    return sources[near][inside], at_N2[inside]


def _circle_area(value: np.ndarray, faintest: float) -> np.ndarray:
    """Marker area in points squared; the diameter increases by the same step per decade in all charts."""
    steps = 1 + np.log10(np.fmax(value, faintest) / faintest)
    return np.where(np.isfinite(value), 14 * steps**2, 14)


def _draw_sources(
    figure: Figure, ax: Axes, near: Table, east: np.ndarray, north: np.ndarray, steep_limit: float
) -> str:
    value, name = brightness(near)
    faintest = 5.0 if name == "S/N" else 0.1
    area, alpha = _circle_area(value, faintest), plain_column(near["alpha"])
    known = measured_index(near)
    style = {"edgecolors": BLACK, "linewidths": 0.5, "zorder": 2.5}
    ax.scatter(east[~known], north[~known], area[~known], color=GREY, gid="no alpha", **style)
    dots = ax.scatter(
        east[known],
        north[known],
        area[known],
        c=alpha[known],
        cmap=SIGNED_CMAP,
        norm=CenteredNorm(steep_limit, ALPHA_RANGE),
        gid="alpha",
        **style,
    )
    bar = figure.colorbar(
        dots,
        ax=ax,
        location="bottom",
        extend="both",
        aspect=35,
        shrink=0.8,
        pad=0.02,
        ticks=steep_limit + ALPHA_RANGE * np.array([-1, -0.5, 0, 0.5, 1]),
    )
    bar.set_label(minus_signs(f"spectral index {ALPHA} (white: steep limit, {steep_limit:g})"))
    steep = plain_column(near["steep"]).astype(bool)
    ring = {"facecolors": "none", "edgecolors": BLACK, "linewidths": 1.4}
    ax.scatter(east[steep], north[steep], (np.sqrt(area[steep]) + 6) ** 2, gid="steep", zorder=2.6, **ring)
    ax.scatter([], [], 90, label="steep", **ring)
    if not known.all():
        ax.scatter([], [], 40, color=GREY, label="no index, or from limits only", **style)
    for decade in (faintest * 2, faintest * 20, faintest * 200):
        ax.scatter(
            [],
            [],
            _circle_area(np.array([decade]), faintest),
            facecolors="none",
            edgecolors=BLACK,
            linewidths=0.5,
            label=f"{decade:g}",
        )
    return name


def _draw_numbers(ax: Axes, ranked: Table, region: Row, sources_N2: np.ndarray) -> None:
    """Write the rank beside each candidate, where it covers neither a source nor another number."""
    if not len(ranked):
        return
    at_C2 = np.stack(tangent_plane(region, *(plain_column(ranked[name]) for name in ("ra", "dec"))), 1)
    # Typographic points, to the right and up; the chart is about 5 inches wide.
    scale = np.array([-1, 1]) * 5.0 * 72 / np.ptp(ax.get_ylim())
    taken, half = [np.zeros(2), *(sources_N2 * scale)], np.ptp(ax.get_ylim()) / 2
    angle = np.radians(np.arange(45, 405, 30))
    ring = np.concatenate([r * np.stack([np.cos(angle), np.sin(angle)], 1) for r in (17, 26, 36)])
    for rank, at in zip(plain_column(ranked["rank"]), at_C2, strict=True):
        positions = at * scale + ring
        gap = np.min([np.hypot(*(positions - other).T) for other in taken], axis=0)
        outside = (abs(positions / scale) > 0.96 * half).any(1)
        best = int(np.argmax(np.minimum(gap, 15) - np.hypot(*ring.T) / 20 - 99 * outside))
        taken.append(positions[best])
        # No line for a number next to its source.
        line = {"arrowstyle": "-", "linewidth": 0.7, "shrinkA": 2, "shrinkB": 9}
        ax.annotate(
            f"{rank:.0f}",
            at,
            ring[best],
            textcoords="offset points",
            ha="center",
            va="center",
            weight="bold",
            gid="rank",
            path_effects=outlined(),
            zorder=4,
            arrowprops=line if best >= len(angle) else None,
        )


def _draw_scale(ax: Axes, half: float, beam_arcsec: float | None, sources_N2: np.ndarray) -> None:
    """Draw scale bar and beam on the left, the compass on the right, each in the corner with fewer sources."""
    corners = [(x, y) for x in (1, -1) for y in (-1, 1)]
    number = [(sources_N2 / half * at > (0.4, 0.65)).all(1).sum() for at in corners]
    left, right = (-1 if below <= above else 1 for below, above in (number[:2], number[2:]))
    lengths = np.outer(10.0 ** np.arange(-2, 5), (1, 2, 5)).ravel()
    length = lengths[lengths <= 0.45 * half][-1]
    east, north = 0.93 * half, (-0.93 if left < 0 else 0.76) * half
    ax.plot(
        [east, east - length], [north, north], color=BLACK, linewidth=2, solid_capstyle="butt", gid="scale", zorder=2.2
    )
    ax.text(east - length / 2, north + 0.02 * half, f"{length:g}\N{PRIME}", ha="center", zorder=2.2)
    if beam_arcsec is not None and np.isfinite(beam_arcsec):
        radius, north = beam_arcsec / 120, north + 0.14 * half
        ax.add_patch(Circle((east - radius, north), radius, color=GREY, gid="beam", zorder=2.2))
        ax.text(
            east - 2 * radius - 0.03 * half,
            north,
            f"beam {beam_arcsec:.3g}\N{DOUBLE PRIME}",
            va="center",
            fontsize=7,
            zorder=2.2,
        )
    corner, arm = np.array([-0.93, -0.92 if right < 0 else 0.76]) * half, 0.17 * half
    for name, tip in (("N", corner + (0, arm)), ("E", corner + (arm, 0))):
        ax.annotate(
            name,
            corner,
            tip,
            ha="center",
            va="center",
            gid="compass",
            zorder=2.2,
            arrowprops={"arrowstyle": "<-", "shrinkA": 3, "shrinkB": 0},
        )


def _write_key(ax: Axes, ranked: Table, size_name: str, handles: list[Artist]) -> None:
    ax.set_axis_off()
    title, lines = "candidates by rank" if len(ranked) else "no candidates in this ellipse", []
    ax.set_title(title, loc="left", fontsize=9)
    for row in ranked[:KEY_ROWS]:
        kind = text_of(row, "source_class").replace("_", " ")
        lines += [
            f"{value_of(row, 'rank'):.0f}  {short_name(text_of(row, 'source_id'), 26)}",
            "     " + ", ".join(part for part in (alpha_text(row), kind) if part),
        ]
    if len(ranked) > KEY_ROWS:
        lines.append(f"and {len(ranked) - KEY_ROWS} more")
    ax.text(0, 1, "\n".join(lines), transform=ax.transAxes, va="top", fontsize=7.5, linespacing=1.25)
    sizes = [handle for handle in handles if handle.get_label().replace(".", "").isdigit()]
    marks = [handle for handle in handles if handle not in sizes]
    ax.add_artist(ax.legend(handles=marks, loc="lower left", bbox_to_anchor=(0, 0.13), borderaxespad=0))
    ax.legend(handles=sizes, loc="lower left", ncols=3, title=size_name, borderaxespad=0, title_fontsize=8)
