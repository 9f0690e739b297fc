"""Build surveys from pairs in the layout of the Multimodal Universe: rate against plain reading, and memory.

    python benchmarks/build.py --pairs 500 1000                                   a minute or two, 2 GB
    python benchmarks/build.py --pairs 2000 6000 20000 --files /tmp/mmu           32 GB; the files are kept there
    python benchmarks/build.py --pairs 2000 6000 20000 --side 64                  12 GB

DESI spectra (7,781 samples) and HSC images (5 x 160 x 160 pixels with weights and masks) of the same objects are
written as HDF5 partitions, a few rows at a time. All columns of the first files are then read with h5py, and the files
are matched and built, chunk by chunk, in one process as a Ray worker does it. Each number of pairs has a process of
its own, so that its peak memory is its own; the page cache of the files is dropped before they are read and before
they are built. CPU times are given too, because other work on the machine changes them less; a second table has those
of the stages of the build, of which *read* is h5py. The start and the checks of the first 512 rows are the same for any
number of pairs.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.measure import Memory, timed  # noqa: E402
from benchmarks.stages import Stages  # noqa: E402
from mmae.ingest import chunk  # noqa: E402
from mmae.ingest.build import build_survey  # noqa: E402
from mmae.ingest.layouts import hdf5  # noqa: E402
from mmae.ingest.pairing import known  # noqa: E402
from mmae.ingest.pairing import read as pairing_read  # noqa: E402
from mmae.ingest.pairing import source as pairing  # noqa: E402
from mmae.ingest.pairing.config import PairConfig  # noqa: E402
from mmae.ingest.pairing.source import paired_source  # noqa: E402
from mmae.ingest.sources import convert  # noqa: E402
from mmae.ingest.sources import source as known_source  # noqa: E402
from mmae.survey import store  # noqa: E402
from mmae.survey.store import Survey  # noqa: E402

FILE_ROWS = 500  # of one partition
PIECE_ROWS = 50  # written and read at once
SURVEYS = ("desi", "hsc")
BANDS = "grizy"
HEADER = (
    "| pairs | read, GB | pairs/s: read | build | CPU ms per pair: read | build | ratio | "
    "resident MB: at the start | median | peak |\n" + "|---" * 10 + "|"
)
STAGES = {
    "read": [(hdf5, "some_rows")],
    "index": [(known, "index_source")],
    "sample": [(known, "check_source"), (pairing, "measure_normalisation")],
    "spectra": [(convert, "spectra_on_grid")],
    "images": [
        (convert, "image_of"),
        (convert, "missing_by_band"),
        (convert, "missing_fault"),
        (pairing_read, "missing_fault"),
    ],
    "columns": [(known_source, "galaxies_of"), (pairing, "read_cell")],
    "checks": [(chunk, "check_galaxy")],
    "tables": [(chunk, "to_table")],
    "write": [(store.pq, "write_table")],
    "hash": [(store, "file_hash")],
}
"""Functions by stage; `rest` is what is in none of them: imports, the match, the splits."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, nargs="+", default=[2000, 6000, 20_000], help=f"multiples of {FILE_ROWS}")
    parser.add_argument("--side", type=int, default=160, help="pixels of the images; 64 takes a quarter of the disk")
    parser.add_argument("--files", type=Path, help="folder of the files; they are written if they are not there")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)  # measure the first number of pairs, in this folder
    arguments = parser.parse_args()
    if arguments.one:
        print(measured(arguments.files, arguments.pairs[0], arguments.one), flush=True)
        return
    with tempfile.TemporaryDirectory(prefix="mmae-build-") as name:
        files = arguments.files or Path(name) / "mmu"
        write_files(files, max(arguments.pairs), arguments.side)
        print(HEADER, flush=True)
        stages = []
        for pairs in arguments.pairs:
            options = ["--pairs", str(pairs), "--files", str(files), "--one", f"{name}/{pairs}"]
            done = subprocess.run([sys.executable, __file__, *options], check=True, stdout=subprocess.PIPE, text=True)
            row, of_stages = json.loads(done.stdout.splitlines()[-1])
            stages.append(of_stages)
            print(row, flush=True)
    names = (*STAGES, "rest")
    print("\n| pairs | CPU ms per pair: " + " | ".join(names) + " |\n" + "|---" * (len(names) + 1) + "|")
    print("\n".join(stages))


def measured(files: Path, pairs: int, out: Path) -> str:
    """A row of each table, as JSON."""
    paths = {name: [path_of(files, name, first) for first in range(0, pairs, FILE_ROWS)] for name in SURVEYS}
    every = [path for some in paths.values() for path in some]
    drop_cache(every)
    size = 0

    def read() -> None:
        nonlocal size
        size = sum(map(read_file, every))

    read_s, read_cpu = timed(read)
    drop_cache(every)
    sources = tuple(f"mmu-{name}={path}" for name, some in paths.items() for path in some)
    built: list[Survey] = []

    def build() -> None:
        source = paired_source(PairConfig(sources=sources), out, run=one_by_one)
        built.append(build_survey([source], out, run=one_by_one))

    sampler = Memory()
    with Stages(STAGES) as stages:
        build_s, build_cpu = timed(build)
    resident = sampler.stop() / 1e6
    found = sum(int(counts["paired"]) for counts in built[0].counts.values())
    rates = f"{pairs / read_s:.0f} | {found / build_s:.0f}"
    cpu = f"{1e3 * read_cpu / pairs:.2f} | {1e3 * build_cpu / found:.2f} | {build_cpu / read_cpu * pairs / found:.2f}"
    memory = " | ".join(f"{value:.0f}" for value in (resident[0], np.median(resident), resident.max()))
    row = f"| {found} | {size / 1e9:.2f} | {rates} | {cpu} | {memory} |"
    by_stage = " | ".join(f"{1e3 * stages.seconds[name] / found:.3f}" for name in (*STAGES, "rest"))
    return json.dumps([row, f"| {found} | {by_stage} |"])


def one_by_one(jobs, work, workers=None):
    return map(work, jobs)


def path_of(folder: Path, name: str, first: int) -> Path:
    return folder / name / f"healpix={first}" / "001-of-001.hdf5"


def write_files(folder: Path, pairs: int, side: int) -> None:
    """Write the partitions that are not there yet; each is complete once it has its name."""
    rng = np.random.default_rng(0)
    shape = (PIECE_ROWS, len(BANDS), side, side)
    flux, noise = rng.normal(5, 1, (PIECE_ROWS, 7781)).astype("f4"), rng.normal(0, 0.03, shape).astype("f4")
    for first in range(0, pairs, FILE_ROWS):
        rng = np.random.default_rng(first)
        sky = {
            "object_id": np.arange(first, first + FILE_ROWS) + 39_628_000_000_000_000,
            "ra": 150 + rng.uniform(0, 1, FILE_ROWS),
            "dec": first / FILE_ROWS + rng.uniform(0, 1, FILE_ROWS),
            "healpix": np.full(FILE_ROWS, first),
        }
        labels = {
            "Z": rng.uniform(0, 1, FILE_ROWS),
            "ZERR": np.full(FILE_ROWS, 1e-5),
            "ZWARN": np.zeros(FILE_ROWS, int),
        }
        spectra = {
            "spectrum_flux": flux,
            "spectrum_ivar": np.full((PIECE_ROWS, 7781), 2, "f4"),
            "spectrum_lambda": np.tile(np.float32(3600 + 0.8 * np.arange(7781)), (PIECE_ROWS, 1)),
            "spectrum_lsf_sigma": np.full((PIECE_ROWS, 7781), 0.9, "f4"),
            "spectrum_mask": np.zeros((PIECE_ROWS, 7781), bool),
        }
        images = {
            "image_array": noise,
            "image_ivar": np.full(shape, 900, "f4"),
            "image_mask": np.ones(shape, bool),
            "image_band": np.tile(np.array([f"hsc-{b}".encode() for b in BANDS], "S5"), (PIECE_ROWS, 1)),
        }
        write_file(path_of(folder, "desi", first), sky | labels, spectra)
        write_file(path_of(folder, "hsc", first), sky, images)


def write_file(path: Path, columns: dict[str, np.ndarray], again: dict[str, np.ndarray]) -> None:
    """A partition of whole columns, and of columns that repeat their values."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with h5py.File(partial, "w") as file:
        for name, values in columns.items():
            file[name] = values
        for name, values in again.items():
            dataset = file.create_dataset(name, (FILE_ROWS, *values.shape[1:]), values.dtype)
            for start in range(0, FILE_ROWS, PIECE_ROWS):
                dataset[start : start + PIECE_ROWS] = values
    partial.rename(path)


def read_file(path: Path) -> int:
    """Read all columns; returns their bytes."""
    size = 0
    with h5py.File(path, "r") as file:
        for dataset in file.values():
            for start in range(0, len(dataset), PIECE_ROWS):
                size += dataset[start : start + PIECE_ROWS].nbytes
    return size


def drop_cache(paths: list[Path]) -> None:
    """Drop the files from the page cache, so that they are read from the disk."""
    for path in paths:
        with path.open("rb") as file:
            os.fsync(file.fileno())  # pages that are not on the disk yet cannot be dropped
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


if __name__ == "__main__":
    main()
