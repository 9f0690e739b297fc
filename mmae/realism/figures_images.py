"""Figures of stamps: noise, neighbours, central objects, examples.

Shape suffixes: S stamps, C bands, R annuli, H and W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmae.plots.image import draw_rgb, rgb_bands
from mmae.plots.spectrum import FLUX_UNIT, SMOOTHING, draw_spectrum
from mmae.realism import published
from mmae.realism.stamp_sets import CONCENTRATION, StampSet, central_values
from mmae.realism.stamps import PROFILE_EDGES
from mmae.report.style import BLUE, VERMILLION, say_absent, style
from mmae.survey.schema import SurveySpec

ShownSpectrum = tuple[str, np.ndarray, np.ndarray, float]
"""Title, flux_L (1e-17 erg/s/cm2/A), ivar_L, redshift (NaN: unknown)."""
WHITE = 60.0  # background sigma shown as white: faint outskirts are visible, bright cores saturate


@style()
def noise_figure(simulated: StampSet, real: StampSet | None, spec: SurveySpec) -> Figure:
    """Sky noise and pixel correlation by band, and number of neighbours."""
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    noise, correlation, neighbours = figure.subplots(1, 3)
    band_C = np.arange(len(spec.bands))
    target_C = np.array([published.BAND_NOISE.get(b, np.nan) for b in spec.bands])
    noise.plot(band_C, target_C, "k_", markersize=24, label="published")
    correlation.axhline(0, color="black", linewidth=0.5)
    for shift, stamps, colour, name in ((-0.12, simulated, BLUE, "simulated"), (0.12, real, VERMILLION, "real")):
        if stamps is None:
            continue
        _percentile_bars(noise, band_C + shift, stamps.noise_SC, colour, name)
        _percentile_bars(correlation, band_C + shift, stamps.correlation_SC, colour, name)
        share = np.bincount(np.minimum(stamps.n_others_S, 12), minlength=13) / max(stamps.n_others_S.size, 1)
        neighbours.step(np.arange(13), 100 * share, where="mid", color=colour, label=name)
    noise.set(yscale="log", ylabel="sky noise [counts]")
    correlation.set(ylabel="correlation of adjacent pixels")
    for ax in (noise, correlation):
        ax.set_xticks(band_C, spec.bands)
        ax.legend()
    neighbours.set(xlabel="other objects in the stamp (12: 12 or more)", ylabel="share of stamps [%]")
    neighbours.legend()
    return figure


def _percentile_bars(ax: Axes, x_C: np.ndarray, value_SC: np.ndarray, colour: str, name: str) -> None:
    """Median and 16-84% of the stamps by band."""
    value_SC = value_SC[np.isfinite(value_SC).all(axis=1)]
    if len(value_SC):
        p16, p50, p84 = np.percentile(value_SC, [16, 50, 84], axis=0)
        ax.errorbar(
            x_C,
            p50,
            (p50 - p16, p84 - p50),
            fmt="o",
            color=colour,
            markersize=4,
            capsize=2,
            label=f"{name}, 16-84% of stamps",
        )


@style()
def central_figure(simulated: StampSet, real: StampSet | None, spec: SurveySpec) -> Figure:
    """Distributions of colours and concentration, and the median radial profile."""
    colours = [f"{a}-{b} [mag]" for a, b in zip(spec.bands[:-1], spec.bands[1:], strict=True)]
    figure = Figure(figsize=(12, 5.6), layout="constrained")
    axes = figure.subplots(2, 3).ravel()
    sets = ((simulated, BLUE, "simulated"), (real, VERMILLION, "real"))
    names = [*colours[:4], CONCENTRATION]
    for ax, name in zip(axes, names, strict=False):
        limits = (-0.6, 2.4) if "[mag]" in name else (1.5, 5.0)
        for stamps, colour, label in sets:
            values = np.array([]) if stamps is None else central_values(stamps, name, spec)
            if values.size:
                ax.hist(
                    np.clip(values, *limits),
                    bins=np.linspace(*limits, 31 if values.size > 100 else 13),
                    density=True,
                    histtype="step",
                    color=colour,
                    label=f"{label} ({values.size:,})",
                )
        ax.set(xlabel=name, ylabel="density")
        if ax.get_legend_handles_labels()[0]:
            ax.legend()
    middle_R = 0.5 * (PROFILE_EDGES[:-1] + PROFILE_EDGES[1:])
    profile = axes[5]
    for stamps, colour, label in sets:
        if stamps is None or not stamps.central:
            continue
        p16, p50, p84 = np.percentile([c.profile_R for c in stamps.central], [16, 50, 84], axis=0)
        profile.plot(middle_R, p50, color=colour, label=label)
        profile.fill_between(
            middle_R, np.maximum(p16, 1e-5), np.maximum(p84, 1e-5), color=colour, alpha=0.2, linewidth=0
        )
    profile.set(
        yscale="log", ylim=(1e-4, 1.5), xlabel="radius [arcsec]", ylabel="surface brightness in i / central value"
    )
    if profile.get_legend_handles_labels()[0]:
        profile.legend()
    return figure


@style()
def image_examples(simulated_SCHW: np.ndarray, real_SCHW: np.ndarray | None, spec: SurveySpec) -> Figure:
    """Simulated stamps (left) and real stamps (right) with the same stretch."""
    columns, rows = 4, 3
    figure = Figure(figsize=(11.5, 4.9), layout="constrained")
    left, right = figure.subfigures(1, 2)
    for part, images, title in ((left, simulated_SCHW, "simulated"), (right, real_SCHW, "real: HSC-COSMOS")):
        part.suptitle(title, fontsize=10)
        if images is None or not len(images):
            say_absent(part.subplots(), "no real images")
            continue
        for k, ax in enumerate(part.subplots(rows, columns).ravel()):
            if k < len(images):
                draw_rgb(ax, images[k], spec, WHITE, absent=False)
            else:
                ax.set_axis_off()
    side = simulated_SCHW.shape[-1] * spec.pixel_scale
    figure.supxlabel(
        f"panels {side:.1f} arcsec wide, same stretch; red, green, blue = {', '.join(rgb_bands(spec))}", fontsize=8
    )
    return figure


@style()
def spectrum_examples(
    wavelength_L: np.ndarray, pairs: Sequence[tuple[ShownSpectrum | None, ShownSpectrum | None]]
) -> Figure:
    """Rows with a simulated spectrum (left) and a real spectrum (right).

    Args:
        wavelength_L: Angstrom.
        pairs: simulated and real spectrum of each row; None if there is none.
    """
    figure = Figure(figsize=(12, 0.6 + 2.1 * max(len(pairs), 1)), layout="constrained")
    axes = figure.subplots(max(len(pairs), 1), 2, squeeze=False, sharex=True)
    for row, pair in zip(axes, pairs, strict=False):
        for ax, spectrum in zip(row, pair, strict=True):
            if spectrum is None:
                say_absent(ax, "no spectrum", keep_x=True)
                continue
            title, flux_L, ivar_L, redshift = spectrum
            ax.set_title(title, loc="left", fontsize=8)
            draw_spectrum(ax, wavelength_L, flux_L, ivar_L, None, None, redshift)
    figure.supylabel(rf"$f_\lambda$ [{FLUX_UNIT}]", fontsize=9)
    figure.supxlabel(
        rf"observed vacuum wavelength [$\mathrm{{\AA}}$]; ivar-weighted running mean of {SMOOTHING} samples", fontsize=9
    )
    return figure
