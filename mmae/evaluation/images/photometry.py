"""Light in fixed circular apertures around the middle of a cutout, where its target is.

Neighbours in the aperture count alike in an image and its reconstruction.

Shape suffixes: N galaxies, C bands, H and W pixels, A apertures.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from mmae.survey.schema import SurveySpec

# Radii in arcsec. HSC's seeing is 0.6 to 0.8 arcsec FWHM: 1.5 hold the bright part of a galaxy, and all
# of a point source but its wings; 3 hold nearly all the light of most.
INNER, OUTER = 1.5, 3.0
APERTURES = (INNER, OUTER)
SUBPIXELS = 10  # along each axis of a pixel at the rim


@lru_cache(maxsize=128)
def aperture_weights(radius: float, size: int, pixel_scale: float) -> np.ndarray:
    """Share of every pixel (size, size) that lies within `radius` arcsec of the middle; read-only."""
    # Middles of the subpixels, from the middle of the cutout, in arcsec.
    place = (np.arange(size * SUBPIXELS) + 0.5 - size * SUBPIXELS / 2) * pixel_scale / SUBPIXELS
    inside = place[:, None] ** 2 + place**2 <= radius**2
    weights_HW = inside.reshape(size, SUBPIXELS, size, SUBPIXELS).mean(axis=(1, 3))
    weights_HW.flags.writeable = False
    return weights_HW


def weights_of(spec: SurveySpec) -> np.ndarray:
    """Weights (A,H,W) of the apertures."""
    return np.stack([aperture_weights(radius, spec.image_size, spec.pixel_scale) for radius in APERTURES])


def aperture_flux(image_NCHW: np.ndarray, spec: SurveySpec) -> np.ndarray:
    """Counts (N,A,C) within each aperture."""
    weights_AP = weights_of(spec).reshape(len(APERTURES), -1)
    n, c = image_NCHW.shape[:2]
    return np.moveaxis(image_NCHW.reshape(n, c, weights_AP.shape[1]) @ weights_AP.T, 1, 2)


def hidden_share(visible_NHW: np.ndarray, spec: SurveySpec) -> np.ndarray:
    """Share (N,A) of the area of each aperture that the encoder did not see."""
    weights_AHW = weights_of(spec)
    hidden_NA = np.einsum("nhw,ahw->na", (~visible_NHW).astype(float), weights_AHW)
    return np.minimum(hidden_NA / weights_AHW.sum(axis=(1, 2)), 1.0)  # rounding may pass 1


def aperture_noise(spec: SurveySpec) -> np.ndarray:
    """Background noise (A,C) of an aperture's flux in counts, as if pixels were independent.

    Those of a coadd are slightly correlated, which makes the true noise some 10% larger.
    """
    return np.sqrt((weights_of(spec) ** 2).sum(axis=(1, 2)))[:, None] * np.asarray(spec.band_noise)


def magnitude_difference(flux: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """-2.5 log10(flux / reference): negative if too bright. NaN unless both are positive."""
    positive = (flux > 0) & (reference > 0)
    ratio = np.divide(
        flux, reference, out=np.full(np.broadcast_shapes(flux.shape, reference.shape), np.nan), where=positive
    )
    return -2.5 * np.log10(ratio)
