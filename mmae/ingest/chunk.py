"""The two tasks of each chunk: read it and write shards by the splits of its rows' own cells, then make them final.

A split may depend on rows of other chunks (`split_rows.py`), so it is final only when all chunks are read. Few rows
then get another split than that of their cell: the shards of most chunks are complete and only get another name.
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

from mmae.core.files import second_name
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
        rows: the kept rows, as shards by the splits of their own cells or groups.
        truth_rows: truth of the kept rows, without splits; None if there is none.
        redshifts, counts: per split.
        splits_hash: of the splits and groups that the rows were divided by; empty until then, as are the following
            fields.
        shards, truth: what was written.
    """

    name: str
    rejections: list[Rejection]
    scalars: BuildFile
    rows: list[Shard]
    truth_rows: BuildFile | None
    redshifts: dict[str, list[float]]
    counts: dict[str, dict[str, int]]
    splits_hash: str = ""
    shards: list[Shard] = field(default_factory=list)
    truth: list[TruthShard] = field(default_factory=list)

    @property
    def is_divided(self) -> bool:
        return bool(self.splits_hash)

    @property
    def intermediate(self) -> list[BuildFile | Shard | TruthShard]:
        """Files that are not needed once the chunk is divided."""
        return [*self.rows, *([] if self.truth_rows is None else [self.truth_rows])]

    @property
    def files(self) -> list[BuildFile | Shard | TruthShard]:
        """All files that must exist in this state."""
        return [self.scalars, *([*self.shards, *self.truth] if self.is_divided else self.intermediate)]

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> ChunkReport:
        values = json.loads(text)
        return cls(
            name=values["name"],
            rejections=[Rejection(**r) for r in values["rejections"]],
            scalars=BuildFile(**values["scalars"]),
            rows=[Shard(**s) for s in values["rows"]],
            truth_rows=None if values["truth_rows"] is None else BuildFile(**values["truth_rows"]),
            redshifts=values["redshifts"],
            counts=values["counts"],
            splits_hash=values["splits_hash"],
            shards=[Shard(**s) for s in values["shards"]],
            truth=[TruthShard(**s) for s in values["truth"]],
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
    own = [assign_split(unit, split.fractions, split.seed) for unit in units]
    scalars = {
        "object_id": pa.array([g.object_id for g in kept], pa.string()),
        "targetid": pa.array([g.targetid for g in kept], pa.int64()),
        "ra": pa.array([g.ra for g in kept], pa.float64()),
        "dec": pa.array([g.dec for g in kept], pa.float64()),
        "group_id": pa.array([g.group_id for g in kept], pa.string()),
        OWN_SPLIT: pa.array([SPLITS.index(name) for name in own], pa.int8()),
        WHERE: pa.array(origin, pa.string()),
    }
    tables = {}
    for name in SPLITS:
        members = [g for g, of_row in zip(kept, own, strict=True) if of_row == name]
        tables[name] = to_table(members, [name] * len(members), source.spec)
    truth = truth_table(source, read.truth, {g.object_id for g in kept})
    return ChunkReport(
        name=chunk.get("name", f"{index:06d}"),
        rejections=rejections,
        scalars=_write(pa.table(scalars), f"{CHUNKS}/{index:06d}.parquet", out),
        rows=_write_shards(tables, f"{ROWS}/{index:06d}-{{split}}.parquet", out),
        truth_rows=None if truth is None else _write(truth, f"{ROWS}/{index:06d}-truth.parquet", out),
        redshifts=_redshifts(tables),
        counts={name: _count(rows) for name, rows in tables.items()},
    )


def divide_chunk(report: ChunkReport, index: int, splits: bytes, out: Path, groups: str = "") -> ChunkReport:
    """Make the shards of a chunk that has been read: at most one per split, and one of truth.

    The intermediate files are kept, so the task can be repeated.

    Args:
        splits: one byte per row, the index of its split in SPLITS.
        groups: JSON, row -> the group_id that replaces the one of the reader; empty: none.
    """
    scalars, split_N = _read(out / report.scalars.path), np.frombuffer(splits, np.int8)
    own_N = scalars[OWN_SPLIT].to_numpy()
    path_of = f"{{split}}/{report.name}.parquet"
    redshifts, counts = report.redshifts, report.counts
    if groups or not np.array_equal(split_N, own_N):
        tables = _divided(_with_groups(_whole(report, own_N, out), groups), split_N)
        redshifts, counts = _redshifts(tables), {name: _count(rows) for name, rows in tables.items()}
        shards = _write_shards(tables, path_of, out)
    else:
        shards = [replace(shard, path=path_of.format(split=shard.split)) for shard in report.rows]
        for was, shard in zip(report.rows, shards, strict=True):
            _make_folders(shard.path, out)
            second_name(out / was.path, out / shard.path)
    truth = []
    if report.truth_rows is not None:
        split_of = dict(zip(scalars["object_id"].to_pylist(), (SPLITS[number] for number in split_N), strict=True))
        rows, path = add_splits(_read(out / report.truth_rows.path), split_of), f"{TRUTH}/{index:06d}.parquet"
        truth.append(TruthShard(path, len(rows), _write_file(rows, path, out)))
    return replace(
        report,
        redshifts=redshifts,
        counts=counts,
        splits_hash=hash_splits_of(splits, groups),
        shards=shards,
        truth=truth,
    )


def hash_splits_of(splits: bytes, groups: str) -> str:
    """Hash of the arguments of `divide_chunk`."""
    return hashlib.blake2b(splits + groups.encode(), digest_size=16).hexdigest()


def _write(table: pa.Table, path: str, out: Path) -> BuildFile:
    return BuildFile(path, len(table), _write_file(table, path, out))


def _write_shards(tables: dict[str, pa.Table], path: str, out: Path) -> list[Shard]:
    """Write the rows of each split that has any.

    Args:
        path: with {split}.
    """
    some = [(name, path.format(split=name), rows) for name, rows in tables.items() if len(rows)]
    return [Shard(path, name, len(rows), _write_file(rows, path, out)) for name, path, rows in some]


def _write_file(table: pa.Table, path: str, out: Path) -> str:
    """Write a file of the build and return the hash of its bytes."""
    _make_folders(path, out)
    return write_shard(table, out / path)


def _make_folders(path: str, out: Path) -> None:
    """Make the folders of a file of the build.

    Raises:
        FileNotFoundError: the folder of the build is gone: another process finished it, and this task was abandoned.
    """
    for folder in reversed(Path(path).parents[:-1]):  # shards of sky cells are three folders deep
        (out / folder).mkdir(exist_ok=True)


def _read(path: Path) -> pa.Table:
    with pq.ParquetFile(path) as parquet:
        return parquet.read()


def _whole(report: ChunkReport, own_N: np.ndarray, out: Path) -> pa.Table:
    """The rows of a chunk in their order."""
    tables = [_read(out / shard.path) for shard in report.rows]
    place_N = np.argsort(np.argsort(own_N, kind="stable"))
    return pa.concat_tables(tables).take(pa.array(place_N))


def _divided(table: pa.Table, split_N: np.ndarray) -> dict[str, pa.Table]:
    """The rows of each split."""
    parts = {name: table.filter(pa.array(split_N == number)) for number, name in enumerate(SPLITS)}
    return {name: _with_split(rows.combine_chunks(), name) for name, rows in parts.items()}


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


def _redshifts(tables: dict[str, pa.Table]) -> dict[str, list[float]]:
    return {name: rows["redshift"].drop_null().to_pylist() for name, rows in tables.items()}


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
