"""Residuals of hidden pixels in units of the noise.

Shape suffixes: N galaxies, C bands, H and W pixels, G regions, P pixels of one region, K bins.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mmae.evaluation.images.photometry import OUTER, aperture_weights
from mmae.metrics.redshift import MAD_TO_SIGMA
from mmae.simulation.camera import EXPOSURE_TIME, effective_gain
from mmae.survey.schema import SurveySpec

EVERYWHERE, TARGET = REGIONS = ("all hidden pixels", f"hidden, within {OUTER:g} arcsec")
HISTOGRAM_LIMIT = 10.0  # units of noise; larger values are counted in the outermost bins
BINS = 80
HISTOGRAM_EDGES = np.linspace(-HISTOGRAM_LIMIT, HISTOGRAM_LIMIT, BINS + 1)


def noise_units(image_NCHW: np.ndarray, spec: SurveySpec) -> np.ndarray:
    """Counts in units of the background noise of a pixel."""
    return image_NCHW / np.asarray(spec.band_noise, image_NCHW.dtype)[:, None, None]


def all_noise_units(residual_NCHW: np.ndarray, observed_NCHW: np.ndarray, spec: SurveySpec) -> np.ndarray:
    """Residuals in units of background and photon noise combined; NaN if the gain is not known.

    The photon noise is that of the observed image, so that it does not depend on the model.
    """
    sky_C11, gain_C11 = (
        np.asarray(values, observed_NCHW.dtype)[:, None, None] for values in (np.square(spec.band_noise), gain(spec))
    )
    variance_NCHW = sky_C11 + np.maximum(observed_NCHW, 0) / gain_C11
    return residual_NCHW / np.sqrt(variance_NCHW)


def gain(spec: SurveySpec) -> np.ndarray:
    """Electrons per count (C,) of HSC's wide layer; NaN if the survey has other bands.

    From exposure time, mirror and filter curves, accurate to about 30%; exact for the simulated survey.
    """
    if not all(band in EXPOSURE_TIME for band in spec.bands):
        return np.full(len(spec.bands), np.nan)
    return effective_gain(spec)


def hidden_regions(visible_NHW: np.ndarray, spec: SurveySpec) -> np.ndarray:
    """Pixels (N,G,H,W), bool, hidden from the encoder, in the order of REGIONS."""
    target_HW = aperture_weights(OUTER, spec.image_size, spec.pixel_scale) >= 0.5
    return np.stack([~visible_NHW, ~visible_NHW & target_HW], axis=1)


def observed_part(region_NGHW: np.ndarray, observed_NCHW: np.ndarray) -> np.ndarray:
    """The pixels of each region that were observed, by band: (N,G,C,H,W), bool."""
    return region_NGHW[:, :, None] & np.isfinite(observed_NCHW)[:, None]


def rms(values_NCHW: np.ndarray, region_NGCHW: np.ndarray) -> np.ndarray:
    """Root mean square (N,G,C) over each region, which may be (N,G,H,W) for all bands; NaN where a region is empty."""
    return _by_region(values_NCHW, region_NGCHW, lambda values_CP: np.sqrt(np.mean(values_CP**2, axis=1)))


def median_and_nmad(values_NCHW: np.ndarray, region_NGCHW: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median and 1.4826 MAD about it, each (N,G,C), over regions as in `rms`; NaN where a region is empty."""

    def both(values_CP: np.ndarray) -> np.ndarray:
        median_C1 = np.median(values_CP, axis=1, keepdims=True)
        nmad_C = MAD_TO_SIGMA * np.median(np.abs(values_CP - median_C1), axis=1)
        return np.stack([median_C1[:, 0], nmad_C], axis=1)

    found_NGC2 = _by_region(values_NCHW, region_NGCHW, both, 2)
    return found_NGC2[..., 0], found_NGC2[..., 1]


def histograms(values_NCHW: np.ndarray, region_NGCHW: np.ndarray) -> np.ndarray:
    """Counts (N,G,C,K) in bins between HISTOGRAM_EDGES, over regions as in `rms`; values outside and NaN are in the
    outermost bins."""

    def counts(values_CP: np.ndarray) -> np.ndarray:
        inside_CP = np.clip(np.nan_to_num(values_CP, nan=np.inf), -HISTOGRAM_LIMIT, HISTOGRAM_LIMIT)
        ends = (-HISTOGRAM_LIMIT, HISTOGRAM_LIMIT)
        return np.stack([np.histogram(values_P, BINS, ends)[0] for values_P in inside_CP])

    found_NGCK = _by_region(values_NCHW, region_NGCHW, counts, BINS)
    return np.nan_to_num(found_NGCK).astype(np.uint32)


def decibel(peak: np.ndarray, residual: np.ndarray) -> np.ndarray:
    """Peak signal-to-noise ratio 20 log10(peak / residual) in dB; NaN without a positive peak.

    Huynh-Thu & Ghanbari (2008, Electronics Letters 44, 800) use the largest value of the data type
    as the peak. Fluxes have no such value, so the peak of the galaxy's own image is used.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(peak > 0, 20 * np.log10(peak / residual), np.nan)


def _by_region(
    values_NCHW: np.ndarray, region_NGCHW: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray], *more: int
) -> np.ndarray:
    """Apply a statistic, (C,P) -> (C,*more), to each galaxy and region, (N,G,C,H,W) or (N,G,H,W): (N,G,C,*more)."""
    n, regions = region_NGCHW.shape[:2]
    found = np.full((n, regions, values_NCHW.shape[1], *more), np.nan)
    for galaxy, region in np.ndindex(n, regions):
        mask = region_NGCHW[galaxy, region]
        if mask.ndim == 3 and (mask == mask[0]).all():
            mask = mask[0]  # the usual case: all bands at once
        if mask.ndim == 2:
            if mask.any():
                found[galaxy, region] = statistic(values_NCHW[galaxy][:, mask])
            continue
        for band in np.flatnonzero(mask.any(axis=(1, 2))):
            found[galaxy, region, band] = statistic(values_NCHW[galaxy, band][mask[band]][None])[0]
    return found
