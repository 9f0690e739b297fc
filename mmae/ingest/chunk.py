"""What a worker does with one chunk: read it, check every galaxy, write its shards, report."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from mmae.survey.schema import SPLITS, Galaxy, Rejection, check_galaxy, to_table
from mmae.survey.source import Chunk, ChunkRead, Source
from mmae.survey.splits import assign_split, splitting_units
from mmae.survey.store import Shard, TruthShard, write_shard
from mmae.survey.strata import count_strata
from mmae.survey.truth import write_truth


@dataclass(frozen=True)
class SplitConfig:
    """How galaxies are divided: by sky cell. Rows of one galaxy, and groups (one parent image), stay together."""

    fractions: tuple[float, float, float] = (0.70, 0.15, 0.15)
    """Train, val and test: the paper's 70/15/15."""
    seed: int = 0
    nside: int = 512
    """HEALPix nside of the sky cells; 512: 6.9 arcmin. 0: no cells, every group for itself, as is a row
    without position."""


DEFAULT_SPLIT = SplitConfig()


@dataclass
class ChunkReport:
    """What became of one chunk."""

    shards: list[Shard]
    rejections: list[Rejection]
    redshifts: dict[str, list[float]]
    counts: dict[str, dict[str, int]]
    truth: list[TruthShard] = field(default_factory=list)
    moved: int = 0  # rows put into another split when all chunks were known

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> ChunkReport:
        values = json.loads(text)
        return cls(
            [Shard(**s) for s in values["shards"]],
            [Rejection(**r) for r in values["rejections"]],
            values["redshifts"],
            values["counts"],
            [TruthShard(**s) for s in values["truth"]],
            values["moved"],
        )


def write_chunk(source: Source, chunk: Chunk, index: int, out: Path, split: SplitConfig) -> ChunkReport:
    """Read, check, split and write one chunk: at most one shard per split, and one of truth."""
    read: ChunkRead = source.read(chunk)
    rejections = list(read.rejections)
    usable: list[Galaxy] = []
    for galaxy, where in zip(read.galaxies, read.where, strict=True):
        checked = check_galaxy(galaxy, source.spec, where)
        rejections += checked.rejections
        if checked.galaxy is not None:
            usable.append(checked.galaxy)
    units = splitting_units(
        [g.ra for g in usable], [g.dec for g in usable], [g.group_id or g.object_id for g in usable], split.nside
    )
    kept = {name: [] for name in SPLITS}
    for galaxy, unit in zip(usable, units, strict=True):
        kept[assign_split(unit, split.fractions, split.seed)].append(galaxy)
    report = ChunkReport([], rejections, {}, {})
    for name, galaxies in kept.items():
        table = to_table(galaxies, [name] * len(galaxies), source.spec)
        describe_rows(report, name, table)
        if galaxies:
            report.shards.append(write_rows(table, name, chunk.get("name", f"{index:06d}"), out))
    split_of = {g.object_id: name for name, galaxies in kept.items() for g in galaxies}
    report.truth = write_truth(source, read.truth, split_of, index, out)
    return report


def write_rows(table: pa.Table, split: str, name: str, out: Path) -> Shard:
    """Write the rows that a chunk has of one split."""
    path = f"{split}/{name}.parquet"
    return Shard(path, split, len(table), write_shard(table, out / path))


def describe_rows(report: ChunkReport, split: str, table: pa.Table) -> None:
    """Put into the report what there is of one split."""
    image, spectrum, redshift = table["image"], table["flux"], table["redshift"].drop_null()
    report.redshifts[split] = redshift.to_pylist()
    report.counts[split] = {
        "galaxies": len(table),
        "images": len(table) - image.null_count,
        "spectra": len(table) - spectrum.null_count,
        "paired": pc.sum(pc.and_(image.is_valid(), spectrum.is_valid())).as_py() or 0,
        "redshifts": len(redshift),
        **count_strata(table),
    }
