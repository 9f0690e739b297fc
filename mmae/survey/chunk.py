"""What a worker does with one chunk: read it, check every galaxy, write its shards, report."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from mmae.survey.schema import SPLITS, Rejection, check_galaxy, to_table
from mmae.survey.source import Chunk, ChunkRead, Source
from mmae.survey.splits import assign_split
from mmae.survey.store import Shard, TruthShard, write_shard
from mmae.survey.truth import write_truth


@dataclass(frozen=True)
class SplitConfig:
    """How galaxies are divided; whole groups (one parent image, one target) stay together."""

    fractions: tuple[float, float, float] = (0.70, 0.15, 0.15)
    """Train, val and test: the paper's 70/15/15."""
    seed: int = 0


DEFAULT_SPLIT = SplitConfig()


@dataclass
class ChunkReport:
    """What became of one chunk."""

    shards: list[Shard]
    rejections: list[Rejection]
    redshifts: dict[str, list[float]]
    counts: dict[str, dict[str, int]]
    truth: list[TruthShard] = field(default_factory=list)

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
        )


def write_chunk(source: Source, chunk: Chunk, index: int, out: Path, split: SplitConfig) -> ChunkReport:
    """Read, check, split and write one chunk: at most one shard per split, and one of truth."""
    read: ChunkRead = source.read(chunk)
    rejections = list(read.rejections)
    kept = {name: [] for name in SPLITS}
    for galaxy, where in zip(read.galaxies, read.where, strict=True):
        checked = check_galaxy(galaxy, source.spec, where)
        rejections += checked.rejections
        if checked.galaxy is not None:
            group = checked.galaxy.group_id or checked.galaxy.object_id
            kept[assign_split(group, split.fractions, split.seed)].append(checked.galaxy)
    shards, redshifts, counts = [], {}, {}
    for name, galaxies in kept.items():
        redshifts[name] = [g.redshift for g in galaxies if g.redshift is not None]
        counts[name] = {
            "galaxies": len(galaxies),
            "images": sum(g.image_CHW is not None for g in galaxies),
            "spectra": sum(g.flux_L is not None for g in galaxies),
            "paired": sum(g.image_CHW is not None and g.flux_L is not None for g in galaxies),
            "redshifts": len(redshifts[name]),
        }
        if galaxies:
            path = f"{name}/{index:06d}.parquet"
            digest = write_shard(to_table(galaxies, [name] * len(galaxies), source.spec), out / path)
            shards.append(Shard(path, name, len(galaxies), digest))
    split_of = {g.object_id: name for name, galaxies in kept.items() for g in galaxies}
    truth = write_truth(source, read.truth, split_of, index, out)
    return ChunkReport(shards, rejections, redshifts, counts, truth)
