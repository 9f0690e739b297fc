"""The split and the group of every row of a survey, when all chunks are read.

A row has the split of its sky cell or group, unless another row of the same galaxy or group has another one: then all
of these rows get one split (`mmae.survey.duplicates`). Object ids must be unique.

Shape suffix: N rows, in the order of the chunks.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmae.core.errors import InputError
from mmae.ingest.chunk import OWN_SPLIT, SCALARS, WHERE, ChunkReport
from mmae.ingest.ids import repeated
from mmae.survey.columns import read_columns
from mmae.survey.duplicates import common_splits, label_sets, same_galaxy
from mmae.survey.schema import SPLITS
from mmae.survey.splits import hash_splits
from mmae.survey.store import Duplicates


@dataclass(frozen=True)
class RowSplits:
    """The splits of all rows of a survey.

    Attributes:
        chunks: for each chunk one byte per row, the index in SPLITS.
        groups: for each chunk the group_ids to replace, as in `divide_chunk`.
        split_hash: see `columns.split_hash`.
    """

    chunks: list[bytes]
    groups: list[str]
    duplicates: Duplicates
    split_hash: str


def split_rows(folder: Path, reports: Sequence[ChunkReport]) -> RowSplits:
    """Decide the split of every row; holds the scalar columns of all rows in memory.

    Raises:
        InputError: an object_id occurs more than once.
    """
    files = [report.scalars for report in reports]
    rows = read_columns(folder, files, SCALARS)
    if repeated(rows["object_id"]).any():
        raise InputError(_repetition(read_columns(folder, files, ["object_id", WHERE]), folder))
    ra_N, dec_N = (rows[name].fill_null(np.nan).to_numpy() for name in ("ra", "dec"))
    galaxy_N = same_galaxy(rows["targetid"].fill_null(0).to_numpy(), ra_N, dec_N)
    # The group of a target is that of its galaxy: its number alone may name another object elsewhere on the sky.
    of_target = pc.fill_null(pc.equal(rows["group_id"], rows["targetid"].cast(pa.string())), False)
    group = pc.if_else(of_target, None, rows["group_id"]).cast(pa.large_string()).combine_chunks()
    code_N = group.dictionary_encode().indices.fill_null(-1).to_numpy()
    set_N = label_sets(galaxy_N, np.where(code_N < 0, len(rows) + np.arange(len(rows)), code_N))
    own_N = rows[OWN_SPLIT].to_numpy()
    split_N = common_splits(set_N, rows["object_id"], own_N)
    n_rows = np.bincount(galaxy_N)
    duplicates = Duplicates(
        galaxies=int((n_rows > 1).sum()),
        rows=int(n_rows[n_rows > 1].sum()),
        largest=int(np.bincount(set_N).max()),
        moved=int((own_N != split_N).sum()),
    )
    names = pa.chunked_array([pa.array(SPLITS).take(pa.array(split_N))])
    ends = np.cumsum([report.scalars.rows for report in reports])
    renamed = _groups_of_galaxies(rows, galaxy_N, of_target.to_numpy())
    return RowSplits(
        [part.tobytes() for part in np.split(split_N, ends[:-1])],
        _per_chunk(renamed, ends),
        duplicates,
        hash_splits(rows["object_id"], names),
    )


def _groups_of_galaxies(rows: pa.Table, galaxy_N: np.ndarray, of_target_N: np.ndarray) -> dict[int, str]:
    """New group_ids by row, for targetids that several galaxies have: the first object_id of the galaxy."""
    row_T = np.flatnonzero(of_target_N)
    which = np.unique(rows["targetid"].take(row_T).to_numpy(), return_inverse=True)[1]
    lowest, highest = np.full(len(row_T), len(rows)), np.full(len(row_T), -1)
    np.minimum.at(lowest, which, galaxy_N[row_T])
    np.maximum.at(highest, which, galaxy_N[row_T])
    row_T = row_T[(lowest < highest)[which]]
    first: dict[int, str] = {}
    named = list(zip(row_T.tolist(), galaxy_N[row_T].tolist(), rows["object_id"].take(row_T).to_pylist(), strict=True))
    for _, galaxy, name in named:
        first[galaxy] = min(name, first.get(galaxy, name))
    return {row: first[galaxy] for row, galaxy, _ in named}


def _per_chunk(renamed: dict[int, str], ends: np.ndarray) -> list[str]:
    """The mapping of `divide_chunk` for each chunk, from one by row of the survey."""
    parts: list[dict[int, str]] = [{} for _ in ends]
    for row, name in renamed.items():
        chunk = int(np.searchsorted(ends, row, side="right"))
        parts[chunk][row - (int(ends[chunk - 1]) if chunk else 0)] = name
    return [json.dumps(part) if part else "" for part in parts]


def _repetition(rows: pa.Table, folder: Path) -> str:
    again = rows.filter(pa.array(repeated(rows["object_id"])))
    name = again["object_id"][0].as_py()
    of_name = again.filter(pc.equal(again["object_id"], name))[WHERE].to_pylist()
    n_ids = len(again["object_id"].unique())
    return (
        f"{folder}: {len(of_name)} rows have the object_id {name}: {of_name[0]} and {of_name[1]} (in all {n_ids} ids "
        f"occur more than once). Ids must be unique in a survey: remove the repeated rows, give them other ids, or "
        f"build the sources one by one."
    )
