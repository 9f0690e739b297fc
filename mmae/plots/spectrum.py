"""Galaxy spectra with line positions, and reconstructions of masked spectra.

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

SMOOTHING = 5  # width of the ivar-weighted running mean in samples, for display only: 4 A on the DESI grid
SIGNIFICANT = 8.0  # smoothed signal-to-noise ratio above which a peak must be within the y range
FLUX_UNIT = r"$10^{-17}\,\mathrm{erg\,s^{-1}\,cm^{-2}\,\AA^{-1}}$"


@dataclass(frozen=True)
class SpectralLine:
    """A strong line of galaxies or quasars, or the mean of a doublet."""

    name: str
    wavelength: float  # Angstrom, vacuum, at rest
    label_side: str = "left"  # "right" if the line to the left is too close


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
    """One panel per galaxy: observed flux, masked ranges, reconstruction and line positions.

    Args:
        wavelength_L: Angstrom, vacuum.
        flux_NL: 1e-17 erg/s/cm2/A.
        ivar_NL: inverse variance of flux; 0 = bad pixel, all 0 = no spectrum.
        reconstruction_NL: like flux; NaN where there is none.
        visible_NL: True for samples visible to the model.
        redshift_N: NaN = unknown, no lines are marked.
        titles: one per galaxy.
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
                f"one row per title, one column per wavelength."
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
    """Draw one spectrum in a panel; without an observed spectrum, only the reconstruction."""
    observed_L = np.isfinite(flux_L) & np.isfinite(ivar_L) & (ivar_L > 0)
    if reconstruction_L is not None and not np.isfinite(reconstruction_L).any():
        reconstruction_L = None
    step = float(np.median(np.diff(wavelength_L))) if wavelength_L.size > 1 else 1.0
    ax.set_xlim(wavelength_L[0] - step, wavelength_L[-1] + step)
    if not observed_L.any() and reconstruction_L is None:
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
        extremes += flux_range(smooth_L, error_L)
        if visible_L is not None:
            for k, (start, stop) in enumerate(masked_spans(wavelength_L, visible_L)):
                ax.axvspan(
                    start, stop, color=LIGHT_GREY, alpha=0.6, linewidth=0, zorder=0, label="masked" if k == 0 else None
                )
    else:
        ax.text(0.01, 0.93, "no spectrum", transform=ax.transAxes, va="top", color=GREY)
    if reconstruction_L is not None:
        ax.plot(wavelength_L, reconstruction_L, color=VERMILLION, linewidth=1.0, label="reconstruction")
        extremes += [float(np.nanmin(reconstruction_L)), float(np.nanmax(reconstruction_L))]
    low, high = min(extremes), max(extremes)
    height = high - low or 1.0
    # The space above the data is for the line names.
    ax.set_ylim(low - 0.06 * height, high + 0.25 * height)
    ax.axhline(0.0, color=BLACK, linewidth=0.4)
    mark_lines(ax, redshift)


def mark_lines(ax: Axes, redshift: float) -> None:
    """Mark and name the lines at (1 + z) x rest wavelength within the x range of the panel."""
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

    Samples with ivar 0 are excluded and NaN in the result.
    """
    good_L = np.isfinite(flux_L) & np.isfinite(ivar_L) & (ivar_L > 0)
    weight_L = np.where(good_L, ivar_L, 0.0)
    box = np.ones(width)
    # Mode "full" and a slice, because mode "same" returns the length of the longer input.
    middle = slice((width - 1) // 2, (width - 1) // 2 + flux_L.size)
    total_L = np.convolve(weight_L, box)[middle]
    signal_L = np.convolve(weight_L * np.where(good_L, flux_L, 0.0), box)[middle]
    safe_L = np.where(good_L, total_L, 1.0)
    return np.where(good_L, signal_L / safe_L, np.nan), np.where(good_L, safe_L**-0.5, np.nan)


def masked_spans(wavelength_L: np.ndarray, visible_L: np.ndarray) -> list[tuple[float, float]]:
    """First and last wavelength of each contiguous range of masked samples, extended by half a sample at both ends."""
    if wavelength_L.size == 0:
        return []
    half = 0.5 * float(np.median(np.diff(wavelength_L))) if wavelength_L.size > 1 else 0.5
    hidden = np.concatenate([[0], (~np.asarray(visible_L, bool)).astype(np.int8), [0]])
    change = np.diff(hidden)
    starts, stops = np.flatnonzero(change == 1), np.flatnonzero(change == -1) - 1
    return [(float(wavelength_L[a]) - half, float(wavelength_L[b]) + half) for a, b in zip(starts, stops, strict=True)]


def flux_range(smooth_L: np.ndarray, error_L: np.ndarray) -> tuple[float, float]:
    """A y range that includes the continuum and all significant lines, but not noise spikes."""
    low, high = np.nanpercentile(smooth_L, [0.5, 99.5])
    significant_L = np.isfinite(smooth_L) & (smooth_L > SIGNIFICANT * error_L)
    if significant_L.any():
        high = max(high, smooth_L[significant_L].max())
    return float(low), float(high)
