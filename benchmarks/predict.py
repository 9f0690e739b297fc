"""Prediction of a catalogue: rate against a bare torch loop, and memory against the number of rows.

    python benchmarks/predict.py                                 a few minutes, 200 MB
    python benchmarks/predict.py --rows 10000 100000 1000000     memory for up to a million rows as well
    python benchmarks/predict.py --model bundle --threads 2

Rate: the job reads, predicts and writes pieces of a survey of images with noise in this process, as an actor of Ray
does it; the loop predicts as many galaxies that are in memory, with the same model, batches and threads. Both take
turns, so that other work on the machine slows both. The CPU time is given too, for this reason.
Memory: all steps of a job with a small model; the rows of one file are read again and again.
"""

import argparse
import contextlib
import io
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from safetensors.torch import save_file

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import mmae  # noqa: E402
from benchmarks.measure import Memory, timed  # noqa: E402
from mmae.bundle.files import CONFIG, WEIGHTS, Description, sha256  # noqa: E402
from mmae.catalogue.config import PredictConfig  # noqa: E402
from mmae.catalogue.job import write_catalogue  # noqa: E402
from mmae.catalogue.model import load_any  # noqa: E402
from mmae.catalogue.piece import NUMBER, PieceTask, PieceWorker  # noqa: E402
from mmae.catalogue.source import Input, open_input, read_piece  # noqa: E402
from mmae.loader.collate import input_spec, to_batch  # noqa: E402
from mmae.model.build import build_model  # noqa: E402
from mmae.model.config import MMAEConfig, ModalitiesConfig, ModelConfig  # noqa: E402
from mmae.model.part_configs import ImageConfig, RedshiftConfig, SpectrumConfig  # noqa: E402
from mmae.recipes import recipe  # noqa: E402
from mmae.survey.schema import Galaxy, SurveySpec, to_table  # noqa: E402
from mmae.survey.store import Shard, Survey, content_hash, write_manifest, write_shard  # noqa: E402

SMALL_SPEC = SurveySpec(
    bands=("g",), image_size=8, n_wavelengths=16, band_noise=(1.0,), arcsinh_mean=(0.0,), arcsinh_std=(1.0,)
)
SMALL_MODEL = MMAEConfig(
    modalities=ModalitiesConfig(
        image=ImageConfig(patch=4, whole_patch=4, stem_width=1, stem_depth=1), spectrum=SpectrumConfig(use=False)
    ),
    width=8,
    depth=1,
    heads=1,
    decoder_width=8,
    redshift=RedshiftConfig(bins=24, refinement=4),
)
SHARD_ROWS = 2048


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="bundle or checkpoint folder; default: recipe small, untrained")
    parser.add_argument("--galaxies", type=int, default=2048, help="for the rate")
    parser.add_argument("--piece", type=int, default=512, help="galaxies per piece")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--no-anomaly", action="store_true", help="without anomaly scores")
    parser.add_argument("--rows", type=int, nargs="*", default=[10_000, 30_000], help="for the memory; may be empty")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory(prefix="mmae-predict-") as name:
        folder = Path(name)
        if arguments.galaxies:
            measure_rate(folder, arguments)
        if len(arguments.rows) == 1:
            measure_memory(folder, arguments.rows[0])
    if len(arguments.rows) > 1:  # each in a process of its own: memory that was used before is not counted
        for rows in arguments.rows:
            subprocess.run([sys.executable, __file__, "--galaxies", "0", "--rows", str(rows)], check=True)


def measure_rate(folder: Path, arguments: argparse.Namespace) -> None:
    model = arguments.model or write_bundle(folder / "bundle", recipe("small").model, SurveySpec())
    survey = write_survey(folder / "survey", SurveySpec(), arguments.galaxies, arguments.piece)
    bundle, given = load_any(model), opened(model, survey, arguments.piece)
    task = PieceTask(model, given, folder / "out", arguments.batch, not arguments.no_anomaly, threads=arguments.threads)
    worker = PieceWorker(task)
    batches = [
        to_batch(table.append_column("redshift", table["ra"].cast("float32")), worker.spec)
        for table in read_piece(given.pieces[0], given.columns, arguments.batch)
    ]

    def loop() -> None:
        for batch in batches:
            bundle.predict_batch(batch, anomaly=task.anomaly)

    loop()  # warm up
    worker({NUMBER: 0})
    wall, cpu = np.zeros((2, len(given.pieces))), np.zeros((2, len(given.pieces)))
    for number in range(len(given.pieces)):
        wall[0, number], cpu[0, number] = timed(loop)
        wall[1, number], cpu[1, number] = timed(lambda number=number: worker({NUMBER: number}))
    for what, seconds in (("elapsed", wall), ("CPU", cpu)):
        rate = arguments.piece / np.median(seconds, axis=1)
        print(
            f"{what} time: loop {rate[0]:.1f} galaxies/s, job {rate[1]:.1f} galaxies/s, ratio {rate[1] / rate[0]:.3f} "
            f"({arguments.threads} threads, batches of {arguments.batch}, pieces of {arguments.piece})",
            flush=True,
        )
    n_bytes = sum(path.stat().st_size for path in (folder / "out" / "rows").iterdir())
    print(f"rows of a piece: {n_bytes / given.rows:.0f} bytes per galaxy")


def measure_memory(folder: Path, rows: int) -> None:
    bundle = folder / "small"
    if not bundle.exists():
        write_bundle(bundle, SMALL_MODEL, SMALL_SPEC)
        write_survey(folder / "rows", SMALL_SPEC, 5 * SHARD_ROWS, SHARD_ROWS)
    given = opened(bundle, folder / "rows", SHARD_ROWS)
    again = -(-rows // given.rows)
    given = replace(given, pieces=(given.pieces * again)[: -(-rows // SHARD_ROWS)], content=f"{rows} rows")
    config = PredictConfig(str(bundle), given.path, folder / f"memory-{rows}", anomaly=False, batch_size=512)
    memory, start = Memory(), time.perf_counter()
    with contextlib.redirect_stderr(io.StringIO()):
        write_catalogue(
            config,
            bundle,
            load_any(bundle),
            given,
            Console(file=io.StringIO()),
            lambda jobs, make: map(make(), jobs),
            lambda jobs, work, workers=None: map(work, jobs),
        )
    seconds, resident = time.perf_counter() - start, memory.stop() / 1e6
    tenths = ", ".join(f"{v:.0f}" for v in resident[np.linspace(0, len(resident) - 1, 11).astype(int)])
    print(
        f"{given.rows:,} rows in {seconds:.0f} s: resident memory in MB after each tenth of the time {tenths}; "
        f"at most {resident.max():.0f}",
        flush=True,
    )


def opened(model: Path, survey: Path, piece_rows: int) -> Input:
    bundle = load_any(model)
    return open_input(
        str(survey), bundle.spec, bundle.modalities, use=("image",), splits=("test",), piece_rows=piece_rows
    )


def write_bundle(folder: Path, config: ModelConfig, spec: SurveySpec) -> Path:
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    model = build_model(config, input_spec(spec))
    save_file(model.state_dict(), folder / WEIGHTS)
    description = Description(mmae.__version__, sha256(folder / WEIGHTS), config, model.spec, {})
    (folder / CONFIG).write_text(description.to_json())
    return folder


def write_survey(folder: Path, spec: SurveySpec, rows: int, shard_rows: int) -> Path:
    """Images of noise at random positions over the sky."""
    rng = np.random.default_rng(0)
    noise_C11 = np.array(spec.band_noise, np.float32)[:, None, None]
    image = [rng.normal(0, 3, spec.image_shape).astype(np.float32) * noise_C11 for _ in range(64)]
    shards = []
    for start in range(0, rows, shard_rows):
        numbers = range(start, min(start + shard_rows, rows))
        ra, dec = rng.uniform(0, 360, len(numbers)), np.degrees(np.arcsin(rng.uniform(-1, 1, len(numbers))))
        galaxies = [
            Galaxy(f"galaxy-{n:09d}", ra[i], dec[i], image_CHW=image[n % len(image)]) for i, n in enumerate(numbers)
        ]
        path = f"test/{start // shard_rows:06d}.parquet"
        table = to_table(galaxies, ["test"] * len(galaxies), spec)
        shards.append(Shard(path, "test", len(galaxies), write_shard(table, folder / path)))
    write_manifest(Survey(folder, spec, {}, {}, content_hash(spec, shards), tuple(shards)))
    return folder


if __name__ == "__main__":
    main()
