"""Reconstructed images in the report: pixels, fluxes and colours, sizes and shapes."""

from __future__ import annotations

from functools import partial

import numpy as np

from mmae.core.errors import InputError
from mmae.evaluation.catalogue import Catalogue
from mmae.evaluation.images import tables
from mmae.evaluation.images.compare import ImageMeasures, shape_band
from mmae.evaluation.images.errors import robust
from mmae.evaluation.images.figures import magnitude_figure, residual_figure, shape_figure
from mmae.evaluation.images.photometry import APERTURES
from mmae.report.contents import Drawing, Section
from mmae.survey.schema import SurveySpec

TITLE = "Reconstructed images"
CAPTIONS = {
    "images_residuals": "Reconstructed minus observed in units of the background noise, hidden pixels of all galaxies. "
    "Noise alone would give the black line. What lies beyond the axis is counted in the outermost bins.",
    "images_magnitudes": "Composite minus observed magnitude within 3 arcsec and colour within 1.5 arcsec, against the "
    "catalogue magnitude of the (redder) band. Lines: running median and 16 to 84%.",
    "images_shapes": "Half-light radius and shape, made against observed. Above: hidden patches filled in; below: all "
    "pixels as the decoder gives them.",
}


def images_section(
    measured: ImageMeasures, catalogue: Catalogue, spec: SurveySpec, *, seed: int, resamples: int = 300
) -> Section:
    """Tables and figures of measured images.

    Args:
        measured: of `compare.measure_images`, one row a galaxy of the catalogue and in its order.
        catalogue: magnitudes and types.
        seed, resamples: of the bootstrap over galaxies.

    Raises:
        InputError: as many measured galaxies as the catalogue has are needed.
    """
    if len(measured) != len(catalogue):
        raise InputError(
            f"images: {len(measured)} galaxies were measured and the catalogue has {len(catalogue)}; give "
            f"both of the same split, in the same order."
        )
    if not np.isfinite(measured.rms_NGC).any():
        return Section(
            "images",
            TITLE,
            "",
            left_out="Left out: no galaxy has an image of which something was hidden; "
            "evaluate a survey with images, at a mask ratio above 0.",
        )
    score = partial(robust, seed=seed, resamples=resamples)
    found = (
        tables.residual_table(measured, spec, score),
        tables.psnr_table(measured, spec, score),
        tables.magnitude_table(measured, spec, score),
        tables.colour_table(measured, spec, score),
        tables.by_magnitude_table(measured, catalogue, spec, score),
        tables.by_hidden_table(measured, spec, score),
        tables.shape_table(measured, catalogue, spec, score),
        tables.failure_table(measured, spec),
    )
    figures = {
        "images_residuals": residual_figure(measured, spec),
        "images_magnitudes": magnitude_figure(measured, catalogue, spec),
        "images_shapes": shape_figure(measured, spec),
    }
    drawings = tuple(Drawing(name, CAPTIONS[name], figure) for name, figure in figures.items())
    return Section("images", TITLE, _text(measured, spec), found, drawings)


def _text(measured: ImageMeasures, spec: SurveySpec) -> str:
    hidden_NA = measured.hidden_NA[measured.present_N]
    apertures = ", ".join(
        f"{radius:g} arcsec ({np.median(hidden_N):.0%} of it hidden in the median, nothing in "
        f"{int((hidden_N == 0).sum()):,} galaxies, which are no test)"
        for radius, hidden_N in zip(APERTURES, hidden_NA.T, strict=True)
    )
    return (
        f"Images of {len(hidden_NA):,} galaxies, most of whose patches were hidden from the model. Composite: as "
        "observed where the model saw it, reconstructed where it did not. Reconstruction: all pixels as the decoder "
        "gives them; the loss does not ask for those that it saw, so that they need not be right. "
        f"Light is summed in circles around the middle, neighbours and all, on both images alike: {apertures}. Sizes "
        f"and shapes are of the {shape_band(spec)} band. The observed image is noisy and the reconstruction is not "
        "expected to be: the noise of the observation is part of every error. Intervals are 68%: bootstrap over "
        "galaxies, Wilson's for rates."
    )
