"""Size and shape of the object at the centre of a cutout, in one band.

Shape suffixes: N galaxies, H and W pixels, P pixels in one row, K radii.
"""

from __future__ import annotations

import galsim
import numpy as np

from mmae.evaluation.images.photometry import OUTER, aperture_weights
from mmae.survey.schema import SurveySpec

GROWTH_RADII = np.linspace(0, OUTER, 37)  # arcsec, in steps of half a pixel
# Cutouts are centred to a pixel. A centroid farther from the centre than this belongs to another object.
CENTRE_TOLERANCE = 0.5  # arcsec
NO_SHAPE = (np.nan, np.nan, np.nan)


def half_light_radius(image_NHW: np.ndarray, spec: SurveySpec) -> np.ndarray:
    """Radius (N,) in arcsec around the centre that contains half of the light within 3 arcsec.

    From the growth curve, seeing included; NaN if the total is not positive. The first crossing of one
    half is used, as noise may cause several.
    """
    weights_PK = np.stack(
        [aperture_weights(radius, spec.image_size, spec.pixel_scale).ravel() for radius in GROWTH_RADII.tolist()],
        axis=1,
    )
    growth_NK = image_NHW.reshape(len(image_NHW), len(weights_PK)) @ weights_PK
    half_N = 0.5 * growth_NK[:, -1]
    usable_N = half_N > 0  # False for NaN
    after_N = np.argmax(growth_NK >= half_N[:, None], axis=1)
    rows_N, before_N = np.arange(len(growth_NK)), np.maximum(after_N - 1, 0)
    low_N, high_N = growth_NK[rows_N, before_N], growth_NK[rows_N, after_N]
    share_N = np.divide(half_N - low_N, high_N - low_N, out=np.full(half_N.shape, np.nan), where=usable_N)
    return GROWTH_RADII[before_N] + share_N * (GROWTH_RADII[1] - GROWTH_RADII[0])


def adaptive_moments(image_HW: np.ndarray, spec: SurveySpec) -> tuple[float, float, float]:
    """Size sigma (arcsec) and reduced shear g1, g2 of the object at the centre; NaN if the fit fails.

    Second moments weighted with the best-fitting Gaussian (Hirata & Seljak 2003, MNRAS 343, 459;
    Mandelbaum et al. 2005, MNRAS 361, 1287), by galsim; sigma = det(M)^(1/4) and
    |g| = (a - b) / (a + b) of its axes, seeing included. The fit fails if it does not converge or
    its centroid moves off the centre.
    """
    if not np.isfinite(image_HW).all():
        return NO_SHAPE
    middle = (spec.image_size - 1) / 2
    image = galsim.Image(np.ascontiguousarray(image_HW, np.float64), xmin=0, ymin=0, scale=1.0)
    found = galsim.hsm.FindAdaptiveMom(image, guess_centroid=galsim.PositionD(middle, middle), strict=False)
    away = np.hypot(found.moments_centroid.x - middle, found.moments_centroid.y - middle) * spec.pixel_scale
    if found.moments_status != 0 or away > CENTRE_TOLERANCE:
        return NO_SHAPE
    return found.moments_sigma * spec.pixel_scale, found.observed_shape.g1, found.observed_shape.g2
