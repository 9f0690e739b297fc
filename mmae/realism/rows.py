"""What the report reads of a survey: the catalogue whole, images and spectra in bounded batches.

Shape suffixes: N galaxies, C bands, H and W pixels, L wavelength samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmae.survey.store import Shard, Survey
from mmae.survey.tensors import decode_tensor
from mmae.survey.truth import read_truth

GALAXY_TYPES = ("passive", "star_forming", "starburst")
UNKNOWN = ""
NO_TRUTH = "Left out: the survey has no truth table; simulate it again with ray_jobs/build_survey.py."

Watch = Callable[[Sequence, str], Iterable]
"""Goes through a sequence and shows how far it is: (items, what they are)."""


def no_watch(items: Sequence, what: str) -> Iterable:
    """A `Watch` that shows nothing."""
    return items


@dataclass(frozen=True)
class Objects:
    """The catalogue of a survey, in the order of its shards.

    Attributes:
        redshift_N: spectroscopic; NaN where unknown.
        mag_NC: catalogue (cmodel) magnitudes, AB; NaN where not measured.
        morphtype_N: "" where unknown.
        truth: columns of the truth table in the same order, numbers NaN and texts "" for rows
            that it does not have; None for a survey without one.
    """

    bands: tuple[str, ...]
    object_id_N: np.ndarray
    split_N: np.ndarray
    redshift_N: np.ndarray
    mag_NC: np.ndarray
    morphtype_N: np.ndarray
    truth: dict[str, np.ndarray] | None

    def __len__(self) -> int:
        return len(self.object_id_N)

    @property
    def class_N(self) -> np.ndarray:
        """DESI target class; without a truth table, "PSF" and "extended"."""
        if self.truth is not None:
            return self.truth["target_class"]
        return np.where(self.morphtype_N == "PSF", "PSF", "extended")

    @property
    def is_galaxy_N(self) -> np.ndarray:
        """Neither quasar nor star; without a truth table, not a point source."""
        if self.truth is not None:
            return np.isin(self.truth["galaxy_type"], GALAXY_TYPES)
        return ~np.isin(self.morphtype_N, ["PSF", UNKNOWN])

    def magnitude_N(self, band: str) -> np.ndarray:
        return self.mag_NC[:, self.bands.index(band)]


def read_objects(survey: Survey) -> Objects:
    """All scalar columns of a survey, joined with its truth table if it has one."""
    bands = survey.spec.bands
    columns = ["object_id", "split", "redshift", "morphtype", *(f"{b}_cmodel_mag" for b in bands)]
    table = pa.concat_tables(
        [pq.read_table(survey.path / s.path, columns=columns, partitioning=None) for s in survey.shards]
    )
    object_id_N = np.array(table["object_id"].to_pylist(), dtype=str)
    return Objects(
        bands=bands,
        object_id_N=object_id_N,
        split_N=np.array(table["split"].to_pylist(), dtype=str),
        redshift_N=_numbers(table["redshift"]),
        mag_NC=np.stack([_numbers(table[f"{b}_cmodel_mag"]) for b in bands], axis=1),
        morphtype_N=np.array(table["morphtype"].fill_null(UNKNOWN).to_pylist(), dtype=str),
        truth=align_truth(read_truth(survey) if survey.truth_shards else None, object_id_N),
    )


def align_truth(table: pa.Table | None, object_id_N: np.ndarray) -> dict[str, np.ndarray] | None:
    """The truth of each object, found by object_id."""
    if table is None:
        return None
    place = {name: row for row, name in enumerate(table["object_id"].to_pylist())}
    row_N = np.array([place.get(name, -1) for name in object_id_N.tolist()], dtype=np.int64)
    known_N = row_N >= 0
    truth = {}
    for name in table.column_names:
        if pa.types.is_string(table[name].type) or pa.types.is_large_string(table[name].type):
            values = np.array(table[name].fill_null(UNKNOWN).to_pylist(), dtype=str)
            truth[name] = np.where(known_N, values[row_N], UNKNOWN)
        elif not pa.types.is_nested(table[name].type):
            truth[name] = np.where(known_N, _numbers(table[name])[row_N], np.nan)
    return truth


@dataclass(frozen=True)
class Piece:
    """A row group of a shard."""

    path: str
    row_group: int
    first_row: int  # of the survey
    rows: int


def pieces(survey: Survey) -> list[Piece]:
    """Every row group of a survey, in order."""
    found, first_row = [], 0
    for shard in survey.shards:
        for row_group, rows in enumerate(_row_groups(survey, shard)):
            found.append(Piece(str(survey.path / shard.path), row_group, first_row, rows))
            first_row += rows
    return found


def some_pieces(survey: Survey, max_rows: int, seed: int) -> list[Piece]:
    """Row groups drawn at random until `max_rows` rows are reached; all, if there are no more.

    Rows of a row group were drawn independently, so that whole row groups are a fair sample,
    and only they are read.
    """
    every = pieces(survey)
    chosen, rows = [], 0
    for index in np.random.default_rng(seed).permutation(len(every)):
        if rows >= max_rows:
            break
        chosen.append(every[index])
        rows += every[index].rows
    return chosen


def read_images(piece: Piece, survey: Survey, size: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The images of a row group: row_N of the survey, and image_NCHW in counts (float32).

    Args:
        size: cut to the central size x size pixels.
    """
    column = pq.ParquetFile(piece.path).read_row_group(piece.row_group, columns=["image"])["image"]
    value_NX, present = tensor_rows(column, survey.spec.image_dtype)
    image_NCHW = value_NX.reshape(-1, *survey.spec.image_shape)
    return piece.first_row + present, crop_centre(image_NCHW, size or survey.spec.image_size)


def read_spectra(piece: Piece) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The spectra of a row group: row_N of the survey, flux_NL and ivar_NL (float32)."""
    table = pq.ParquetFile(piece.path).read_row_group(piece.row_group, columns=["flux", "ivar"])
    flux_NL, present = tensor_rows(table["flux"], "float32")
    ivar_NL, _ = tensor_rows(table["ivar"], "float32")
    return piece.first_row + present, flux_NL, ivar_NL


def sample_images(survey: Survey, max_rows: int, seed: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """At most `max_rows` images of a survey: row_N and image_NCHW, cut to size x size pixels."""
    parts = [read_images(piece, survey, size) for piece in some_pieces(survey, max_rows, seed)]
    if not parts:
        return np.empty(0, np.int64), np.empty((0, len(survey.spec.bands), size, size), np.float32)
    row_N = np.concatenate([row for row, _ in parts])[:max_rows]
    return row_N, np.concatenate([image for _, image in parts])[:max_rows]


def spectrum_batches(
    survey: Survey, max_rows: int, seed: int, watch: Watch = no_watch
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """At most about `max_rows` spectra, a row group at a time."""
    for piece in watch(some_pieces(survey, max_rows, seed), "spectra"):
        batch = read_spectra(piece)
        if len(batch[0]):
            yield batch


def tensor_rows(column: pa.ChunkedArray, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """A column of fixed-size binary -> float32 (N present rows, samples), and which rows (N,)."""
    values, present = decode_tensor(column, np.dtype(dtype))
    return values[present], np.flatnonzero(present)


def crop_centre(image_NCHW: np.ndarray, size: int) -> np.ndarray:
    """The central size x size pixels; the image whole if it is smaller."""
    height, width = image_NCHW.shape[-2:]
    top, left = max(0, (height - size) // 2), max(0, (width - size) // 2)
    return image_NCHW[..., top : top + size, left : left + size]


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    return column.cast(pa.float64()).fill_null(np.nan).to_numpy()


def _row_groups(survey: Survey, shard: Shard) -> list[int]:
    metadata = pq.ParquetFile(survey.path / shard.path).metadata
    return [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
