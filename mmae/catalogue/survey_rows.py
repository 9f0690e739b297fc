"""Columns and single rows of the input of a catalogue: survey folder, HATS catalogue or Parquet files.

Shape suffixes: N galaxies, C bands, H and W pixels, L wavelength samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmae.catalogue.source import COPY_AGAIN, input_files, read_footer, read_row, spec_of
from mmae.core.errors import InputError
from mmae.survey.schema import SurveySpec
from mmae.survey.tensors import decode_tensor

FILE, ROW = "file", "row"


@dataclass(frozen=True)
class SurveyRows:
    """Columns of all rows of a survey.

    Attributes:
        spec: band order, grids and units.
        files: paths.
        table: object_id (text), the columns asked for, and `file` (number in files) and `row` of each galaxy.
    """

    spec: SurveySpec
    files: tuple[str, ...]
    table: pa.Table


@dataclass(frozen=True)
class Measurements:
    """What was measured of one galaxy; None: absent.

    Attributes:
        image_CHW: counts; NaN: not observed.
        flux_L, ivar_L: 1e-17 erg/s/cm2/A, and inverse variance.
    """

    image_CHW: np.ndarray | None
    flux_L: np.ndarray | None
    ivar_L: np.ndarray | None


def read_survey_rows(
    path: str, splits: Sequence[str], needed: Sequence[str] = (), wanted: Sequence[str] = ()
) -> SurveyRows:
    """Read columns of all rows.

    Args:
        path: survey folder, HATS catalogue, folder of Parquet files, or pattern.
        splits: of a survey folder.
        needed: columns besides object_id that the files must have.
        wanted: columns that are read where all files have them.

    Raises:
        InputError: there are no files, they cannot be read, or they lack columns.
    """
    files, _ = input_files(path, splits)
    if not files:
        raise InputError(f"{path}: the files have no rows. Check the path, or --splits.")
    footers = [read_footer(file) for file in files]
    for footer in footers:
        missing = {"object_id", *needed} - set(footer.schema.names)
        if missing:
            raise InputError(f"{footer.path}: no column {', '.join(sorted(missing))}. Add it, or give other files.")
    shared = set.intersection(*(set(footer.schema.names) for footer in footers))
    columns = ["object_id", *needed, *(name for name in wanted if name in shared)]
    tables = []
    for number, file in enumerate(files):
        table = pq.read_table(file, columns=columns, partitioning=None).replace_schema_metadata()
        table = table.set_column(0, "object_id", pc.cast(table["object_id"], pa.string()))
        for name, values in ((FILE, np.full(len(table), number)), (ROW, np.arange(len(table)))):
            table = table.append_column(name, pa.array(values))
        tables.append(table)
    return SurveyRows(spec_of(footers[0]), tuple(files), pa.concat_tables(tables))


def read_measurements(
    path: str, row: int, spec: SurveySpec, columns: Sequence[str] = ("image", "flux", "ivar")
) -> Measurements:
    """Image and spectrum of one row of a file, without reading the whole row group.

    Args:
        columns: those of interest.

    Raises:
        InputError: the file has no such row.
    """
    with pq.ParquetFile(path) as parquet:
        found = [name for name in columns if name in parquet.schema_arrow.names]
        rows = parquet.metadata.num_rows
    if not 0 <= row < rows:
        raise InputError(f"{path}: it has {rows} rows, and no row {row}. {COPY_AGAIN}")
    return _decoded(read_row(path, row, found), spec)


def _decoded(row: pa.Table, spec: SurveySpec) -> Measurements:
    def values(name: str, kind: str) -> np.ndarray | None:
        if name not in row.column_names:
            return None
        value_1X, has_1 = decode_tensor(row[name], np.dtype(kind))
        return value_1X[0] if has_1[0] else None

    image_X = values("image", spec.image_dtype)
    if image_X is not None:
        image_X = np.where(np.isinf(image_X), np.nan, image_X).reshape(spec.image_shape)  # of a rejected image
    return Measurements(image_X, values("flux", "float32"), values("ivar", "float32"))
