"""Errors of reconstructed fluxes, colours, sizes and shapes, and which galaxies are a test of them.

Shape suffixes: N galaxies, C bands, A apertures, V versions of an image.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mmae.evaluation.images.compare import OBSERVED, VERSIONS, ImageMeasures, shape_band
from mmae.evaluation.images.photometry import APERTURES, INNER, OUTER, aperture_noise, magnitude_difference
from mmae.metrics.bootstrap import Score, beyond, rate_score
from mmae.metrics.redshift import score_redshift
from mmae.survey.schema import SurveySpec

# Fainter in its aperture than this and the error is the observation's own: 0.1 mag at 10.
LEAST_SNR = 10.0
# Below this, noise moves a shape by 0.05 and more.
SHAPE_SNR = 20.0
MAGNITUDE_LIMIT = 0.3  # mag: beyond it a quarter of the light is missing or a third too much: an outlier
SIZE_LIMIT, SHEAR_LIMIT = 0.3, 0.2  # outliers in ln(size) and in g; galaxies scatter by 0.2 in g
RADIUS, SIZE, G1, G2 = QUANTITIES = ("ln half-light radius", "ln adaptive size", "g1", "g2")


@dataclass(frozen=True)
class Robust:
    """Median error, 1.4826 MAD about it and rate of outliers, with 68% intervals.

    An error that is not finite is an outlier, and no part of the other two.
    """

    median: Score
    nmad: Score
    outliers: Score


RobustScore = Callable[[np.ndarray, float], Robust]
"""`robust` with a seed and a number of resamples."""


def robust(error_N: np.ndarray, limit: float, *, seed: int, resamples: int) -> Robust:
    """Scores of errors (N,); an outlier is beyond `limit` in size, in the same unit."""
    # At z = 0 the residual of a redshift is z_pred itself: one bootstrap for the whole project.
    scores = score_redshift(np.zeros(len(error_N)), error_N, seed=seed, resamples=resamples)
    return Robust(scores["bias"], scores["sigma_nmad"], rate_score(beyond(error_N, limit)))


def magnitude_errors(measured: ImageMeasures, version: str, radius: float) -> np.ndarray:
    """Reconstructed minus observed magnitude (N,C) in the aperture; NaN where a flux is not positive."""
    flux_NVC = measured.flux_NVAC[:, :, APERTURES.index(radius)]
    return magnitude_difference(flux_NVC[:, VERSIONS.index(version)], flux_NVC[:, VERSIONS.index(OBSERVED)])


def colour_errors(measured: ImageMeasures, version: str, radius: float) -> np.ndarray:
    """Errors (N,C-1) of the colours of adjacent bands, mag."""
    return -np.diff(magnitude_errors(measured, version, radius), axis=1)


def observed_snr(measured: ImageMeasures, spec: SurveySpec, radius: float) -> np.ndarray:
    """Observed flux (N,C) in the aperture over its background noise."""
    a = APERTURES.index(radius)
    return measured.flux_NVAC[:, VERSIONS.index(OBSERVED), a] / aperture_noise(spec)[a]


def partly_hidden(measured: ImageMeasures, radius: float) -> np.ndarray:
    """Galaxies (N,) of which something within the aperture was hidden: the others are no test."""
    return measured.hidden_NA[:, APERTURES.index(radius)] > 0  # False for NaN


def usable_flux(measured: ImageMeasures, spec: SurveySpec, radius: float) -> np.ndarray:
    """Where (N,C) a magnitude is a test: partly hidden, and observed with a S/N of 10."""
    return partly_hidden(measured, radius)[:, None] & (observed_snr(measured, spec, radius) >= LEAST_SNR)


def usable_colour(measured: ImageMeasures, spec: SurveySpec, radius: float) -> np.ndarray:
    """Where (N,C-1) both bands of a colour are a test."""
    bright_NC = usable_flux(measured, spec, radius)
    return bright_NC[:, :-1] & bright_NC[:, 1:]


def usable_shape(measured: ImageMeasures, spec: SurveySpec) -> np.ndarray:
    """Galaxies (N,) that test sizes and shapes: partly hidden, and a S/N of 20 in the shape band."""
    snr_N = observed_snr(measured, spec, INNER)[:, spec.bands.index(shape_band(spec))]
    return partly_hidden(measured, OUTER) & (snr_N >= SHAPE_SNR)


def shape_errors(measured: ImageMeasures, version: str) -> dict[str, np.ndarray]:
    """Reconstructed minus observed of each of QUANTITIES (N,); NaN where either has none."""
    v, o = VERSIONS.index(version), VERSIONS.index(OBSERVED)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = {
            RADIUS: np.log(measured.radius_NV),
            SIZE: np.log(measured.size_NV),
            G1: measured.g1_NV,
            G2: measured.g2_NV,
        }
    return {name: value_NV[:, v] - value_NV[:, o] for name, value_NV in values.items()}


def observed_shape(measured: ImageMeasures) -> dict[str, np.ndarray]:
    """Where (N,) the observed image has each of QUANTITIES at all."""
    o = VERSIONS.index(OBSERVED)
    has_moments_N, has_radius_N = np.isfinite(measured.size_NV[:, o]), np.isfinite(measured.radius_NV[:, o])
    return {RADIUS: has_radius_N, SIZE: has_moments_N, G1: has_moments_N, G2: has_moments_N}
