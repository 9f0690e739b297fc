"""The files of a HATS catalogue (https://www.ivoa.net/documents/Notes/HATS), written with pyarrow.

    dataset/Norder=<order>/Dir=<..>/Npix=<pixel>.parquet   partitions
    dataset/_metadata, dataset/_common_metadata            footers of all partitions, and their schema
    hats.properties, properties                            description, under its new and its old name
    partition_info.csv                                     list of the partitions

The package hats is not used for this: importing it takes two seconds and brings 24 packages (dask, numba, bokeh), it
writes pandas tables, and it sets a date of creation, so that two runs of one job would differ. The tests check the
result with hats and lsdb.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

import mmae
from mmae.catalogue.rows import SPATIAL
from mmae.core.files import partial_path, write_whole

DATASET, METADATA, COMMON_METADATA = "dataset", "_metadata", "_common_metadata"
PROPERTIES, OLD_PROPERTIES, PARTITION_INFO = "hats.properties", "properties", "partition_info.csv"
DIRECTORY_SIZE = 10_000  # pixels of a folder Dir=
SPATIAL_ORDER = 29
MAIN = {"dataproduct_type": "object"}


@dataclass(frozen=True, order=True)
class Pixel:
    """A HEALPix pixel in the NESTED numbering."""

    order: int
    number: int

    @property
    def spatial_range(self) -> tuple[int, int]:
        """First and one after the last of its pixels of order 29."""
        shift = 2 * (SPATIAL_ORDER - self.order)
        return self.number << shift, (self.number + 1) << shift

    @property
    def path(self) -> str:
        """Of the partition, relative to the folder dataset/."""
        directory = self.number // DIRECTORY_SIZE * DIRECTORY_SIZE
        return f"Norder={self.order}/Dir={directory}/Npix={self.number}.parquet"


def write_parquet(table: pa.Table, path: Path) -> None:
    """Write a table atomically. The bytes depend on the table and the version of pyarrow only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = partial_path(path)
    pq.write_table(table.combine_chunks(), unfinished, compression="zstd", write_page_checksum=True)
    unfinished.rename(path)


def write_catalogue_files(
    folder: Path, name: str, pixels: Sequence[Pixel], schema: pa.Schema, kind: Mapping[str, object] = MAIN
) -> int:
    """Write all files beside the partitions, and return the number of rows.

    Args:
        folder: of the catalogue, with its partitions.
        pixels: of the partitions.
        kind: properties that depend on the kind of catalogue.
    """
    dataset = folder / DATASET
    dataset.mkdir(parents=True, exist_ok=True)
    footers = []
    for pixel in in_sky_order(pixels):
        footer = pq.read_metadata(dataset / pixel.path)
        footer.set_file_path(pixel.path)
        footers.append(footer)
    pq.write_metadata(schema, dataset / COMMON_METADATA)
    pq.write_metadata(schema, dataset / METADATA, metadata_collector=footers)
    rows = sum(footer.num_rows for footer in footers)
    lines = ["Norder,Npix", *(f"{pixel.order},{pixel.number}" for pixel in in_sky_order(pixels))]
    write_whole(folder / PARTITION_INFO, "\n".join(lines) + "\n")
    n_bytes = sum((dataset / pixel.path).stat().st_size for pixel in pixels)
    values = {
        "obs_collection": name,
        **kind,
        "hats_nrows": rows,
        "hats_col_ra": "ra",
        "hats_col_dec": "dec",
        "hats_col_healpix": SPATIAL,
        "hats_col_healpix_order": SPATIAL_ORDER,
        "hats_npix_suffix": ".parquet",
        "hats_order": max((pixel.order for pixel in pixels), default=0),
        "hats_max_rows": max((footer.num_rows for footer in footers), default=0),
        "hats_estsize": n_bytes // 1024,
        "hats_builder": f"mmae {mmae.__version__}",
        "hats_version": "v1.0",
    }
    text = "".join(f"{key}={value}\n" for key, value in values.items())
    for file in (PROPERTIES, OLD_PROPERTIES):
        write_whole(folder / file, text)
    return rows


def in_sky_order(pixels: Sequence[Pixel]) -> list[Pixel]:
    """Pixels in the order of their place on the sky, as hats sorts them."""
    return sorted(pixels, key=lambda pixel: (pixel.spatial_range[0], pixel.order))
