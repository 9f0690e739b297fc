"""The folder of a build under way, <out>.unfinished: made so that a killed build can go on.

job.json              what is built: only the same build goes on
chunks/000000.json    the report of a finished chunk, written after its shards
lock                  held while a build writes here
train/ val/ test/ truth/   as in the finished survey; and shards that -moved ones replace (`together.py`)
"""

from __future__ import annotations

import hashlib
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import mmae
from mmae.core.errors import InputError
from mmae.core.files import LOCK, file_hash, write_whole
from mmae.ingest.chunk import ChunkReport, SplitConfig
from mmae.survey.schema import SPLITS
from mmae.survey.source import Source
from mmae.survey.store import MANIFEST
from mmae.survey.truth import TRUTH

JOB = "job.json"
CHUNKS = "chunks"
REJECTED = "rejected.parquet"
SHARD_FOLDERS = (*SPLITS, TRUTH)


def describe_build(sources: list[Source], split: SplitConfig) -> dict[str, Any]:
    """All that decides what the shards hold, as plain values; and a hash of it.

    Not the code itself, of which only the version of mmae counts here.
    """
    build = {
        "mmae": mmae.__version__,
        "source": [s.name for s in sources],
        "spec": [asdict(s.spec) for s in sources],
        "provenance": [s.provenance for s in sources],
        "truth_schema": [str(s.truth_schema) for s in sources],
        "split": asdict(split),
        "chunks": [s.chunks for s in sources],
    }
    text = json.dumps(build, sort_keys=True)
    return {"fingerprint": hashlib.blake2b(text.encode(), digest_size=16).hexdigest(), **json.loads(text)}


def finished_chunks(folder: Path, build: dict[str, Any]) -> dict[int, ChunkReport]:
    """The reports of chunks that an interrupted run of this same build finished, by index.

    All else that such a run left is removed. What another build left is removed whole.

    Raises:
        InputError: the folder holds files that no build wrote.
    """
    there = _leftovers(folder)
    before = _read_json(folder / JOB)
    if before is None or before.get("fingerprint") != build["fingerprint"]:
        if there:
            print(f"{folder}: left by {_other_build(before, build)}; removed, and built afresh.")
        for path in there:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        write_whole(folder / JOB, json.dumps(build, indent=1) + "\n")
        return {}
    files = sorted((folder / CHUNKS).glob("*.json"))
    with ThreadPoolExecutor(8) as pool:  # mostly waits for the disk
        reports = list(pool.map(lambda file: _whole_report(folder, file), files))
    done = {int(file.stem): report for file, report in zip(files, reports, strict=True) if report}
    keep_only(folder, done)
    n_chunks = sum(len(chunks) for chunks in build["chunks"])
    print(f"{folder}: {len(done)} of {n_chunks} chunks are done already; the build goes on from there.")
    return done


def save_report(folder: Path, index: int, report: str) -> None:
    """Note that a chunk is finished; to be called when its shards are written."""
    path = _report_path(folder, index)
    path.parent.mkdir(exist_ok=True)
    write_whole(path, report)


def keep_only(folder: Path, reports: dict[int, ChunkReport]) -> None:
    """Remove half-written files, and shards that none of these reports names."""
    keep = {folder / s.path for report in reports.values() for s in (*report.shards, *report.truth)}
    keep |= {_report_path(folder, index) for index in reports}
    for name in (*SHARD_FOLDERS, CHUNKS):
        for path in (folder / name).rglob("*"):
            if path.is_file() and path not in keep:
                path.unlink(missing_ok=True)
    for path in folder.glob("*.partial"):
        path.unlink()


def remove_traces(folder: Path) -> None:
    """Take away what a finished survey has no use for."""
    shutil.rmtree(folder / CHUNKS, ignore_errors=True)
    for name in (JOB, LOCK):
        (folder / name).unlink(missing_ok=True)


def _report_path(folder: Path, index: int) -> Path:
    return folder / CHUNKS / f"{index:06d}.json"


def _leftovers(folder: Path) -> list[Path]:
    known = {*SHARD_FOLDERS, CHUNKS, JOB, REJECTED, MANIFEST}
    there = [path for path in folder.iterdir() if path.name != LOCK]
    for path in there:
        if path.name not in known and path.suffix != ".partial":
            raise InputError(f"{path}: no build wrote this. Move it away, or choose another --out.")
    return there


def _other_build(before: dict[str, Any] | None, now: dict[str, Any]) -> str:
    if before is None:
        return "an unknown build"
    differ = [name for name in now if name != "fingerprint" and before.get(name) != now[name]]
    return f"a build with another {', '.join(differ)}"


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        values = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) else None


def _whole_report(folder: Path, file: Path) -> ChunkReport | None:
    """The report, if every shard it names has the bytes that were written."""
    try:
        report = ChunkReport.from_json(file.read_text())
    except (ValueError, KeyError, TypeError):
        return None
    for shard in (*report.shards, *report.truth):
        path = folder / shard.path
        if not path.is_file() or file_hash(path) != shard.blake2b:
            return None
    return report
