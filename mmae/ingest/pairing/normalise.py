"""Measurement of the noise and normalisation of a survey's images.

Shape suffixes: K images, C bands, H and W pixels.
"""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
from astropy.stats import mad_std

from mmae.core.errors import InputError
from mmae.core.tasks import Runner, in_ray
from mmae.ingest.pairing.read import read_images
from mmae.survey.schema import SurveySpec
from mmae.survey.source import Chunk

IMAGES = 512  # measured; the error of the noise from 2 million pixels per band is below 1 %
CHUNKS = 32  # from which images are taken
QUIET = 0.1  # quantile over images of their noise: low for images that are mostly sky
LEAST_OBSERVED = 0.5  # fraction of pixel pairs, for an image to be used in a band
LAG = 4  # pixels: larger than the noise correlation of coadds, smaller than the scale of galaxy outskirts


def measure_normalisation(
    spec: SurveySpec, chunks: list[Chunk], max_outside: float, workers: int | None, run: Runner = in_ray
) -> SurveySpec:
    """The spec with measured `band_noise`, `arcsinh_mean` and `arcsinh_std`, from images spread evenly over the sky.

    `band_noise` is the robust standard deviation of differences of pixels LAG apart, over sqrt 2, at the QUIET quantile
    of the images, because galaxies add to it in the others. The other two are the mean and standard deviation of
    arcsinh(pixel / noise). Missing pixels are left out. Finite values of the spec are kept. Without images the values
    are 1, 0 and 1.

    Raises:
        InputError: a band of all these images is missing or constant.
    """
    given = {name: getattr(spec, name) for name in ("band_noise", "arcsinh_mean", "arcsinh_std")}
    if all(np.isfinite(values).all() for values in given.values()):
        return spec
    imaged = [
        c
        for c in chunks
        if pq.read_table(c["plan"], columns=["image_name"], partitioning=None)["image_name"].null_count < c["rows"]
    ]
    sampled = [imaged[i] for i in np.unique(np.linspace(0, len(imaged) - 1, min(CHUNKS, len(imaged))).astype(int))]
    jobs = [{**chunk, "most": -(-IMAGES // len(sampled))} for chunk in sampled]

    def read(job: dict) -> dict:
        image_KCHW = read_images(job, spec, max_outside, job["most"])
        return {"shape": list(image_KCHW.shape), "image": image_KCHW.tobytes()}

    parts = [np.frombuffer(row["image"], np.float32).reshape(row["shape"]) for row in run(jobs, read, workers)]
    measured = {
        name: (value,) * len(spec.bands)
        for name, value in (("band_noise", 1.0), ("arcsinh_mean", 0.0), ("arcsinh_std", 1.0))
    }
    if any(len(part) for part in parts):
        measured = _measure(np.concatenate(parts), given["band_noise"], spec)
    return replace(
        spec, **{name: values if np.isfinite(values).all() else measured[name] for name, values in given.items()}
    )


def _measure(image_KCHW: np.ndarray, noise_C: tuple[float, ...], spec: SurveySpec) -> dict[str, tuple[float, ...]]:
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
