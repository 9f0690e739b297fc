"""Cutouts of galaxies with known profiles, drawn by galsim, and patch masks."""

from __future__ import annotations

import galsim
import numpy as np

from mmae.evaluation.catalogue import Catalogue
from mmae.evaluation.images.compare import ImageMeasures, join_image_measures, measure_images
from mmae.survey.schema import SurveySpec

SPEC = SurveySpec()
NOISE_C11 = np.array(SPEC.band_noise)[:, None, None]
PATCH = 8


def draw(profile: galsim.GSObject) -> np.ndarray:
    """One band (H,W) of a centred profile, in counts."""
    size, scale = SPEC.image_size, SPEC.pixel_scale
    return profile.drawImage(nx=size, ny=size, scale=scale, dtype=np.float64).array


def bands(image_HW: np.ndarray) -> np.ndarray:
    """The image in five bands of increasing brightness (C,H,W)."""
    return np.array([1.0, 1.5, 2.0, 2.5, 3.0])[:, None, None] * image_HW


def round_galaxies(n: int, seed: int, noise: float = 1.0) -> np.ndarray:
    """Gaussian galaxies of 500 to 5000 counts, sigma 0.4 to 0.9 arcsec, with noise (N,C,H,W)."""
    rng = np.random.default_rng(seed)
    clean = [
        bands(draw(galsim.Gaussian(flux=flux, sigma=sigma).shear(g1=g1, g2=g2)))
        for flux, sigma, g1, g2 in zip(
            rng.uniform(500, 5000, n),
            rng.uniform(0.4, 0.9, n),
            rng.uniform(-0.3, 0.3, n),
            rng.uniform(-0.3, 0.3, n),
            strict=True,
        )
    ]
    return np.array(clean).reshape(n, *SPEC.image_shape) + noise * NOISE_C11 * rng.standard_normal(
        (n, *SPEC.image_shape)
    )


def patches(n: int, seed: int, hidden: float = 0.75) -> np.ndarray:
    """Visible pixels (N,H,W) with the fraction `hidden` of the 8 x 8 patches hidden."""
    rng = np.random.default_rng(seed)
    side = SPEC.image_size // PATCH
    rank = rng.random((n, side * side)).argsort(1).argsort(1)
    return (rank >= round(hidden * side * side)).reshape(n, side, side).repeat(PATCH, 1).repeat(PATCH, 2)


def measure(observed, reconstructed, visible, batch: int = 7) -> ImageMeasures:
    parts = [
        measure_images(observed[a : a + batch], reconstructed[a : a + batch], visible[a : a + batch], SPEC)
        for a in range(0, len(observed), batch)
    ]
    return join_image_measures(parts)


def catalogue_of(n: int, magnitude: float = 19.5, morphtype: str = "EXP") -> Catalogue:
    text_N, none_N = np.full(n, "", object), np.full(n, np.nan)
    return Catalogue(
        text_N,
        np.full(n, -1),
        none_N,
        none_N,
        none_N,
        np.full((n, 5), magnitude),
        SPEC.bands,
        np.full(n, morphtype, object),
        text_N,
        text_N,
    )
