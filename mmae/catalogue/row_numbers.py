"""Rows of a catalogue by their number: in the order of the partitions on the sky.

Shape suffix: N rows.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmae.catalogue.hats_files import DATASET
from mmae.catalogue.read import read_format, read_partitions, read_pixels
from mmae.core.errors import InputError


class NumberedRows:
    """The rows of a catalogue, of which only those that are asked for are kept in memory.

    Raises:
        InputError: the folder is not a catalogue.
    """

    def __init__(self, folder: Path):
        self.folder, self.row_format = folder, read_format(folder)
        self.pixels = read_pixels(folder)
        counts = [pq.read_metadata(folder / DATASET / pixel.path).num_rows for pixel in self.pixels]
        self.start_P = np.concatenate([[0], np.cumsum(counts)])

    def take(self, number_N: np.ndarray, columns: list[str] | None = None) -> pa.Table:
        """Rows by number, in this order; at least one."""
        parts, place_N = [], []
        part_N = np.searchsorted(self.start_P, number_N, side="right") - 1
        for part in np.unique(part_N):
            at = np.flatnonzero(part_N == part)
            path = self.folder / DATASET / self.pixels[part].path
            table = pq.read_table(path, columns=columns, partitioning=None)
            parts.append(table.take(number_N[at] - self.start_P[part]))
            place_N.append(at)
        return pa.concat_tables(parts).take(np.argsort(np.concatenate(place_N)))

    def number_of(self, object_id: str) -> int:
        """The row number of a galaxy.

        Raises:
            InputError: the catalogue does not have it.
        """
        start = 0
        for ids in read_partitions(self.folder, ["object_id"]):
            found = pc.index(pc.cast(ids["object_id"], pa.string()), object_id).as_py()
            if found >= 0:
                return start + found
            start += len(ids)
        raise InputError(f"--like {object_id}: {self.folder} has no such object_id. Give one of its column object_id.")
