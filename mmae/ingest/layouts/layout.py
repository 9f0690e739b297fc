"""What the files of this folder have in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import fsspec
import numpy as np
from fsspec.utils import get_protocol

AIR = "wavelength_in_air"
"""A column of layouts whose files say in which medium their wavelengths are: true for air."""
PIECE_ROWS = 64  # decoded at once: with five bands of 160 x 160 pixels, weights and masks 75 MB


@dataclass(frozen=True)
class Piece:
    """Values of some rows.

    Attributes:
        rows: their numbers in the file, increasing.
        values: by column, an array (rows, ...) in the byte order of this machine, or a list with one array per row
            where their shapes differ, None where a row has none. Columns that the file does not have are absent.
    """

    rows: np.ndarray
    values: dict[str, Any]


class Layout(Protocol):
    """A layout of files. The methods raise `values.UNREADABLE` for files that are damaged or of another layout."""

    ENDINGS: tuple[str, ...]
    """Of the files in a folder."""

    def columns(self, path: str) -> dict[str, str]:
        """The columns of a file, each with its type and shape: "float32 (812, 7781)"."""
        ...

    def count(self, path: str) -> int:
        """The number of rows."""
        ...

    def read(
        self, path: str, names: Sequence[str], rows: np.ndarray, centre: Mapping[str, int] | None = None
    ) -> Iterator[Piece]:
        """The values of some rows (increasing), in pieces of bounded size.

        Args:
            centre: by column of images, the pixels along a side, about the centre, that are needed. A layout may give
                more.
        """
        ...


def pieces_of(rows: np.ndarray) -> list[np.ndarray]:
    """The rows in pieces of PIECE_ROWS."""
    return [rows[start : start + PIECE_ROWS] for start in range(0, len(rows), PIECE_ROWS)]


def openable(path: str) -> Any:
    """The path of a local file; the open file of another file system."""
    return path if get_protocol(path) == "file" else fsspec.open(path, "rb").open()


def native(values: np.ndarray) -> np.ndarray:
    """The array in the byte order of this machine."""
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def find(name: str, found: Iterable[str]) -> str | None:
    """The column of this name, else the only one that differs in case: writers differ in "Z" and "z", "RA" and "ra"."""
    found = list(found)
    if name in found:
        return name
    same = [other for other in found if other.lower() == name.lower()]
    return same[0] if len(same) == 1 else None
