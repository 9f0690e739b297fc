"""Figure of the fraction of known pulsars that a radio survey would detect, against depth and sky position."""

from __future__ import annotations

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import Table
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter
from numpy.typing import ArrayLike

from mmae.report.style import BLACK, BLUE, SKY_BLUE, VERMILLION, say_absent, style
from mmae.steepspec.arrays import plain_column
from mmae.steepspec.pulsars import detectability, detectability_by_band, flux_at
from mmae.steepspec.report.spectrum_panel import PLUS_MINUS, legend_outside, minus_signs

LIMITS_MJY = np.geomspace(0.01, 10, 61)
DECLINATION_EDGES = np.arange(-90.0, 91.0, 20.0)
LATITUDE_EDGES = np.array([0.0, 2.0, 5.0, 10.0, 20.0, 40.0, 90.0])


@style()
def detectability_figure(pulsars: Table, frequency_mhz: float, limit_mjy: float) -> Figure:
    """Fraction of known pulsars above a flux limit: against the limit, by declination and by |b|.

    Only for pulsars with known S1400, scaled with their spectral index or the mean index. Band and
    bars are 68% binomial intervals; they do not include the selection effect that pulsars are known
    because a survey detected them, so that the fraction of all pulsars is lower.

    Args:
        pulsars: (N) table of `pulsars.read_psrcat`.
        frequency_mhz: frequency of the survey.
        limit_mjy: flux limit of the survey.

    Raises:
        InputError: as `pulsars.detectability`; without any S1400 the panels are empty.
    """
    known = int(np.isfinite(flux_at(pulsars, frequency_mhz)).sum())
    figure = Figure(figsize=(10.5, 4.2), layout="constrained")
    axes = figure.subplots(1, 3, sharey=True)
    if not known:
        for ax in axes:
            say_absent(ax, "no pulsar has S1400")
        return figure
    title = f"{known:,} of {len(pulsars):,} known pulsars have S1400; scaled to {frequency_mhz:g} MHz"
    figure.suptitle(title, fontsize=10)
    _draw_depth(axes[0], pulsars, frequency_mhz, limit_mjy)
    sky = SkyCoord(plain_column(pulsars["ra"]), plain_column(pulsars["dec"]), unit="deg")
    for ax, name, values, edges in (
        (axes[1], "declination", sky.dec.deg, DECLINATION_EDGES),
        (axes[2], "Galactic latitude |b|", abs(sky.galactic.b.deg), LATITUDE_EDGES),
    ):
        _draw_bands(ax, pulsars, values, edges, frequency_mhz, limit_mjy)
        ax.set_xlabel(f"{name} (deg); top: number of pulsars")
    axes[0].set(ylim=(0, 1.1), yticks=np.linspace(0, 1, 6), ylabel="fraction of pulsars above the limit")
    axes[0].yaxis.set_major_formatter(PercentFormatter(1.0))
    legend_outside(figure, axes, [], loc="outside lower center", ncols=5)
    return figure


def _draw_depth(ax: Axes, pulsars: Table, frequency_mhz: float, limit_mjy: float) -> None:
    # The scatter from the spectral indices takes long and is computed only at the survey limit.
    found = [detectability(pulsars, frequency_mhz, limit, resamplings=0) for limit in LIMITS_MJY]
    ax.fill_between(
        LIMITS_MJY,
        [d.low for d in found],
        [d.high for d in found],
        color=SKY_BLUE,
        alpha=0.5,
        linewidth=0,
        label="68% binomial interval",
        gid="band",
    )
    ax.plot(LIMITS_MJY, [d.fraction for d in found], color=BLUE, label="fraction", gid="fraction")
    survey = detectability(pulsars, frequency_mhz, limit_mjy)
    ax.axvline(
        limit_mjy,
        color=VERMILLION,
        linestyle="--",
        linewidth=1.0,
        gid="limit",
        label=f"survey limit: {limit_mjy:.3g} mJy",
    )
    # Near 1400 MHz the scatter from the indices is negligible.
    spread = f" {PLUS_MINUS} {survey.scatter:.1%} (spectral indices)" if survey.scatter >= 0.0005 else ""
    ax.errorbar(
        limit_mjy,
        survey.fraction,
        survey.scatter,
        fmt="o",
        color=VERMILLION,
        markersize=5,
        zorder=3,
        label=f"at the limit: {survey.fraction:.1%}{spread}",
        gid="survey",
    )
    ax.set(xscale="log", xlabel=f"flux limit at {frequency_mhz:g} MHz (mJy)")
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    low = min(LIMITS_MJY[0], limit_mjy / 1.5)
    ax.set_xlim(low, max(LIMITS_MJY[-1], limit_mjy * 1.5))


def _draw_bands(
    ax: Axes, pulsars: Table, values: ArrayLike, edges: np.ndarray, frequency_mhz: float, limit_mjy: float
) -> None:
    """One bar per bin, all of equal width on the page."""
    # Bins exclude their upper edge: the last edge is moved, so that the last bin includes the maximum.
    extended = np.append(edges[:-1], edges[-1] + 1)
    bands = detectability_by_band(pulsars, values, extended, frequency_mhz, limit_mjy, resamplings=0)
    bar = np.searchsorted(edges, bands["low_edge"])
    fraction, low, high = (np.asarray(bands[name], float) for name in ("fraction", "low", "high"))
    ax.bar(bar, fraction, 0.8, color=SKY_BLUE, alpha=0.5, gid="bands")
    ax.errorbar(bar, fraction, (fraction - low, high - fraction), fmt="o", color=BLUE, markersize=4, gid="fractions")
    for at, number in zip(bar, bands["pulsars"], strict=True):
        ax.text(at, 1.03, f"{number:,}", ha="center", va="bottom", fontsize=7, gid="number")
    ax.set_xticks(np.arange(len(edges)) - 0.5, [minus_signs(f"{edge:g}") for edge in edges])
    ax.tick_params(axis="x", top=False)
    ax.set_xlim(-0.6, len(edges) - 1.4)
    overall = detectability(pulsars, frequency_mhz, limit_mjy, resamplings=0).fraction
    ax.axhline(overall, color=BLACK, linewidth=0.8, linestyle=":", label="all pulsars")
