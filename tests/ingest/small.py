"""Tiny surveys with positions on the sky, built without Ray."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from mmae.core.tasks import Job
from mmae.ingest.chunk import ChunkReport, divide_chunk, read_chunk
from mmae.ingest.config import DEFAULT_SPLIT, SplitConfig
from mmae.ingest.split_rows import split_rows
from mmae.survey.schema import Galaxy, SurveySpec, to_table
from mmae.survey.source import ChunkRead, Source
from mmae.survey.splits import hash_splits
from mmae.survey.store import Shard, Survey, content_hash, open_survey, write_manifest, write_shard

SPEC = SurveySpec(
    bands=("g", "r"),
    image_size=4,
    n_wavelengths=12,
    band_noise=(0.02, 0.03),
    arcsinh_mean=(1.0, 1.5),
    arcsinh_std=(1.8, 1.9),
)
ARCSEC = 1 / 3600  # degrees
TRUTH = pa.schema([("object_id", pa.string()), ("mass", pa.float64())])


def in_turn(jobs: list[Job], work: Callable[[Job], Job], workers: int | None = None) -> Iterator[Job]:
    """A `Runner`: one job after the other, in this process."""
    return map(work, jobs)


def write_one_chunk(
    source: Source, index: int, out: Path, split: SplitConfig = DEFAULT_SPLIT, chunk: dict | None = None
) -> ChunkReport:
    """Read the first chunk of a source, or another, and divide it as the only chunk of a survey."""
    report = read_chunk(source, source.chunks[0] if chunk is None else chunk, index, out, split)
    return divide_chunk(report, index, split_rows(out, [report]).chunks[0], out)


def galaxy(number: int, ra: float | None, dec: float | None, **fields) -> Galaxy:
    """A galaxy whose image and spectrum depend on its number; every fifth has no image."""
    rng = np.random.default_rng(number)
    image = None if number % 5 == 0 else rng.normal(1, 1, (2, 4, 4)).astype(np.float32)
    return replace(
        Galaxy(
            f"g{number:05d}",
            ra,
            dec,
            redshift=number % 40 / 20,
            image_CHW=image,
            flux_L=rng.normal(1, 1, 12).astype(np.float32),
            ivar_L=np.ones(12, np.float32),
            morphtype=("PSF", "EXP", "REX", None)[number % 4],
        ),
        **fields,
    )


def field(n: int, seed: int = 0, side: float = 2.0, **fields) -> list[Galaxy]:
    """Galaxies at random positions in a square of `side` degrees, more than 2 arcsec apart."""
    rng = np.random.default_rng(seed)
    cells = rng.choice(
        int(side * 1800) ** 2, n, replace=False
    )  # of 2 arcsec; positions are in the inner part of a cell
    row, column = np.divmod(cells, int(side * 1800))
    ra, dec = ((x + rng.uniform(0.3, 0.4, n)) * 2 * ARCSEC for x in (row, column))
    return [galaxy(i, 150 + ra[i], dec[i], **fields) for i in range(n)]


def source(galaxies: list[Galaxy], size: int, truth: bool = False) -> Source:
    """The galaxies in chunks of `size` rows."""

    def read(chunk) -> ChunkRead:
        some = [replace(g) for g in galaxies[chunk["start"] : chunk["stop"]]]
        rows = [{"object_id": g.object_id, "mass": float(g.object_id[1:6])} for g in some] if truth else []
        return ChunkRead(some, [f"row {g.object_id}" for g in some], truth=rows)

    chunks = [{"start": s, "stop": min(s + size, len(galaxies))} for s in range(0, len(galaxies), size)]
    return Source("small", SPEC, {"made": "by hand"}, chunks, read, TRUTH if truth else None)


def write_survey(folder: Path, splits: dict[str, list[Galaxy]], recorded: bool = True) -> Survey:
    """A survey of one shard per split."""
    shards, names = [], []
    for split, galaxies in splits.items():
        table = to_table([replace(g) for g in galaxies], [split] * len(galaxies), SPEC)
        path = f"{split}/000000.parquet"
        shards.append(Shard(path, split, len(galaxies), write_shard(table, folder / path)))
        names += [(g.object_id, split) for g in galaxies]
    rows = pa.table({"object_id": [n for n, _ in names], "split": [s for _, s in names]})
    write_manifest(
        Survey(
            folder,
            SPEC,
            {},
            {},
            content_hash(SPEC, shards),
            tuple(shards),
            recorded_split_hash=hash_splits(rows["object_id"], rows["split"]) if recorded else "",
        )
    )
    return open_survey(folder)
