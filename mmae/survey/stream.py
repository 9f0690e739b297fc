"""From Parquet shards to torch batches: the only place that knows Ray Data.

Shape suffixes: B batch, C band, H and W pixels, L wavelength.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import ray
import torch
from ray.data import DataIterator, Dataset
from ray.data.collate_fn import ArrowBatchCollateFn

from mmae.config import StreamConfig
from mmae.model.batch import Batch, InputSpec
from mmae.survey.schema import SurveySpec
from mmae.survey.store import Survey

COLUMNS = ["object_id", "image", "flux", "ivar", "redshift"]


def input_spec(spec: SurveySpec) -> InputSpec:
    """What the model must know of a survey."""
    return InputSpec(
        image_size=spec.image_size,
        n_wavelengths=spec.n_wavelengths,
        band_noise=spec.band_noise,
        arcsinh_mean=spec.arcsinh_mean,
        arcsinh_std=spec.arcsinh_std,
    )


def read_split(survey: Survey, split: str, config: StreamConfig, seed: int | None = None) -> Dataset:
    """The rows of one split as a Ray Dataset; with a seed, shards come in a new order each epoch."""
    files = survey.files(split)
    n_bytes = sum((survey.path / s.path).stat().st_size for s in survey.shards if s.split == split)
    if n_bytes <= config.cache_gb * 1e9:
        return ray.data.read_parquet(files, columns=COLUMNS).materialize()
    shuffle = None
    if seed is not None:
        shuffle = ray.data.FileShuffleConfig(seed=seed, reseed_after_execution=True)
    return ray.data.read_parquet(files, columns=COLUMNS, shuffle=shuffle)


class CollateGalaxies(ArrowBatchCollateFn):
    """An Arrow batch of survey rows -> `Batch` on the CPU."""

    def __init__(self, spec: SurveySpec):
        self.spec = spec

    def __call__(self, table: pa.Table) -> Batch:
        spec = self.spec
        image_BX, image_present_B = decode_tensor(table["image"], spec.image_dtype)
        flux_BL, spectrum_present_B = decode_tensor(table["flux"], "float32")
        ivar_BL, _ = decode_tensor(table["ivar"], "float32")
        redshift = table["redshift"]
        return Batch(
            image_BCHW=image_BX.reshape(-1, *spec.image_shape),
            image_present_B=image_present_B,
            flux_BL=flux_BL,
            ivar_BL=ivar_BL,
            spectrum_present_B=spectrum_present_B,
            redshift_B=torch.from_numpy(redshift.fill_null(0.0).to_numpy().copy()),
            redshift_known_B=torch.from_numpy(redshift.is_valid().to_numpy().copy()),
            object_id=table["object_id"].to_pylist(),
        )


def decode_tensor(column: pa.ChunkedArray, dtype: str) -> tuple[torch.Tensor, torch.Tensor]:
    """A column of fixed-size binary -> float32 (B, samples), zero where null, and presence (B,)."""
    width = column.type.byte_width
    # Written once, straight from the Arrow buffer into a tensor's memory.
    values = torch.zeros(len(column), width // np.dtype(dtype).itemsize)
    present = torch.zeros(len(column), dtype=torch.bool)
    row = 0
    for chunk in column.chunks:
        flat = np.frombuffer(
            chunk.buffers()[1], dtype=np.uint8, count=len(chunk) * width, offset=chunk.offset * width
        )
        is_present = chunk.is_valid().to_numpy(zero_copy_only=False)
        here = slice(row, row + len(chunk))
        # What lies under a null is undefined: it stays behind.
        np.copyto(
            values[here].numpy(), flat.view(dtype).reshape(len(chunk), -1), where=is_present[:, None]
        )
        present[here] = torch.from_numpy(is_present)
        row += len(chunk)
    return values, present


def batches(
    data: DataIterator | Dataset,
    spec: SurveySpec,
    batch_size: int,
    *,
    shuffle_rows: int | None = None,
    seed: int | None = None,
    drop_last: bool = False,
) -> Iterator[Batch]:
    """Stream `Batch`es; with `shuffle_rows`, through a shuffle buffer seeded by `seed`."""
    return iter(
        data.iter_torch_batches(
            batch_size=batch_size,
            collate_fn=CollateGalaxies(spec),
            local_shuffle_buffer_size=shuffle_rows,
            local_shuffle_seed=seed,
            drop_last=drop_last,
            prefetch_batches=2,
        )
    )
