"""After all chunks: rows that must share a split, and the shards written again that had them apart.

A worker sees one chunk, and gives each row the split of its sky cell or group. Only when all chunks are
there can be told which rows are one galaxy. The few of them that lie in different splits are put
together: the shards of a chunk that lose or win rows are written under another name, `000003-moved`,
then the chunk's report names these, then the old ones are removed. So whenever a build is killed, every
report names shards that are whole, and the next build comes to the same end.

Shape suffix: N rows, in the order of the reports' shards.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmae.ingest.chunk import ChunkReport, describe_rows, write_rows
from mmae.survey.columns import read_columns
from mmae.survey.duplicates import common_splits, kept_together, same_galaxy
from mmae.survey.schema import SPLITS
from mmae.survey.splits import hash_splits
from mmae.survey.store import Duplicates, Shard, TruthShard, write_shard
from mmae.survey.truth import TRUTH

COLUMNS = ["object_id", "targetid", "ra", "dec", "group_id"]
MOVED = "-moved"  # in the name of a shard that other rows came to, or left

Moves = dict[str, list[tuple[int, str]]]
"""Path of a shard -> its rows that change, and to which split."""


@dataclass(frozen=True)
class Together:
    """What is to be done so that no galaxy stands in two splits, and how the survey is then divided.

    Attributes:
        moves: by the index of the chunk.
        split_hash: see `columns.split_hash`.
    """

    moves: dict[int, Moves]
    duplicates: Duplicates
    split_hash: str


def keep_together(folder: Path, reports: Sequence[ChunkReport]) -> Together:
    """Find the rows that must change their split; reads the scalar columns of all shards into memory."""
    shards = [shard for report in reports for shard in report.shards]
    rows = read_columns(folder, shards, COLUMNS)
    galaxy_N = same_galaxy(rows["targetid"].fill_null(0).to_numpy(), _floats(rows["ra"]), _floats(rows["dec"]))
    group = rows["group_id"].cast(pa.large_string()).combine_chunks()
    set_N = kept_together(galaxy_N, group.dictionary_encode().indices.to_numpy())
    before_N = np.repeat([SPLITS.index(s.split) for s in shards], [s.rows for s in shards])
    after_N = common_splits(set_N, rows["object_id"], before_N)
    moves = _moves(reports, before_N, after_N)
    n_rows = np.bincount(galaxy_N)
    duplicates = Duplicates(
        galaxies=int((n_rows > 1).sum()),
        rows=int(n_rows[n_rows > 1].sum()),
        largest=int(np.bincount(set_N).max()),
        # A build that goes on has moved some rows before.
        moved=sum(report.moved for report in reports) + int((before_N != after_N).sum()),
    )
    names = pa.chunked_array([pa.array(SPLITS).take(pa.array(after_N))])
    return Together(moves, duplicates, hash_splits(rows["object_id"], names))


def _moves(reports: Sequence[ChunkReport], before_N: np.ndarray, after_N: np.ndarray) -> dict[int, Moves]:
    moves: dict[int, Moves] = {}
    start = 0
    for index, report in enumerate(reports):
        for shard in report.shards:
            here = slice(start, start := start + shard.rows)
            changed = np.flatnonzero(before_N[here] != after_N[here])
            if changed.size:
                to = [(int(row), SPLITS[after_N[here][row]]) for row in changed]
                moves.setdefault(index, {})[shard.path] = to
    return moves


def move_rows(report: ChunkReport, index: int, moves: Moves, folder: Path) -> ChunkReport:
    """Write the shards of one chunk again that lose or win rows; returns the chunk's new report.

    What was there stays, so that this may be done twice. Rows keep the order train, val, test that
    they had before, each in its order.
    """
    lose = {shard.split for shard in report.shards if shard.path in moves}
    win = {split for rows in moves.values() for _, split in rows}
    concerned = [split for split in SPLITS if split in lose | win]
    before = [shard for shard in report.shards if shard.split in concerned]
    name = before[0].path.partition("/")[2].removesuffix(".parquet").removesuffix(MOVED)
    table = pa.concat_tables(_in_new_splits(folder, shard, moves.get(shard.path, [])) for shard in before)
    after = dataclasses.replace(report, redshifts=dict(report.redshifts), counts=dict(report.counts))
    after.shards = [shard for shard in report.shards if shard.split not in concerned]
    after.moved += sum(len(rows) for rows in moves.values())
    for split in concerned:
        rows = table.filter(pc.equal(table["split"], split)).combine_chunks()
        describe_rows(after, split, rows)
        if len(rows):
            after.shards.append(write_rows(rows, split, f"{name}{MOVED}", folder))
    after.shards.sort(key=lambda shard: SPLITS.index(shard.split))
    split_of = dict(zip(table["object_id"].to_pylist(), table["split"].to_pylist(), strict=True))
    after.truth = [_move_truth(shard, split_of, index, folder) for shard in report.truth]
    return after


def _in_new_splits(folder: Path, shard: Shard, moves: list[tuple[int, str]]) -> pa.Table:
    table = read_columns(folder, [shard], None)
    split_N = table["split"].to_pylist()
    for row, to in moves:
        split_N[row] = to
    return _with_splits(table, split_N)


def _move_truth(shard: TruthShard, split_of: dict[str, str], index: int, folder: Path) -> TruthShard:
    with pq.ParquetFile(folder / shard.path) as parquet:
        table = parquet.read()
    now_N = zip(table["object_id"].to_pylist(), table["split"].to_pylist(), strict=True)
    path = f"{TRUTH}/{index:06d}{MOVED}.parquet"
    digest = write_shard(_with_splits(table, [split_of.get(name, split) for name, split in now_N]), folder / path)
    return TruthShard(path, shard.rows, digest)


def _with_splits(table: pa.Table, split_N: list[str]) -> pa.Table:
    column = table.schema.get_field_index("split")
    return table.set_column(column, table.schema.field(column), pa.array(split_N, pa.string()))


def _floats(column: pa.ChunkedArray) -> np.ndarray:
    return column.fill_null(np.nan).to_numpy()
