"""Noise and normalisation of a survey whose images nobody has measured before.

Shape suffixes: K images, C bands, H and W pixels.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
from astropy.stats import mad_std

from mmae.core.errors import InputError
from mmae.core.tasks import in_ray
from mmae.ingest.pairing.read import read_images
from mmae.survey.schema import SurveySpec
from mmae.survey.source import Chunk

IMAGES = 512  # measured; their 2 million pixels a band know the noise to better than a percent
CHUNKS = 32  # that they come from
QUIET = 0.1  # quantile of the images: those that are mostly sky
LAG = 4  # pixels: further than coaddition correlates the noise, nearer than the outskirts of a galaxy change


def measure_normalisation(spec: SurveySpec, chunks: list[Chunk], max_outside: float, workers: int | None) -> SurveySpec:
    """The spec with `band_noise` (robust standard deviation of differences of pixels in a row, over sqrt 2, of images
    that are mostly sky: where galaxies fill their cutouts, pixels tell more than the noise), and with the mean and
    standard deviation of arcsinh(pixel / noise), from images spread evenly over the sky.

    Numbers that the spec has already stay. Without images all are 1, 0 and 1: there is nothing to normalise.

    Raises:
        InputError: a band of all these images is constant.
    """
    given = {name: getattr(spec, name) for name in ("band_noise", "arcsinh_mean", "arcsinh_std")}
    if all(np.isfinite(values).all() for values in given.values()):
        return spec
    imaged = [
        c
        for c in chunks
        if pq.read_table(c["plan"], columns=["image_name"], partitioning=None)["image_name"].null_count < c["rows"]
    ]
    some = [imaged[i] for i in np.unique(np.linspace(0, len(imaged) - 1, min(CHUNKS, len(imaged))).astype(int))]
    jobs = [{**chunk, "most": -(-IMAGES // len(some))} for chunk in some]

    def read(job: dict) -> dict:
        image_KCHW = read_images(job, spec, max_outside, job["most"])
        return {"shape": list(image_KCHW.shape), "image": image_KCHW.tobytes()}

    parts = [np.frombuffer(row["image"], np.float32).reshape(row["shape"]) for row in in_ray(jobs, read, workers)]
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
        step_KCHW = image_KCHW[..., LAG:] - image_KCHW[..., :-LAG]
        noise_C = tuple(float(v) for v in np.quantile(mad_std(step_KCHW, axis=(2, 3)), QUIET, axis=0) / np.sqrt(2))
    for band, noise in zip(spec.bands, noise_C, strict=True):
        if not noise > 0:
            raise InputError(
                f"band {band}: its images are constant, so that their noise cannot be measured. Check the "
                f"images, or give band_noise in the survey's description."
            )
    stretched_CX = np.arcsinh(image_KCHW / np.array(noise_C)[:, None, None]).swapaxes(0, 1).reshape(len(noise_C), -1)
    return {
        name: tuple(round(float(v), 4 - int(np.floor(np.log10(abs(v) or 1)))) for v in values)
        for name, values in (
            ("band_noise", noise_C),
            ("arcsinh_mean", stretched_CX.mean(axis=1)),
            ("arcsinh_std", stretched_CX.std(axis=1)),
        )
    }
