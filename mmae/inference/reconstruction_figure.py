"""Observed, visible and reconstructed images and spectra of a few galaxies in one figure.

It is drawn at every validation of a training and has to be fast: all images are one array, and there is no layout
engine. Shape suffixes: N galaxies, H and W pixels of one image, L wavelength samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmae.inference.predict import Reconstructions
from mmae.plots.image import is_absent, lupton_rgb, white_level
from mmae.plots.spectrum import FLUX_UNIT, draw_spectrum, masked_spans
from mmae.report.style import LIGHT_GREY, say_absent, short_name, style
from mmae.survey.schema import SurveySpec

IMAGES = ("observed", "visible", "reconstruction")
SPECTRUM_TITLE = f"spectrum [{FLUX_UNIT}], red: reconstruction, grey bands: hidden"
ABSENT_GREY = 0.9  # of a galaxy without an image
DPI = 80  # for screens: half the time of figures for print


@dataclass(frozen=True)
class Layout:
    """Lengths in inches."""

    row: float = 1.4  # side of an image, and height of a spectrum
    gap: float = 0.06
    spectrum: float = 6.2
    left: float = 0.5
    right: float = 0.35
    top: float = 0.55
    bottom: float = 0.5


@style()
def reconstructions_figure(examples: Reconstructions, spec: SurveySpec, title: str) -> Figure:
    """One row per galaxy: observed image, its visible pixels, reconstruction with these pasted in, and the spectrum.

    A modality that no galaxy has, or that the model does not reconstruct, is left out.
    """
    names = [
        f"{short_name(name)}\nz = {z:.3f}" if np.isfinite(z) else short_name(name)
        for name, z in zip(examples.object_id, examples.redshift_N, strict=True)
    ]
    with_images = any(not is_absent(image_CHW) for image_CHW in examples.image_NCHW)
    with_spectra = any(not is_absent(flux_L) for flux_L in examples.flux_NL)
    size, n = Layout(), len(names)
    step = size.row + size.gap
    images_width = len(IMAGES) * step if with_images else 0.0
    width = size.left + images_width + (size.spectrum if with_spectra else 0.0) + size.right
    height = size.top + n * step - size.gap + size.bottom
    figure = Figure(figsize=(width, height), dpi=DPI)
    figure.suptitle(title, y=1 - 0.1 / height, va="top")

    def axes(left: float, bottom: float, across: float, up: float) -> Axes:
        return figure.add_axes((left / width, bottom / height, across / width, up / height))

    if with_images:
        ax = axes(size.left, size.bottom, images_width - size.gap, n * step - size.gap)
        _draw_mosaic(ax, examples, spec, names, size)
    if with_spectra:
        for row in range(n):
            bottom = size.bottom + (n - 1 - row) * step
            ax = axes(size.left + images_width, bottom, size.spectrum, size.row)
            _draw_spectrum(ax, examples, row, spec, last=row == n - 1)
            if row == 0:
                ax.set_title(SPECTRUM_TITLE)
            if not with_images:
                ax.set_ylabel(names[row], fontsize=7)
    return figure


def _draw_mosaic(ax: Axes, examples: Reconstructions, spec: SurveySpec, names: list[str], size: Layout) -> None:
    """All images in one array, white between them."""
    side = examples.image_NCHW.shape[-1]
    step = side + max(1, round(side * size.gap / size.row))
    rgb_HW3 = np.ones((step * len(names), step * len(IMAGES), 3))
    for row in range(len(names)):
        for column, image_HW3 in enumerate(_images(examples, row, spec)):
            rgb_HW3[row * step : row * step + side, column * step : column * step + side] = image_HW3[::-1]
    gap = step - side
    ax.imshow(rgb_HW3[:-gap, :-gap], origin="upper", aspect="auto")
    ax.set_xticks([side / 2 + step * k for k in range(len(IMAGES))], IMAGES)
    ax.set_yticks(
        [side / 2 + step * row for row in range(len(names))], names, rotation=90, va="center", ha="center", fontsize=7
    )
    ax.tick_params(length=0, labelbottom=False, labeltop=True)
    ax.tick_params(axis="y", pad=10)
    ax.spines[:].set_visible(False)


def _images(examples: Reconstructions, row: int, spec: SurveySpec) -> list[np.ndarray]:
    """The colour images of one galaxy (H, W, 3), in the order of IMAGES."""
    observed_CHW, visible_HW = examples.image_NCHW[row], examples.visible_NHW[row]
    if is_absent(observed_CHW):
        return [np.full((*visible_HW.shape, 3), ABSENT_GREY)] * len(IMAGES)
    white = white_level(observed_CHW, spec)
    visible_CHW = np.where(visible_HW, observed_CHW, np.nan)
    # Visible pixels are kept as observed: the decoder is not trained on them.
    filled_CHW = np.where(np.isfinite(visible_CHW), visible_CHW, examples.image_pred_NCHW[row])
    return [lupton_rgb(image_CHW, spec, white) for image_CHW in (observed_CHW, visible_CHW, filled_CHW)]


def _draw_spectrum(ax: Axes, examples: Reconstructions, row: int, spec: SurveySpec, *, last: bool) -> None:
    ax.tick_params(labelbottom=last, labelleft=False, labelright=True)
    if last:
        ax.set_xlabel(r"observed wavelength, vacuum [$\mathrm{\AA}$]")
    wavelength_L = spec.wavelength_L()
    if is_absent(examples.flux_NL[row]):
        say_absent(ax, "no spectrum", keep_x=last)
        ax.set_xlim(wavelength_L[0], wavelength_L[-1])
        return
    spans = [(start, stop - start) for start, stop in masked_spans(wavelength_L, examples.visible_NL[row])]
    draw_spectrum(
        ax,
        wavelength_L,
        examples.flux_NL[row],
        examples.ivar_NL[row],
        examples.flux_pred_NL[row],
        None,
        float(examples.redshift_N[row]),
    )
    limits = ax.get_ylim()
    ax.broken_barh(spans, (limits[0], limits[1] - limits[0]), color=LIGHT_GREY, alpha=0.6, linewidth=0, zorder=0)
    ax.set_ylim(limits)
