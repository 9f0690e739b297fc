"""Convert survey rows from Arrow to torch batches, without Ray.

Shape suffixes as in mmae/model/batch.py; X values of one column.
"""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from mmae.loader.rare import REPEATS
from mmae.model.batch import Batch, InputSpec
from mmae.model.modalities import MODALITIES
from mmae.survey.schema import SurveySpec
from mmae.survey.store import Survey
from mmae.survey.tensors import decode_tensor


def input_spec(spec: SurveySpec) -> InputSpec:
    """The input sizes and scales that a model needs from a survey."""
    return InputSpec(
        image_size=spec.image_size,
        n_wavelengths=spec.n_wavelengths,
        band_noise=spec.band_noise,
        arcsinh_mean=spec.arcsinh_mean,
        arcsinh_std=spec.arcsinh_std,
        wavelength_start=spec.wavelength_start,
        wavelength_step=spec.wavelength_step,
        bands=spec.bands,
        pixel_scale=spec.pixel_scale,
        zero_point=spec.zero_point,
    )


def galaxy_columns(survey: Survey) -> list[str]:
    """The columns that a model reads: identifier, redshift, and the columns of all modalities in this survey."""
    wanted = [c for kind in MODALITIES.values() for names in kind.columns(survey.spec.bands).values() for c in names]
    available = set(pq.read_schema(survey.path / survey.shards[0].path).names)
    return ["object_id", "redshift", *(column for column in wanted if column in available)]


def to_batch(table: pa.Table, spec: SurveySpec, pinned: bool = False) -> Batch:
    """A `Batch` on the CPU from rows of a survey.

    Args:
        pinned: images and spectra are in page-locked memory, which a GPU reads while it computes.
    """
    values, present = {}, {}
    for modality, kind in MODALITIES.items():
        shapes, there = kind.shapes(input_spec(spec)), []
        for name, columns in kind.columns(spec.bands).items():
            values[name], has_B = decode(table, columns, shapes[name], pinned)
            if name not in kind.optional:
                there.append(has_B)
        present[modality] = torch.stack(there).all(0)
    redshift = table["redshift"]
    repeats_B = table[REPEATS].to_numpy() if REPEATS in table.column_names else np.ones(len(table))
    return Batch(
        values=values,
        present=present,
        redshift_B=torch.from_numpy(redshift.fill_null(0.0).to_numpy().copy()),
        redshift_known_B=torch.from_numpy(redshift.is_valid().to_numpy().copy()),
        weight_B=torch.from_numpy((1 / repeats_B).astype(np.float32)),
        object_id=table["object_id"].to_pylist(),
    )


def decode(
    table: pa.Table, columns: tuple[str, ...], shape: tuple[int, ...], pinned: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """One input array of a modality: float32 (B, *shape), and the mask (B,) of the galaxies that have it.

    Args:
        columns: one column of tensors, or several of numbers. With numbers, a galaxy has the modality if at least one
            is finite; nulls become NaN. Columns that the survey does not have are treated as null.
    """
    if not set(columns) <= set(table.column_names):
        return torch.zeros(len(table), *shape), torch.zeros(len(table), dtype=torch.bool)
    if pa.types.is_fixed_size_binary(table.schema.field(columns[0]).type):
        dtype = np.dtype(f"f{table.schema.field(columns[0]).type.byte_width // math.prod(shape)}")
        values_BX = torch.empty(len(table), math.prod(shape), pin_memory=pinned)
        valid_B = decode_tensor(table[columns[0]], dtype, values_BX.numpy())[1]
        return values_BX.reshape(-1, *shape), torch.from_numpy(valid_B)
    numbers = [table[column].cast(pa.float32()).fill_null(math.nan).to_numpy() for column in columns]
    values_BX = torch.from_numpy(np.stack(numbers, -1))
    present_B = values_BX.isfinite().any(-1)
    return values_BX.where(present_B[:, None], 0.0).reshape(-1, *shape), present_B
