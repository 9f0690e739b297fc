"""Measurement of the noise and normalisation of some images.

Shape suffixes: K images, C bands, H and W pixels.
"""

from __future__ import annotations

import warnings

import numpy as np
from astropy.stats import mad_std

from mmae.core.errors import InputError
from mmae.survey.schema import SurveySpec

QUIET = 0.1  # quantile over images of their noise: low for images that are mostly sky
LEAST_OBSERVED = 0.5  # fraction of pixel pairs, for an image to be used in a band
LAG = 4  # pixels: larger than the noise correlation of coadds, smaller than the scale of galaxy outskirts


def measure_images(
    image_KCHW: np.ndarray, noise_C: tuple[float, ...], spec: SurveySpec
) -> dict[str, tuple[float, ...]]:
    """`band_noise`, `arcsinh_mean` and `arcsinh_std` of some images, in which pixels without data are NaN.

    `band_noise` is the robust standard deviation of differences of pixels LAG apart, over sqrt 2, at the QUIET quantile
    of the images, because galaxies add to it in the others. The other two are the mean and standard deviation of
    arcsinh(pixel / noise).

    Args:
        noise_C: `band_noise` if it is known, else NaN.

    Raises:
        InputError: a band of all images is constant.
    """
    if not np.isfinite(noise_C).all():
        noise_C = tuple(float(v) for v in _noise(image_KCHW))
    for band, noise, seen_KHW in zip(spec.bands, noise_C, np.isfinite(image_KCHW).swapaxes(0, 1), strict=True):
        if not seen_KHW.any():
            raise InputError(
                f"band {band}: it is missing in all {len(image_KCHW)} images that were measured. Give band_noise, "
                f"arcsinh_mean and arcsinh_std in the survey's description, or leave the band out."
            )
        if not noise > 0:
            raise InputError(
                f"band {band}: its images are constant or mostly missing, so the noise cannot be measured. Check "
                f"the images, or give band_noise in the survey's description."
            )
    stretched_CX = np.arcsinh(image_KCHW / np.array(noise_C)[:, None, None]).swapaxes(0, 1).reshape(len(noise_C), -1)
    return {
        name: tuple(round(float(v), 4 - int(np.floor(np.log10(abs(v) or 1)))) for v in values)
        for name, values in (
            ("band_noise", noise_C),
            ("arcsinh_mean", np.nanmean(stretched_CX, axis=1)),
            ("arcsinh_std", np.nanstd(stretched_CX, axis=1)),
        )
    }


def _noise(image_KCHW: np.ndarray) -> np.ndarray:
    """The noise (C,) of a pixel; NaN for a band in which no image is observed over half of its area."""
    step_KCHW = image_KCHW[..., LAG:] - image_KCHW[..., :-LAG]
    enough_KC = np.isfinite(step_KCHW).mean(axis=(2, 3)) >= LEAST_OBSERVED
    noise_KC = np.full(enough_KC.shape, np.nan, image_KCHW.dtype)
    noise_KC[enough_KC] = mad_std(step_KCHW[enough_KC], axis=(1, 2), ignore_nan=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a band without any such image
        return np.nanquantile(noise_KC, QUIET, axis=0) / np.sqrt(2)
