"""Predicted against spectroscopic redshift.

Shape suffixes: N galaxies.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import ArrayLike

from mmae.metrics.bootstrap import Scores
from mmae.metrics.redshift import ALL_Z, LOW_REDSHIFT, LOW_Z, OUTLIER_LIMIT, normalised_residual, selection
from mmae.report.score_table import with_error
from mmae.report.style import BLACK, BLUE, DENSITY_CMAP, VERMILLION, outlined, say_absent, style

DENSITY_FROM = 2000  # number of galaxies from which counts in cells are drawn instead of points
CELLS = 90  # cells per axis
REDSHIFT_TICKS = (0.0, 0.2, 0.4, 0.7, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0)
RESIDUAL_RANGE = 0.22  # y range of the residual panel, slightly above the outlier limit


@style()
def redshift_figure(z_spec_N: ArrayLike, z_pred_N: ArrayLike, title: str, scores: Mapping[str, Scores]) -> Figure:
    """z_pred against z_spec, with dz = (z_pred - z_spec) / (1 + z_spec) below.

    The left column shows all redshifts on axes linear in log(1 + z), where the outlier limits |dz| = 0.15 are parallel
    lines; the right column shows z_spec < 0.4 on linear axes. The lower panels show the running median of dz and its
    16-84% range.

    Args:
        z_spec_N, z_pred_N: spectroscopic and predicted redshifts; pairs with NaN are not drawn.
        title: title of the figure.
        scores: one mode of `score_table`: "all z" and "z<0.4".
    """
    z_spec_N, z_pred_N = np.asarray(z_spec_N, float), np.asarray(z_pred_N, float)
    figure = Figure(figsize=(10, 6.6), layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots(2, 2, sharex="col", height_ratios=(3, 1))
    finite_N = np.isfinite(z_spec_N) & np.isfinite(z_pred_N)
    for (main, strip), name in zip(axes.T, (ALL_Z, LOW_Z), strict=True):
        main.set_title(name.replace("z", r"$z$").replace("<", " < "))
        keep_N = finite_N & selection(z_spec_N, name)
        if not keep_N.any():
            say_absent(main, "no redshifts")
            say_absent(strip, "no redshifts")
            continue
        z_spec, z_pred = z_spec_N[keep_N], z_pred_N[keep_N]
        scale_axes(main, strip, z_spec, name)
        _draw_main(figure, main, z_spec, z_pred, scores.get(name, {}))
        _draw_strip(strip, z_spec, normalised_residual(z_spec, z_pred))
    return figure


def scale_axes(main: Axes, strip: Axes | None, z_spec: np.ndarray, name: str) -> None:
    """Set the axes of z_pred against z_spec: linear for "z<0.4", linear in log(1 + z) for "all z".

    Args:
        main: panel with redshifts on both axes.
        strip: panel with redshifts on the x axis; None if there is none.
        z_spec: redshifts, for the range of the axes.
        name: name of the selection.
    """
    if name == LOW_Z:
        main.set(xlim=(0.0, LOW_REDSHIFT), ylim=(0.0, LOW_REDSHIFT + 0.2))
        return
    bottom = max(-0.9, min(0.0, float(z_spec.min())))
    limits = (bottom, max(1.05 * float(z_spec.max()), 1.25 * LOW_REDSHIFT))
    main.set_yscale("function", functions=(np.log1p, np.expm1))
    shown = [ax for ax in (main, strip) if ax is not None]
    for ax in shown:
        ax.set_xscale("function", functions=(np.log1p, np.expm1))
    main.set(xlim=limits, ylim=limits)
    ticks = [tick for tick in REDSHIFT_TICKS if tick <= limits[1]]
    for axis in (main.yaxis, *(ax.xaxis for ax in shown)):
        axis.set_major_locator(FixedLocator(ticks))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _draw_main(figure: Figure, ax: Axes, z_spec: np.ndarray, z_pred: np.ndarray, scores: Scores) -> None:
    cells = draw_points(ax, z_spec, z_pred)
    if cells is not None:
        figure.colorbar(cells, ax=ax, label="galaxies per cell", pad=0.01, aspect=30)
    draw_limits(ax)
    ax.set_ylabel(r"$z_\mathrm{pred}$")
    ax.legend(loc="lower right")
    low, high = ax.get_ylim()
    n_outside = int(((z_pred < low) | (z_pred > high)).sum())
    ax.text(
        0.03,
        0.97,
        score_text(scores, n_outside),
        transform=ax.transAxes,
        va="top",
        fontsize=8,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 2.0},
    )


def draw_limits(ax: Axes) -> None:
    """Draw z_pred = z_spec, and the outlier limits |dz| = 0.15 (dashed)."""
    z = np.linspace(*ax.get_xlim(), 200)
    limit = OUTLIER_LIMIT * (1.0 + z)
    ax.plot(z, z, color=VERMILLION, linewidth=1.0, label=r"$z_\mathrm{pred}=z_\mathrm{spec}$")
    ax.plot(z, z + limit, color=VERMILLION, linewidth=1.0, linestyle="--", label=rf"$\pm{OUTLIER_LIMIT}\,(1+z)$")
    ax.plot(z, z - limit, color=VERMILLION, linewidth=1.0, linestyle="--")


def _draw_strip(ax: Axes, z_spec: np.ndarray, dz: np.ndarray) -> None:
    ax.set_ylim(-RESIDUAL_RANGE, RESIDUAL_RANGE)
    draw_points(ax, z_spec, dz)
    ax.axhline(0.0, color=VERMILLION, linewidth=1.0)
    for limit in (-OUTLIER_LIMIT, OUTLIER_LIMIT):
        ax.axhline(limit, color=VERMILLION, linewidth=1.0, linestyle="--")
    centre, low, median, high = running_percentiles(z_spec, dz)
    if centre.size:
        ax.plot(centre, median, color=BLACK, label="running median", path_effects=outlined())
        for edge, label in ((low, "16-84%"), (high, None)):
            ax.plot(centre, edge, color=BLACK, linewidth=0.9, linestyle="--", label=label, path_effects=outlined())
        ax.legend(loc="upper right", ncols=2, fontsize=7, borderaxespad=0.1)
    ax.set(xlabel=r"$z_\mathrm{spec}$", ylabel=r"$\Delta z/(1+z_\mathrm{spec})$")


def draw_points(ax: Axes, x: np.ndarray, y: np.ndarray):
    """Draw points, or counts in cells for at least DENSITY_FROM galaxies; returns the cells for a colour bar, or None.

    Limits and scales of the axes must be set before.
    """
    if x.size < DENSITY_FROM:
        ax.plot(x, y, ".", color=BLUE, markersize=3, alpha=0.6, markeredgewidth=0)
        return None
    # Cells of equal size in the figure, for any axis scale.
    x_edges = _even_edges(ax.get_xlim(), ax.xaxis.get_transform())
    y_edges = _even_edges(ax.get_ylim(), ax.yaxis.get_transform())
    counts, _, _ = np.histogram2d(x, y, bins=(x_edges, y_edges))
    return ax.pcolormesh(
        x_edges,
        y_edges,
        np.ma.masked_equal(counts.T, 0.0),
        rasterized=True,
        cmap=DENSITY_CMAP,
        norm=LogNorm(1.0, max(2.0, counts.max())),
    )


def _even_edges(limits: tuple[float, float], transform) -> np.ndarray:
    low, high = transform.transform(np.asarray(limits, float))
    edges = transform.inverted().transform(np.linspace(low, high, CELLS + 1))
    edges[0], edges[-1] = limits  # remove rounding errors
    return edges


def running_percentiles(
    x: np.ndarray, y: np.ndarray, per_bin: int = 25, max_bins: int = 40
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Median x and the 16th, 50th and 84th percentile of y in bins of equal number of galaxies.

    At least `per_bin` galaxies per bin and at most `max_bins` bins; empty arrays for fewer than `per_bin` galaxies.
    """
    n_bins = min(max_bins, x.size // per_bin)
    if n_bins == 0:
        return np.empty(0), np.empty(0), np.empty(0), np.empty(0)
    bins = np.array_split(np.argsort(x, kind="stable"), n_bins)
    centre = np.array([np.median(x[members]) for members in bins])
    low, median, high = np.array([np.percentile(y[m], [16.0, 50.0, 84.0]) for m in bins]).T
    return centre, low, median, high


def score_text(scores: Scores, n_outside: int = 0) -> str:
    """The scores as text for the inset, one per line."""
    lines = []
    if "sigma_nmad" in scores:
        lines.append(rf"$\sigma_\mathrm{{NMAD}}$ = {with_error(scores['sigma_nmad'])}")
    if "bias" in scores:
        lines.append(f"bias = {with_error(scores['bias'])}")
    if "outlier_rate" in scores:
        lines.append(f"outliers = {with_error(scores['outlier_rate'], percent=True)}")
        lines.append(f"n = {scores['outlier_rate'].n:,}")
    not_finite = scores.get("not_finite")
    if not_finite is not None and not_finite.value > 0:
        lines.append(f"{not_finite.value:.0f} without a finite prediction")
    if n_outside:
        lines.append(f"{n_outside:,} outside the axes")
    return "\n".join(lines)
