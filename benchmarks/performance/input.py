"""Input: rows/s from the shards of a survey to torch batches, by turns with a plain scan of the same shards.

    python -m benchmarks.performance.input --survey SURVEY

The files are in the page cache, which a first scan fills: the disk is not measured. Nothing is computed with the
batches, so all cores are free for the input.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch.utils.data import DataLoader, Dataset, RandomSampler

from benchmarks.performance.line import HEADER, Line, ratio, spread
from mmae.core.ray_setup import start_ray
from mmae.loader.collate import galaxy_columns, to_batch
from mmae.loader.config import StreamConfig
from mmae.loader.row_groups import RowGroup, row_groups
from mmae.loader.stream import training_batches
from mmae.model.batch import Batch
from mmae.recipes import recipe
from mmae.survey.store import Survey, open_survey
from mmae.survey.tensors import decode_tensor

PART = "input"
LOADERS = 2  # processes of the DataLoader, as many as this machine has cores
HDF5_ROWS = 2048


def scanned(survey: Survey, checked: bool = False) -> Iterator[pa.Table]:
    """Each row group of the training split, with the columns that a model reads; optionally with checksums."""
    columns = galaxy_columns(survey)
    for group in row_groups(survey, "train"):
        yield _read(group, columns, checked)


def _read(group: RowGroup, columns: list[str], checked: bool) -> pa.Table:
    with pq.ParquetFile(group.path, page_checksum_verification=checked) as parquet:
        return parquet.read_row_group(group.index, columns=columns)


def decoded(survey: Survey, batch_size: int) -> Iterator[Batch]:
    """The same, read and decoded batch by batch in this process."""
    for table in scanned(survey, checked=True):
        for start in range(0, len(table), batch_size):
            yield to_batch(table.slice(start, batch_size), survey.spec)


class PaperFile(Dataset):  # type: ignore[type-arg]
    """Galaxies of a file in the layout of arXiv:2510.22527, read row by row.

    A spectrum is normalised to an ivar-weighted mean of zero and rms of one when it is read, as by its authors.
    """

    def __init__(self, path: Path):
        self.path = path
        self.file: h5py.File | None = None
        with h5py.File(path) as file:
            self.n = len(file["image"])

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, row: int) -> tuple[torch.Tensor, torch.Tensor]:
        if self.file is None:  # each process opens the file itself
            self.file = h5py.File(self.path)
        flux_L, ivar_L = self.file["spectrum/flux"][row], self.file["spectrum/ivar"][row]
        total = max(ivar_L.sum(), 1e-12)
        flux_L = flux_L - (flux_L * ivar_L).sum() / total
        flux_L = flux_L / max(np.sqrt((flux_L**2 * ivar_L).sum() / total), 1e-12)
        return torch.from_numpy(self.file["image"][row]), torch.from_numpy(flux_L)


def write_paper_file(survey: Survey, path: Path) -> None:
    """The first galaxies of the training split as such a file: contiguous float32 data sets."""
    table = pa.concat_tables(scanned(survey)).slice(0, HDF5_ROWS)
    kinds = {"image": np.dtype(survey.spec.image_dtype), "flux": np.dtype("f4"), "ivar": np.dtype("f4")}
    values = {name: decode_tensor(table[name], kind)[0] for name, kind in kinds.items()}
    with h5py.File(path, "w") as file:
        file["image"] = values["image"].reshape(-1, *survey.spec.image_shape)
        file["spectrum/flux"], file["spectrum/ivar"] = values["flux"], values["ivar"]


def streamed(survey: Survey, stream: StreamConfig, rows: int, seed: int) -> tuple[float, float]:
    """Rows/s of Ray Data at steady state, and seconds to the first batch.

    The windows that are read while Ray Data starts are not counted.
    """
    begin = stream.shuffle_rows * (stream.readers + 1) // stream.batch_size
    steps = begin + rows // stream.batch_size
    started = time.perf_counter()
    batches = training_batches(survey, stream, seed=seed, steps=steps)
    next(batches)
    first = time.perf_counter() - started
    for _ in range(begin - 1):
        next(batches)
    counted = time.perf_counter()
    n = sum(len(batch) for batch in batches)
    return n / (time.perf_counter() - counted), first


def rate(pieces: Iterator[pa.Table] | Iterator[Batch]) -> float:
    started = time.perf_counter()
    n = sum(len(piece) for piece in pieces)
    return n / (time.perf_counter() - started)


def loaded(path: Path, batch_size: int, seed: int) -> float:
    """Rows/s of a DataLoader over the paper's file at random, from its second batch on."""
    data = PaperFile(path)
    order = RandomSampler(data, generator=torch.Generator().manual_seed(seed))
    batches = iter(DataLoader(data, batch_size, sampler=order, num_workers=LOADERS))
    next(batches)
    started = time.perf_counter()
    n = sum(len(image_BCHW) for image_BCHW, _ in batches)
    return n / (time.perf_counter() - started)


def lines(survey: Survey, stream: StreamConfig, rows: int, repeats: int) -> list[Line]:
    """The lines of the table.

    Args:
        rows: to stream in each repetition.
    """
    start_ray()
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "paper.hdf5"
        write_paper_file(survey, path)
        rate(scanned(survey))
        for seed in range(repeats):
            turns: dict[str, Callable[[], float]] = {
                "scan": lambda: rate(scanned(survey)),
                "checked": lambda: rate(scanned(survey, checked=True)),
                "decoded": lambda: rate(decoded(survey, stream.batch_size)),
                "loaded": lambda s=seed: loaded(path, stream.batch_size, s),
            }
            for name, turn in turns.items():
                found.setdefault(name, []).append(turn())
            for name, value in zip(("ray", "first"), streamed(survey, stream, rows, seed), strict=True):
                found.setdefault(name, []).append(value)
    per_row = sum(table.nbytes for table in itertools.islice(scanned(survey), 1)) / row_groups(survey, "train")[0].rows

    def line(what: str, name: str, of: str = "scan", target: str = "") -> Line:
        return Line(PART, what, f"{ratio(found[name], found[of]):.2f}", target)

    return [
        Line(PART, f"scan with pyarrow, {per_row / 1e3:.0f} kB per row [rows/s]", spread(found["scan"])),
        line("scan with checksums of pages, of the scan", "checked"),
        line("that, and decoded to batches, in one process, of the scan", "decoded"),
        line("Ray Data to torch batches, of the scan", "ray", target="at least 0.7"),
        Line(PART, "Ray Data to torch batches [rows/s]", spread(found["ray"])),
        line("Ray Data to torch batches, of a DataLoader over the paper's HDF5", "ray", "loaded", "at least 10"),
        Line(PART, "first batch of a run [s]", spread(found["first"], 2), "at most 1"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--survey", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=16_384, help="rows that Ray Data streams in each repetition")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    print(HEADER)
    for line in lines(open_survey(arguments.survey), recipe("small").stream, arguments.rows, arguments.repeats):
        print(line.markdown(), flush=True)


if __name__ == "__main__":
    main()
