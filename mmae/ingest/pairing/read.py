"""Read the galaxies of one cell of the plan: spectra file by file, images patch by patch.

Shape suffix: R rows of one file.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from mmae.ingest.description import error_column
from mmae.ingest.pairing.cutouts import OpenPatch
from mmae.ingest.pairing.spectra import read_spectra
from mmae.ingest.readers.values import UNREADABLE, number
from mmae.survey.missing import missing_by_band, missing_fault
from mmae.survey.schema import Galaxy, Rejection, SurveySpec
from mmae.survey.source import Chunk, ChunkRead


def read_cell(chunk: Chunk, spec: SurveySpec, arms: tuple[str, ...], max_outside: float) -> ChunkRead:
    """The galaxies of a cell. A spectrum or image that cannot be read is rejected and its galaxy kept."""
    rows = pq.ParquetFile(chunk["plan"]).read().to_pylist()
    result = ChunkRead()
    for row in rows:
        result.galaxies.append(_without_pixels(row, spec))
        result.where.append(
            "; ".join(
                filter(
                    None,
                    (
                        f"{row['spectrum_file']}, row {row['spectrum_row']}" if row["spectrum_file"] else "",
                        row["image_name"] and f"image {row['image_name']}",
                    ),
                )
            )
            or "catalogue"
        )
        if row["untrusted_redshift"] is not None:
            kept = (
                "the catalogue's is kept" if number(row["redshift"]) is not None else "the row is kept without a label"
            )
            reason = f"ZWARN={row['zwarn']}: redrock warns of z={row['untrusted_redshift']:.4f}; {kept}"
            result.rejections.append(Rejection(row["object_id"], result.where[-1], "redshift", reason))
    _add_spectra(rows, result, spec, arms)
    _add_images(rows, result, spec, max_outside)
    return result


def read_images(chunk: Chunk, spec: SurveySpec, max_outside: float, most: int) -> np.ndarray:
    """Up to `most` images (K, C, H, W) of a cell, evenly spaced in its rows."""
    rows = [row for row in pq.ParquetFile(chunk["plan"]).read().to_pylist() if row["image_planes"]]
    rows = [rows[i] for i in np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(int))]
    result = ChunkRead([_without_pixels(row, spec) for row in rows], [""] * len(rows))
    _add_images(rows, result, spec, max_outside)
    images = [g.image_CHW for g in result.galaxies if g.image_CHW is not None]
    return np.stack(images) if images else np.zeros((0, *spec.image_shape), np.float32)


def _without_pixels(row: dict[str, Any], spec: SurveySpec) -> Galaxy:
    return Galaxy(
        object_id=row["object_id"],
        ra=number(row["ra"]),
        dec=number(row["dec"]),
        targetid=row["targetid"],
        redshift=number(row["redshift"]),
        redshift_err=number(row["redshift_err"]),
        morphtype=row["morphtype"],
        cmodel_mag_C=None if row["magnitudes"] is None else np.array(row["magnitudes"], np.float32),
        group_id=None
        if row["targetid"] is None
        else str(row["targetid"]),  # a target observed on two tiles is one galaxy
        zwarn=row["zwarn"],
        fiberstatus=row["fiberstatus"],
        extra=_magnitude_errors(row, spec),
    )


def _magnitude_errors(row: dict[str, Any], spec: SurveySpec) -> dict[str, np.ndarray | float]:
    """By column, the errors that are known; none if the survey has no such columns."""
    errors = dict(zip(map(error_column, spec.bands), row["magnitude_errors"] or (), strict=False))
    return {name: errors[name] for name, _ in spec.extra_columns if number(errors.get(name)) is not None}


def _add_spectra(rows: list[dict[str, Any]], result: ChunkRead, spec: SurveySpec, arms: tuple[str, ...]) -> None:
    grid_L = spec.wavelength_L()
    for path, members in _group_by(rows, "spectrum_file"):
        members = sorted(members, key=lambda i: rows[i]["spectrum_row"])
        row_R = np.array([rows[i]["spectrum_row"] for i in members])
        try:
            flux_RL, ivar_RL = read_spectra(path, row_R, grid_L, arms)
        except UNREADABLE as error:
            for i in members:
                _reject(result, i, "spectrum", f"{path} cannot be read: {error or type(error).__name__}")
            continue
        for i, flux_L, ivar_L in zip(members, flux_RL, ivar_RL, strict=True):
            result.galaxies[i].flux_L, result.galaxies[i].ivar_L = flux_L, ivar_L


def _add_images(rows: list[dict[str, Any]], result: ChunkRead, spec: SurveySpec, max_outside: float) -> None:
    for planes, members in _group_by(rows, "image_planes"):
        try:
            with OpenPatch(planes, rows[members[0]]["image_wcs"], spec) as patch:
                position_N2 = patch.positions(*(np.array([rows[i][key] for i in members]) for key in ("ra", "dec")))
                for i, position_2 in zip(members, position_N2, strict=True):
                    _add_image(i, patch, tuple(position_2) if rows[i]["cut_at_position"] else None, result, max_outside)
        except UNREADABLE as error:
            for i in members:
                if result.galaxies[i].image_CHW is None:
                    _reject(result, i, "image", f"cannot be read: {error or type(error).__name__}")


def _add_image(
    i: int, patch: OpenPatch, position: tuple[float, float] | None, result: ChunkRead, max_outside: float
) -> None:
    try:
        image_CHW = patch.cutout(position)
    except UNREADABLE as error:
        _reject(result, i, "image", f"cannot be read: {error or type(error).__name__}")
        return
    fault = missing_fault(image_CHW, max_outside)
    if fault:
        _reject(result, i, "image", fault)
        return
    result.galaxies[i].image_CHW = image_CHW
    result.galaxies[i].masked_fraction = float(missing_by_band(image_CHW).max())


def _reject(result: ChunkRead, i: int, field: str, reason: str) -> None:
    result.rejections.append(Rejection(result.galaxies[i].object_id, result.where[i], field, reason))


def _group_by(rows: list[dict[str, Any]], key: str) -> Iterator[tuple[str, list[int]]]:
    """Each value of `key` with the indices of its rows, in the order of first occurrence."""
    members: dict[str, list[int]] = {}
    for i, row in enumerate(rows):
        if row[key] is not None:
            members.setdefault(row[key], []).append(i)
    yield from members.items()
