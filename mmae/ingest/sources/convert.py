"""Galaxies from the columns of a known source."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from mmae.astro.missing import is_sentinel
from mmae.ingest.layouts.layout import Piece
from mmae.ingest.readers.values import is_label, text_of
from mmae.ingest.sources.description import LINE_SPREAD, Columns, KnownSource
from mmae.ingest.sources.images import image_of
from mmae.ingest.sources.spectra import GridSpectrum, spectra_on_grid
from mmae.survey.missing import MAX_MISSING, missing_by_band, missing_fault
from mmae.survey.schema import Galaxy, Rejection, SurveySpec
from mmae.survey.source import ChunkRead

NANOMAGGY = 22.5  # AB magnitude of one
NO_MAGNITUDE = 99  # 99, 99.9, 999: not detected; 0, as in tables without nulls, is no magnitude either


def galaxies_of(
    piece: Piece, source: KnownSource, spec: SurveySpec, path: str, most_missing: float = MAX_MISSING
) -> ChunkRead:
    """The galaxies of some rows; a field that cannot be used is rejected with the reason and the rest is kept.

    Args:
        most_missing: fraction of missing pixels above which an image is rejected, as in `missing_fault`.
    """
    result = ChunkRead()
    values, count = piece.values, len(piece.rows)
    spectra = [GridSpectrum()] * count
    if source.spectrum is not None:
        spectra = spectra_on_grid(values, count, source.spectrum, spec.wavelength_L())
    for i, row in enumerate(piece.rows):
        galaxy, where = _scalars(values, i, source.columns, spec), f"{path}, row {row}"

        def reject(field: str, reason: str, galaxy: Galaxy = galaxy, where: str = where) -> None:
            result.rejections.append(Rejection(galaxy.object_id, where, field, reason))

        skipped = _skipped(values, i, source.columns)
        if skipped:
            reject("row", skipped)
            continue
        _label(galaxy, values, i, source.columns, reject)
        galaxy.flux_L, galaxy.ivar_L = spectra[i].flux_L, spectra[i].ivar_L
        if spectra[i].fault:
            reject("spectrum", spectra[i].fault)
        if spectra[i].line_spread is not None:
            galaxy.extra[LINE_SPREAD] = spectra[i].line_spread
        if source.image is not None and source.image.array in values:
            try:
                galaxy.image_CHW = image_of(values, i, source.image, spec)
            except ValueError as error:
                reject("image", str(error))
        if galaxy.image_CHW is not None:
            fault = missing_fault(galaxy.image_CHW, most_missing)
            galaxy.masked_fraction = float(missing_by_band(galaxy.image_CHW).max())
            if fault:
                galaxy.image_CHW = galaxy.masked_fraction = None
                reject("image", fault)
        result.galaxies.append(galaxy)
        result.where.append(where)
    return result


def object_id_of(values: dict[str, Any], i: int, columns: Columns) -> str:
    """The id of a row, of one or several columns; "" if there is none."""
    parts = [text_of(values[name.strip()][i]) for name in columns.object_id.split(",") if name.strip() in values]
    return "-".join(parts) if all(parts) else ""


def targetid_of(values: dict[str, Any], i: int, columns: Columns) -> int | None:
    """The TARGETID of a row, which may be written as text; None if there is none."""
    text = text_of(values[columns.targetid][i]) if columns.targetid in values else ""
    return int(text) if re.fullmatch(r"-?\d+", text) else None


def number_of(values: dict[str, Any], name: str, i: int) -> float | None:
    """A finite number; None for others, for numbers that mean "missing" such as -99, and without such a column."""
    if not name or name not in values or values[name][i] is None or np.ma.is_masked(values[name][i]):
        return None
    value = np.asarray(values[name][i]).ravel()
    if value.size != 1 or not np.isfinite(value[0]) or (value[0] < 0 and is_sentinel(value).any()):
        return None
    return float(value[0])


def _skipped(values: dict[str, Any], i: int, columns: Columns) -> str:
    """The reason why a row is no target; "" if it is one."""
    for name, words in columns.skip.items():
        if name in values and text_of(values[name][i]) in words:
            return f"{name} is {text_of(values[name][i])}: not a target"
    return ""


def _scalars(values: dict[str, Any], i: int, columns: Columns, spec: SurveySpec) -> Galaxy:
    targetid = targetid_of(values, i, columns)
    magnitude_C = _numbers(values, columns.magnitudes, i, spec)
    magnitude_C[(magnitude_C >= NO_MAGNITUDE) | (magnitude_C == 0)] = np.nan
    flux_C = _numbers(values, columns.nanomaggies, i, spec)
    flux_C = np.where(np.isnan(magnitude_C) & (flux_C > 0), flux_C, np.nan)
    magnitude_C = np.where(np.isnan(flux_C), magnitude_C, NANOMAGGY - 2.5 * np.log10(flux_C))
    labels = {name: number_of(values, column, i) for name, column in columns.labels.items()}
    return Galaxy(
        object_id=object_id_of(values, i, columns),
        ra=number_of(values, columns.ra, i),
        dec=number_of(values, columns.dec, i),
        targetid=targetid,
        cmodel_mag_C=magnitude_C if np.isfinite(magnitude_C).any() else None,
        morphtype=(text_of(values[columns.morphtype][i]) or None) if columns.morphtype in values else None,
        group_id=None if targetid is None else str(targetid),
        extra={name: value for name, value in labels.items() if value is not None},
    )


def _numbers(values: dict[str, Any], names: dict[str, str], i: int, spec: SurveySpec) -> np.ndarray:
    """The numbers (C,) of the survey's bands in columns that are named by band, NaN where there is none."""
    found = (number_of(values, names.get(band, ""), i) for band in spec.bands)
    return np.array([np.nan if number is None else number for number in found])


def _label(
    galaxy: Galaxy, values: dict[str, Any], i: int, columns: Columns, reject: Callable[[str, str], None]
) -> None:
    redshift = number_of(values, columns.redshift, i)
    if redshift is None or not is_label(np.array(redshift)):
        return
    if columns.zwarn in values:
        galaxy.zwarn, trusted = _warning(values[columns.zwarn][i], columns.zwarn_true_is)
        if not trusted:
            reason = f"{columns.zwarn} is {values[columns.zwarn][i]}: a warning of z={redshift:.4f}"
            reject("redshift", f"{reason}; the row is kept without a label")
            return
    galaxy.redshift, galaxy.redshift_err = redshift, number_of(values, columns.redshift_err, i)


def _warning(value: Any, true_is: str) -> tuple[int | None, bool]:
    """The warning bits, None if the column has true and false only; and whether the redshift is trusted."""
    if value is None:
        return None, True
    value = np.asarray(value)
    if value.dtype == bool:
        return None, bool(value) == (true_is == "good")
    return int(value), int(value) == 0
