"""The folder of a build in progress, <out>.unfinished, from which a killed build continues.

job.json                 what is built; only the same build continues
chunks/000000.json       report of a chunk, written after the files that it names
chunks/000000.parquet    scalar columns of its kept rows
rows/000000-train.parquet, -val, -test   shards by the splits of the rows' own cells; rows/000000-truth.parquet: truth.
                         Removed when the chunk is divided
lock                     held while a build writes here
train/ val/ test/ truth/   shards, as in the finished survey
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
from mmae.ingest.chunk import CHUNKS, ROWS, ChunkReport
from mmae.ingest.config import SplitConfig
from mmae.survey.schema import SPLITS
from mmae.survey.source import Source
from mmae.survey.store import MANIFEST
from mmae.survey.truth import TRUTH

JOB = "job.json"
REJECTED = "rejected.parquet"
FOLDERS = (*SPLITS, TRUTH, CHUNKS, ROWS)


def describe_build(sources: list[Source], split: SplitConfig) -> dict[str, Any]:
    """All that determines the content of the shards, as plain values, and a hash of it.

    Of the code, only the version of mmae is included.
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
    """The reports of the chunks that an interrupted run of the same build has read or divided, by index.

    Other files of that run are removed, and all files of a different build.

    Raises:
        InputError: the folder holds files that no build wrote.
    """
    found = _files_of_builds(folder)
    previous = _read_json(folder / JOB)
    if previous is None or previous.get("fingerprint") != build["fingerprint"]:
        if found:
            print(f"{folder}: removed the files of {_other_build(previous, build)}; starting from the beginning.")
        for path in found:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        write_whole(folder / JOB, json.dumps(build, indent=1) + "\n")
        return {}
    files = sorted((folder / CHUNKS).glob("*.json"))
    with ThreadPoolExecutor(8) as pool:  # mostly waits for the disk
        reports = list(pool.map(lambda file: _valid_report(folder, file), files))
    done = {int(file.stem): report for file, report in zip(files, reports, strict=True) if report}
    keep_only(folder, done)
    n_chunks = sum(len(chunks) for chunks in build["chunks"])
    n_divided = sum(report.is_divided for report in done.values())
    print(f"{folder}: continuing; {len(done)} of {n_chunks} chunks are read, {n_divided} of them divided into shards.")
    return done


def save_report(folder: Path, index: int, report: str) -> None:
    """Record the state of a chunk; to be called when the files that the report names are written."""
    path = _report_path(folder, index)
    path.parent.mkdir(exist_ok=True)
    write_whole(path, report)


def keep_only(folder: Path, reports: dict[int, ChunkReport]) -> None:
    """Remove partial files, and all files that none of these reports names."""
    keep = {folder / file.path for report in reports.values() for file in report.files}
    keep |= {_report_path(folder, index) for index in reports}
    for name in FOLDERS:
        for path in (folder / name).rglob("*"):
            if path.is_file() and path not in keep:
                path.unlink(missing_ok=True)
    for path in folder.glob("*.partial"):
        path.unlink()


def remove_build_files(folder: Path) -> None:
    """Remove what a finished survey does not need."""
    for name in (CHUNKS, ROWS):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in (JOB, LOCK):
        (folder / name).unlink(missing_ok=True)


def _report_path(folder: Path, index: int) -> Path:
    return folder / CHUNKS / f"{index:06d}.json"


def _files_of_builds(folder: Path) -> list[Path]:
    known = {*FOLDERS, JOB, REJECTED, MANIFEST}
    found = [path for path in folder.iterdir() if path.name != LOCK]
    for path in found:
        if path.name not in known and path.suffix != ".partial":
            raise InputError(f"{path}: not a file of a build. Move it away, or choose another --out.")
    return found


def _other_build(previous: dict[str, Any] | None, build: dict[str, Any]) -> str:
    if previous is None:
        return "an unknown build"
    differ = [name for name in build if name != "fingerprint" and previous.get(name) != build[name]]
    return f"a build with another {', '.join(differ)}"


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        values = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) else None


def _valid_report(folder: Path, file: Path) -> ChunkReport | None:
    """The report, if every file that it names has the bytes that were written."""
    try:
        report = ChunkReport.from_json(file.read_text())
    except (ValueError, KeyError, TypeError):
        return None
    for stored in report.files:
        path = folder / stored.path
        if not path.is_file() or file_hash(path) != stored.blake2b:
            return None
    return report
