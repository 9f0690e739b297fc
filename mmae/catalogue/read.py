"""Read a catalogue: its columns, p(z) and embeddings as arrays. Any reader of Parquet or HATS reads the columns too.

    rows = read_catalogue("catalogue", ["object_id", "mmae_z_median", "mmae_pz_edge", "mmae_pz_cdf"])
    pdf = read_pz(rows, read_format("catalogue"))       # pdf.quantile(0.9), pdf.density(z), ...

Shape suffixes: N galaxies, D width of the embedding, K bins of p(z), F fluxes of a modality.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmae.catalogue.hats_files import COMMON_METADATA, DATASET, PARTITION_INFO, Pixel
from mmae.catalogue.pz_code import decode_pz
from mmae.catalogue.rows import EMBEDDING, FLUX_COLUMNS, KEY, PZ_CDF, PZ_EDGE, RowFormat
from mmae.core.errors import InputError
from mmae.metrics.pz_distribution import RedshiftPDF


def read_format(folder: str | Path) -> RowFormat:
    """The model, the bins of p(z) and the other facts of a catalogue.

    Raises:
        InputError: the folder is not a catalogue of ray_jobs/predict.py.
    """
    path = Path(folder).expanduser() / DATASET / COMMON_METADATA
    try:
        return RowFormat.from_json((pq.read_schema(path).metadata or {})[KEY])
    except (OSError, pa.ArrowInvalid, KeyError, ValueError) as error:
        raise InputError(
            f"{path}: not a catalogue of ray_jobs/predict.py ({str(error).splitlines()[0]}). Give its folder, OUT."
        ) from error


def read_format_with_pz(folder: str | Path) -> RowFormat:
    """`read_format` of a catalogue that has p(z).

    Raises:
        InputError: it has none, or the folder is not a catalogue.
    """
    found = read_format(folder)
    if found.ln_edges is None:
        raise InputError(f"{folder}: its model has no p(z). Predict with a model of recipe base or small.")
    return found


def read_pixels(folder: str | Path) -> list[Pixel]:
    """The partitions of a catalogue, in their order on the sky."""
    lines = (Path(folder).expanduser() / PARTITION_INFO).read_text().split()[1:]
    return [Pixel(*map(int, line.split(","))) for line in lines]


def read_partitions(folder: str | Path, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """The rows of each partition; for catalogues larger than the memory."""
    read_format(folder)
    for pixel in read_pixels(folder):
        with pq.ParquetFile(Path(folder).expanduser() / DATASET / pixel.path) as parquet:
            yield parquet.read(None if columns is None else list(columns))


def read_catalogue(folder: str | Path, columns: Sequence[str] | None = None) -> pa.Table:
    """All rows of a catalogue, sorted on the sky.

    Raises:
        InputError: the folder is not a catalogue of ray_jobs/predict.py.
    """
    return pa.concat_tables(read_partitions(folder, columns))


def read_pz(rows: pa.Table, row_format: RowFormat) -> RedshiftPDF:
    """p(z) of rows with the columns mmae_pz_edge and mmae_pz_cdf, in the bins of the model."""
    return decode_pz(_matrix(rows[PZ_EDGE]), _matrix(rows[PZ_CDF]), row_format.edges_K1())


def read_embeddings(rows: pa.Table) -> np.ndarray:
    """Embeddings (N, D) float32 of rows with the column mmae_embedding."""
    return _matrix(rows[EMBEDDING]).astype(np.float32)


def read_fluxes(rows: pa.Table, modality: str) -> np.ndarray:
    """Fluxes (N, F) float64 of rows with the column of a modality (mmae/catalogue/fluxes.py); NaN: not measured."""
    return _matrix(rows[FLUX_COLUMNS[modality]]).astype(np.float64)


def _matrix(column: pa.ChunkedArray) -> np.ndarray:
    """(N, X) from a column of lists of X numbers."""
    flat = pa.concat_arrays([chunk.flatten() for chunk in column.chunks]).to_numpy(zero_copy_only=False)
    return flat.reshape(len(column), column.type.list_size)
