"""Build a survey: one task for each chunk, in Ray, then duplicates put together, then one manifest."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from mmae.core.errors import InputError
from mmae.core.files import folder_lock
from mmae.core.tasks import Runner, in_ray
from mmae.ingest.chunk import DEFAULT_SPLIT, ChunkReport, SplitConfig, write_chunk
from mmae.ingest.resume import REJECTED, describe_build, finished_chunks, keep_only, remove_traces, save_report
from mmae.ingest.together import Together, keep_together, move_rows
from mmae.survey.schema import SPLITS, Rejection
from mmae.survey.source import Source
from mmae.survey.splits import check_fractions, check_nside
from mmae.survey.store import Survey, content_hash, write_manifest
from mmae.survey.truth import check_truth_schemas


def build_survey(
    sources: list[Source],
    out: Path,
    split: SplitConfig = DEFAULT_SPLIT,
    workers: int | None = None,
    run: Runner = in_ray,
) -> Survey:
    """Read all sources and write one survey to the folder `out`.

    Every chunk is one task of bounded memory, so the rows do not depend on the number
    of workers. What cannot be used is set aside in rejected.parquet and counted. Rows of one
    galaxy that chunks put into different splits are put together (`together.py`). A build
    that was killed goes on from its last finished chunk when it is started again.

    Args:
        workers: at most this many chunks at once; None: as many as the cluster has CPUs.
        run: where the tasks run.

    Raises:
        InputError: `out` is not empty, the sources have different grids, an input file is
            wrong as a whole, no galaxy is left, or another build is writing there.
    """
    check_fractions(split.fractions)
    check_nside(split.nside)
    if workers is not None and workers < 1:
        raise InputError(f"workers is {workers}; give 1 or more, or leave it out for all CPUs.")
    out = out.expanduser().resolve()
    if out.exists() and any(out.iterdir()):
        raise InputError(f"{out}: folder is not empty. Choose another --out, or remove it.")
    spec = sources[0].spec
    for source in sources[1:]:
        spec.require_equal_grid(source.spec, f"source {source.name}")
    check_truth_schemas(sources)
    unfinished = out.with_name(out.name + ".unfinished")
    with folder_lock(unfinished, "another build is writing here. Wait for it, or choose another --out."):
        done = finished_chunks(unfinished, describe_build(sources, split))
        reports = _reports(sources, done, unfinished, split, workers, run)
        usable = any(report.shards for report in reports)
        if usable:
            together = keep_together(unfinished, reports)
            reports = _moved(reports, together, unfinished, workers, run)
            survey = _survey(reports, sources, unfinished, split, together)
            # Attempts that Ray gave up may have left halves.
            keep_only(unfinished, dict(enumerate(reports)))
            _write_rejections(reports, unfinished / REJECTED)
            write_manifest(survey)
            if out.exists():
                out.rmdir()
            unfinished.rename(out)
    if not usable:
        shutil.rmtree(unfinished)
        reasons = {r.reason for report in reports for r in report.rejections}
        raise InputError(f"{out}: no usable galaxy was read. Reasons: {sorted(reasons)[:5]}")
    remove_traces(out)
    return replace(survey, path=out)


def provenance(sources: list[Source], split: SplitConfig) -> dict[str, Any]:
    """Where a survey comes from, as its manifest tells it."""
    return {"sources": [{"name": s.name, **s.provenance} for s in sources], "split": asdict(split)}


def _reports(
    sources: list[Source], done: dict[int, ChunkReport], out: Path, split: SplitConfig, workers: int | None, run: Runner
) -> list[ChunkReport]:
    """The reports of all chunks in their order; those not done yet are done here."""
    jobs = [
        {"index": index, "source": number, "chunk": json.dumps(chunk)}
        for index, (number, chunk) in enumerate(
            (number, chunk) for number, source in enumerate(sources) for chunk in source.chunks
        )
    ]
    todo = [job for job in jobs if job["index"] not in done]
    reports = dict(done)
    if todo:
        rows = _run(todo, sources, out, split, workers, run)
        for row in tqdm(rows, total=len(jobs), initial=len(done), desc="survey", unit="chunk"):
            reports[row["index"]] = ChunkReport.from_json(row["report"])
    return [reports[job["index"]] for job in jobs]


def _run(
    jobs: list[dict[str, Any]], sources: list[Source], out: Path, split: SplitConfig, workers: int | None, run: Runner
) -> Iterator[dict[str, Any]]:
    def work(row: dict[str, Any]) -> dict[str, Any]:
        report = write_chunk(sources[row["source"]], json.loads(row["chunk"]), row["index"], out, split).to_json()
        save_report(out, row["index"], report)
        return {"index": row["index"], "report": report}

    return run(jobs, work, workers)


def _moved(
    reports: list[ChunkReport], together: Together, out: Path, workers: int | None, run: Runner
) -> list[ChunkReport]:
    """The reports when every galaxy stands in one split; the chunks concerned are written again."""
    jobs = [
        {"index": index, "report": reports[index].to_json(), "moves": json.dumps(moves)}
        for index, moves in together.moves.items()
    ]

    def work(row: dict[str, Any]) -> dict[str, Any]:
        before = ChunkReport.from_json(row["report"])
        report = move_rows(before, row["index"], json.loads(row["moves"]), out).to_json()
        save_report(out, row["index"], report)
        return {"index": row["index"], "report": report}

    reports = list(reports)
    for row in run(jobs, work, workers):
        reports[row["index"]] = ChunkReport.from_json(row["report"])
    return reports


def _survey(
    reports: list[ChunkReport], sources: list[Source], path: Path, split: SplitConfig, together: Together
) -> Survey:
    spec = sources[0].spec
    shards = sorted((s for r in reports for s in r.shards), key=lambda s: s.path)
    truth = [s for r in reports for s in r.truth]
    return Survey(
        path=path,
        spec=spec,
        provenance=provenance(sources, split),
        counts=_totals(reports),
        content_hash=content_hash(spec, shards, truth),
        shards=tuple(shards),
        truth_shards=tuple(truth),
        recorded_split_hash=together.split_hash,
        duplicates=together.duplicates,
    )


def _totals(reports: list[ChunkReport]) -> dict[str, dict[str, float]]:
    totals: dict[str, dict[str, float]] = {}
    for name in SPLITS:
        totals[name] = {key: sum(r.counts[name][key] for r in reports) for key in reports[0].counts[name]}
        z_N = np.array([z for r in reports for z in r.redshifts[name]])
        if z_N.size:
            totals[name] |= {
                "redshift_min": float(z_N.min()),
                "redshift_median": float(np.median(z_N)),
                "redshift_max": float(z_N.max()),
            }
    return totals


def _write_rejections(reports: list[ChunkReport], path: Path) -> None:
    rejections = [r for report in reports for r in report.rejections]
    columns = {name: [getattr(r, name) for r in rejections] for name in Rejection.__dataclass_fields__}
    schema = pa.schema([(name, pa.string()) for name in columns])
    pq.write_table(pa.table(columns, schema=schema), path)
