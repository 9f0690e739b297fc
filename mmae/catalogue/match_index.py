"""Index of the vectors of an alignment: the images, or the spectra, of a catalogue. In the folder of the other index.

usearch keeps it in a file that is searched without loading it: R numbers of 32 bits and the links of each galaxy. A new
alignment gets a new file. Keys are row numbers of the catalogue.

Shape suffixes: N rows, R canonical variates, Q queries, C candidates, F fluxes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mmae.catalogue.alignment import CANDIDATES, Alignment
from mmae.catalogue.index import FOLDER, LINKS, open_index, save_index, usearch
from mmae.catalogue.read import read_fluxes, read_format, read_partitions
from mmae.catalogue.rows import FLUX_COLUMNS
from mmae.core.errors import InputError
from mmae.core.progress import ProgressBar

HASH_LENGTH = 12
ADD = 16_384  # galaxies added between two updates of the progress bar
EXPANSION = 4 * CANDIDATES  # of a search: with the default of usearch, one in a hundred candidates is missed


class MatchIndex:
    """The opened index of all galaxies with one modality; built if there is none.

    Args:
        modality: image or spectrum.
        alignment_hash: of the file of the alignment.

    Raises:
        InputError: the catalogue has no such galaxies or no fluxes, the index is damaged, or usearch is not installed.
    """

    def __init__(self, folder: Path, modality: str, alignment: Alignment, alignment_hash: str):
        path = folder / FOLDER / f"{modality}-{alignment_hash[:HASH_LENGTH]}.usearch"
        if not path.exists():
            _build(folder, path, modality, alignment)
        self.index = open_index(path)
        self.index.expansion_search = EXPANSION  # type: ignore[misc]  # its setter is not beside its getter

    def __len__(self) -> int:
        return len(self.index)

    def near(self, vector_QR: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Row numbers and squared distances (Q, C) of the nearest galaxies, the nearest first."""
        found = self.index.search(vector_QR.astype(np.float32), min(CANDIDATES, len(self.index)))
        shape = (len(vector_QR), -1)
        return found.keys.astype(np.int64).reshape(shape), found.distances.astype(np.float64).reshape(shape)


def _build(folder: Path, path: Path, modality: str, alignment: Alignment) -> None:
    require_fluxes(folder, modality)
    index = usearch()(ndim=len(alignment.correlation_R), metric="l2sq", dtype="f32", connectivity=LINKS)
    start = 0
    with ProgressBar(desc=f"index of {modality} fluxes", unit=" galaxies") as bar:
        for part in read_partitions(folder, [FLUX_COLUMNS[modality]]):
            variate_NR = alignment.views[modality].variates(read_fluxes(part, modality))
            row_N = np.flatnonzero(np.isfinite(variate_NR).all(1))
            vector_NR = alignment.vectors(variate_NR[row_N]).astype(np.float32)
            for some in np.array_split(np.arange(len(row_N)), -(-len(row_N) // ADD) or 1):
                threads = 0 if len(index) else 1  # as in build_index
                index.add(start + row_N[some], vector_NR[some], threads=threads)
                bar.update(len(some))
            start += len(part)
    if not len(index):
        raise InputError(f"{folder}: no galaxy of this catalogue has a measured {modality}.")
    save_index(index, path)


def require_fluxes(folder: Path, modality: str) -> None:
    """Check that a catalogue has the fluxes of a modality.

    Raises:
        InputError: it was predicted by an earlier version, or without this modality.
    """
    found = read_format(folder)
    if modality not in found.modalities:
        raise InputError(
            f"{folder}: it was predicted from {' and '.join(found.modalities)}: it has no {modality} to compare with. "
            f"Give a catalogue with --use {modality}."
        )
    if modality not in found.n_fluxes:
        raise InputError(
            f"{folder}: has no fluxes of its {modality}; an earlier version wrote it. Predict this catalogue again."
        )
