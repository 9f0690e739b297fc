"""Figures of spectra and emission lines.

Shape suffixes: N spectra or galaxies, L wavelength samples, B bins of wavelength, J lines.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from mmae.plots.spectrum import FLUX_UNIT
from mmae.realism.figures_population import CLASS_COLOURS, draw_density
from mmae.realism.measures import LineSample, SpectrumMeasures
from mmae.realism.statistics import nan_percentile
from mmae.report.style import BLACK, BLUE, GREY, SIGNED_CMAP, VERMILLION, style


@style()
def noise_shape_figure(
    wavelength_L: np.ndarray,
    measures: SpectrumMeasures,
    similar: SpectrumMeasures,
    real: SpectrumMeasures | None,
    class_N: np.ndarray,
) -> Figure:
    """Noise in wavelength bins, normalised and absolute, and S/N by class."""
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    shape, level, signal = figure.subplots(1, 3)
    n_bins = measures.ivar_NB.shape[1]
    width = 100.0
    middle_B = width * np.floor(wavelength_L[0] / width) + width * (np.arange(n_bins) + 0.5)
    at = int(np.argmin(np.abs(middle_B - 6550)))
    for sample, colour, name in ((similar, BLUE, "simulated, similar S/N"), (real, VERMILLION, "real")):
        if sample is None:
            continue
        sigma_NB = sample.ivar_NB**-0.5
        for ax, value_NB in ((shape, sigma_NB / sigma_NB[:, at : at + 1]), (level, sigma_NB)):
            p16, p50, p84 = nan_percentile(value_NB, [16, 50, 84])
            ax.plot(middle_B, p50, color=colour, label=name)
            ax.fill_between(middle_B, p16, p84, color=colour, alpha=0.2, linewidth=0)
    for name in sorted(set(class_N.tolist())):
        signal.plot(
            middle_B,
            nan_percentile(measures.signal_NB[class_N == name], 50),
            color=CLASS_COLOURS.get(name, GREY),
            label=f"simulated {name or 'unknown'}",
        )
    if real is not None:
        for k, signal_B in enumerate(real.signal_NB):
            signal.plot(middle_B, signal_B, color=BLACK, linewidth=0.6, label="real coadds" if k == 0 else None)
    shape.set(yscale="log", ylabel="noise / noise at 6500 A")
    level.set(yscale="log", ylabel=rf"noise [{FLUX_UNIT}]")
    signal.set(yscale="log", ylabel="S/N of a pixel", ylim=(0.1, 60))
    for ax in (shape, level, signal):
        ax.set_xlabel(r"wavelength [$\mathrm{\AA}$]")
        ax.legend()
    return figure


@style()
def width_figure(quantities: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Histograms of log widths and ratios; quantities: name -> simulated and real values."""
    columns = 4
    rows = -(-len(quantities) // columns)
    figure = Figure(figsize=(12, 2.3 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes[len(quantities) :]:
        ax.set_axis_off()
    for ax, (name, (a_N, b_N)) in zip(axes, quantities.items(), strict=False):
        low, high = np.percentile(np.concatenate([a_N, b_N]), [0.3, 99.7])
        bins = np.linspace(low, high, 50)
        for values, colour, label in ((a_N, BLUE, "simulated"), (b_N, VERMILLION, "real")):
            ax.hist(values, bins=bins, density=True, histtype="step", color=colour, label=f"{label} ({values.size:,})")
        ax.set(xlabel=f"log10 {name}", yticks=[])
    axes[0].legend()
    return figure


@style()
def bpt_figure(simulated: LineSample, real: LineSample) -> Figure:
    """[O III]/H-beta against [N II]/H-alpha (Baldwin, Phillips & Terlevich 1981), simulated and real."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots(1, 2, sharex=True, sharey=True)
    for ax, sample, name in ((axes[0], simulated, "simulated"), (axes[1], real, "real: DESI BGS")):
        x_N, y_N = np.log10(sample.ratio("nii_6584", "halpha")), np.log10(sample.ratio("oiii_5007", "hbeta"))
        draw_density(ax, x_N, y_N, (-1.8, 0.8), (-1.4, 1.4))
        x = np.linspace(-1.8, -0.05, 100)
        ax.plot(x, 0.61 / (x - 0.05) + 1.3, color=BLACK, linewidth=1, label="Kauffmann+2003")
        x = np.linspace(-1.8, 0.35, 100)
        ax.plot(x, 0.61 / (x - 0.47) + 1.19, color=BLACK, linewidth=1, linestyle="--", label="Kewley+2001")
        ax.set(
            title=f"{name}, {x_N.size:,} galaxies",
            xlabel="log10 [N II] / H-alpha (widths)",
            xlim=(-1.8, 0.8),
            ylim=(-1.4, 1.4),
        )
    axes[0].set_ylabel("log10 [O III] / H-beta (widths)")
    axes[0].legend(loc="lower left")
    return figure


@style()
def correlation_figure(simulated_JJ: np.ndarray, real_JJ: np.ndarray, names: tuple[str, ...]) -> Figure:
    """Correlation matrices of the log widths, simulated and real, and their difference."""
    figure = Figure(figsize=(12, 4.6), layout="constrained")
    axes = figure.subplots(1, 3)
    for ax, matrix, title in (
        (axes[0], simulated_JJ, "simulated"),
        (axes[1], real_JJ, "real"),
        (axes[2], simulated_JJ - real_JJ, "difference"),
    ):
        shown = ax.imshow(matrix, cmap=SIGNED_CMAP, vmin=-1, vmax=1, origin="upper")
        for j, row in enumerate(matrix):
            for k, value in enumerate(row):
                ax.text(
                    k,
                    j,
                    f"{value:.2f}",
                    ha="center",
                    va="center",
                    fontsize=7,
                    color="white" if abs(value) > 0.65 else "black",
                )
        ax.set_xticks(range(len(names)), names, rotation=60)
        ax.set_yticks(range(len(names)), names)
        ax.set_title(title)
    figure.colorbar(shown, ax=axes, label="correlation of log widths")
    return figure
