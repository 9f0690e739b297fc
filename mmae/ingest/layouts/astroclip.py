"""AstroCLIP's file astroclip_desi.1.1.5.h5: groups "0" to "9" with images, spectra, redshifts and targetids.

https://github.com/PolymathicAI/AstroCLIP, astroclip/datasets/dataset.py. The rows of the groups follow each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import h5py
import numpy as np

from mmae.ingest.layouts.hdf5 import row_count, some_rows
from mmae.ingest.layouts.layout import Piece, openable, pieces_of

ENDINGS = (".h5", ".hdf5")


def columns(path: str) -> dict[str, str]:
    with h5py.File(openable(path), "r") as file:
        total = sum(map(row_count, _groups(file)))
        first = _groups(file)[0]
        return {name: f"{item.dtype} {(total, *item.shape[1:])}" for name, item in first.items()}


def count(path: str) -> int:
    with h5py.File(openable(path), "r") as file:
        return sum(map(row_count, _groups(file)))


def read(path: str, names: Sequence[str], rows: np.ndarray, centre: Mapping[str, int] | None = None) -> Iterator[Piece]:
    with h5py.File(openable(path), "r") as file:
        first = 0
        for group in _groups(file):
            last = first + row_count(group)
            for piece in pieces_of(rows[(rows >= first) & (rows < last)]):
                yield Piece(piece, {name: some_rows(group[name], piece - first) for name in names if name in group})
            first = last


def _groups(file: h5py.File) -> list[h5py.Group]:
    """The numbered groups, in their order.

    Raises:
        ValueError: there is none.
    """
    numbers = sorted((name for name in file if name.isdigit() and isinstance(file[name], h5py.Group)), key=int)
    if not numbers:
        raise ValueError('the file has no groups "0", "1", ...')
    return [file[name] for name in numbers]
