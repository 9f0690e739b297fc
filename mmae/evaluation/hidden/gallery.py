"""Six galaxies of different type, size and inclination for the figure of filled images.

Shape suffixes: N galaxies, C bands, H and W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from mmae.evaluation.catalogue import Catalogue
from mmae.evaluation.hidden.image_measures import FilledMeasures
from mmae.evaluation.hidden.image_scores import ellipticity
from mmae.evaluation.images.compare import shape_band
from mmae.evaluation.photoz.strata import POINT_SOURCE
from mmae.plots.image import image_reconstruction_figure
from mmae.survey.schema import SurveySpec

BRIGHT = 20.0  # mag: bright enough for a shape to be seen
LARGE, SMALL = 1.2, 0.8  # arcsec, half-light radius, seeing included
INCLINED, ROUND = 0.5, 0.15  # 1 - b/a


@dataclass(frozen=True)
class GalleryRow:
    """One galaxy; counts."""

    title: str
    observed_CHW: np.ndarray
    visible_HW: np.ndarray
    reconstructed_CHW: np.ndarray


def chosen_galaxies(observed: FilledMeasures, catalogue: Catalogue, spec: SurveySpec) -> dict[str, int]:
    """Description -> row number of the first galaxy of each kind in the split; kinds without a galaxy are left out."""
    mag_N, radius_N, e_N = catalogue.magnitude(shape_band(spec)), observed.radius_N, ellipticity(observed)
    point_N = catalogue.morphtype_N == POINT_SOURCE
    bright_N = ~point_N & ~(mag_N > BRIGHT) & np.isfinite(e_N)
    kinds = {
        "point source": point_N,
        "large, round": bright_N & (radius_N > LARGE) & (e_N < ROUND),
        "large, inclined": bright_N & (radius_N > LARGE) & (e_N > INCLINED),
        "medium, inclined": bright_N & (radius_N > SMALL) & (radius_N < LARGE) & (e_N > 0.5 * (INCLINED + ROUND)),
        "small": ~point_N & (radius_N < SMALL) & ~(mag_N > BRIGHT + 1),
        "faint": ~point_N & (mag_N > BRIGHT + 1.5),
    }
    chosen: dict[str, int] = {}
    for name, of_kind_N in kinds.items():
        rows = [
            int(row) for row in np.flatnonzero(of_kind_N & np.isfinite(observed.mse_N)) if row not in chosen.values()
        ]
        if rows:
            chosen[name] = rows[0]
    return chosen


def gallery_figure(rows: tuple[GalleryRow, ...], spec: SurveySpec) -> Figure:
    """Observed, visible, reconstruction alone, with the visible pixels pasted in, and residual, of each galaxy."""
    shape = (0, *spec.image_shape)
    return image_reconstruction_figure(
        np.stack([row.observed_CHW for row in rows]) if rows else np.empty(shape),
        np.stack([row.visible_HW for row in rows]) if rows else np.empty((0, *shape[2:]), bool),
        np.stack([row.reconstructed_CHW for row in rows]) if rows else np.empty(shape),
        spec,
        [row.title for row in rows],
        residual_band=shape_band(spec),
    )
