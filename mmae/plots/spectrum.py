"""Galaxy spectra with their lines, and what a model made of the masked ones.

Shape suffixes: N galaxies, L wavelength samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from mmae.astro import lines
from mmae.core.errors import InputError
from mmae.report.style import BLACK, GREEN, GREY, LIGHT_GREY, VERMILLION, say_absent, style

SMOOTHING = 5  # samples of the ivar-weighted running mean, for display only: 4 A on the DESI grid
SIGNIFICANT = 8.0  # smoothed signal-to-noise from which a peak is a line and must fit in the panel
FLUX_UNIT = r"$10^{-17}\,\mathrm{erg\,s^{-1}\,cm^{-2}\,\AA^{-1}}$"


@dataclass(frozen=True)
class SpectralLine:
    """A line, or the mean of a doublet, that is strong in galaxies or quasars."""

    name: str
    wavelength: float  # Angstrom, vacuum, at rest
    label_side: str = "left"  # of the line; "right" where a neighbour is too close


# Doublets are marked at their mean.
LINES = (
    SpectralLine(r"Ly$\alpha$", lines.LYMAN_ALPHA),
    SpectralLine("C IV", lines.CIV),
    SpectralLine("C III]", lines.CIII),
    SpectralLine("Mg II", lines.MGII),
    SpectralLine("[O II]", 0.5 * (lines.OII_BLUE + lines.OII_RED)),
    SpectralLine("Ca K", lines.CA_K),
    SpectralLine("Ca H", lines.CA_H, "right"),
    SpectralLine(r"H$\beta$", lines.HBETA_WAVE),
    SpectralLine("[O III]", lines.OIII_RED),
    SpectralLine("Mg b", lines.MG_B, "right"),
    SpectralLine("Na D", lines.NA_D),
    SpectralLine(r"H$\alpha$", lines.HALPHA_WAVE),
    SpectralLine("[S II]", 0.5 * (lines.SII_BLUE + lines.SII_RED), "right"),
)


@style()
def spectrum_reconstruction_figure(
    wavelength_L: ArrayLike,
    flux_NL: ArrayLike,
    ivar_NL: ArrayLike,
    reconstruction_NL: ArrayLike,
    visible_NL: ArrayLike,
    redshift_N: ArrayLike,
    titles: Sequence[str],
) -> Figure:
    """One panel a galaxy: observed flux, masked spans, reconstruction and line positions.

    Args:
        wavelength_L: Angstrom, vacuum.
        flux_NL: 1e-17 erg/s/cm2/A.
        ivar_NL: inverse variance of flux; 0 = bad pixel, all 0 = no spectrum.
        reconstruction_NL: like flux; NaN where there is none.
        visible_NL: True where the model saw the sample.
        redshift_N: NaN = unknown, no lines are marked.
        titles: one a galaxy.
    """
    wavelength_L = np.asarray(wavelength_L, np.float64)
    flux_NL, ivar_NL = np.asarray(flux_NL, np.float64), np.asarray(ivar_NL, np.float64)
    reconstruction_NL = np.asarray(reconstruction_NL, np.float64)
    visible_NL, redshift_N = np.asarray(visible_NL, bool), np.asarray(redshift_N, np.float64)
    n = len(titles)
    if n == 0 or wavelength_L.size == 0:
        figure = Figure(figsize=(10, 2), layout="constrained")
        say_absent(figure.subplots(), "no spectrum")
        return figure
    for name, values in (
        ("flux", flux_NL),
        ("ivar", ivar_NL),
        ("visible", visible_NL),
        ("reconstruction", reconstruction_NL),
    ):
        if values.shape != (n, wavelength_L.size):
            raise InputError(
                f"{name} has shape {values.shape}, expected {(n, wavelength_L.size)}: "
                f"one row a title, one column a wavelength."
            )
    if redshift_N.shape != (n,):
        raise InputError(f"redshift has shape {redshift_N.shape}, expected ({n},).")

    figure = Figure(figsize=(10, 0.8 + 2.3 * n), layout="constrained")
    axes = figure.subplots(n, 1, squeeze=False, sharex=True)[:, 0]
    for i, ax in enumerate(axes):
        ax.set_title(titles[i], loc="left")
        draw_spectrum(
            ax, wavelength_L, flux_NL[i], ivar_NL[i], reconstruction_NL[i], visible_NL[i], float(redshift_N[i])
        )
    handles = {label: handle for ax in axes for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    if handles:
        figure.legend(handles.values(), handles.keys(), loc="outside upper right", ncols=4)
    axes[-1].set_xlabel(r"observed wavelength, vacuum [$\mathrm{\AA}$]")
    figure.supylabel(rf"$f_\lambda$ [{FLUX_UNIT}]", fontsize=10)
    return figure


def draw_spectrum(
    ax: Axes,
    wavelength_L: np.ndarray,
    flux_L: np.ndarray,
    ivar_L: np.ndarray,
    reconstruction_L: np.ndarray | None,
    visible_L: np.ndarray | None,
    redshift: float,
) -> None:
    """One spectrum into one panel; without an observed one, the reconstruction alone."""
    observed_L = np.isfinite(flux_L) & np.isfinite(ivar_L) & (ivar_L > 0)
    made = reconstruction_L is not None and bool(np.isfinite(reconstruction_L).any())
    step = float(np.median(np.diff(wavelength_L))) if wavelength_L.size > 1 else 1.0
    ax.set_xlim(wavelength_L[0] - step, wavelength_L[-1] + step)
    if not observed_L.any() and not made:
        say_absent(ax, "no spectrum", keep_x=True)
        return
    extremes: list[float] = []
    if observed_L.any():
        smooth_L, error_L = smooth_by_ivar(flux_L, ivar_L, SMOOTHING)
        ax.plot(
            wavelength_L,
            smooth_L,
            color=GREY,
            linewidth=0.7,
            label=f"observed, running mean of {SMOOTHING} samples, ivar-weighted",
        )
        extremes += _flux_extremes(smooth_L, error_L)
        if visible_L is not None:
            for k, (start, stop) in enumerate(masked_spans(wavelength_L, visible_L)):
                ax.axvspan(
                    start, stop, color=LIGHT_GREY, alpha=0.6, linewidth=0, zorder=0, label="masked" if k == 0 else None
                )
    else:
        ax.text(0.01, 0.93, "no spectrum", transform=ax.transAxes, va="top", color=GREY)
    if made:
        ax.plot(wavelength_L, reconstruction_L, color=VERMILLION, linewidth=1.0, label="reconstruction")
        extremes += [float(np.nanmin(reconstruction_L)), float(np.nanmax(reconstruction_L))]
    low, high = min(extremes), max(extremes)
    height = high - low or 1.0
    # A fifth above the data is left for the names of the lines.
    ax.set_ylim(low - 0.06 * height, high + 0.25 * height)
    ax.axhline(0.0, color=BLACK, linewidth=0.4)
    mark_lines(ax, redshift)


def mark_lines(ax: Axes, redshift: float) -> None:
    """A dotted line with its name at (1 + z) x the rest wavelength, inside the panel's range."""
    if not np.isfinite(redshift):
        return
    low, high = ax.get_xlim()
    for line in LINES:
        wavelength = (1.0 + redshift) * line.wavelength
        if not low < wavelength < high:
            continue
        ax.axvline(wavelength, color=GREEN, linewidth=0.8, linestyle=":", zorder=1)
        ax.annotate(
            line.name,
            (wavelength, 0.97),
            xycoords=ax.get_xaxis_transform(),
            xytext=(-1.5 if line.label_side == "left" else 1.5, 0),
            textcoords="offset points",
            rotation=90,
            fontsize=7,
            color=GREEN,
            va="top",
            ha="right" if line.label_side == "left" else "left",
            annotation_clip=True,
        )


def smooth_by_ivar(flux_L: np.ndarray, ivar_L: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Running ivar-weighted mean over `width` samples, and its standard error.

    Samples with ivar 0 have no part in it and are NaN themselves: a gap stays a gap.
    """
    good_L = np.isfinite(flux_L) & np.isfinite(ivar_L) & (ivar_L > 0)
    weight_L = np.where(good_L, ivar_L, 0.0)
    box = np.ones(width)
    # "full" and a slice, because "same" returns the box's length where it is the longer one.
    middle = slice((width - 1) // 2, (width - 1) // 2 + flux_L.size)
    total_L = np.convolve(weight_L, box)[middle]
    signal_L = np.convolve(weight_L * np.where(good_L, flux_L, 0.0), box)[middle]
    safe_L = np.where(good_L, total_L, 1.0)
    return np.where(good_L, signal_L / safe_L, np.nan), np.where(good_L, safe_L**-0.5, np.nan)


def masked_spans(wavelength_L: np.ndarray, visible_L: np.ndarray) -> list[tuple[float, float]]:
    """First and last wavelength of every run of samples the model did not see.

    Half a sample is added on either side, so that adjoining spans of equal state meet.
    """
    if wavelength_L.size == 0:
        return []
    half = 0.5 * float(np.median(np.diff(wavelength_L))) if wavelength_L.size > 1 else 0.5
    hidden = np.concatenate([[0], (~np.asarray(visible_L, bool)).astype(np.int8), [0]])
    change = np.diff(hidden)
    starts, stops = np.flatnonzero(change == 1), np.flatnonzero(change == -1) - 1
    return [(float(wavelength_L[a]) - half, float(wavelength_L[b]) + half) for a, b in zip(starts, stops, strict=True)]


def _flux_extremes(smooth_L: np.ndarray, error_L: np.ndarray) -> list[float]:
    """A range that holds the continuum and every significant line but no noise spike."""
    low, high = np.nanpercentile(smooth_L, [0.5, 99.5])
    significant_L = np.isfinite(smooth_L) & (smooth_L > SIGNIFICANT * error_L)
    if significant_L.any():
        high = max(high, smooth_L[significant_L].max())
    return [float(low), float(high)]
