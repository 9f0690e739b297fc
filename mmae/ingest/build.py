"""Build a survey: one task reads each chunk, the split of every row is decided, one task divides each chunk into
shards, then the manifest is written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmae.core.errors import InputError
from mmae.core.files import folder_lock
from mmae.core.progress import ProgressBar
from mmae.core.provenance import provenance as provenance_of_code
from mmae.core.tasks import Job, Runner, in_ray
from mmae.ingest.chunk import ChunkReport, divide_chunk, hash_splits_of, read_chunk
from mmae.ingest.config import DEFAULT_SPLIT, SplitConfig
from mmae.ingest.resume import REJECTED, describe_build, finished_chunks, keep_only, remove_build_files, save_report
from mmae.ingest.split_rows import RowSplits, split_rows
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

    Every task handles one chunk, so memory is bounded and the rows do not depend on the number
    of workers. What cannot be used is rejected, and listed in rejected.parquet. The splits are decided
    when all chunks are read, because rows of one galaxy may be in different chunks. A build
    that was killed continues from its last finished chunk when it is started again.

    Args:
        workers: at most this many chunks at once; None: as many as the cluster has CPUs.
        run: where the tasks run.

    Raises:
        InputError: `out` is not empty, the sources have different grids, an input file is
            invalid as a whole, no usable galaxy was read, two rows have the same object_id, or another build is
            writing there.
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
    folder = out.with_name(out.name + ".unfinished")
    with folder_lock(folder, "another build is writing here. Wait for it, or choose another --out."):
        done = finished_chunks(folder, describe_build(sources, split))
        reports = _read_chunks(sources, done, folder, split, workers, run)
        usable = any(report.scalars.rows for report in reports)
        if usable:
            splits = split_rows(folder, reports)
            reports = _divide_chunks(reports, splits, folder, workers, run)
            survey = _survey(reports, sources, folder, split, splits)
            # Attempts that Ray abandoned may have left partial files.
            keep_only(folder, dict(enumerate(reports)))
            _write_rejections(reports, folder / REJECTED)
            write_manifest(survey)
            if out.exists():
                out.rmdir()
            folder.rename(out)
    if not usable:
        shutil.rmtree(folder)
        reasons = {r.reason for report in reports for r in report.rejections}
        raise InputError(f"{out}: no usable galaxy was read. Reasons: {sorted(reasons)[:5]}")
    remove_build_files(out)
    return replace(survey, path=out)


def provenance(sources: list[Source], split: SplitConfig) -> dict[str, Any]:
    """The origin of a survey, as recorded in its manifest."""
    return {"sources": [{"name": s.name, **s.provenance} for s in sources], "split": asdict(split)}


def _read_chunks(
    sources: list[Source],
    done: dict[int, ChunkReport],
    folder: Path,
    split: SplitConfig,
    workers: int | None,
    run: Runner,
) -> list[ChunkReport]:
    """The reports of all chunks in their order; those not in `done` are read."""
    chunks = [(number, chunk) for number, source in enumerate(sources) for chunk in source.chunks]
    jobs = [
        {"index": index, "source": number, "chunk": json.dumps(chunk)}
        for index, (number, chunk) in enumerate(chunks)
        if index not in done
    ]

    def work(job: Job) -> Job:
        report = read_chunk(sources[job["source"]], json.loads(job["chunk"]), job["index"], folder, split).to_json()
        save_report(folder, job["index"], report)
        return {"index": job["index"], "report": report}

    reports = dict(done)
    for row in _progress(run, jobs, work, workers, len(chunks), "read"):
        reports[row["index"]] = ChunkReport.from_json(row["report"])
    return [reports[index] for index in range(len(chunks))]


def _divide_chunks(
    reports: list[ChunkReport], splits: RowSplits, folder: Path, workers: int | None, run: Runner
) -> list[ChunkReport]:
    """The reports of all chunks in their order, after their shards are written and the intermediate files removed.

    Raises:
        InputError: a chunk was divided before by other splits.
    """
    jobs = []
    for index, (report, chunk_splits, groups) in enumerate(zip(reports, splits.chunks, splits.groups, strict=True)):
        if not report.is_divided:
            jobs.append({"index": index, "report": report.to_json(), "splits": chunk_splits, "groups": groups})
        elif report.splits_hash != hash_splits_of(chunk_splits, groups):
            raise InputError(
                f"{folder}: the rows of chunk {index} have other splits than before the build was interrupted, so "
                f"input files have changed. Remove this folder and build again."
            )

    def work(job: Job) -> Job:
        divided = divide_chunk(ChunkReport.from_json(job["report"]), job["index"], job["splits"], folder, job["groups"])
        report = divided.to_json()
        save_report(folder, job["index"], report)
        return {"index": job["index"], "report": report}

    reports = list(reports)
    for row in _progress(run, jobs, work, workers, len(reports), "write"):
        report = reports[row["index"]] = ChunkReport.from_json(row["report"])
        # Here and not in the task: Ray repeats a task that ran on a lost node.
        for file in report.intermediate:
            (folder / file.path).unlink(missing_ok=True)
    return reports


def _progress(
    run: Runner, jobs: list[Job], work: Callable[[Job], Job], workers: int | None, total: int, name: str
) -> Iterator[Job]:
    """The results of the jobs, with a progress bar that includes the chunks done before."""
    if not jobs:
        return iter(())
    return iter(ProgressBar(run(jobs, work, workers), total=total, initial=total - len(jobs), desc=name, unit="chunk"))


def _survey(
    reports: list[ChunkReport], sources: list[Source], path: Path, split: SplitConfig, splits: RowSplits
) -> Survey:
    spec = sources[0].spec
    shards = sorted((s for r in reports for s in r.shards), key=lambda s: s.path)
    truth = [s for r in reports for s in r.truth]
    data = content_hash(spec, shards, truth)
    return Survey(
        path=path,
        spec=spec,
        provenance=provenance(sources, split),
        counts=_totals(reports),
        content_hash=data,
        shards=tuple(shards),
        truth_shards=tuple(truth),
        recorded_split_hash=splits.split_hash,
        duplicates=splits.duplicates,
        built_with=provenance_of_code(data=data),
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
