"""HDF5 with one dataset per column, as in the Multimodal Universe: <survey>/<config>/healpix=<pixel>/001-of-001.hdf5.

Writers: https://github.com/MultimodalUniverse/MultimodalUniverse, scripts/*/build_parent_sample.py. Datasets in groups
have names with slashes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import h5py
import numpy as np

from mmae.ingest.layouts.layout import Piece, find, native, openable, pieces_of

ENDINGS = (".hdf5", ".h5", ".hdf")
READ_BYTES = 100_000  # take as long as the start of another read, 20 microseconds


def columns(path: str) -> dict[str, str]:
    found: dict[str, str] = {}

    def note(name: str, item: h5py.Dataset | h5py.Group) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = f"{item.dtype} {item.shape}"

    with h5py.File(openable(path), "r") as file:
        file.visititems(note)
    return found


def count(path: str) -> int:
    with h5py.File(openable(path), "r") as file:
        return row_count(file)


def row_count(group: h5py.Group) -> int:
    """The common length of the datasets of a group.

    Raises:
        ValueError: there is none, or they differ in length.
    """
    lengths = {name: item.shape[0] for name, item in group.items() if isinstance(item, h5py.Dataset) and item.shape}
    if not lengths:
        raise ValueError("the file has no datasets with rows")
    if len(set(lengths.values())) > 1:
        (first, n), (other, m) = sorted(lengths.items(), key=lambda item: item[1])[:: len(lengths) - 1]
        raise ValueError(f"dataset {first} has {n} rows, dataset {other} has {m}")
    return next(iter(lengths.values()))


def read(path: str, names: Sequence[str], rows: np.ndarray, centre: Mapping[str, int] | None = None) -> Iterator[Piece]:
    with h5py.File(openable(path), "r") as file:
        found = {name: name if name in file else find(name, file) for name in names}
        size = centre or {}
        for piece in pieces_of(rows):
            yield Piece(
                piece, {name: some_rows(file[own], piece, size.get(name)) for name, own in found.items() if own}
            )


def some_rows(dataset: h5py.Dataset, rows: np.ndarray, centre: int | None = None) -> np.ndarray:
    """Rows (increasing) of a dataset. Rows between them are read too where that is faster than another read.

    Args:
        centre: of images (rows, ..., H, W), so many pixels along the last two axes, about the centre; None: all.
    """
    part: tuple = ()
    if centre is not None:
        starts = [max((n - centre) // 2, 0) for n in dataset.shape[-2:]]
        part = (..., *(slice(start, start + centre) for start in starts))
    size = max(dataset.dtype.itemsize * int(np.prod(dataset.shape[1:])), 1)
    breaks = np.flatnonzero(np.diff(rows) > max(READ_BYTES // size, 1)) + 1
    runs = [_run(dataset, run, part) for run in np.split(rows, breaks)]
    return native(runs[0] if len(runs) == 1 else np.concatenate(runs))


def _run(dataset: h5py.Dataset, rows: np.ndarray, part: tuple) -> np.ndarray:
    """Rows that are close to each other, in one read."""
    first, last = int(rows[0]), int(rows[-1])
    values = np.asarray(dataset[(slice(first, last + 1), *part)])
    return values if len(values) == len(rows) else values[rows - first]
