"""Figures of the page of a catalogue.

Shape suffixes: P sky cells, C bands, H and W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.collections import Collection, PolyCollection
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from mmae.astro.healpix import cell_centre, cell_corners
from mmae.catalogue.partitions import FINEST, Counts
from mmae.catalogue.summary import Example, Summary, sigma_edges, z_edges
from mmae.plots.image import draw_rgb, white_level
from mmae.report.style import BLUE, DENSITY_CMAP, short_name, style
from mmae.survey.schema import SurveySpec

MOST_CELLS, LEAST_CELLS = 4000, 100  # on a sky map
ROWS_PER_CELL = 4.0  # mean, below which cells are joined
WIDE_DEG = 60  # extent above which the whole sky is shown
COLUMNS = 8
CELL_AREA_DEG2 = 4 * np.pi * np.degrees(1) ** 2 / 12  # of order 0


@style()
def redshift_figure(summary: Summary) -> Figure:
    """Histograms of the median redshift and of the half width of the 68% interval."""
    figure = Figure(figsize=(9, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.stairs(summary.z, z_edges(), fill=True, color=BLUE)
    left.set(xlabel="z (median of p(z))", ylabel="galaxies", xlim=(0, _last(summary.z, z_edges())))
    right.stairs(summary.sigma, sigma_edges(), fill=True, color=BLUE)
    right.set(xlabel="half width of the 68% interval / (1 + z)", ylabel="galaxies", xscale="log")
    return figure


@style()
def sky_figure(counts: Counts) -> Figure:
    """Galaxies per square degree over the sky."""
    order, (cell_P, rows_P) = FINEST, counts
    while len(cell_P) > MOST_CELLS or (rows_P.mean() < ROWS_PER_CELL and len(cell_P) > LEAST_CELLS):
        cell_P, index_P = np.unique(cell_P >> 2, return_inverse=True)
        rows_P, order = np.bincount(index_P, rows_P), order - 1
    ra_P, dec_P = cell_centre(cell_P, order)
    density_P = rows_P / (CELL_AREA_DEG2 / 4**order)
    middle = np.degrees(np.angle(np.exp(1j * np.radians(ra_P)).mean())) % 360
    offset_P = (ra_P - middle + 180) % 360 - 180
    figure = Figure(figsize=(8, 4), layout="constrained")
    cells: Collection
    if max(np.ptp(offset_P), np.ptp(dec_P)) > WIDE_DEG:
        ax = figure.add_subplot(projection="mollweide")
        x_P = -np.radians((ra_P + 180) % 360 - 180)
        cells = ax.scatter(x_P, np.radians(dec_P), c=density_P, s=4, marker="s", linewidths=0)
        ax.set_xticklabels([f"{-angle % 360:.0f}°" for angle in range(-150, 180, 30)])
        ax.grid(alpha=0.3)
    else:
        ax = figure.add_subplot()
        ra_P4, dec_P4 = cell_corners(cell_P, order)
        corner_P42 = np.stack([middle + (ra_P4 - middle + 180) % 360 - 180, dec_P4], -1)
        cells = ax.add_collection(PolyCollection(list(corner_P42), array=density_P, linewidths=0))
        ax.autoscale_view()
        ax.invert_xaxis()
        ax.set_aspect(1 / max(np.cos(np.radians(dec_P.mean())), 0.1), adjustable="datalim")
        ax.set(xlabel="RA [deg]", ylabel="Dec [deg]")
    cells.set_cmap(DENSITY_CMAP)
    if density_P.max() > 10 * density_P.min():
        cells.set_norm(LogNorm())
    figure.colorbar(cells, ax=ax, label=r"galaxies per deg$^2$")
    return figure


@style()
def image_figure(examples: Sequence[Example], images: Sequence[np.ndarray | None], spec: SurveySpec) -> Figure:
    """Colour images (C, H, W) of galaxies with their redshift and anomaly score."""
    rows = -(-len(examples) // COLUMNS)
    figure = Figure(figsize=(12, 1.9 * rows), layout="constrained")
    axes = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for ax in axes[len(examples) :]:
        ax.set_axis_off()
    for ax, example, image_CHW in zip(axes, examples, images, strict=False):
        ax.set_title(_title(example), fontsize=7, pad=3)
        if image_CHW is None:
            draw_rgb(ax, np.empty(spec.image_shape), spec, 1.0, absent=True)
        else:
            draw_rgb(ax, image_CHW, spec, white_level(image_CHW, spec), absent=False)
    return figure


def _title(example: Example) -> str:
    lines = [short_name(example.object_id)]
    if example.z is not None:
        lines.append(f"z = {example.z:.4g}")
    if example.z_low is not None and example.z_high is not None:
        lines[-1] += f" ± {(example.z_high - example.z_low) / 2:.1g}"
    if example.anomaly is not None:
        lines.append(f"anomaly {example.anomaly:.1f}")
    return "\n".join(lines)


def _last(count: np.ndarray, edges: np.ndarray) -> float:
    """Upper edge of the last bin with galaxies."""
    filled = np.flatnonzero(count)
    return float(edges[filled[-1] + 1]) if len(filled) else float(edges[-1])
