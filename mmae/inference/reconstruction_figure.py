"""Observed, visible and reconstructed images and spectra of a few galaxies in one figure.

It is drawn at every validation of a training: without a layout engine, which takes longer than the drawing.
"""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from mmae.inference.predict import Reconstructions
from mmae.plots.image import draw_rgb, is_absent, white_level
from mmae.plots.spectrum import FLUX_UNIT, draw_spectrum
from mmae.report.style import say_absent, short_name, style
from mmae.survey.schema import SurveySpec

ROW_HEIGHT = 1.45  # inches
TOP, BOTTOM = 0.55, 0.5  # inches, for the titles and the label of the wavelength
IMAGES, SPECTRUM = ("observed", "visible", "reconstruction"), "spectrum"
DPI = 80  # screens; half the time of figures for print


@style()
def reconstructions_figure(examples: Reconstructions, spec: SurveySpec, title: str) -> Figure:
    """One row per galaxy: observed image, its visible pixels, reconstruction with these pasted in, and the spectrum.

    A modality that no galaxy has, or that the model does not reconstruct, is left out.
    """
    n = len(examples.object_id)
    with_images = any(not is_absent(image_CHW) for image_CHW in examples.image_NCHW)
    with_spectra = any(not is_absent(flux_L) for flux_L in examples.flux_NL)
    columns = [*(IMAGES if with_images else ()), *((SPECTRUM,) if with_spectra else ())]
    widths = [4.2 if name == SPECTRUM else 1.0 for name in columns]
    height = TOP + BOTTOM + ROW_HEIGHT * n
    figure = Figure(figsize=(0.6 + 1.05 * ROW_HEIGHT * sum(widths), height), dpi=DPI)
    figure.suptitle(title, y=1 - 0.12 / height, va="top")
    margins = {"left": 0.03, "right": 0.99, "top": 1 - TOP / height, "bottom": BOTTOM / height}
    axes = figure.subplots(
        n, len(columns), squeeze=False, width_ratios=widths, gridspec_kw=margins | {"wspace": 0.04, "hspace": 0.06}
    )
    for row, name in enumerate(examples.object_id):
        panels = dict(zip(columns, axes[row], strict=True))
        if with_images:
            _draw_images(panels, examples, row, spec)
        if with_spectra:
            _draw_spectrum(panels[SPECTRUM], examples, row, spec, last=row == n - 1)
        axes[row, 0].set_ylabel(f"{short_name(name)}\nz = {examples.redshift_N[row]:.3f}", fontsize=7)
        axes[row, 0].yaxis.set_label_coords(-0.03, 0.5)
    for ax, name in zip(axes[0], columns, strict=True):
        ax.set_title(name if name != SPECTRUM else f"spectrum [{FLUX_UNIT}], red: reconstruction, grey bands: hidden")
    return figure


def _draw_images(panels: dict, examples: Reconstructions, row: int, spec: SurveySpec) -> None:
    observed_CHW, visible_HW = examples.image_NCHW[row], examples.visible_NHW[row]
    absent, white = is_absent(observed_CHW), white_level(observed_CHW, spec)
    visible_CHW = np.where(visible_HW, observed_CHW, np.nan)
    # Visible pixels are kept as observed: the decoder is not trained on them.
    filled_CHW = np.where(visible_HW & np.isfinite(observed_CHW), observed_CHW, examples.image_pred_NCHW[row])
    for name, image_CHW in zip(IMAGES, (observed_CHW, visible_CHW, filled_CHW), strict=True):
        draw_rgb(panels[name], image_CHW, spec, white, absent=absent)


def _draw_spectrum(ax, examples: Reconstructions, row: int, spec: SurveySpec, *, last: bool) -> None:
    if is_absent(examples.flux_NL[row]):
        say_absent(ax, "no spectrum", keep_x=last)
        return
    draw_spectrum(
        ax,
        spec.wavelength_L(),
        examples.flux_NL[row],
        examples.ivar_NL[row],
        examples.flux_pred_NL[row],
        examples.visible_NL[row],
        float(examples.redshift_N[row]),
    )
    ax.yaxis.tick_right()
    if last:
        ax.set_xlabel(r"observed wavelength, vacuum [$\mathrm{\AA}$]")
    else:
        ax.tick_params(axis="x", labelbottom=False)
