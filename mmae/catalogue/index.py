"""Index of the embeddings of a catalogue, for nearest neighbours: catalogue/index/.

usearch (hierarchical small-world graph, Malkov & Yashunin 2018, IEEE TPAMI 42, 824) keeps vectors as float16 and
searches the file without loading it: 340 bytes of disk and 8 bytes of memory per galaxy for embeddings of 96 numbers.
faiss keeps such graphs in memory, and lancedb a copy of the table in a format of its own.

Similarity is the cosine between embeddings from which the mean of the catalogue is subtracted: all embeddings of a
model share a large constant part. Keys are row numbers of the catalogue.
Shape suffixes: N rows, D width of the embedding, Q queries, M neighbours.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq

from mmae.catalogue.hats_files import DATASET, METADATA
from mmae.catalogue.read import read_embeddings, read_format, read_partitions
from mmae.catalogue.rows import EMBEDDING
from mmae.core.errors import InputError
from mmae.core.files import partial_path
from mmae.core.progress import ProgressBar

if TYPE_CHECKING:
    from usearch.index import Index

FOLDER, INDEX, MEAN = "index", "embedding.usearch", "mean.npy"
LINKS = 16  # of each galaxy in the graph


class Neighbours:
    """The opened index of a catalogue; built if there is none.

    Raises:
        InputError: the folder is not a catalogue, the index is damaged, or usearch is not installed.
    """

    def __init__(self, folder: Path):
        path = folder / FOLDER
        if not (path / INDEX).exists():
            build_index(folder)
        self.mean_D = np.load(path / MEAN, allow_pickle=False)
        self.index = open_index(path / INDEX)

    def near(self, embedding_QD: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
        """Row numbers and cosines (Q, M) of the most similar galaxies, the nearest first."""
        found = self.index.search((embedding_QD - self.mean_D).astype(np.float16), min(most, len(self.index)))
        shape = (len(embedding_QD), -1)
        return found.keys.astype(np.int64).reshape(shape), 1 - found.distances.reshape(shape)


def build_index(folder: Path) -> Path:
    """Write the index of a catalogue, and return its folder.

    Raises:
        InputError: usearch is not installed.
    """
    width = read_format(folder).embedding
    total = pq.read_metadata(folder / DATASET / METADATA).num_rows
    sum_D = np.zeros(width)
    for part in read_partitions(folder, [EMBEDDING]):
        sum_D += read_embeddings(part).sum(0, dtype=np.float64)
    mean_D = (sum_D / total).astype(np.float32)
    index = usearch()(ndim=width, metric="cos", dtype="f16", connectivity=LINKS)
    with ProgressBar(total=total, desc="index", unit=" galaxies") as bar:
        for part in read_partitions(folder, [EMBEDDING]):
            embedding_ND = read_embeddings(part) - mean_D
            # Several threads that add to an empty graph leave galaxies without links, which searches then miss.
            threads = 0 if len(index) else 1  # 0: all cores
            index.add(np.arange(len(index), len(index) + len(part)), embedding_ND.astype(np.float16), threads=threads)
            bar.update(len(part))
    path = folder / FOLDER
    path.mkdir(exist_ok=True)
    np.save(path / MEAN, mean_D)
    save_index(index, path / INDEX)
    return path


def open_index(path: Path) -> Index:
    """The index in a file, which is read where a search needs it.

    Raises:
        InputError: it is damaged, or usearch is not installed.
    """
    try:
        index = usearch().restore(str(path), view=True)
    except (ValueError, RuntimeError) as error:
        raise InputError(
            f"{path.parent}: damaged index ({error}). Remove this folder; a search builds it again."
        ) from error
    assert index is not None  # only for memory that is not allocated
    return index


def save_index(index: Index, path: Path) -> None:
    """Write an index, whole or not at all."""
    path.parent.mkdir(exist_ok=True)
    unfinished = partial_path(path)
    index.save(str(unfinished))
    unfinished.rename(path)


def usearch() -> type[Index]:
    try:
        from usearch.index import Index
    except ImportError as error:
        raise InputError("usearch is not installed: pip install -c constraints.txt usearch") from error
    return Index
