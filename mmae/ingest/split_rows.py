"""The split of every row of a survey, when all chunks are read.

A row has the split of its sky cell or group, unless another row of the same galaxy or group has another one: then all
of these rows get one split (`mmae.survey.duplicates`).

Shape suffix: N rows, in the order of the chunks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from mmae.ingest.chunk import OWN_SPLIT, ChunkReport
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
        split_hash: see `columns.split_hash`.
    """

    chunks: list[bytes]
    duplicates: Duplicates
    split_hash: str


def split_rows(folder: Path, reports: Sequence[ChunkReport]) -> RowSplits:
    """Decide the split of every row; holds the scalar columns of all rows in memory."""
    rows = read_columns(folder, [report.scalars for report in reports], None)
    ra_N, dec_N = (rows[name].fill_null(np.nan).to_numpy() for name in ("ra", "dec"))
    galaxy_N = same_galaxy(rows["targetid"].fill_null(0).to_numpy(), ra_N, dec_N)
    group = rows["group_id"].cast(pa.large_string()).combine_chunks()
    set_N = label_sets(galaxy_N, group.dictionary_encode().indices.to_numpy())
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
    ends = np.cumsum([report.scalars.rows for report in reports])[:-1]
    return RowSplits(
        [part.tobytes() for part in np.split(split_N, ends)], duplicates, hash_splits(rows["object_id"], names)
    )
