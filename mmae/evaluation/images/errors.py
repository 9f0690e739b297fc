"""Errors of reconstructed fluxes, colours, sizes and shapes, and the selection of galaxies to test them.

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

# S/N in the aperture; below, the error of the observed magnitude dominates (0.1 mag at 10).
MIN_SNR = 10.0
# Below, noise changes a shape by 0.05 or more.
SHAPE_SNR = 20.0
MAGNITUDE_LIMIT = 0.3  # mag; an outlier has lost a quarter of its light or gained a third
SIZE_LIMIT, SHEAR_LIMIT = 0.3, 0.2  # outliers in ln(size) and in g; the intrinsic scatter of g is 0.2
RADIUS, SIZE, G1, G2 = QUANTITIES = ("ln half-light radius", "ln adaptive size", "g1", "g2")


@dataclass(frozen=True)
class Robust:
    """Median error, 1.4826 MAD about it and rate of outliers, with 68% intervals.

    An error that is not finite is an outlier and is excluded from the other two.
    """

    median: Score
    nmad: Score
    outliers: Score


RobustScore = Callable[[np.ndarray, float], Robust]
"""`robust` with seed and number of resamples set."""


def robust(error_N: np.ndarray, limit: float, *, seed: int, resamples: int) -> Robust:
    """Scores of errors (N,); outliers have |error| > `limit`, in the same unit."""
    # At z_spec = 0, dz = z_pred: `score_redshift` scores any error, with the project's bootstrap.
    scores = score_redshift(np.zeros(len(error_N)), error_N, seed=seed, resamples=resamples)
    return Robust(scores["bias"], scores["sigma_nmad"], rate_score(beyond(error_N, limit)))


def magnitude_errors(measures: ImageMeasures, version: str, radius: float) -> np.ndarray:
    """Reconstructed minus observed magnitude (N,C) in the aperture; NaN where a flux is not positive."""
    flux_NVC = measures.flux_NVAC[:, :, APERTURES.index(radius)]
    return magnitude_difference(flux_NVC[:, VERSIONS.index(version)], flux_NVC[:, VERSIONS.index(OBSERVED)])


def colour_errors(measures: ImageMeasures, version: str, radius: float) -> np.ndarray:
    """Errors (N,C-1) of the colours of adjacent bands, mag."""
    return -np.diff(magnitude_errors(measures, version, radius), axis=1)


def observed_snr(measures: ImageMeasures, spec: SurveySpec, radius: float) -> np.ndarray:
    """Observed flux (N,C) in the aperture over its background noise."""
    a = APERTURES.index(radius)
    return measures.flux_NVAC[:, VERSIONS.index(OBSERVED), a] / aperture_noise(spec)[a]


def partly_hidden(measures: ImageMeasures, radius: float) -> np.ndarray:
    """Galaxies (N,) with hidden pixels in the aperture; the others cannot test the model."""
    return measures.hidden_NA[:, APERTURES.index(radius)] > 0  # False for NaN


def usable_flux(measures: ImageMeasures, spec: SurveySpec, radius: float) -> np.ndarray:
    """Selection (N,C) of magnitudes: partly hidden, and observed at S/N 10 or more."""
    return partly_hidden(measures, radius)[:, None] & (observed_snr(measures, spec, radius) >= MIN_SNR)


def usable_colour(measures: ImageMeasures, spec: SurveySpec, radius: float) -> np.ndarray:
    """Selection (N,C-1) of colours: both bands in `usable_flux`."""
    bright_NC = usable_flux(measures, spec, radius)
    return bright_NC[:, :-1] & bright_NC[:, 1:]


def usable_shape(measures: ImageMeasures, spec: SurveySpec) -> np.ndarray:
    """Selection (N,) for sizes and shapes: partly hidden, and S/N 20 or more in the shape band."""
    snr_N = observed_snr(measures, spec, INNER)[:, spec.bands.index(shape_band(spec))]
    return partly_hidden(measures, OUTER) & (snr_N >= SHAPE_SNR)


def shape_errors(measures: ImageMeasures, version: str) -> dict[str, np.ndarray]:
    """Reconstructed minus observed value of each of QUANTITIES (N,); NaN where either is not measurable."""
    v, o = VERSIONS.index(version), VERSIONS.index(OBSERVED)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = {
            RADIUS: np.log(measures.radius_NV),
            SIZE: np.log(measures.size_NV),
            G1: measures.g1_NV,
            G2: measures.g2_NV,
        }
    return {name: value_NV[:, v] - value_NV[:, o] for name, value_NV in values.items()}


def observed_shape(measures: ImageMeasures) -> dict[str, np.ndarray]:
    """Where (N,) each of QUANTITIES is measurable in the observed image."""
    o = VERSIONS.index(OBSERVED)
    has_moments_N, has_radius_N = np.isfinite(measures.size_NV[:, o]), np.isfinite(measures.radius_NV[:, o])
    return {RADIUS: has_radius_N, SIZE: has_moments_N, G1: has_moments_N, G2: has_moments_N}
