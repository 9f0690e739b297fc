"""Report section on reconstructed images: pixels, fluxes and colours, sizes and shapes."""

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
    "Black: noise alone. Values outside the axis are counted in the outermost bins.",
    "images_magnitudes": "Composite minus observed magnitude within 3 arcsec and colour within 1.5 arcsec, against the "
    "catalogue magnitude of the (redder) band. Lines: running median and 16 to 84%.",
    "images_shapes": "Half-light radius and shape, reconstructed against observed. Above: composite, hidden patches "
    "filled in; below: all pixels of the decoder output.",
}


def images_section(
    measures: ImageMeasures, catalogue: Catalogue, spec: SurveySpec, *, seed: int, resamples: int = 300
) -> Section:
    """Tables and figures of measured images.

    Args:
        measures: from `compare.measure_images`, one row per galaxy of the catalogue, in its order.
        catalogue: magnitudes and types.
        seed: of the bootstrap over galaxies.
        resamples: number of bootstrap resamples.

    Raises:
        InputError: the numbers of measured galaxies and of galaxies in the catalogue differ.
    """
    if len(measures) != len(catalogue):
        raise InputError(
            f"images: {len(measures)} galaxies were measured and the catalogue has {len(catalogue)}; use "
            f"the same split for both, in the same order."
        )
    if not np.isfinite(measures.rms_NGC).any():
        return Section(
            "images",
            TITLE,
            "",
            left_out="Left out: no galaxy has an image with hidden pixels; "
            "evaluate a survey with images, at a mask ratio above 0.",
        )
    score = partial(robust, seed=seed, resamples=resamples)
    section_tables = (
        tables.residual_table(measures, spec, score),
        tables.psnr_table(measures, spec, score),
        tables.magnitude_table(measures, spec, score),
        tables.colour_table(measures, spec, score),
        tables.by_magnitude_table(measures, catalogue, spec, score),
        tables.by_hidden_table(measures, spec, score),
        tables.shape_table(measures, catalogue, spec, score),
        tables.failure_table(measures, spec),
    )
    figures = {
        "images_residuals": residual_figure(measures, spec),
        "images_magnitudes": magnitude_figure(measures, catalogue, spec),
        "images_shapes": shape_figure(measures, spec),
    }
    drawings = tuple(Drawing(name, CAPTIONS[name], figure) for name, figure in figures.items())
    return Section("images", TITLE, _text(measures, spec), section_tables, drawings)


def _text(measures: ImageMeasures, spec: SurveySpec) -> str:
    hidden_NA = measures.hidden_NA[measures.present_N]
    apertures = ", ".join(
        f"{radius:g} arcsec (median hidden fraction {np.median(hidden_N):.0%}, none hidden in "
        f"{int((hidden_N == 0).sum()):,} galaxies, which are excluded)"
        for radius, hidden_N in zip(APERTURES, hidden_NA.T, strict=True)
    )
    return (
        f"Images of {len(hidden_NA):,} galaxies, with most patches hidden from the model. Composite: observed "
        "where visible, reconstructed where hidden. Reconstruction: all pixels of the decoder output; visible pixels "
        "do not enter the loss and may be wrong. "
        f"Circular apertures around the centre, neighbours included, on both images: {apertures}. Sizes "
        f"and shapes are measured in the {shape_band(spec)} band. The observed image is noisy, an ideal reconstruction "
        "is not: every error includes the noise of the observation. Errors are half of the 68% interval: from a "
        "bootstrap over galaxies, Wilson's for rates."
    )
