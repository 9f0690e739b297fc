"""Galaxies from the columns of a known source.

Shape suffixes: R rows, C bands.
"""

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
    galaxies = _scalars(values, count, source.columns, spec)
    redshift_R, error_R = (
        numbers_of(values, name, count) for name in (source.columns.redshift, source.columns.redshift_err)
    )
    labelled_R = is_label(redshift_R)
    for i, (galaxy, row) in enumerate(zip(galaxies, piece.rows.tolist(), strict=True)):
        where = f"{path}, row {row}"

        def reject(field: str, reason: str, galaxy: Galaxy = galaxy, where: str = where) -> None:
            result.rejections.append(Rejection(galaxy.object_id, where, field, reason))

        skipped = _skipped(values, i, source.columns)
        if skipped:
            reject("row", skipped)
            continue
        if labelled_R[i]:
            _label(galaxy, float(redshift_R[i]), _known(error_R[i]), values, i, source.columns, reject)
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
            galaxy.masked_fraction = float(missing_by_band(galaxy.image_CHW).max())
            fault = missing_fault(galaxy.image_CHW, most_missing) if galaxy.masked_fraction else ""
            if fault:
                galaxy.image_CHW = galaxy.masked_fraction = None
                reject("image", fault)
        result.galaxies.append(galaxy)
        result.where.append(where)
    return result


def object_ids_of(values: dict[str, Any], count: int, columns: Columns) -> list[str]:
    """The ids of all rows, of one or several columns; "" where there is none."""
    names = [name.strip() for name in columns.object_id.split(",") if name.strip() in values]
    parts = [[text_of(value) for value in _plain(values[name])] for name in names]
    return ["-".join(words) if all(words) else "" for words in zip(*parts, strict=True)] if parts else [""] * count


def targetids_of(values: dict[str, Any], count: int, columns: Columns) -> list[int | None]:
    """The TARGETIDs of all rows, which may be written as text; None where there is none."""
    if columns.targetid not in values:
        return [None] * count
    texts = [text_of(value) for value in _plain(values[columns.targetid])]
    return [int(text) if re.fullmatch(r"-?\d+", text) else None for text in texts]


def _plain(column: Any) -> Any:
    """A column of integers as Python's, which become text faster than numpy's."""
    return column.tolist() if isinstance(column, np.ndarray) and column.dtype.kind in "iu" else column


def numbers_of(values: dict[str, Any], name: str, count: int) -> np.ndarray:
    """The numbers (R,) of a column, finite; NaN for others, for numbers that mean "missing" such as -99, and without
    such a column."""
    column = values.get(name) if name else None
    if column is None:
        return np.full(count, np.nan)
    if type(column) is not np.ndarray or column.dtype.kind not in "fiub" or column.shape != (count,):
        return np.array([_number(value) for value in column], np.float64)
    missing_R = ~np.isfinite(column)
    negative_R = column < 0
    if negative_R.any():
        missing_R |= negative_R & is_sentinel(column)
    return np.where(missing_R, np.nan, column.astype(np.float64))


def _number(value: Any) -> float:
    """As `numbers_of`, of a single value."""
    if value is None or np.ma.is_masked(value):
        return np.nan
    value = np.asarray(value).ravel()
    if value.size != 1 or not np.isfinite(value[0]) or (value[0] < 0 and is_sentinel(value).any()):
        return np.nan
    return float(value[0])


def _known(number: float) -> float | None:
    return None if np.isnan(number) else float(number)


def _skipped(values: dict[str, Any], i: int, columns: Columns) -> str:
    """The reason why a row is no target; "" if it is one."""
    for name, words in columns.skip.items():
        if name in values and text_of(values[name][i]) in words:
            return f"{name} is {text_of(values[name][i])}: not a target"
    return ""


def _scalars(values: dict[str, Any], count: int, columns: Columns, spec: SurveySpec) -> list[Galaxy]:
    """Galaxies with their ids, positions, magnitudes and labels."""
    magnitude_RC = _by_band(values, columns.magnitudes, count, spec)
    magnitude_RC[(magnitude_RC >= NO_MAGNITUDE) | (magnitude_RC == 0)] = np.nan
    flux_RC = _by_band(values, columns.nanomaggies, count, spec)
    flux_RC = np.where(np.isnan(magnitude_RC) & (flux_RC > 0), flux_RC, np.nan)
    magnitude_RC = np.where(np.isnan(flux_RC), magnitude_RC, NANOMAGGY - 2.5 * np.log10(flux_RC))
    measured_R = np.isfinite(magnitude_RC).any(axis=1)
    ra_R, dec_R = (numbers_of(values, name, count).tolist() for name in (columns.ra, columns.dec))
    labels = {name: numbers_of(values, column, count).tolist() for name, column in columns.labels.items()}
    types: list[str | None] = [None] * count
    if columns.morphtype in values:
        types = [text_of(value) or None for value in values[columns.morphtype]]
    object_ids, targetids = object_ids_of(values, count, columns), targetids_of(values, count, columns)
    return [
        Galaxy(
            object_id=object_ids[i],
            ra=_known(ra_R[i]),
            dec=_known(dec_R[i]),
            targetid=targetids[i],
            cmodel_mag_C=magnitude_RC[i] if measured_R[i] else None,
            morphtype=types[i],
            group_id=None if targetids[i] is None else str(targetids[i]),
            extra={name: value_R[i] for name, value_R in labels.items() if not np.isnan(value_R[i])},
        )
        for i in range(count)
    ]


def _by_band(values: dict[str, Any], names: dict[str, str], count: int, spec: SurveySpec) -> np.ndarray:
    """The numbers (R, C) of the survey's bands in columns that are named by band, NaN where there is none."""
    return np.stack([numbers_of(values, names.get(band, ""), count) for band in spec.bands], axis=1)


def _label(
    galaxy: Galaxy,
    redshift: float,
    error: float | None,
    values: dict[str, Any],
    i: int,
    columns: Columns,
    reject: Callable[[str, str], None],
) -> None:
    """Give a galaxy its redshift, unless the row has a warning of it."""
    if columns.zwarn in values:
        galaxy.zwarn, trusted = _warning(values[columns.zwarn][i], columns.zwarn_true_is)
        if not trusted:
            reason = f"{columns.zwarn} is {values[columns.zwarn][i]}: a warning of z={redshift:.4f}"
            reject("redshift", f"{reason}; the row is kept without a label")
            return
    galaxy.redshift, galaxy.redshift_err = redshift, error


def _warning(value: Any, true_is: str) -> tuple[int | None, bool]:
    """The warning bits, None if the column has true and false only; and whether the redshift is trusted."""
    if value is None:
        return None, True
    value = np.asarray(value)
    if value.dtype == bool:
        return None, bool(value) == (true_is == "good")
    return int(value), int(value) == 0
