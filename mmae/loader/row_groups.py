"""Read rows of a survey from Parquet row groups, in the order of the sampler; executed in Ray Data tasks.

Does not import torch, to keep the start of Ray's reader processes fast.
"""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmae.core.errors import InputError
from mmae.loader.rare import COLUMNS, REPEATS, kinds
from mmae.loader.sampler import Portion, Sampler
from mmae.survey.store import ROW_GROUP, SHARD_ADVICE, Survey

NICENESS = 10  # of the processes that read: a training on the same cores comes first
WAITS_S = (1.0, 4.0, 16.0)  # before each retry; outages of shared file systems often last only seconds


@dataclass(frozen=True)
class RowGroup:
    """One row group of a shard. All row groups except the last have the same size (`write_shard`)."""

    path: str
    index: int
    rows: int


def row_groups(survey: Survey, split: str) -> list[RowGroup]:
    """All row groups of a split."""
    survey.files(split)  # raises if there are none
    return [
        RowGroup(str(survey.path / shard.path), index, min(ROW_GROUP, shard.rows - start))
        for shard in survey.shards
        if shard.split == split
        for index, start in enumerate(range(0, shard.rows, ROW_GROUP))
    ]


def window_plan(sampler: Sampler, groups: list[RowGroup], window: int, portion: Portion, skip: int) -> dict[str, Any]:
    """What a Ray task needs to read a window: its row groups, and of each galaxy the place among their rows."""
    group_N, row_N = sampler.window(window, portion, skip)
    needed, which_N = np.unique(group_N, return_inverse=True)
    chosen = [groups[group] for group in needed]
    start_G = np.cumsum([0] + [group.rows for group in chosen[:-1]])
    return {
        "groups": [asdict(group) for group in chosen],
        "rows": start_G[which_N] + row_N,
        REPEATS: sampler.repeats_of(group_N, row_N),
    }


def read_windows(plans: pa.Table, columns: list[str]) -> pa.Table:
    """The galaxies of some windows, see `window_plan`, with a column of their number in an epoch.

    Raises:
        InputError: a shard cannot be read after several retries.
    """
    os.nice(max(0, NICENESS - os.nice(0)))
    tables = []
    for plan in plans.to_pylist():
        read = pa.concat_tables([read_group(RowGroup(**group), columns) for group in plan["groups"]])
        tables.append(read.take(plan["rows"]).append_column(REPEATS, pa.array(plan[REPEATS])))
    return pa.concat_tables(tables)


def read_group(group: RowGroup, columns: list[str]) -> pa.Table:
    """One row group, with verified page checksums; I/O errors of the storage are retried.

    Raises:
        InputError: a shard cannot be read, or its number of rows differs from the manifest.
    """
    for wait in (*WAITS_S, None):
        try:
            with pq.ParquetFile(group.path, page_checksum_verification=True) as parquet:
                table = parquet.read_row_group(group.index, columns=columns)
            break
        except (OSError, pa.ArrowInvalid) as error:
            # Errors of the operating system have an errno and may be temporary; damaged pages have none.
            if wait is None or getattr(error, "errno", None) is None:
                reason = str(error).splitlines()[0]
                raise InputError(f"{group.path}: cannot be read ({reason}). {SHARD_ADVICE}") from error
            time.sleep(wait)
    if table.num_rows != group.rows:
        raise InputError(
            f"{group.path}: row group {group.index} has {table.num_rows} rows, not {group.rows}. {SHARD_ADVICE}"
        )
    return table


def kinds_of_rows(group: RowGroup) -> np.ndarray:
    """The kind of each row of a row group, see `rare.kinds`.

    Raises:
        InputError: as `read_group`.
    """
    return kinds(read_group(group, COLUMNS))


def unlabelled_rows(group: RowGroup) -> np.ndarray:
    """Indices of the rows of a row group without a redshift.

    Raises:
        InputError: as `read_group`.
    """
    return np.flatnonzero(read_group(group, ["redshift"])["redshift"].is_null().to_numpy())
