"""The partitions of a catalogue: which HEALPix pixels, and their rows from the pieces of the input.

A pixel is divided into its four parts until no partition has more than a given number of rows, so that partitions do
not depend on how the input was divided into files and pieces.

Shape suffixes: P pixels, N rows or pieces.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmae.catalogue.hats_files import DATASET, SPATIAL_ORDER, Pixel, write_parquet
from mmae.catalogue.rows import SPATIAL
from mmae.catalogue.state import rows_file
from mmae.core.tasks import Job

FINEST = 10  # smallest partitions: pixels of 3.4 arcmin; 12 x 4^10 counts are 100 MB

EMPTY = (-1, -1)  # first and last pixel of a piece without rows

Counts = tuple[np.ndarray, np.ndarray]
"""Pixels of order FINEST with rows, (P,) int64, increasing, and their numbers of rows (P,)."""


def count_pixels(healpix_N: np.ndarray) -> Counts:
    """Rows per pixel of order FINEST, from pixels of order 29."""
    return np.unique(healpix_N >> (2 * (SPATIAL_ORDER - FINEST)), return_counts=True)


def add_counts(parts: Iterable[Counts]) -> Counts:
    """The sum of counts of several pieces."""
    rows_P = np.zeros(12 * 4**FINEST, np.int64)
    for pixel_P, n_P in parts:
        rows_P[pixel_P] += n_P
    found_P = np.flatnonzero(rows_P)
    return found_P, rows_P[found_P]


def choose_pixels(counts: Counts, most: int) -> list[Pixel]:
    """Pixels that contain all rows, with at most `most` rows each unless they are of order FINEST."""
    waiting = [Pixel(0, number) for number in range(12)]
    chosen = []
    while waiting:
        pixel = waiting.pop()
        rows = rows_in(pixel, counts)
        if rows and (rows <= most or pixel.order == FINEST):
            chosen.append(pixel)
        elif rows:
            waiting += [Pixel(pixel.order + 1, 4 * pixel.number + part) for part in range(4)]
    return sorted(chosen)


def rows_in(pixel: Pixel, counts: Counts) -> int:
    """Number of rows in a pixel of order FINEST or less."""
    pixel_P, rows_P = counts
    shift = 2 * (FINEST - pixel.order)
    low, high = np.searchsorted(pixel_P, [pixel.number << shift, (pixel.number + 1) << shift])
    return int(rows_P[low:high].sum())


def count_work(folder: Path):
    """The work of a job {"pieces": [numbers]}: counts of these pieces."""

    def work(job: Job) -> Job:
        columns = [pq.read_table(rows_file(folder, n), columns=[SPATIAL])[SPATIAL].to_numpy() for n in job["pieces"]]
        pixel_P, rows_P = count_pixels(np.concatenate(columns))
        spans = np.array([[c[0], c[-1]] if len(c) else EMPTY for c in columns], np.int64)
        return {"pixels": pixel_P.tobytes(), "rows": rows_P.tobytes(), "spans": spans.tobytes()}

    return work


def partition_work(folder: Path):
    """The work of a job {"order", "number", "rows", "pieces"}: write a partition with the rows of these pieces.

    A partition that an interrupted job has written is kept.
    """

    def work(job: Job) -> Job:
        pixel = Pixel(job["order"], job["number"])
        path = folder / DATASET / pixel.path
        if not _is_whole(path, job["rows"]):
            write_parquet(rows_of_pixel(folder, pixel, job["pieces"]), path)
        return {"order": pixel.order, "number": pixel.number}

    return work


def _is_whole(path: Path, rows: int) -> bool:
    """Whether a partition has this number of rows, and the checksums of its pages are right."""
    if not path.exists():
        return False
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as parquet:
            return sum(batch.num_rows for batch in parquet.iter_batches()) == rows
    except (OSError, pa.ArrowInvalid):
        return False


def rows_of_pixel(folder: Path, pixel: Pixel, pieces: Sequence[int]) -> pa.Table:
    """The rows in a pixel, sorted by pixel of order 29; rows of the same one as in the input."""
    low, high = pixel.spatial_range
    tables = []
    for number in pieces:
        with pq.ParquetFile(rows_file(folder, number), page_checksum_verification=True) as parquet:
            at_N = parquet.read([SPATIAL])[SPATIAL].to_numpy()
            first, last = np.searchsorted(at_N, [low, high])
            if last > first:
                tables.append(parquet.read().slice(first, last - first))
    rows = pa.concat_tables(tables)
    return rows.take(np.argsort(rows[SPATIAL].to_numpy(), kind="stable"))


def overlapping(pixel: Pixel, span_N2: np.ndarray) -> list[int]:
    """Numbers of the pieces that may have rows in a pixel.

    Args:
        span_N2: first and last pixel of order 29 of each piece; EMPTY for a piece without rows.
    """
    low, high = pixel.spatial_range
    return np.flatnonzero((span_N2[:, 0] < high) & (span_N2[:, 1] >= low)).tolist()
