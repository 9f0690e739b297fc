"""Read the galaxies of one cell of the plan: spectra file by file, images patch by patch.

Shape suffix: R rows of one file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from mmae.ingest.description import error_column
from mmae.ingest.pairing.cutouts import OpenPatch
from mmae.ingest.pairing.known import KnownInputs
from mmae.ingest.pairing.spectra import read_spectra
from mmae.ingest.readers.values import UNREADABLE, number
from mmae.survey.missing import missing_by_band, missing_fault
from mmae.survey.schema import Galaxy, Rejection, SurveySpec
from mmae.survey.source import Chunk, ChunkRead


def read_cell(
    chunk: Chunk, spec: SurveySpec, arms: tuple[str, ...], max_outside: float, known: KnownInputs
) -> ChunkRead:
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
    _add_spectra(rows, result, spec, arms, known)
    _add_images(rows, result, spec, max_outside, known)
    _add_labels(rows, result, spec, known)
    return result


def read_images(chunk: Chunk, spec: SurveySpec, max_outside: float, most: int, known: KnownInputs) -> np.ndarray:
    """Up to `most` images (K, C, H, W) of a cell, evenly spaced in its rows."""
    rows = [row for row in pq.ParquetFile(chunk["plan"]).read().to_pylist() if row["image_planes"]]
    rows = [rows[i] for i in np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(int))]
    result = ChunkRead([_without_pixels(row, spec) for row in rows], [""] * len(rows))
    _add_images(rows, result, spec, max_outside, known)
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


def _add_spectra(
    rows: list[dict[str, Any]], result: ChunkRead, spec: SurveySpec, arms: tuple[str, ...], known: KnownInputs
) -> None:
    grid_L = spec.wavelength_L()
    for path, members in _group_by(rows, "spectrum_file"):
        members = sorted(members, key=lambda i: rows[i]["spectrum_row"])
        if path in known.source_of:
            _add_known_spectra(path, members, rows, result, spec, known)
            continue
        row_R = np.array([rows[i]["spectrum_row"] for i in members])
        try:
            flux_RL, ivar_RL = read_spectra(path, row_R, grid_L, arms)
        except UNREADABLE as error:
            for i in members:
                _reject(result, i, "spectrum", f"{path} cannot be read: {error or type(error).__name__}")
            continue
        for i, flux_L, ivar_L in zip(members, flux_RL, ivar_RL, strict=True):
            result.galaxies[i].flux_L, result.galaxies[i].ivar_L = flux_L, ivar_L


def _add_known_spectra(
    path: str, members: list[int], rows: list[dict[str, Any]], result: ChunkRead, spec: SurveySpec, known: KnownInputs
) -> None:
    """Spectra of a known source, with their redshifts where the row has none, and their labels."""
    row_of = {i: rows[i]["spectrum_row"] for i in members}
    for i, read in _known(path, row_of, "spectrum", result, spec, known):
        galaxy = result.galaxies[i]
        galaxy.flux_L, galaxy.ivar_L = read.flux_L, read.ivar_L
        galaxy.extra |= read.extra
        galaxy.targetid, galaxy.group_id = read.targetid, read.group_id
        galaxy.zwarn = read.zwarn if galaxy.zwarn is None else galaxy.zwarn
        if galaxy.redshift is None:
            galaxy.redshift, galaxy.redshift_err = read.redshift, read.redshift_err
        if galaxy.cmodel_mag_C is None:
            galaxy.cmodel_mag_C = read.cmodel_mag_C


def _add_known_images(
    path: str, row_of: dict[int, int], result: ChunkRead, spec: SurveySpec, max_outside: float, known: KnownInputs
) -> None:
    """Images of a known source, with their magnitudes, types and redshifts where the row has none."""
    for i, read in _known(path, row_of, "image", result, spec, known):
        galaxy = result.galaxies[i]
        fault = ""
        if read.image_CHW is not None and read.masked_fraction:
            fault = missing_fault(read.image_CHW, max_outside)
        if fault:
            _reject(result, i, "image", fault)
        else:
            galaxy.image_CHW, galaxy.masked_fraction = read.image_CHW, read.masked_fraction
        galaxy.morphtype = galaxy.morphtype or read.morphtype
        if read.cmodel_mag_C is not None:
            galaxy.cmodel_mag_C = read.cmodel_mag_C
        if galaxy.redshift is None:
            galaxy.redshift, galaxy.redshift_err = read.redshift, read.redshift_err


def _add_labels(rows: list[dict[str, Any]], result: ChunkRead, spec: SurveySpec, known: KnownInputs) -> None:
    """Labels of known sources that have neither spectra nor images."""
    for path, members in _group_by(rows, "catalogue_file"):
        if path in known.source_of:
            row_of = {i: rows[i]["catalogue_row"] for i in members}
            for i, read in _known(path, row_of, "labels", result, spec, known):
                result.galaxies[i].extra |= read.extra
                if result.galaxies[i].redshift is None:
                    result.galaxies[i].redshift = read.redshift


def _known(
    path: str, row_of: dict[int, int], part: str, result: ChunkRead, spec: SurveySpec, known: KnownInputs
) -> Iterator[tuple[int, Galaxy]]:
    """Each member with its galaxy of a known source; what was rejected is added to the result."""
    read = known.read(path, sorted(set(row_of.values())), part, spec)
    by_place = dict(zip(read.where, read.galaxies, strict=True))
    rejected: dict[str, list[Rejection]] = {}
    for rejection in read.rejections:
        rejected.setdefault(rejection.where, []).append(rejection)
    for i, row in row_of.items():
        place, name = f"{path}, row {row}", result.galaxies[i].object_id
        result.rejections += [replace(r, object_id=name) for r in rejected.get(place, ())]
        if place in by_place:
            yield i, by_place[place]


def _add_images(
    rows: list[dict[str, Any]], result: ChunkRead, spec: SurveySpec, max_outside: float, known: KnownInputs
) -> None:
    placed = {planes: json.loads(planes)[0] for planes, _ in _group_by(rows, "image_planes")}
    for path in dict.fromkeys(place["path"] for place in placed.values() if place["path"] in known.source_of):
        row_of = {
            i: placed[row["image_planes"]]["row"]
            for i, row in enumerate(rows)
            if row["image_planes"] and placed[row["image_planes"]]["path"] == path
        }
        _add_known_images(path, row_of, result, spec, max_outside, known)
    for planes, members in _group_by(rows, "image_planes"):
        if placed[planes]["path"] in known.source_of:
            continue
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
