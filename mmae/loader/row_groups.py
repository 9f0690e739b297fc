"""Rows of a survey in the order of a run, read from Parquet row groups: what Ray Data's tasks do for training.

No torch: every process of Ray's that reads would load it first.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmae.core.errors import InputError
from mmae.loader.sampler import Portion, Sampler
from mmae.survey.store import MEND_SHARD, ROW_GROUP, Survey

WAITS_S = (1.0, 4.0, 16.0)  # before each new attempt: a shared file system is often back within seconds


@dataclass(frozen=True)
class RowGroup:
    """One row group of a shard; `write_shard` makes them all of one size but the last."""

    path: str
    index: int
    rows: int


def row_groups(survey: Survey, split: str) -> list[RowGroup]:
    """All row groups of a split."""
    survey.files(split)  # says if there are none
    return [
        RowGroup(str(survey.path / shard.path), index, min(ROW_GROUP, shard.rows - start))
        for shard in survey.shards
        if shard.split == split
        for index, start in enumerate(range(0, shard.rows, ROW_GROUP))
    ]


def read_window(
    items: pa.Table, sampler: Sampler, groups: list[RowGroup], columns: list[str], portion: Portion
) -> pa.Table:
    """Galaxies of the windows that the rows of `items` name."""
    return pa.concat_tables(
        read_rows(groups, columns, *sampler.window(item["window"], portion, item["skip"])) for item in items.to_pylist()
    )


def read_rows(groups: list[RowGroup], columns: list[str], group_N: np.ndarray, row_N: np.ndarray) -> pa.Table:
    """The given rows of the given row groups, in this order.

    Raises:
        InputError: a shard cannot be read, also not after some waiting.
    """
    needed, which_N = np.unique(group_N, return_inverse=True)
    chosen = [groups[group] for group in needed]
    tables = [read_group(group, columns) for group in chosen]
    start_G = np.cumsum([0] + [group.rows for group in chosen[:-1]])
    return pa.concat_tables(tables).take(start_G[which_N] + row_N)


def read_group(group: RowGroup, columns: list[str]) -> pa.Table:
    """One row group, its pages checked against their checksums; storage that fails is asked again.

    Raises:
        InputError: a shard cannot be read, or is not as long as the manifest says.
    """
    for wait in (*WAITS_S, None):
        try:
            with pq.ParquetFile(group.path, page_checksum_verification=True) as parquet:
                table = parquet.read_row_group(group.index, columns=columns)
            break
        except (OSError, pa.ArrowInvalid) as error:
            # Damaged pages have no error number; what the system says of its storage has one, and may pass.
            if wait is None or getattr(error, "errno", None) is None:
                reason = str(error).splitlines()[0]
                raise InputError(f"{group.path}: cannot be read ({reason}). {MEND_SHARD}") from error
            time.sleep(wait)
    if table.num_rows != group.rows:
        raise InputError(
            f"{group.path}: row group {group.index} has {table.num_rows} rows, not {group.rows}. {MEND_SHARD}"
        )
    return table


def unlabelled_rows(group: RowGroup) -> np.ndarray:
    """The rows of a row group that have no redshift.

    Raises:
        InputError: as `read_group`.
    """
    return np.flatnonzero(read_group(group, ["redshift"])["redshift"].is_null().to_numpy())
