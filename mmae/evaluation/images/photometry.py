"""Photometry in fixed circular apertures around the centre of a cutout.

Neighbours in the aperture are included, in the observed image and in the reconstruction.

Shape suffixes: N galaxies, C bands, H and W pixels, A apertures.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from mmae.survey.schema import SurveySpec

# Radii in arcsec. HSC's seeing is 0.6 to 0.8 arcsec FWHM: 1.5 contains the bright part of a galaxy, and a
# point source except for its wings; 3 contains nearly all the light of most galaxies.
INNER, OUTER = 1.5, 3.0
APERTURES = (INNER, OUTER)
SUBPIXELS = 10  # per axis, for pixels crossed by the edge of the aperture


@lru_cache(maxsize=128)
def aperture_weights(radius: float, size: int, pixel_scale: float) -> np.ndarray:
    """Fraction of every pixel (size, size) within `radius` arcsec of the centre; read-only."""
    # Subpixel centres relative to the centre of the cutout, arcsec.
    place = (np.arange(size * SUBPIXELS) + 0.5 - size * SUBPIXELS / 2) * pixel_scale / SUBPIXELS
    inside = place[:, None] ** 2 + place**2 <= radius**2
    weights_HW = inside.reshape(size, SUBPIXELS, size, SUBPIXELS).mean(axis=(1, 3))
    weights_HW.flags.writeable = False
    return weights_HW


def weights_of(spec: SurveySpec) -> np.ndarray:
    """Pixel weights (A,H,W) of the apertures."""
    return np.stack([aperture_weights(radius, spec.image_size, spec.pixel_scale) for radius in APERTURES])


def aperture_flux(image_NCHW: np.ndarray, spec: SurveySpec) -> np.ndarray:
    """Counts (N,A,C) within each aperture."""
    weights_AP = weights_of(spec).reshape(len(APERTURES), -1)
    n, c = image_NCHW.shape[:2]
    return np.moveaxis(image_NCHW.reshape(n, c, weights_AP.shape[1]) @ weights_AP.T, 1, 2)


def hidden_fraction(visible_NHW: np.ndarray, spec: SurveySpec) -> np.ndarray:
    """Fraction (N,A) of the area of each aperture that was hidden from the encoder."""
    weights_AHW = weights_of(spec)
    hidden_NA = np.einsum("nhw,ahw->na", (~visible_NHW).astype(float), weights_AHW)
    return np.minimum(hidden_NA / weights_AHW.sum(axis=(1, 2)), 1.0)  # rounding may exceed 1


def aperture_noise(spec: SurveySpec) -> np.ndarray:
    """Background noise (A,C) of an aperture's flux in counts, for independent pixels.

    Pixels of a coadd are slightly correlated, so the true noise is about 10% larger.
    """
    return np.sqrt((weights_of(spec) ** 2).sum(axis=(1, 2)))[:, None] * np.asarray(spec.band_noise)


def magnitude_difference(flux: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """-2.5 log10(flux / reference), negative if brighter than the reference; NaN unless both are positive."""
    positive = (flux > 0) & (reference > 0)
    ratio = np.divide(
        flux, reference, out=np.full(np.broadcast_shapes(flux.shape, reference.shape), np.nan), where=positive
    )
    return -2.5 * np.log10(ratio)
