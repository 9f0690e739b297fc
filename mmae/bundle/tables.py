"""Rows of a survey to batches for a bundle. Unlike the rest of a loaded bundle, this needs pyarrow."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq

from mmae.core.errors import InputError
from mmae.loader.collate import galaxy_columns, to_batch
from mmae.model.batch import Batch, InputSpec
from mmae.survey.schema import GRIDS, WAVELENGTH_GRID, SurveySpec, recorded_spec
from mmae.survey.store import Survey

NOT_NEEDED = {"object_id": pa.string(), "redshift": pa.float32()}
"""Columns of a survey that a batch contains, and a prediction does not need."""


def batches_of(rows: pa.Table | Survey, spec: InputSpec, modalities: Collection[str], size: int) -> Iterator[Batch]:
    """Batches of a table with the columns and metadata of a survey, or of all shards of a survey in their order.

    Args:
        spec, modalities: grids and units of the model, and what it reads.

    Raises:
        InputError: the table is not of a survey, or its grids differ from those of the model.
    """
    if isinstance(rows, Survey):
        read = fitting_spec(rows.spec, spec, modalities, str(rows.path))
        columns = galaxy_columns(rows)
        for shard in rows.shards:
            with pq.ParquetFile(rows.path / shard.path) as parquet:
                for chunk in parquet.iter_batches(size, columns=columns):
                    yield to_batch(pa.Table.from_batches([chunk]), read)
        return
    read = fitting_spec(table_spec(rows), spec, modalities, "the table")
    for name, kind in NOT_NEEDED.items():
        if name not in rows.column_names:
            rows = rows.append_column(name, pa.nulls(len(rows), kind))
    for start in range(0, len(rows), size):
        yield to_batch(rows.slice(start, size), read)


def table_spec(table: pa.Table) -> SurveySpec:
    """Grids and units of a table of a survey, from its metadata.

    Raises:
        InputError: it has none, or they are damaged.
    """
    spec = recorded_spec(table.schema, "the table", "Read it from a shard of a survey.")
    if spec is None:
        raise InputError(
            "the table has no metadata of a survey, so that bands, pixel scale and units are not known. Read it from "
            "a shard of a survey, or give images and spectra as arrays."
        )
    return spec


def fitting_spec(found: SurveySpec, spec: InputSpec, modalities: Collection[str], where: str) -> SurveySpec:
    """The specification by which rows of a survey are read for a model.

    A survey without images or without spectra fits; they are read as missing.

    Raises:
        InputError: names all grids in which survey and model differ.
    """
    if not found.image_size:
        found = replace(found, image_size=spec.image_size, pixel_scale=spec.pixel_scale, zero_point=spec.zero_point)
    if not found.n_wavelengths:
        found = replace(found, **{name: getattr(spec, name) for name in WAVELENGTH_GRID})
    compared = dict.fromkeys(name for modality in modalities for name in GRIDS.get(modality, ()))
    differ = [
        f"{name} is {getattr(found, name)}, expected {getattr(spec, name)}"
        for name in compared
        if getattr(found, name) != getattr(spec, name)
    ]
    if differ:
        raise InputError(f"{where} does not fit the model: {'; '.join(differ)}.")
    return found
