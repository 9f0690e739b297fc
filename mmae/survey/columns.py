"""Scalar columns of all rows of a survey in memory, without images and spectra."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mmae.survey.splits import hash_splits
from mmae.survey.store import Shard, Survey


def read_columns(folder: Path, shards: Sequence[Shard], columns: list[str] | None) -> pa.Table:
    """Columns (None: all) of one or more shards of the survey in `folder`, in the order of the shards."""

    def read(shard: Shard) -> pa.Table:
        with pq.ParquetFile(folder / shard.path) as parquet:
            return parquet.read(columns, use_threads=False)

    with ThreadPoolExecutor(8) as pool:  # mostly waits for the disk
        return pa.concat_tables(pool.map(read, shards))


def split_hash(survey: Survey) -> str:
    """Hash of all pairs of object_id and split: from the manifest, or for an older survey from the rows.

    It does not depend on the order of the rows or on the chunks of the build.
    """
    if survey.recorded_split_hash:
        return survey.recorded_split_hash
    rows = read_columns(survey.path, survey.shards, ["object_id", "split"])
    return hash_splits(rows["object_id"], rows["split"])
