"""Figures of reconstructed images: residuals, magnitudes and colours, sizes and shapes.

Shape suffixes: N galaxies, C bands, G regions, K bins.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import norm

from mmae.evaluation.catalogue import Catalogue
from mmae.evaluation.images import errors
from mmae.evaluation.images.compare import COMPOSITE, OBSERVED, RECONSTRUCTION, VERSIONS, ImageMeasures, shape_band
from mmae.evaluation.images.photometry import INNER, OUTER
from mmae.evaluation.images.pixels import HISTOGRAM_EDGES, REGIONS
from mmae.plots.redshift import draw_points, running_percentiles
from mmae.report.style import BLACK, BLUE, GREY, VERMILLION, outlined, say_absent, style
from mmae.survey.schema import SurveySpec

ERROR_RANGE = 2 * errors.MAGNITUDE_LIMIT  # mag, range of the axes
REGION_COLOURS = (BLUE, VERMILLION)
AXIS_PERCENTILES = (0.5, 99.5)  # of the observed values, so that single galaxies do not extend the axis
NO_GALAXY = "no galaxy to test"


@style()
def residual_figure(measures: ImageMeasures, spec: SurveySpec) -> Figure:
    """Histograms of residuals of hidden pixels in units of the noise, by band and region."""
    figure = Figure(figsize=(2.1 * len(spec.bands), 2.9), layout="constrained")
    axes = figure.subplots(1, len(spec.bands), sharex=True, sharey=True, squeeze=False)[0]
    count_GCK = measures.count_NGCK.sum(axis=0, dtype=np.int64)
    width = HISTOGRAM_EDGES[1] - HISTOGRAM_EDGES[0]
    middle_K = HISTOGRAM_EDGES[:-1] + width / 2
    for c, (ax, band) in enumerate(zip(axes, spec.bands, strict=True)):
        for g, (region, colour) in enumerate(zip(REGIONS, REGION_COLOURS, strict=True)):
            total = count_GCK[g, c].sum()
            if total:
                ax.stairs(count_GCK[g, c] / (total * width), HISTOGRAM_EDGES, color=colour, label=region)
        ax.plot(middle_K, norm.pdf(middle_K), color=BLACK, linestyle="--", linewidth=0.9, label="noise alone")
        ax.set(title=f"${band}$", yscale="log", ylim=(1e-5, 1), xlabel="residual / noise")
    axes[0].set_ylabel("pixels, normalised")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


@style()
def magnitude_figure(measures: ImageMeasures, catalogue: Catalogue, spec: SurveySpec) -> Figure:
    """Errors of magnitudes (above) and colours (below) of the composite against catalogue magnitude."""
    n_bands = len(spec.bands)
    figure = Figure(figsize=(2.1 * n_bands, 5.0), layout="constrained")
    axes = figure.subplots(2, n_bands, sharey=True, squeeze=False)
    error_NC, test_NC = errors.magnitude_errors(measures, COMPOSITE, OUTER), errors.usable_flux(measures, spec, OUTER)
    for c, band in enumerate(spec.bands):
        _draw_error(axes[0, c], catalogue.magnitude(band), error_NC[:, c], test_NC[:, c], f"${band}$")
    error_NC, test_NC = errors.colour_errors(measures, COMPOSITE, INNER), errors.usable_colour(measures, spec, INNER)
    for c, (blue, red) in enumerate(pairwise(spec.bands)):
        _draw_error(axes[1, c], catalogue.magnitude(red), error_NC[:, c], test_NC[:, c], f"${blue}-{red}$")
        axes[1, c].set_xlabel(f"catalogue ${red}$ [mag]")
    axes[1, -1].set_axis_off()
    for c, band in enumerate(spec.bands):
        axes[0, c].set_xlabel(f"catalogue ${band}$ [mag]")
    axes[0, 0].set_ylabel("magnitude error [mag]")
    axes[1, 0].set_ylabel("colour error [mag]")
    return figure


def _draw_error(ax: Axes, mag_N: np.ndarray, error_N: np.ndarray, test_N: np.ndarray, title: str) -> None:
    use_N = test_N & np.isfinite(mag_N)
    ax.set_title(f"{title}, n = {int(use_N.sum()):,}")
    if not use_N.any():
        say_absent(ax, NO_GALAXY)
        return
    mag, error = mag_N[use_N], np.nan_to_num(error_N[use_N], nan=np.inf)
    low, high = np.percentile(mag, AXIS_PERCENTILES)
    ax.set(xlim=(low - 0.2, high + 0.2), ylim=(-ERROR_RANGE, ERROR_RANGE))
    draw_points(ax, mag, error)
    ax.axhline(0.0, color=GREY, linewidth=0.9)
    centre, p16, p50, p84 = running_percentiles(mag, np.clip(error, -2 * ERROR_RANGE, 2 * ERROR_RANGE))
    ax.plot(centre, p50, color=VERMILLION, path_effects=outlined())
    for edge in (p16, p84):
        ax.plot(centre, edge, color=VERMILLION, linewidth=0.9, linestyle="--", path_effects=outlined())
    beyond = int((np.abs(error) > ERROR_RANGE).sum())
    if beyond:
        ax.text(0.03, 0.03, f"{beyond:,} outside the axis", transform=ax.transAxes, fontsize=7, color=GREY)


@style()
def shape_figure(measures: ImageMeasures, spec: SurveySpec) -> Figure:
    """Half-light radius, g1 and g2: composite and reconstruction against observed."""
    figure = Figure(figsize=(9.6, 6.6), layout="constrained")
    axes = figure.subplots(2, 3)
    test_N = errors.usable_shape(measures, spec)
    quantities = (
        (measures.radius_NV, "half-light radius [arcsec]"),
        (measures.g1_NV, "$g_1$"),
        (measures.g2_NV, "$g_2$"),
    )
    for row, version in zip(axes, (COMPOSITE, RECONSTRUCTION), strict=True):
        for ax, (value_NV, label) in zip(row, quantities, strict=True):
            observed_N, reconstructed_N = (value_NV[test_N, VERSIONS.index(v)] for v in (OBSERVED, version))
            _draw_comparison(ax, observed_N, reconstructed_N)
            ax.set(xlabel=f"{label}, observed", ylabel=version)
    figure.suptitle(f"{shape_band(spec)} band, {int(test_N.sum()):,} galaxies")
    return figure


def _draw_comparison(ax: Axes, x_N: np.ndarray, y_N: np.ndarray) -> None:
    ax.set_box_aspect(1)
    use_N = np.isfinite(x_N) & np.isfinite(y_N)
    if not use_N.any():
        say_absent(ax, NO_GALAXY)
        return
    low, high = np.percentile(x_N[use_N], AXIS_PERCENTILES)
    margin = 0.1 * (high - low) + 1e-3  # not zero for a single galaxy
    limits = (low - margin, high + margin)
    ax.set(xlim=limits, ylim=limits)
    draw_points(ax, x_N[use_N], y_N[use_N])
    ax.plot(limits, limits, color=VERMILLION, linewidth=1.0)
    missing, outside = int((np.isfinite(x_N) & ~np.isfinite(y_N)).sum()), _outside(y_N[use_N], limits)
    lines = [f"{outside:,} outside the axis"] * bool(outside) + [f"{missing:,} not measurable"] * bool(missing)
    ax.text(0.03, 0.97, "\n".join(lines), transform=ax.transAxes, va="top", fontsize=7, color=GREY)


def _outside(values_N: np.ndarray, limits: tuple[float, float]) -> int:
    return int(((values_N < limits[0]) | (values_N > limits[1])).sum())
