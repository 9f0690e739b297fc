"""Measurements of observed and reconstructed images, per galaxy, in batches.

Shape suffixes: B galaxies of a batch, N galaxies, C bands, H and W pixels, A apertures, V versions
of an image, G regions, K bins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike

from mmae.core.errors import InputError
from mmae.evaluation.images import pixels
from mmae.evaluation.images.photometry import APERTURES, OUTER, aperture_flux, hidden_fraction
from mmae.evaluation.images.shapes import adaptive_moments, half_light_radius
from mmae.plots.image import is_absent
from mmae.survey.schema import SurveySpec

# Composite: observed where visible to the encoder, reconstructed where hidden.
OBSERVED, COMPOSITE, RECONSTRUCTION = VERSIONS = ("observed", "composite", "reconstruction")
SHAPE_BAND = "i"  # the band with the best seeing


@dataclass(frozen=True)
class ImageMeasures:
    """N galaxies in input order; all NaN for a galaxy without an image.

    Attributes:
        present_N: the galaxy has an image.
        hidden_NA: hidden fraction of each aperture.
        flux_NVAC: counts; the observed flux is NaN where a pixel of the aperture is missing.
        radius_NV: half-light radius in the shape band, arcsec.
        size_NV, g1_NV, g2_NV: adaptive moments in the shape band: sigma in arcsec, reduced shear;
            NaN where they fail.
        rms_NGC, nmad_NGC, median_NGC: of reconstructed - observed over hidden pixels that were observed, in units of
            the background noise; NaN for a region without any.
        empty_rms_NGC: the same rms for a reconstruction of zeros.
        chi2_NGC: mean square in units of background and photon noise combined.
        count_NGCK: histogram of the residuals over `pixels.HISTOGRAM_EDGES`.
        peak_NC: brightest observed pixel in units of the background noise.
    """

    present_N: np.ndarray
    hidden_NA: np.ndarray
    flux_NVAC: np.ndarray
    radius_NV: np.ndarray
    size_NV: np.ndarray
    g1_NV: np.ndarray
    g2_NV: np.ndarray
    rms_NGC: np.ndarray
    nmad_NGC: np.ndarray
    median_NGC: np.ndarray
    empty_rms_NGC: np.ndarray
    chi2_NGC: np.ndarray
    count_NGCK: np.ndarray
    peak_NC: np.ndarray

    def __len__(self) -> int:
        return len(self.present_N)


def shape_band(spec: SurveySpec) -> str:
    """The band in which sizes and shapes are measured: i, or the middle band of a survey without i."""
    return SHAPE_BAND if SHAPE_BAND in spec.bands else spec.bands[len(spec.bands) // 2]


def measure_images(
    observed_BCHW: ArrayLike, reconstructed_BCHW: ArrayLike, visible_BHW: ArrayLike, spec: SurveySpec
) -> ImageMeasures:
    """Measure a batch: residuals of hidden pixels, photometry, size and shape.

    Args:
        observed_BCHW: counts; NaN: not observed; an image that is all zero or all NaN is absent.
        reconstructed_BCHW: counts, all pixels of the decoder output.
        visible_BHW: bool, True for pixels visible to the encoder.

    Raises:
        InputError: shapes that differ from the survey's, or an observed image with infinite pixels.
    """
    observed_BCHW = np.asarray(observed_BCHW, np.float64)
    reconstructed_BCHW = np.asarray(reconstructed_BCHW, np.float64)
    visible_BHW = np.asarray(visible_BHW, bool)
    _check(observed_BCHW, reconstructed_BCHW, visible_BHW, spec)
    present_B = np.array([not is_absent(image_CHW) for image_CHW in observed_BCHW], bool)
    part = _measure(observed_BCHW[present_B], reconstructed_BCHW[present_B], visible_BHW[present_B], spec)
    return ImageMeasures(present_B, **{name: _fill_absent(values, present_B) for name, values in part.items()})


def join_image_measures(parts: Sequence[ImageMeasures]) -> ImageMeasures:
    """Concatenate the measures of several batches.

    Raises:
        InputError: there is no batch.
    """
    if not parts:
        raise InputError("images: no batch was measured; give a test split with galaxies.")
    return ImageMeasures(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(ImageMeasures)))


def _measure(
    observed_BCHW: np.ndarray, reconstructed_BCHW: np.ndarray, visible_BHW: np.ndarray, spec: SurveySpec
) -> dict[str, np.ndarray]:
    """Measurements of galaxies with an image: field of `ImageMeasures` -> values."""
    missing_BCHW = np.isnan(observed_BCHW)
    composite_BCHW = np.where(visible_BHW[:, None] & ~missing_BCHW, observed_BCHW, reconstructed_BCHW)
    versions = (observed_BCHW, composite_BCHW, reconstructed_BCHW)
    band = spec.bands.index(shape_band(spec))
    moments_BV3 = np.array(
        [[adaptive_moments(images_BCHW[b, band], spec) for images_BCHW in versions] for b in range(len(observed_BCHW))]
    ).reshape(-1, len(VERSIONS), 3)
    versions = (np.nan_to_num(observed_BCHW, nan=0.0), *versions[1:])  # for sums; incomplete ones become NaN below
    flux_BVAC = np.stack([aperture_flux(images_BCHW, spec) for images_BCHW in versions], axis=1)
    radius_BV = np.stack([half_light_radius(images_BCHW[:, band], spec) for images_BCHW in versions], axis=1)
    incomplete_BAC = aperture_flux(missing_BCHW.astype(float), spec) > 0
    flux_BVAC[:, VERSIONS.index(OBSERVED)][incomplete_BAC] = np.nan
    radius_BV[incomplete_BAC[:, APERTURES.index(OUTER), band], VERSIONS.index(OBSERVED)] = np.nan
    # Single precision is sufficient per pixel and takes half of the time.
    observed_BCHW, reconstructed_BCHW = observed_BCHW.astype(np.float32), reconstructed_BCHW.astype(np.float32)
    residual_BCHW = reconstructed_BCHW - observed_BCHW
    scaled_BCHW, signal_BCHW = pixels.noise_units(residual_BCHW, spec), pixels.noise_units(observed_BCHW, spec)
    hidden_BGCHW = pixels.observed_part(pixels.hidden_regions(visible_BHW, spec), observed_BCHW)
    median_BGC, nmad_BGC = pixels.median_and_nmad(scaled_BCHW, hidden_BGCHW)
    return {
        "hidden_NA": hidden_fraction(visible_BHW, spec),
        "flux_NVAC": flux_BVAC,
        "radius_NV": radius_BV,
        "size_NV": moments_BV3[..., 0],
        "g1_NV": moments_BV3[..., 1],
        "g2_NV": moments_BV3[..., 2],
        "rms_NGC": pixels.rms(scaled_BCHW, hidden_BGCHW),
        "nmad_NGC": nmad_BGC,
        "median_NGC": median_BGC,
        "empty_rms_NGC": pixels.rms(signal_BCHW, hidden_BGCHW),
        "chi2_NGC": pixels.rms(pixels.all_noise_units(residual_BCHW, observed_BCHW, spec), hidden_BGCHW) ** 2,
        "count_NGCK": pixels.histograms(scaled_BCHW, hidden_BGCHW),
        "peak_NC": _peak(signal_BCHW),
    }


def _peak(signal_BCHW: np.ndarray) -> np.ndarray:
    """The brightest observed pixel (B,C); NaN for a band that was not observed."""
    peak_BC = np.where(np.isnan(signal_BCHW), -np.inf, signal_BCHW).max(axis=(2, 3))
    return np.where(np.isfinite(peak_BC), peak_BC, np.nan)


def _fill_absent(values: np.ndarray, present_B: np.ndarray) -> np.ndarray:
    """Expand values of the present galaxies to the whole batch; NaN, or a count of 0, for the others."""
    whole = np.full((len(present_B), *values.shape[1:]), np.nan if values.dtype.kind == "f" else 0, values.dtype)
    whole[present_B] = values
    return whole


def _check(
    observed_BCHW: np.ndarray, reconstructed_BCHW: np.ndarray, visible_BHW: np.ndarray, spec: SurveySpec
) -> None:
    expected = (len(observed_BCHW), *spec.image_shape)
    for name, shape, wanted in (
        ("observed", observed_BCHW.shape, expected),
        ("reconstructed", reconstructed_BCHW.shape, expected),
        ("visible", visible_BHW.shape, (expected[0], *expected[2:])),
    ):
        if shape != wanted:
            raise InputError(
                f"images: {name} has shape {shape}, expected {wanted}: galaxies, bands "
                f"{','.join(spec.bands)}, pixels of the survey."
            )
    for b, image_CHW in enumerate(observed_BCHW):
        if np.isinf(image_CHW).any():
            raise InputError(
                f"images: row {b} of the batch has {int(np.isinf(image_CHW).sum())} infinite "
                f"pixels; rebuild the survey with ray_jobs/build_survey.py, which excludes such images."
            )
