"""The evidence about one catalogue redshift: image, spectrum with the lines at both redshifts, p(z)."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmae.catalogue.survey_rows import Measurements
from mmae.metrics.pz_distribution import RedshiftPDF
from mmae.plots.image import draw_rgb, white_level
from mmae.plots.spectrum import FLUX_UNIT, draw_spectrum
from mmae.report.style import BLUE, GREEN, VERMILLION, say_absent, style
from mmae.survey.schema import SurveySpec

LEAST_DENSITY = 1e-4  # per unit of ln(1+z): lower end of the axis


@style()
def evidence_figure(measured: Measurements, pdf: RedshiftPDF, label: float, other: float, spec: SurveySpec) -> Figure:
    """Image and p(z) on the left, the spectrum with the lines at both redshifts on the right.

    Args:
        pdf: of this galaxy only.
        label: catalogue redshift.
        other: most probable redshift elsewhere.
    """
    figure = Figure(figsize=(12, 4.4), layout="constrained")
    axes = figure.subplot_mosaic([["image", "label"], ["pz", "other"]], width_ratios=(1, 3.2))
    image_CHW = measured.image_CHW
    if image_CHW is None:
        draw_rgb(axes["image"], np.empty(spec.image_shape), spec, 1.0, absent=True)
    else:
        draw_rgb(axes["image"], image_CHW, spec, white_level(image_CHW, spec), absent=False)
    _draw_pz(axes["pz"], pdf, label, other)
    axes["other"].sharex(axes["label"])
    for name, redshift, text in (("label", label, "catalogue"), ("other", other, "model")):
        axes[name].set_title(f"lines at the redshift of the {text}, z = {redshift:.4f}", loc="left", fontsize=8, pad=3)
        if measured.flux_L is None or measured.ivar_L is None:
            say_absent(axes[name], "no spectrum")
        else:
            draw_spectrum(axes[name], spec.wavelength_L(), measured.flux_L, measured.ivar_L, None, None, redshift)
    axes["other"].set_xlabel(r"observed wavelength, vacuum [$\mathrm{\AA}$]")
    axes["label"].set_ylabel(rf"$f_\lambda$ [{FLUX_UNIT}]", fontsize=7)
    return figure


def _draw_pz(ax: Axes, pdf: RedshiftPDF, label: float, other: float) -> None:
    density_K = pdf.probability_NK[0] / pdf.width_K
    ax.stairs(np.maximum(density_K, LEAST_DENSITY), pdf.edges_K1, baseline=LEAST_DENSITY, fill=True, color=BLUE)
    for redshift, colour, text in ((label, VERMILLION, "catalogue"), (other, GREEN, "model")):
        ax.axvline(np.log1p(redshift), color=colour, linestyle="--", label=text)
    ax.set(yscale="log", xlabel="ln(1 + z)", ylabel="p per ln(1 + z)", ylim=(LEAST_DENSITY, 3 * density_K.max()))
    reach = max(float(np.log1p(max(label, other))) * 1.15, 0.2)
    ax.set_xlim(0, min(reach, pdf.edges_K1[-1]))
    ax.legend(loc="upper right", fontsize=6)
