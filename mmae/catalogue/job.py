"""Apply a model to all galaxies of a survey and write a HATS catalogue: the job of ray_jobs/predict.py.

The input is divided into pieces of some thousand galaxies. A piece is read, predicted and written by one actor of Ray
Data, and counts as finished when its files are complete, so that a killed job continues from its finished pieces. Then
the rows of all pieces are collected into the partitions of the catalogue.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import ray
import torch
from rich.console import Console

import mmae
from mmae.bundle.bundle import Bundle
from mmae.catalogue.bad_rows import SCHEMA as REJECTED_SCHEMA
from mmae.catalogue.config import PredictConfig
from mmae.catalogue.hats_files import DATASET, METADATA, Pixel, write_catalogue_files, write_parquet
from mmae.catalogue.margin import write_margin
from mmae.catalogue.model import find_model, load_any
from mmae.catalogue.page import write_page
from mmae.catalogue.partitions import (
    Counts,
    add_counts,
    choose_pixels,
    count_work,
    overlapping,
    partition_work,
    rows_in,
)
from mmae.catalogue.piece import NUMBER, PieceTask, PieceWorker
from mmae.catalogue.source import Input, describe_input, open_input
from mmae.catalogue.state import (
    JOB,
    REJECTED,
    begin,
    collection_folder,
    fingerprint,
    finish,
    rows_file,
    tidy,
    unfinished_folder,
)
from mmae.catalogue.summary import Summary, total
from mmae.core.errors import InputError
from mmae.core.files import file_hash, folder_lock
from mmae.core.progress import ProgressBar
from mmae.core.ray_setup import start_ray
from mmae.core.resources import require_resources
from mmae.core.tasks import Job, Runner, in_actors, in_ray
from mmae.core.terminal import terminal
from mmae.survey.leaks import TRAINING_ROWS

BUSY = "another process is writing this catalogue. Wait until it ends, or choose another --out."
REJECTED_FILE = "rejected.parquet"
COUNTED_TOGETHER = 64  # pieces whose pixels one task counts
Work = Callable[[Job], Job]
PieceRunner = Callable[[list[Job], Callable[[], Work]], Iterator[Job]]


@dataclass(frozen=True)
class Catalogue:
    """A finished catalogue.

    Attributes:
        path: its folder.
        rows: galaxies.
        rejected: rows of the input that are not in it; listed in rejected.parquet.
    """

    path: Path
    rows: int
    rejected: int


def predict_job(config: PredictConfig, console: Console | None = None) -> Catalogue:
    """Predict all galaxies of a survey on Ray and write the catalogue; an interrupted job is continued.

    Raises:
        InputError: the model or the input cannot be used, they do not fit, or `out` is another catalogue.
    """
    console = console or terminal()
    model = find_model(config.model, config.home_path)
    bundle = load_any(model)
    given = open_input(
        config.survey,
        bundle.spec,
        bundle.modalities,
        use=config.use,
        splits=config.splits,
        piece_rows=config.piece_rows,
    )
    console.print(f"model      {model}\ninput      {given.path}, {given.rows:,} galaxies", soft_wrap=True)
    start_ray()
    with_gpu = config.device == "gpu" or (config.device == "auto" and ray.cluster_resources().get("GPU", 0) >= 1)
    cpus, gpus = (1, 1) if with_gpu else (config.threads, 0)
    require_resources(1, {"CPU": cpus, "GPU": gpus}, "the model", "Choose --threads and --device that the cluster has.")
    available = ray.cluster_resources()
    actors = config.actors or max(1, int(available.get("GPU", 0) if with_gpu else available["CPU"] // cpus))

    def run_pieces(jobs: list[Job], make: Callable[[], Work]) -> Iterator[Job]:
        return in_actors(jobs, make, actors, cpus, gpus)

    device, threads = ("cuda", 0) if with_gpu else ("cpu", config.threads)
    return write_catalogue(config, model, bundle, given, console, run_pieces, in_ray, device=device, threads=threads)


def write_catalogue(
    config: PredictConfig,
    model: Path,
    bundle: Bundle,
    given: Input,
    console: Console,
    run_pieces: PieceRunner,
    run: Runner,
    *,
    device: str = "cpu",
    threads: int = 0,
) -> Catalogue:
    """All steps of the job.

    Args:
        model: folder of the bundle or checkpoint.
        run_pieces: where pieces are predicted.
        run: where the other tasks run.
        device, threads: of each process with a model; threads 0: as torch chooses.
    """
    out = config.out.expanduser().resolve()
    record = _record(config, model, bundle, given)
    if out.exists():
        return _existing(out, record, console)
    collection = collection_folder(out)
    if collection.exists():
        raise InputError(
            f"{collection}: belongs to a catalogue {out} that is gone. Remove it, or choose another --out."
        )
    folder = unfinished_folder(out)
    with folder_lock(folder, BUSY):
        done = begin(folder, record, len(given.pieces))
        if done:
            console.print(f"{folder}: continuing; {len(done)} of {len(given.pieces)} pieces are done.", soft_wrap=True)
        task = PieceTask(model, given, folder, config.batch_size, config.anomaly, device, threads)
        summaries = _predict(task, done, run_pieces)
        summary = total(summaries)
        if not summary.rows:
            reasons = ", ".join(name for name, _ in summary.rejected.most_common(3))
            raise InputError(f"{given.path}: no galaxy can be predicted ({reasons}). Check the input.")
        pixels, counts = _write_partitions(folder, given, config.partition_rows, run)
        schema = pq.read_schema(folder / DATASET / pixels[0].path)
        rows = write_catalogue_files(folder, out.name, pixels, schema)
        if config.margin_arcsec:
            write_margin(folder, out, pixels, schema, config.margin_arcsec, run)
        rejected = _write_rejected(folder, given)
        if rows + summary.rows_rejected != given.rows:
            raise RuntimeError(f"{folder}: {rows} rows and {summary.rows_rejected} rejected, of {given.rows}.")
        page = write_page(folder, out, config, bundle, given, summary, counts)
        finish(folder, out)
    page = out / page.relative_to(folder)
    console.print(f"{rows:,} galaxies in {len(pixels):,} partitions; {summary.rows_rejected:,} rows are not in it")
    if rejected:
        console.print(f"rejected   {rejected:,} rows and fields, listed in {out / REJECTED_FILE}", soft_wrap=True)
    console.print(f"catalogue  {out}\npage       {page}", soft_wrap=True)
    if config.margin_arcsec:
        console.print(f"collection {collection}, with a margin of {config.margin_arcsec:g} arcsec", soft_wrap=True)
    return Catalogue(out, rows, summary.rows_rejected)


def _record(config: PredictConfig, model: Path, bundle: Bundle, given: Input) -> dict[str, object]:
    """All that determines the bytes of the catalogue."""
    trained = model / TRAINING_ROWS
    return {
        "mmae": mmae.__version__,
        "pyarrow": pa.__version__,
        "torch": torch.__version__,
        "model": bundle.hash,
        "flag_limits": bundle.description.flags_sha256 or "",
        "training_rows": file_hash(trained) if trained.exists() else "",
        "input": describe_input(given),
        "anomaly": config.anomaly,
        "batch_size": config.batch_size,
        "piece_rows": config.piece_rows,
        "partition_rows": config.partition_rows,
        "margin_arcsec": config.margin_arcsec,
    }


def _existing(out: Path, record: dict[str, object], console: Console) -> Catalogue:
    """The catalogue that this job has written before.

    Raises:
        InputError: there is something else in this folder.
    """
    try:
        found = json.loads((out / JOB).read_text())
    except (OSError, ValueError):
        found = {}
    if found.get("fingerprint") != fingerprint(record):
        raise InputError(f"{out}: this folder exists and is not a catalogue of this job. Choose another --out.")
    tidy(out)  # if the job was killed just before
    rows = pq.read_metadata(out / DATASET / METADATA).num_rows
    console.print(f"{out}: is finished; {rows:,} galaxies.", soft_wrap=True)
    return Catalogue(out, rows, record["input"]["rows"] - rows)  # type: ignore[index]  # of describe_input


def _predict(task: PieceTask, done: dict[int, Summary], run_pieces: PieceRunner) -> list[Summary]:
    """The summaries of all pieces in their order; those not in `done` are predicted."""
    given, found = task.given, dict(done)
    jobs = [{NUMBER: number} for number in range(len(given.pieces)) if number not in done]
    bar = ProgressBar(
        total=given.rows, initial=sum(given.pieces[number].rows for number in done), desc="predict", unit=" galaxies"
    )
    with bar:
        for result in run_pieces(jobs, lambda: PieceWorker(task)):
            found[result[NUMBER]] = Summary.from_json(result["summary"])
            bar.update(given.pieces[result[NUMBER]].rows)
    return [found[number] for number in range(len(given.pieces))]


def _write_partitions(folder: Path, given: Input, most: int, run: Runner) -> tuple[list[Pixel], Counts]:
    """Write all partitions that an interrupted job has not written."""
    numbers = range(len(given.pieces))
    count_jobs = [{"pieces": list(numbers[start : start + COUNTED_TOGETHER])} for start in numbers[::COUNTED_TOGETHER]]
    spans: list[np.ndarray] = []

    def counted() -> Iterable[Counts]:
        for result in run(count_jobs, count_work(folder)):
            spans.append(np.frombuffer(result["spans"], np.int64).reshape(-1, 2))
            yield np.frombuffer(result["pixels"], np.int64), np.frombuffer(result["rows"], np.int64)

    counts = add_counts(counted())
    pixels, span_N2 = choose_pixels(counts, most), np.concatenate(spans)
    jobs = [
        {
            "order": pixel.order,
            "number": pixel.number,
            "rows": rows_in(pixel, counts),
            "pieces": overlapping(pixel, span_N2),
        }
        for pixel in pixels
    ]
    for _ in ProgressBar(run(jobs, partition_work(folder)), total=len(jobs), desc="write", unit="partition"):
        pass
    return pixels, counts


def _write_rejected(folder: Path, given: Input) -> int:
    """Write the list of rejected rows and fields, in the order of the input, and return their number."""
    files = [folder / REJECTED / rows_file(folder, number).name for number in range(len(given.pieces))]
    tables = [pq.read_table(file) for file in files if file.exists()]
    table = pa.concat_tables([REJECTED_SCHEMA.empty_table(), *tables])
    write_parquet(table, folder / REJECTED_FILE)
    return len(table)
