"""Catalogue tables, in any format of `astro.tables`, with the columns used in pairing.

Shape suffix: N rows.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
from astropy import units as u
from astropy.table import Table
from fsspec.core import url_to_fs

from mmae.astro.healpix import on_sky
from mmae.astro.missing import is_sentinel
from mmae.astro.tables import convert, degrees, find_column, read_table, text_values
from mmae.core.errors import InputError
from mmae.ingest.description import CatalogueColumns
from mmae.ingest.files import name_of
from mmae.survey.schema import Rejection

CATALOGUE = pa.schema(
    [
        ("object_id", pa.string()),
        ("ra", pa.float64()),
        ("dec", pa.float64()),
        ("pmra", pa.float64()),
        ("pmdec", pa.float64()),
        ("epoch", pa.float64()),
        ("redshift", pa.float64()),
        ("redshift_err", pa.float64()),
        ("morphtype", pa.string()),
        ("magnitudes", pa.list_(pa.float32())),  # one per band; not of fixed size, so that Parquet can store null
    ]
)


def index_catalogue(path: str, columns: CatalogueColumns, bands: tuple[str, ...]) -> tuple[pa.Table, list[Rejection]]:
    """The rows of a table with a position on the sky, and rejections of the others.

    Raises:
        InputError: the file cannot be read, or does not have a column of the description.
    """
    table = _read(path)
    n = len(table)
    where = f"catalogue {path}"

    def numbers(field: str, unit: u.UnitBase = u.dimensionless_unscaled) -> np.ndarray:
        name = getattr(columns, field)
        if not name:
            return np.full(n, np.nan)
        column = table[_column(table, name, where)]
        return convert(column, str(unit), unit, f"{where}, column {name}", columns.override_units.get(field))

    def position(field: str) -> np.ndarray:
        name = getattr(columns, field)
        column = table[_column(table, name, where)]
        override = columns.override_units.get(field)
        return degrees(column, field == "ra", f"{where}, column {name}", override=override)

    ra_N, dec_N = position("ra"), position("dec")
    object_id_N = text_values(table[_column(table, columns.object_id, where)])
    morphtype_N = text_values(table[_column(table, columns.morphtype, where)]) if columns.morphtype else np.full(n, "")
    magnitude_unit = columns.override_units.get("magnitudes")
    magnitudes_NC = np.stack(
        [_magnitudes(table, columns.magnitudes.get(band, ""), where, magnitude_unit) for band in bands], axis=1
    )
    rows = pa.table(
        {
            "object_id": object_id_N,
            "ra": ra_N,
            "dec": dec_N,
            "pmra": numbers("pmra", u.mas / u.yr),
            "pmdec": numbers("pmdec", u.mas / u.yr),
            "epoch": _epoch(columns.epoch, n, numbers),
            "redshift": numbers("redshift"),
            "redshift_err": numbers("redshift_err"),
            "morphtype": pa.array([word or None for word in morphtype_N.tolist()], pa.string()),
            "magnitudes": pa.array(list(magnitudes_NC.astype(np.float32)), pa.list_(pa.float32())),
        },
        schema=CATALOGUE,
    )
    bad_N = ~on_sky(ra_N, dec_N) | (object_id_N == "")
    rejections = []
    for i in np.flatnonzero(bad_N):
        reason = "no object id" if object_id_N[i] == "" else f"RA {ra_N[i]}, declination {dec_N[i]}: not on the sky"
        rejections.append(Rejection(str(object_id_N[i]), f"{path}, row {i}", "row", reason))
    return rows.filter(pa.array(~bad_N)), rejections


def _read(path: str) -> Table:
    if "://" not in path:
        return read_table(Path(path))
    with tempfile.TemporaryDirectory() as folder:  # astropy's table readers need a local file
        copy = Path(folder) / name_of(path)
        system, remote = url_to_fs(path)
        try:
            with system.open(remote, "rb") as source, copy.open("wb") as target:
                shutil.copyfileobj(source, target)
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error}).") from error
        try:
            return read_table(copy)
        except InputError as error:
            raise InputError(str(error).replace(str(copy), path)) from error


def _column(table: Table, name: str, where: str) -> str:
    found = find_column(table, (name,))
    if found is None:
        raise InputError(
            f"{where}: no column {name}, found {', '.join(table.colnames[:20])}. Give the column name in the "
            f"survey's description (catalogue)."
        )
    return found


def _magnitudes(table: Table, name: str, where: str, override: str | None) -> np.ndarray:
    """(N,) magnitudes; 99 and 999, as SExtractor writes for sources that are not detected, are missing."""
    if not name:
        return np.full(len(table), np.nan)
    column = table[_column(table, name, where)]
    values = convert(column, "mag", u.mag, f"{where}, column {name}", override)
    return np.where(is_sentinel(values, positive=True), np.nan, values)


def _epoch(name: str, n: int, numbers) -> np.ndarray:
    try:
        return np.full(n, float(name))
    except ValueError:
        return numbers("epoch", u.yr)
