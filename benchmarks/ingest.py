"""Build a survey from pairs in the layout of the Multimodal Universe: rate against plain reading, and memory.

    python benchmarks/ingest.py --pairs 1000                        a minute or two, 1.3 GB
    python benchmarks/ingest.py --pairs 20000 --files /tmp/mmu      26 GB; the files are kept there for the next run

DESI spectra (7,781 samples) and HSC images (5 x 160 x 160 pixels with weights and masks) of the same objects are
written as HDF5 partitions, read once as a whole, and built in this process, chunk by chunk, as the Ray workers do it.
"""

import argparse
import contextlib
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.memory import Memory  # noqa: E402
from mmae.ingest.build import build_survey  # noqa: E402
from mmae.ingest.layouts import hdf5  # noqa: E402
from mmae.ingest.pairing.config import PairConfig  # noqa: E402
from mmae.ingest.pairing.source import paired_source  # noqa: E402
from mmae.ingest.sources.description import known_source  # noqa: E402

ROWS_PER_FILE = 1000
BANDS = "grizy"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=20_000)
    parser.add_argument("--files", type=Path, help="folder of the files; created if it does not exist")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mmae-ingest-")))
        files = arguments.files or work / "mmu"
        if not (files / "done").exists():
            write_files(files, arguments.pairs)
        cpu = time.process_time()
        read_s, size = read_files(files)
        read_cpu = time.process_time() - cpu
        print(f"{arguments.pairs} pairs, {size / 1e9:.2f} GB", flush=True)
        print(f"plain reading: {arguments.pairs / read_s:.0f} pairs/s, {size / read_s / 1e6:.0f} MB/s", flush=True)
        memory = Memory()
        start, cpu = time.perf_counter(), time.process_time()
        sources = (f"mmu-desi={files}/desi", f"mmu-hsc={files}/hsc")
        source = paired_source(PairConfig(sources=sources), work / "s", run=one_by_one)
        survey = build_survey([source], work / "s", run=one_by_one)
        build_s, build_cpu = time.perf_counter() - start, time.process_time() - cpu
        resident = memory.stop()
        paired = sum(int(counts["paired"]) for counts in survey.counts.values())
        print(f"build: {paired / build_s:.0f} pairs/s, {paired} pairs; {read_s / build_s:.2f} of plain reading")
        print(f"CPU time per pair: reading {1e3 * read_cpu / paired:.2f} ms, build {1e3 * build_cpu / paired:.2f} ms")
        tenths = ", ".join(f"{v / 1e6:.0f}" for v in resident[np.linspace(0, len(resident) - 1, 11).astype(int)])
        print(f"resident memory in MB, after each tenth of the time: {tenths}; at most {resident.max() / 1e6:.0f}")


def one_by_one(jobs, work, workers=None):
    return map(work, jobs)


def write_files(folder: Path, pairs: int) -> None:
    rng = np.random.default_rng(0)
    flux, noise = rng.normal(5, 1, (64, 7781)).astype("f4"), rng.normal(0, 0.03, (64, 5, 160, 160)).astype("f4")
    for first in range(0, pairs, ROWS_PER_FILE):
        n = min(ROWS_PER_FILE, pairs - first)
        again = np.arange(n) % 64
        sky = {
            "object_id": np.arange(first, first + n) + 39_628_000_000_000_000,
            "ra": 150 + rng.uniform(0, 1, n),
            "dec": first / ROWS_PER_FILE + rng.uniform(0, 1, n),
            "healpix": np.full(n, first),
        }
        spectra = {
            "spectrum_flux": flux[again],
            "spectrum_ivar": np.full((n, 7781), 2, "f4"),
            "spectrum_lambda": np.tile(np.float32(3600 + 0.8 * np.arange(7781)), (n, 1)),
            "spectrum_lsf_sigma": np.full((n, 7781), 0.9, "f4"),
            "spectrum_mask": np.zeros((n, 7781), bool),
            "Z": rng.uniform(0, 1, n),
            "ZERR": np.full(n, 1e-5),
            "ZWARN": np.zeros(n, int),
        }
        images = {
            "image_array": noise[again],
            "image_ivar": np.full((n, 5, 160, 160), 900, "f4"),
            "image_mask": np.ones((n, 5, 160, 160), bool),
            "image_band": np.tile(np.array([f"hsc-{b}".encode() for b in BANDS], "S5"), (n, 1)),
        }
        for name, columns in (("desi", spectra), ("hsc", images)):
            path = folder / name / f"healpix={first}" / "001-of-001.hdf5"
            path.parent.mkdir(parents=True, exist_ok=True)
            with h5py.File(path, "w") as file:
                for column, values in (sky | columns).items():
                    file[column] = values
    (folder / "done").touch()


def read_files(folder: Path) -> tuple[float, int]:
    """Seconds and bytes of reading all columns that the build reads, in the same pieces."""
    start, size = time.perf_counter(), 0
    for name in ("desi", "hsc"):
        source = known_source(f"mmu-{name}")
        columns = (*source.scalar_columns, *source.spectrum_columns, *source.image_columns)
        for path in sorted((folder / name).rglob("*.hdf5")):
            for piece in hdf5.read(str(path), columns, np.arange(hdf5.count(str(path)))):
                size += sum(values.nbytes for values in piece.values.values())
    return time.perf_counter() - start, size


if __name__ == "__main__":
    main()
