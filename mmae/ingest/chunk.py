"""The two tasks of each chunk: read it into an intermediate file, then divide that file into shards.

A split depends on rows of other chunks (`split_rows.py`), so shards are written when all chunks are read.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmae.ingest.config import SplitConfig
from mmae.survey.schema import MAGNITUDE, SPLITS, Galaxy, Rejection, check_galaxy, to_table
from mmae.survey.source import Chunk, ChunkRead, Source
from mmae.survey.splits import assign_split, splitting_units
from mmae.survey.store import Shard, TruthShard, write_shard
from mmae.survey.strata import count_strata
from mmae.survey.truth import TRUTH, add_splits, truth_table

ROWS = "rows"
CHUNKS = "chunks"
OWN_SPLIT = "own_split"  # index in SPLITS of the split of the row's sky cell or group
SCALARS = ["object_id", "targetid", "ra", "dec", "group_id", OWN_SPLIT]  # group_id: null unless the reader gave one
WHERE = "where"  # file and row


@dataclass(frozen=True)
class BuildFile:
    """A file that exists only while a survey is built."""

    path: str  # relative to the folder of the build
    rows: int
    blake2b: str  # of the file's bytes


@dataclass(frozen=True)
class ChunkReport:
    """The state of one chunk: read, or read and divided.

    Attributes:
        name: of its shards.
        rejections: rows and fields that were rejected.
        scalars: SCALARS and WHERE of the kept rows.
        rows: all columns of the kept rows, with an empty split.
        truth_rows: truth of the kept rows, without splits; None if there is none.
        splits_hash: of the splits and groups that the rows were divided by; empty until then, as are the following
            fields.
        shards, truth: what was written.
        redshifts, counts: per split.
    """

    name: str
    rejections: list[Rejection]
    scalars: BuildFile
    rows: BuildFile
    truth_rows: BuildFile | None
    splits_hash: str = ""
    shards: list[Shard] = field(default_factory=list)
    truth: list[TruthShard] = field(default_factory=list)
    redshifts: dict[str, list[float]] = field(default_factory=dict)
    counts: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def is_divided(self) -> bool:
        return bool(self.splits_hash)

    @property
    def intermediate(self) -> list[BuildFile]:
        """Files that are not needed once the chunk is divided."""
        return [self.rows] if self.truth_rows is None else [self.rows, self.truth_rows]

    @property
    def files(self) -> list[BuildFile | Shard | TruthShard]:
        """All files that must exist in this state."""
        return [self.scalars, *(self.shards + self.truth if self.is_divided else self.intermediate)]

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> ChunkReport:
        values = json.loads(text)
        return cls(
            name=values["name"],
            rejections=[Rejection(**r) for r in values["rejections"]],
            scalars=BuildFile(**values["scalars"]),
            rows=BuildFile(**values["rows"]),
            truth_rows=None if values["truth_rows"] is None else BuildFile(**values["truth_rows"]),
            splits_hash=values["splits_hash"],
            shards=[Shard(**s) for s in values["shards"]],
            truth=[TruthShard(**s) for s in values["truth"]],
            redshifts=values["redshifts"],
            counts=values["counts"],
        )


def read_chunk(source: Source, chunk: Chunk, index: int, out: Path, split: SplitConfig) -> ChunkReport:
    """Read and check the galaxies of one chunk and write the kept ones to intermediate files."""
    read: ChunkRead = source.read(chunk)
    rejections = list(read.rejections)
    kept: list[Galaxy] = []
    origin: list[str] = []
    for galaxy, where in zip(read.galaxies, read.where, strict=True):
        checked = check_galaxy(galaxy, source.spec, where)
        rejections += checked.rejections
        if checked.galaxy is not None:
            kept.append(checked.galaxy)
            origin.append(where)
    units = splitting_units(
        [g.ra for g in kept], [g.dec for g in kept], [g.group_id or g.object_id for g in kept], split.nside
    )
    table = to_table(kept, [""] * len(kept), source.spec)
    scalars = {
        **{name: table[name] for name in ("object_id", "targetid", "ra", "dec")},
        "group_id": pa.array([g.group_id for g in kept], pa.string()),
        OWN_SPLIT: pa.array(
            [SPLITS.index(assign_split(unit, split.fractions, split.seed)) for unit in units], pa.int8()
        ),
        WHERE: pa.array(origin, pa.string()),
    }
    truth = truth_table(source, read.truth, {g.object_id for g in kept})
    return ChunkReport(
        name=chunk.get("name", f"{index:06d}"),
        rejections=rejections,
        scalars=_write(pa.table(scalars), f"{CHUNKS}/{index:06d}.parquet", out),
        rows=_write(table, f"{ROWS}/{index:06d}.parquet", out),
        truth_rows=None if truth is None else _write(truth, f"{ROWS}/{index:06d}-truth.parquet", out),
    )


def divide_chunk(report: ChunkReport, index: int, splits: bytes, out: Path, groups: str = "") -> ChunkReport:
    """Write the shards of a chunk that has been read: at most one per split, and one of truth.

    The intermediate files are kept, so the task can be repeated.

    Args:
        splits: one byte per row, the index of its split in SPLITS.
        groups: JSON, row -> the group_id that replaces the one of the reader; empty: none.
    """
    table = _with_groups(_read(out / report.rows.path), groups)
    split_N = pa.array(np.frombuffer(splits, np.int8))
    shards, redshifts, counts, split_of = [], {}, {}, {}
    for number, name in enumerate(SPLITS):
        rows = _with_split(table.filter(pc.equal(split_N, number)).combine_chunks(), name)
        redshifts[name], counts[name] = rows["redshift"].drop_null().to_pylist(), _count(rows)
        split_of |= dict.fromkeys(rows["object_id"].to_pylist(), name)
        if len(rows):
            path = f"{name}/{report.name}.parquet"
            shards.append(Shard(path, name, len(rows), _write_file(rows, path, out)))
    truth = []
    if report.truth_rows is not None:
        rows, path = add_splits(_read(out / report.truth_rows.path), split_of), f"{TRUTH}/{index:06d}.parquet"
        truth.append(TruthShard(path, len(rows), _write_file(rows, path, out)))
    return replace(
        report,
        splits_hash=hash_splits_of(splits, groups),
        shards=shards,
        truth=truth,
        redshifts=redshifts,
        counts=counts,
    )


def hash_splits_of(splits: bytes, groups: str) -> str:
    """Hash of the arguments of `divide_chunk`."""
    return hashlib.blake2b(splits + groups.encode(), digest_size=16).hexdigest()


def _write(table: pa.Table, path: str, out: Path) -> BuildFile:
    return BuildFile(path, len(table), _write_file(table, path, out))


def _write_file(table: pa.Table, path: str, out: Path) -> str:
    """Write a file of the build and return the hash of its bytes.

    Raises:
        FileNotFoundError: the folder of the build is gone: another process finished it, and this task was abandoned.
    """
    for folder in reversed(Path(path).parents[:-1]):  # shards of sky cells are three folders deep
        (out / folder).mkdir(exist_ok=True)
    return write_shard(table, out / path)


def _read(path: Path) -> pa.Table:
    with pq.ParquetFile(path) as parquet:
        return parquet.read()


def _with_groups(table: pa.Table, groups: str) -> pa.Table:
    if not groups:
        return table
    column, names = table.schema.get_field_index("group_id"), table["group_id"].to_pylist()
    for row, name in json.loads(groups).items():
        names[int(row)] = name
    return table.set_column(column, table.schema.field(column), pa.array(names, pa.string()))


def _with_split(table: pa.Table, split: str) -> pa.Table:
    column = table.schema.get_field_index("split")
    return table.set_column(column, table.schema.field(column), pa.array([split] * len(table), pa.string()))


def _measured(table: pa.Table, names: list[str]) -> np.ndarray:
    """(N,) bool: one of these columns has a value; False without such columns."""
    valid = [table[name].is_valid().to_numpy() for name in names if name in table.column_names]
    return np.any(valid, axis=0) if valid else np.zeros(len(table), bool)


def _incomplete(table: pa.Table) -> int:
    """The number of images with pixels that were not observed."""
    if "image" not in table.column_names:
        return 0
    return pc.sum(pc.and_(table["image"].is_valid(), pc.greater(table["masked_fraction"], 0))).as_py() or 0


def _count(table: pa.Table) -> dict[str, int]:
    """What the manifest counts in the rows of one split."""
    magnitudes = [name for name in table.column_names if name.endswith(MAGNITUDE)]
    image_N, spectrum_N, magnitude_N = (_measured(table, names) for names in (["image"], ["flux"], magnitudes))
    return {
        "galaxies": len(table),
        "images": int(image_N.sum()),
        "incomplete_images": _incomplete(table),
        "spectra": int(spectrum_N.sum()),
        "paired": int((image_N & spectrum_N).sum()),
        "magnitudes": int(magnitude_N.sum()),
        "redshifts": len(table) - table["redshift"].null_count,
        **count_strata(table),
    }
