"""The folder of a catalogue in progress, OUT.unfinished, from which a killed job continues.

job.json                what is predicted; only the same job continues
rows/000000.parquet     rows of a finished piece, sorted by HEALPix pixel
rejected/000000.parquet what was rejected in this piece, if anything was
pieces/000000.json      summary of the piece and hashes of its files, written after them
dataset/                partitions, as in the finished catalogue
collection/             margin cache, which gets its place beside the finished catalogue
lock                    held while a job writes here
"""

from __future__ import annotations

import hashlib
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa

from mmae.catalogue.bad_rows import to_table
from mmae.catalogue.hats_files import write_parquet
from mmae.catalogue.summary import Summary
from mmae.core.errors import InputError
from mmae.core.files import LOCK, file_hash, write_whole
from mmae.survey.schema import Rejection

JOB, ROWS, REJECTED, PIECES = "job.json", "rows", "rejected", "pieces"
HASHES = "hashes"
COLLECTION = "collection"


def unfinished_folder(out: Path) -> Path:
    return out.with_name(out.name + ".unfinished")


def collection_folder(out: Path) -> Path:
    """The HATS collection of a catalogue and its margin cache."""
    return out.with_name(f"{out.name}_{COLLECTION}")


def fingerprint(job: dict[str, Any]) -> str:
    """Hash of all that determines the bytes of a catalogue."""
    return hashlib.blake2b(json.dumps(job, sort_keys=True).encode(), digest_size=16).hexdigest()


def begin(folder: Path, job: dict[str, Any], n_pieces: int) -> dict[int, Summary]:
    """Record the job, or continue it: the summaries of the pieces that are finished, by number.

    Raises:
        InputError: the folder is that of another job, or has files that no job wrote.
    """
    path = folder / JOB
    record = {"fingerprint": fingerprint(job), **job}
    if not path.exists():
        others = [other for other in folder.iterdir() if other.name != LOCK and other.suffix != ".partial"]
        if others:
            raise InputError(f"{others[0]}: not a file of a prediction. Move it away, or choose another --out.")
        write_whole(path, json.dumps(record, indent=1) + "\n")
        return {}
    try:
        previous = json.loads(path.read_text())
    except (OSError, ValueError):
        previous = {}
    if previous.get("fingerprint") != record["fingerprint"]:
        differ = [name for name in job if previous.get(name) != json.loads(json.dumps(job[name]))]
        raise InputError(
            f"{folder}: holds a catalogue in progress with another {', '.join(differ)}. Give the same options, remove "
            f"this folder, or choose another --out."
        )
    with ThreadPoolExecutor(8) as pool:  # mostly waits for the disk
        found = list(pool.map(lambda number: _finished(folder, number), range(n_pieces)))
    return {number: summary for number, summary in enumerate(found) if summary is not None}


def save_piece(folder: Path, number: int, rows: pa.Table, rejections: list[Rejection], summary: Summary) -> None:
    """Write the files of a piece, its summary last."""
    files = {f"{ROWS}/{number:06d}.parquet": rows}
    if rejections:
        files[f"{REJECTED}/{number:06d}.parquet"] = to_table(rejections)
    for name, table in files.items():
        write_parquet(table, folder / name)
    hashes = {name: file_hash(folder / name) for name in files}
    path = folder / PIECES / f"{number:06d}.json"
    path.parent.mkdir(exist_ok=True)
    write_whole(path, json.dumps({HASHES: hashes, "summary": json.loads(summary.to_json())}))


def rows_file(folder: Path, number: int) -> Path:
    return folder / ROWS / f"{number:06d}.parquet"


def finish(folder: Path, out: Path) -> None:
    """Give a finished catalogue its name, and remove what it does not need."""
    folder.rename(out)
    tidy(out)


def tidy(out: Path) -> None:
    """Bring a catalogue that has its name into its final state; again, if the job was killed in between."""
    remove_job_files(out)
    if (out / COLLECTION).exists():
        (out / COLLECTION).rename(collection_folder(out))


def remove_job_files(out: Path) -> None:
    """Remove what a finished catalogue does not need."""
    for name in (ROWS, REJECTED, PIECES):
        shutil.rmtree(out / name, ignore_errors=True)
    for path in out.rglob("*.partial"):  # of attempts that Ray abandoned
        path.unlink(missing_ok=True)
    (out / LOCK).unlink(missing_ok=True)


def _finished(folder: Path, number: int) -> Summary | None:
    """The summary of a piece, if its files have the bytes that were written."""
    try:
        values = json.loads((folder / PIECES / f"{number:06d}.json").read_text())
        if any(file_hash(folder / name) != digest for name, digest in values[HASHES].items()):
            return None
        return Summary.from_json(json.dumps(values["summary"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
