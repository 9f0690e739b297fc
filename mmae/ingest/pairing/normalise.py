"""Measurement of the noise and normalisation of a survey's images.

Shape suffixes: K images, C bands, H and W pixels.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq

from mmae.core.tasks import Runner, in_ray
from mmae.ingest.normalisation import measure_images
from mmae.ingest.pairing.known import KnownInputs
from mmae.ingest.pairing.read import read_images
from mmae.survey.schema import SurveySpec
from mmae.survey.source import Chunk

IMAGES = 512  # measured; the error of the noise from 2 million pixels per band is below 1 %
CHUNKS = 32  # from which images are taken


def measure_normalisation(
    spec: SurveySpec,
    chunks: list[Chunk],
    max_outside: float,
    workers: int | None,
    known: KnownInputs,
    run: Runner = in_ray,
) -> SurveySpec:
    """The spec with measured `band_noise`, `arcsinh_mean` and `arcsinh_std`, from images spread evenly over the sky.

    Finite values of the spec are kept, the others are those of `measure_images`. Without images they are 1, 0 and 1.

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
        image_KCHW = read_images(job, spec, max_outside, job["most"], known)
        return {"shape": list(image_KCHW.shape), "image": image_KCHW.tobytes()}

    parts = [np.frombuffer(row["image"], np.float32).reshape(row["shape"]) for row in run(jobs, read, workers)]
    measured = {
        name: (value,) * len(spec.bands)
        for name, value in (("band_noise", 1.0), ("arcsinh_mean", 0.0), ("arcsinh_std", 1.0))
    }
    if any(len(part) for part in parts):
        measured = measure_images(np.concatenate(parts), given["band_noise"], spec)
    return replace(
        spec, **{name: values if np.isfinite(values).all() else measured[name] for name, values in given.items()}
    )
