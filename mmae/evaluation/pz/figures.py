"""Figures of p(z): PIT histograms, coverage, the mean of all p(z), and examples.

Shape suffixes: N galaxies, B bins of a histogram, K bins of p(z).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator, PercentFormatter
from scipy.stats import binom

from mmae.metrics.bootstrap import rate_score
from mmae.metrics.pz_calibration import inside
from mmae.metrics.pz_distribution import RedshiftPDF
from mmae.report.style import BLACK, BLUE, GREEN, GREY, LIGHT_GREY, ORANGE, VERMILLION, say_absent, short_name, style

MODE_COLOURS = {"image": BLUE, "spectrum": VERMILLION, "both": GREEN}
PIT_BINS = 20  # 5% each
BANDS = ((0.95, LIGHT_GREY), (0.68, "#BDBDBD"))
COVERAGE_LEVELS = np.append(np.arange(0.05, 0.96, 0.05), 0.99)
REDSHIFT_TICKS = (0.0, 0.2, 0.4, 0.7, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
GALAXIES_A_BIN = 100  # mean count per bin of the histogram of true redshifts: errors of 10%
MIN_BINS, MAX_BINS = 8, 64
SHOWN_PART = 0.998  # probability on the axis of an example
DECADES = 3.5  # range of densities below the peak of an example


@style()
def pit_figure(pits: Mapping[str, np.ndarray]) -> Figure:
    """PIT histograms with the bands that contain 68% and 95% of the bins if p(z) is calibrated.

    Args:
        pits: mode -> (N,), N > 0.
    """
    figure = Figure(figsize=(max(4.5, 3.4 * len(pits)), 3.2), layout="constrained")
    axes = figure.subplots(1, len(pits), sharey=True, squeeze=False)[0]
    for ax, (mode, pit_N) in zip(axes, pits.items(), strict=True):
        n = pit_N.size
        count_B, _ = np.histogram(pit_N, PIT_BINS, (0, 1))
        for part, colour in BANDS:
            low, high = binom.interval(part, n, 1 / PIT_BINS)
            ax.axhspan(
                low * PIT_BINS / n, high * PIT_BINS / n, color=colour, linewidth=0, label=f"{part:.0%} if calibrated"
            )
        ax.axhline(1, color=BLACK, linewidth=0.8)
        ax.stairs(
            count_B * PIT_BINS / n, np.linspace(0, 1, PIT_BINS + 1), baseline=None, color=_colour(mode), linewidth=1.6
        )
        ax.set(title=f"{mode} ({n:,} galaxies)", xlabel="PIT of the true redshift", xlim=(0, 1))
    axes[0].set_ylabel("density")
    axes[0].set_ylim(0, max(2.0, axes[0].get_ylim()[1]))
    axes[-1].legend(loc="lower center")
    return figure


@style()
def coverage_figure(pits: Mapping[str, np.ndarray]) -> Figure:
    """Fraction of galaxies inside central intervals against the interval's probability; below, the difference.

    Args:
        pits: mode -> (N,), N > 0.
    """
    figure = Figure(figsize=(5.2, 5.6), layout="constrained")
    main, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1.4))
    main.plot((0, 1), (0, 1), color=GREY, linestyle="--", linewidth=0.9)
    lower.axhline(0, color=GREY, linestyle="--", linewidth=0.9)
    for k, (mode, pit_N) in enumerate(pits.items()):
        scores = [rate_score(inside(pit_N, level)) for level in COVERAGE_LEVELS]
        value_B, low_B, high_B = np.array([(s.value, s.low, s.high) for s in scores]).T
        offset = 0.008 * (k - (len(pits) - 1) / 2)  # between error bars of the differences
        for ax, x_B, zero_B in ((main, COVERAGE_LEVELS, 0), (lower, COVERAGE_LEVELS + offset, COVERAGE_LEVELS)):
            ax.errorbar(
                x_B,
                value_B - zero_B,
                (value_B - low_B, high_B - value_B),
                fmt="o",
                markersize=3,
                elinewidth=0.9,
                color=_colour(mode),
                label=f"{mode} ({pit_N.size:,})",
            )
    main.text(0.97, 0.05, "below the line: over-confident", transform=main.transAxes, ha="right", color=GREY)
    main.text(0.03, 0.62, "above: under-confident", transform=main.transAxes, color=GREY)
    main.set(ylabel="galaxies inside", xlim=(0, 1.02), ylim=(0, 1.02))
    main.legend(loc="upper left")
    lower.set(xlabel="probability of the central interval", ylabel="difference")
    for axis in (main.xaxis, main.yaxis, lower.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0, decimals=0 if axis is not lower.yaxis else None))
    return figure


@style()
def stacked_figure(samples: Mapping[str, tuple[RedshiftPDF, np.ndarray]]) -> Figure:
    """The mean of all p(z) against the histogram of the true redshifts, as densities in ln(1+z).

    Args:
        samples: mode -> p(z) and true redshifts of the same N > 0 galaxies.
    """
    figure = Figure(figsize=(8, 1.1 + 2.1 * len(samples)), layout="constrained")
    axes = figure.subplots(len(samples), 1, sharex=True, squeeze=False)[:, 0]
    top = max(np.log1p(z_N).max() for _, z_N in samples.values())
    for ax, (mode, (pdf, z_N)) in zip(axes, samples.items(), strict=True):
        _draw_truth(ax, pdf, z_N)
        ax.stairs(
            pdf.probability_NK.mean(axis=0) / pdf.width_K,
            pdf.edges_K1,
            color=_colour(mode),
            linewidth=1.4,
            label=f"mean of p(z): {mode} ({len(pdf):,})",
        )
        ax.set_ylabel(r"$dP\,/\,d\,\ln(1+z)$")
        ax.set_ylim(bottom=0)
        ax.legend(loc="upper right")
    axes[-1].set(xlabel="redshift", xlim=(0, 1.05 * top))
    axes[-1].xaxis.set_major_locator(FixedLocator([np.log1p(z) for z in REDSHIFT_TICKS]))
    axes[-1].xaxis.set_minor_locator(NullLocator())
    axes[-1].xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{np.expm1(x):.2g}"))
    return figure


def _draw_truth(ax: Axes, pdf: RedshiftPDF, z_N: np.ndarray) -> None:
    """Histogram of true redshifts in groups of p(z) bins, with Poisson errors."""
    n_bins = len(pdf.width_K)
    bins_per_group = max(1, round(n_bins / np.clip(z_N.size / GALAXIES_A_BIN, MIN_BINS, MAX_BINS)))
    edges_B = np.append(pdf.edges_K1[:-1:bins_per_group], pdf.edges_K1[-1])
    count_B, _ = np.histogram(np.log1p(z_N), edges_B)
    scale_B = z_N.size * np.diff(edges_B)
    ax.stairs(count_B / scale_B, edges_B, fill=True, color=LIGHT_GREY, label="true redshifts")
    ax.errorbar(
        0.5 * (edges_B[1:] + edges_B[:-1]),
        count_B / scale_B,
        np.sqrt(count_B) / scale_B,
        fmt="none",
        ecolor=GREY,
        elinewidth=0.8,
    )


@style()
def example_figure(examples: Mapping[str, tuple[float, Mapping[str, RedshiftPDF]]]) -> Figure:
    """p(z) of example galaxies in every mode; dotted: the true redshift.

    Args:
        examples: object id -> true redshift, and mode -> p(z) of this galaxy.
    """
    columns = min(3, max(1, len(examples)))
    rows = -(-max(1, len(examples)) // columns)
    figure = Figure(figsize=(3.4 * columns, 0.5 + 2.3 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for ax in axes.flat[len(examples) :]:
        ax.set_axis_off()
    for ax, (name, (z, pdfs)) in zip(axes.flat, examples.items(), strict=False):
        _draw_example(ax, z, pdfs)
        ax.set_title(f"{short_name(name)}, $z$ = {z:.3f}")
    if not examples:
        say_absent(axes[0, 0], "no galaxy has a p(z) and a redshift")
        return figure
    for ax in axes[-1]:
        ax.set_xlabel("redshift")
    for ax in axes[:, 0]:
        ax.set_ylabel("$dP/dz$")
    modes = dict.fromkeys(mode for _, pdfs in examples.values() for mode in pdfs)
    handles = {h.get_label(): h for ax in axes.flat for h in ax.get_legend_handles_labels()[0]}
    figure.legend([handles[m] for m in modes], list(modes), loc="outside lower center", ncols=len(modes))
    return figure


def _draw_example(ax: Axes, z: float, pdfs: Mapping[str, RedshiftPDF]) -> None:
    ends, peak = [z], 0.0
    for mode, pdf in pdfs.items():
        density_K = pdf.probability_NK[0] / np.diff(pdf.z_edges_K1)
        ax.stairs(density_K, pdf.z_edges_K1, baseline=None, color=_colour(mode), label=mode)
        ends += [float(pdf.quantile(q)[0]) for q in ((1 - SHOWN_PART) / 2, (1 + SHOWN_PART) / 2)]
        peak = max(peak, density_K.max())
    ax.axvline(z, color=BLACK, linestyle=":", linewidth=1.0)
    margin = 0.08 * (max(ends) - min(ends)) + 0.01
    ax.set(yscale="log", xlim=(max(0, min(ends) - margin), max(ends) + margin), ylim=(peak / 10**DECADES, 2 * peak))


def _colour(mode: str) -> str:
    return MODE_COLOURS.get(mode, ORANGE)
