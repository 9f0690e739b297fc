"""Figure of one galaxy: observed, visible to the encoder, and reconstructed.

In the layout of the figures of arXiv:2510.22527: a galaxy with 75% masked, a quasar without its spectrum.
"""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from mmae.inference.predict import Reconstructions
from mmae.plots.image import draw_rgb, is_absent, white_level
from mmae.plots.spectrum import FLUX_UNIT, draw_spectrum
from mmae.report.style import style
from mmae.survey.schema import SurveySpec

PANELS = ("observed", "visible to the encoder", "reconstructed")


@style()
def example_figure(example: Reconstructions, spec: SurveySpec, title: str) -> Figure:
    """Images above, the spectrum below.

    Args:
        example: a single galaxy.
        title: above the figure.
    """
    figure = Figure(figsize=(8.5, 5.6), layout="constrained")
    figure.suptitle(title)
    axes = figure.subplot_mosaic([[*PANELS], ["spectrum"] * len(PANELS)], height_ratios=[1.15, 1])
    truth_CHW, visible_HW = example.image_NCHW[0], example.visible_NHW[0]
    # Visible pixels are kept as observed: the decoder is not trained on them.
    composite_CHW = np.where(visible_HW, truth_CHW, example.image_pred_NCHW[0])
    absent, white = is_absent(truth_CHW), white_level(truth_CHW, spec)
    visible_CHW = truth_CHW.copy()
    visible_CHW[:, ~visible_HW] = np.nan
    for name, image_CHW in zip(PANELS, (truth_CHW, visible_CHW, composite_CHW), strict=True):
        draw_rgb(axes[name], image_CHW, spec, white, absent=absent)
        axes[name].set_title(name)
    ax = axes["spectrum"]
    draw_spectrum(
        ax,
        spec.wavelength_L(),
        example.flux_NL[0],
        example.ivar_NL[0],
        example.flux_pred_NL[0],
        example.visible_NL[0],
        float(example.redshift_N[0]),
    )
    ax.set(xlabel=r"observed wavelength, vacuum [$\mathrm{\AA}$]", ylabel=rf"$f_\lambda$ [{FLUX_UNIT}]")
    handles, labels = ax.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure
