"""Figures of `benchmarks.models.real_sky`. Shape suffixes: N galaxies, L wavelength samples."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from benchmarks.models.real_sky_scores import Seen
from mmae.model.batch import Batch, InputSpec
from mmae.plots.spectrum import LINES, SMOOTHING
from mmae.report.style import BLUE, GREY, LIGHT_GREY, VERMILLION, say_absent, style

COLUMNS = 3
Z_MAX = 4.0


@style()
def line_figure(seen: Mapping[str, Seen]) -> Figure:
    """Predicted against true redshift of each sample; without a redshift, the predictions against the interval."""
    rows = -(-len(seen) // COLUMNS)
    figure = Figure(figsize=(3.4 * COLUMNS, 3.2 * rows), layout="constrained")
    axes = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for ax, (name, sample) in zip(axes, seen.items(), strict=False):
        ax.set_title(name, fontsize=7, wrap=True)
        known = sample.known_N.any()
        x_N = sample.redshift_N if known else sample.high_N - sample.low_N
        for flagged, colour, label in ((True, LIGHT_GREY, "flagged"), (False, BLUE, "no flag")):
            in_N = (sample.flag_N != 0) == flagged
            ax.plot(x_N[in_N], sample.predicted_N[in_N], ".", ms=3, color=colour, label=f"{label}, {in_N.sum()}")
        if known:
            ax.plot([0, Z_MAX], [0, Z_MAX], "-", lw=0.6, color=GREY)
            ax.set(xlim=(0, Z_MAX), ylim=(0, Z_MAX), xlabel="true z", ylabel="predicted z")
        else:
            ax.set(xscale="log", ylim=(0, Z_MAX), xlabel="width of the 68% interval in z", ylabel="predicted z")
        ax.legend(fontsize=6)
    for ax in axes[len(seen) :]:
        ax.set_axis_off()
    return figure


@style()
def wrong_figure(seen: Seen, galaxies: Batch, spec: InputSpec) -> Figure:
    """Spectra with a redshift that is an outlier, with the lines at the true and at the predicted redshift."""
    wrong = [seen.object_id[row] for row in np.flatnonzero(seen.wrong_N)]
    figure = Figure(figsize=(9, 2.2 * max(1, len(wrong))), layout="constrained")
    axes = figure.subplots(max(1, len(wrong)), 1, squeeze=False).ravel()
    if not wrong:
        say_absent(axes[0], "no wrong redshift")
    wavelength_L = spec.wavelength_start + spec.wavelength_step * np.arange(spec.n_wavelengths)
    for ax, name in zip(axes, wrong, strict=False):
        row, at = seen.object_id.index(name), galaxies.object_id.index(name)
        flux_L, ivar_L = galaxies.flux_BL[at].numpy(), galaxies.ivar_BL[at].numpy()
        kernel = np.ones(2 * SMOOTHING)
        weight_L = np.convolve(ivar_L, kernel, "same")
        smooth_L = np.convolve(flux_L * ivar_L, kernel, "same") / np.where(weight_L > 0, weight_L, np.nan)
        ax.plot(wavelength_L, smooth_L, lw=0.6, color=GREY)
        low, high = np.nanquantile(smooth_L, (0.002, 0.998))
        ax.set(xlim=wavelength_L[[0, -1]], ylim=(low - 0.1 * (high - low), high + 0.3 * (high - low)))
        for redshift, colour in ((seen.redshift_N[row], BLUE), (seen.predicted_N[row], VERMILLION)):
            for line in LINES:
                position = line.wavelength * (1 + redshift)
                if wavelength_L[0] < position < wavelength_L[-1]:
                    ax.axvline(position, lw=0.7, ls="--", color=colour)
                    ax.text(position, ax.get_ylim()[1], line.name, fontsize=6, color=colour, va="top")
        signal = float(np.nanmedian((flux_L * np.sqrt(ivar_L))[ivar_L > 0]))
        ax.set_title(
            f"{name}: true z = {seen.redshift_N[row]:.4f} (blue), predicted {seen.predicted_N[row]:.4f} "
            f"({seen.low_N[row]:.4f} to {seen.high_N[row]:.4f}, red), flags {seen.flag_N[row]}, S/N {signal:.1f}",
            fontsize=7,
        )
    return figure
