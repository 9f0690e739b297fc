"""Build a survey: read chunks in Ray workers, check every galaxy, write shards, keep the counts."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import ray
from tqdm import tqdm

from mmae.errors import InputError
from mmae.survey.schema import SPLITS, Rejection, check_galaxy, to_table
from mmae.survey.source import Chunk, ChunkRead, Source
from mmae.survey.splits import assign_split, check_fractions
from mmae.survey.store import Shard, Survey, content_hash, write_manifest, write_shard


@dataclass(frozen=True)
class SplitConfig:
    """How galaxies are divided; whole groups (one parent image, one target) stay together."""

    fractions: tuple[float, float, float] = (0.70, 0.15, 0.15)
    """Train, val and test: the paper's 70/15/15."""
    seed: int = 0


@dataclass
class ChunkReport:
    """What became of one chunk."""

    shards: list[Shard]
    rejections: list[Rejection]
    redshifts: dict[str, list[float]]
    counts: dict[str, dict[str, int]]


def build_survey(sources: list[Source], out: Path, split: SplitConfig = SplitConfig()) -> Survey:
    """Read all sources and write one survey to the folder `out`.

    Every chunk is one Ray task of bounded memory, so the rows do not depend on the number
    of workers. What cannot be used is set aside in rejected.parquet and counted.

    Raises:
        InputError: `out` is not empty, the sources have different grids, an input file is
            wrong as a whole, or no galaxy is left.
    """
    check_fractions(split.fractions)
    out = out.expanduser().resolve()
    if out.exists() and any(out.iterdir()):
        raise InputError(f"{out}: folder is not empty. Choose another --out, or remove it.")
    spec = sources[0].spec
    for source in sources[1:]:
        spec.require_equal_grid(source.spec, f"source {source.name}")
    unfinished = out.with_name(out.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)

    jobs = [
        {"index": index, "source": number, "chunk": json.dumps(chunk)}
        for index, (number, chunk) in enumerate(
            (number, chunk) for number, source in enumerate(sources) for chunk in source.chunks
        )
    ]
    reports = _run(jobs, sources, unfinished, split)
    shards = sorted((s for r in reports for s in r.shards), key=lambda s: s.path)
    if not shards:
        shutil.rmtree(unfinished)
        reasons = {r.reason for report in reports for r in report.rejections}
        raise InputError(f"{out}: no usable galaxy was read. Reasons: {sorted(reasons)[:5]}")
    rejections = [r for report in reports for r in report.rejections]
    _write_rejections(rejections, unfinished / "rejected.parquet")
    survey = Survey(
        path=unfinished,
        spec=spec,
        provenance={
            "sources": [{"name": s.name, **s.provenance} for s in sources],
            "split": asdict(split),
        },
        counts=_totals(reports),
        content_hash=content_hash(spec, shards),
        shards=tuple(shards),
    )
    write_manifest(survey)
    if out.exists():
        out.rmdir()
    unfinished.rename(out)
    return replace(survey, path=out)


def _run(jobs: list[dict], sources: list[Source], out: Path, split: SplitConfig) -> list[ChunkReport]:
    sources_ref = ray.put(sources)

    def work(row: dict[str, Any]) -> dict[str, Any]:
        source = ray.get(sources_ref)[row["source"]]
        report = write_chunk(source, json.loads(row["chunk"]), row["index"], out, split)
        return {"index": row["index"], "report": json.dumps(asdict(report))}

    dataset = ray.data.from_items(jobs, override_num_blocks=len(jobs)).map(work, num_cpus=1)
    rows = tqdm(dataset.iter_rows(), total=len(jobs), desc="survey", unit="chunk")
    return [_report(row["report"]) for row in sorted(rows, key=lambda row: row["index"])]


def _report(text: str) -> ChunkReport:
    values = json.loads(text)
    return ChunkReport(
        [Shard(**s) for s in values["shards"]],
        [Rejection(**r) for r in values["rejections"]],
        values["redshifts"],
        values["counts"],
    )


def write_chunk(source: Source, chunk: Chunk, index: int, out: Path, split: SplitConfig) -> ChunkReport:
    """Read, check, split and write one chunk: at most one shard per split."""
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
    return ChunkReport(shards, rejections, redshifts, counts)


def _totals(reports: list[ChunkReport]) -> dict[str, dict[str, float]]:
    totals: dict[str, dict[str, float]] = {}
    for name in SPLITS:
        keys = reports[0].counts[name]
        totals[name] = {key: sum(r.counts[name][key] for r in reports) for key in keys}
        z_N = np.array([z for r in reports for z in r.redshifts[name]])
        if z_N.size:
            totals[name] |= {
                "redshift_min": float(z_N.min()),
                "redshift_median": float(np.median(z_N)),
                "redshift_max": float(z_N.max()),
            }
    return totals


def _write_rejections(rejections: list[Rejection], path: Path) -> None:
    columns = {name: [getattr(r, name) for r in rejections] for name in Rejection.__dataclass_fields__}
    schema = pa.schema([(name, pa.string()) for name in columns])
    pq.write_table(pa.table(columns, schema=schema), path)
