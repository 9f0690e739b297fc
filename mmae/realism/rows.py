"""Reading a survey for the report: the whole catalogue, images and spectra by row group.

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
NO_TRUTH = "Left out: the survey has no truth table. Simulate it again with ray_jobs/build_survey.py."

Track = Callable[[Sequence, str], Iterable]
"""Iterates over a sequence with a progress bar: (items, description)."""


def no_tracking(items: Sequence, description: str) -> Iterable:
    """A `Track` without a progress bar."""
    return items


@dataclass(frozen=True)
class Objects:
    """Catalogue of a survey, in the order of its shards.

    Attributes:
        redshift_N: spectroscopic; NaN if unknown.
        mag_NC: catalogue (cmodel) magnitudes, AB; NaN if not measured.
        morphtype_N: "" if unknown.
        truth: columns of the truth table in the same order, NaN or "" for objects without a row; None if the survey
            has no truth table.
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
        """DESI target class; without a truth table "PSF" or "extended"."""
        if self.truth is not None:
            return self.truth["target_class"]
        return np.where(self.morphtype_N == "PSF", "PSF", "extended")

    @property
    def is_galaxy_N(self) -> np.ndarray:
        """True for galaxies (no quasars, no stars); without a truth table, for extended sources."""
        if self.truth is not None:
            return np.isin(self.truth["galaxy_type"], GALAXY_TYPES)
        return ~np.isin(self.morphtype_N, ["PSF", UNKNOWN])

    def magnitude_N(self, band: str) -> np.ndarray:
        """Catalogue magnitudes in a band."""
        return self.mag_NC[:, self.bands.index(band)]


def read_objects(survey: Survey) -> Objects:
    """Read the scalar columns of a survey and match its truth table if there is one."""
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
    """Columns of the truth table in the order of object_id_N."""
    if table is None:
        return None
    row_of_id = {name: row for row, name in enumerate(table["object_id"].to_pylist())}
    row_N = np.array([row_of_id.get(name, -1) for name in object_id_N.tolist()], dtype=np.int64)
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
class RowGroup:
    """A row group of a shard."""

    path: str
    index: int  # in the shard
    first_row: int  # row number in the survey
    rows: int


def row_groups(survey: Survey) -> list[RowGroup]:
    """All row groups of a survey, in order."""
    found, first_row = [], 0
    for shard in survey.shards:
        for index, rows in enumerate(_row_group_sizes(survey, shard)):
            found.append(RowGroup(str(survey.path / shard.path), index, first_row, rows))
            first_row += rows
    return found


def sample_row_groups(survey: Survey, max_rows: int, seed: int) -> list[RowGroup]:
    """Random row groups until `max_rows` rows are reached, at most all.

    Rows are drawn independently by the simulation, so whole row groups are a representative sample.
    """
    groups = row_groups(survey)
    chosen, rows = [], 0
    for index in np.random.default_rng(seed).permutation(len(groups)):
        if rows >= max_rows:
            break
        chosen.append(groups[index])
        rows += groups[index].rows
    return chosen


def read_images(group: RowGroup, survey: Survey, size: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Complete images of a row group: row_N in the survey, image_NCHW in counts (float32).

    Images with missing pixels are left out: pixel statistics and detections would need their masks, and simulated
    images have none.

    Args:
        size: crop to the central size x size pixels.
    """
    column = pq.ParquetFile(group.path).read_row_group(group.index, columns=["image"])["image"]
    value_NX, present = tensor_rows(column, survey.spec.image_dtype)
    image_NCHW = crop_centre(value_NX.reshape(-1, *survey.spec.image_shape), size or survey.spec.image_size)
    complete_N = np.isfinite(image_NCHW).all(axis=(1, 2, 3))
    return group.first_row + present[complete_N], image_NCHW[complete_N]


def read_spectra(group: RowGroup) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Spectra of a row group: row_N in the survey, flux_NL and ivar_NL (float32)."""
    table = pq.ParquetFile(group.path).read_row_group(group.index, columns=["flux", "ivar"])
    flux_NL, present = tensor_rows(table["flux"], "float32")
    ivar_NL, _ = tensor_rows(table["ivar"], "float32")
    return group.first_row + present, flux_NL, ivar_NL


def sample_images(survey: Survey, max_rows: int, seed: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """At most `max_rows` images of a survey: row_N and image_NCHW, cropped to size x size pixels."""
    parts = [read_images(group, survey, size) for group in sample_row_groups(survey, max_rows, seed)]
    if not parts:
        return np.empty(0, np.int64), np.empty((0, len(survey.spec.bands), size, size), np.float32)
    row_N = np.concatenate([row for row, _ in parts])[:max_rows]
    return row_N, np.concatenate([image for _, image in parts])[:max_rows]


def spectrum_batches(
    survey: Survey, max_rows: int, seed: int, track: Track = no_tracking
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Random row groups with about `max_rows` spectra: row_N, flux_NL, ivar_NL of each."""
    for group in track(sample_row_groups(survey, max_rows, seed), "spectra"):
        batch = read_spectra(group)
        if len(batch[0]):
            yield batch


def tensor_rows(column: pa.ChunkedArray, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Decode a fixed-size binary column: values (N non-null rows, samples) in float32, and their row indices (N,)."""
    values, present = decode_tensor(column, np.dtype(dtype))
    return values[present], np.flatnonzero(present)


def crop_centre(image_NCHW: np.ndarray, size: int) -> np.ndarray:
    """Central size x size pixels; the whole image if it is smaller."""
    height, width = image_NCHW.shape[-2:]
    top, left = max(0, (height - size) // 2), max(0, (width - size) // 2)
    return image_NCHW[..., top : top + size, left : left + size]


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    return column.cast(pa.float64()).fill_null(np.nan).to_numpy()


def _row_group_sizes(survey: Survey, shard: Shard) -> list[int]:
    metadata = pq.ParquetFile(survey.path / shard.path).metadata
    return [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
