"""The .npz archives of HSC cutouts.

Shape suffixes: N cutouts, C bands, H and W pixels, S pixels of a cutout before cropping.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from mmae.core.errors import InputError
from mmae.ingest.ids import repeated, with_origin
from mmae.ingest.readers.observed import crop_or_pad, keep_observed
from mmae.ingest.readers.values import UNREADABLE, band_name, number
from mmae.survey.missing import missing_fault
from mmae.survey.schema import Galaxy, Rejection, SurveySpec
from mmae.survey.source import ChunkRead


def check_archive(path: Path, spec: SurveySpec) -> int:
    """Check the layout of an archive and return its number of cutouts."""
    try:
        shapes = _npz_shapes(path)
        bands = _npz_rows(path, "bands", None, None) if "bands" in shapes else None
    except UNREADABLE as error:
        raise InputError(
            f"{path}: not a readable .npz archive ({error or type(error).__name__}). Write it again with numpy.savez."
        ) from error
    n_bands, size = len(spec.bands), spec.image_size
    order = f"the bands {','.join(spec.bands)}, in this order"
    if "image" not in shapes:
        raise InputError(
            f"{path}: key image is missing, found {', '.join(shapes) or 'none'}. Save "
            f"the cutouts as image, (N, {n_bands}, S, S), with {order}."
        )
    shape = shapes["image"]
    if len(shape) != 4 or shape[0] == 0 or shape[1] != n_bands:
        raise InputError(f"{path}: image has shape {shape}, expected (N, {n_bands}, S, S) with N > 0: {order}.")
    if min(shape[2:]) < size:
        raise InputError(
            f"{path}: cutouts are {shape[2]} x {shape[3]} pixels, at least {size} x "
            f"{size} are needed. Make cutouts of {size} pixels."
        )
    if bands is not None and tuple(band_name(b) for b in bands.tolist()) != spec.bands:
        found = ",".join(map(str, bands.tolist()))
        raise InputError(
            f"{path}: bands is {found}, expected {order}. Reorder the second axis of image (and of weight)."
        )
    for key in ("weight", "parent", "object_id", "ra", "dec"):
        expected = shape if key == "weight" else shape[:1]
        if key in shapes and shapes[key] != expected:
            raise InputError(f"{path}: {key} has shape {shapes[key]}, expected {expected} for image of shape {shape}.")
    return shape[0]


def unique_ids(rows: dict[Path, int], short: dict[str, str]) -> dict[Path, list[str]]:
    """The object_ids of each archive if one occurs more than once: then these are prefixed by their archive.

    Args:
        rows: number of cutouts of each archive.
        short: the name of each archive.
    """
    names, files, numbers = [], [], []
    for path, n_rows in rows.items():
        try:
            given = _npz_rows(path, "object_id", None, None) if "object_id" in _npz_shapes(path) else None
        except UNREADABLE:  # read_archive rejects the rows
            given = None
        names += [f"{path.stem}-{i}" for i in range(n_rows)] if given is None else [str(name) for name in given]
        files += [short[str(path)]] * n_rows
        numbers += range(n_rows)
    all_names = pa.array(names, pa.string())
    if not repeated(all_names).any():
        return {}
    unique = iter(with_origin(all_names, pa.array(files, pa.string()), pa.array(numbers)).to_pylist())
    return {path: [next(unique) for _ in range(n_rows)] for path, n_rows in rows.items()}


def read_archive(
    path: Path,
    start: int,
    stop: int,
    spec: SurveySpec,
    max_outside: float,
    names: list[str] | None = None,
    archive: str | None = None,
) -> ChunkRead:
    """The cutouts `start` to `stop` of an archive; those with too many missing pixels are rejected.

    Args:
        names: object_ids of these cutouts; None: those of the archive.
        archive: before the number of the parent image; None: only the number.
    """
    result = ChunkRead()
    try:
        keys = set(_npz_shapes(path)) & {"image", "weight", "parent", "object_id", "ra", "dec"}
        columns = {key: _npz_rows(path, key, start, stop) for key in keys}
    except UNREADABLE as error:
        if stop - start > 1:  # a corrupt part: read the other rows one by one
            for row in range(start, stop):
                name = None if names is None else [names[row - start]]
                part = read_archive(path, row, row + 1, spec, max_outside, name, archive)
                result.galaxies += part.galaxies
                result.where += part.where
                result.rejections += part.rejections
            return result
        reason = f"the archive cannot be read at this row ({error or type(error).__name__})"
        return ChunkRead(rejections=[Rejection(f"{path.stem}-{start}", f"{path}, row {start}", "row", reason)])
    for i in range(stop - start):
        row = {key: values[i] for key, values in columns.items()}
        where = f"{path}, row {start + i}"
        object_id = names[i] if names else str(row.get("object_id", f"{path.stem}-{start + i}"))
        parent = str(row["parent"]) if "parent" in row else None
        image_CHW = _observed(row["image"], row.get("weight"), spec.image_size)
        fault = missing_fault(image_CHW, max_outside)
        if fault:
            result.rejections.append(Rejection(object_id, where, "row", fault))
            continue
        result.where.append(where)
        result.galaxies.append(
            Galaxy(
                object_id=object_id,
                ra=number(row.get("ra")),
                dec=number(row.get("dec")),
                image_CHW=image_CHW,
                group_id=f"{archive}/{parent}" if archive and parent else parent,
            )
        )
    return result


def _observed(image_CSS: np.ndarray, weight_CSS: np.ndarray | None, size: int) -> np.ndarray:
    """The centre (C, size, size) in float32; NaN where weight is 0."""
    image_CHW = crop_or_pad(image_CSS, size).astype(np.float32)
    return keep_observed(image_CHW, [] if weight_CSS is None else [crop_or_pad(weight_CSS, size)])


def _npz_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shape of each array of an archive, from the headers."""
    with zipfile.ZipFile(path) as archive:
        shapes = {}
        for name in archive.namelist():
            with archive.open(name) as member:
                shapes[name.removesuffix(".npy")] = _npy_header(member)[0]
        return shapes


def _npz_rows(path: Path, key: str, start: int | None, stop: int | None) -> np.ndarray:
    """Rows `start` to `stop` of one array of an archive.

    numpy.load would read the whole array for every chunk; seeking to the
    rows bounds the memory by the chunk.
    """
    with zipfile.ZipFile(path) as archive, archive.open(f"{key}.npy") as member:
        shape, fortran, dtype = _npy_header(member)
        if fortran and len(shape) > 1 or dtype.hasobject:
            raise ValueError(f"{key} must be a plain array in C order, not {dtype}")
        first, last, _ = slice(start, stop).indices(shape[0])
        row_bytes = int(np.prod(shape[1:], dtype=np.int64)) * dtype.itemsize
        member.seek(member.tell() + first * row_bytes)
        content = member.read((last - first) * row_bytes)
        return np.frombuffer(content, dtype).reshape(last - first, *shape[1:])


def _npy_header(member: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(member)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(member)
    return np.lib.format.read_array_header_2_0(member)
