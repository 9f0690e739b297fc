"""Catalogue tables, in any format of `astro.tables`, with the columns used in pairing.

Shape suffix: N rows.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from astropy import units as u
from astropy.table import Table
from fsspec.core import url_to_fs

from mmae.astro.healpix import on_sky
from mmae.astro.missing import is_sentinel
from mmae.astro.tables import TABLE_ENDINGS, convert, degrees, find_column, read_table, text_values
from mmae.core.errors import InputError
from mmae.ingest.description import CatalogueColumns
from mmae.ingest.files import FITS_ENDINGS, name_of
from mmae.ingest.ids import distinct_names, repeated
from mmae.ingest.readers.values import is_label
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
        ("magnitude_errors", pa.list_(pa.float32())),
        ("file", pa.dictionary(pa.int32(), pa.string())),
        ("row", pa.int64()),
        ("brick", pa.string()),  # null unless the table has such a column
    ]
)
_BRICKS = ("BRICKNAME", "BRICKID", "TILENAME")  # of Legacy Surveys and DES: objects are numbered within each


def index_catalogue(path: str, columns: CatalogueColumns, bands: tuple[str, ...]) -> tuple[pa.Table, list[Rejection]]:
    """The rows of a table with a position on the sky, and rejections of the others.

    If the description names no columns of positions, all positions are NaN and no row is rejected for that.

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
        if not name:
            return np.full(n, np.nan)
        column = table[_column(table, name, where)]
        override = columns.override_units.get(field)
        return degrees(column, field == "ra", f"{where}, column {name}", override=override)

    ra_N, dec_N = position("ra"), position("dec")
    object_id_N = _object_ids(table, columns.object_id, where)
    brick = find_column(table, _BRICKS)
    brick_N = text_values(table[brick]) if brick else np.full(n, "")
    morphtype_N = text_values(table[_column(table, columns.morphtype, where)]) if columns.morphtype else np.full(n, "")

    def by_band(field: str) -> np.ndarray:
        names, unit = getattr(columns, field), columns.override_units.get(field)
        value_NC = np.stack([_magnitudes(table, names.get(band, ""), where, unit) for band in bands], axis=1)
        return np.where(np.isin(value_NC, columns.missing), np.nan, value_NC)

    magnitudes_NC, error_NC = by_band("magnitudes"), by_band("magnitude_errors")
    error_NC[~((error_NC > 0) & np.isfinite(magnitudes_NC))] = np.nan
    redshift_N = numbers("redshift")
    rows = pa.table(
        {
            "object_id": object_id_N,
            "ra": ra_N,
            "dec": dec_N,
            "pmra": numbers("pmra", u.mas / u.yr),
            "pmdec": numbers("pmdec", u.mas / u.yr),
            "epoch": _epoch(columns.epoch, n, numbers),
            "redshift": np.where(is_label(redshift_N) & ~np.isin(redshift_N, columns.missing), redshift_N, np.nan),
            "redshift_err": numbers("redshift_err"),
            "morphtype": pa.array([word or None for word in morphtype_N.tolist()], pa.string()),
            "magnitudes": pa.array(list(magnitudes_NC.astype(np.float32)), pa.list_(pa.float32())),
            "magnitude_errors": pa.array(list(error_NC.astype(np.float32)), pa.list_(pa.float32())),
            "file": pa.array([path] * n, pa.string()).dictionary_encode(),
            "row": np.arange(n),
            "brick": pa.array([word or None for word in brick_N.tolist()], pa.string()),
        },
        schema=CATALOGUE,
    )
    placed_N = on_sky(ra_N, dec_N) if columns.ra else np.ones(n, bool)
    bad_N = ~placed_N | (object_id_N == "")
    rejections = []
    for i in np.flatnonzero(bad_N):
        reason = "no object id" if object_id_N[i] == "" else f"RA {ra_N[i]}, declination {dec_N[i]}: not on the sky"
        rejections.append(Rejection(str(object_id_N[i]), f"{path}, row {i}", "row", reason))
    return rows.filter(pa.array(~bad_N)), rejections


def with_unique_ids(catalogue: pa.Table) -> pa.Table:
    """The rows (CATALOGUE) of all files, with unique object_ids: if one occurs twice, all are prefixed by their brick,
    or by their file if the tables have no column of bricks.

    Raises:
        InputError: one still occurs twice.
    """
    name_N = catalogue["object_id"]
    if not repeated(name_N).any():
        return catalogue
    short = distinct_names(catalogue["file"].unique().to_pylist(), (*TABLE_ENDINGS, *FITS_ENDINGS))
    file_N = pa.chunked_array([pa.array([short[path] for path in catalogue["file"].to_pylist()], pa.string())])
    brick_N = pc.coalesce(catalogue["brick"], file_N)
    for prefixes in ((brick_N,), (file_N, brick_N)):
        unique_N = pc.binary_join_element_wise(*prefixes, name_N, "/")
        if not repeated(unique_N).any():
            return catalogue.set_column(catalogue.schema.get_field_index("object_id"), "object_id", unique_N)
    again = catalogue.select(["file", "row", "object_id"]).filter(pa.array(repeated(unique_N)))
    again = again.set_column(0, "file", again["file"].cast(pa.string()))
    same = again.filter(pc.and_(*(pc.equal(again[key], again[key][0]) for key in ("object_id", "file"))))
    first, second = same["row"].to_pylist()[:2]
    raise InputError(
        f"catalogue {again['file'][0]}: rows {first} and {second} have the same object_id, {again['object_id'][0]} "
        f"({len(again)} rows have no unique id). Give a column with unique values as object_id in the survey's "
        f"description, or several columns that are unique together, such as `object_id: BRICKID, OBJID`; or remove "
        f"repeated rows."
    )


def _object_ids(table: Table, name: str, where: str) -> np.ndarray:
    """(N,) ids from a column, or from several joined by "-"; blank if one of them is."""
    names = [name] if find_column(table, (name,)) else [part.strip() for part in name.split(",")]
    parts = [text_values(table[_column(table, part, where)]) for part in names]
    joined_N = np.array(["-".join(words) for words in zip(*parts, strict=True)], np.str_)
    return np.where(np.any([part == "" for part in parts], axis=0), "", joined_N)


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
    """(N,) magnitudes, or their errors; 99 and 999 are missing: SExtractor writes them for undetected sources; and so
    is exactly 0, which writers without nulls fill in."""
    if not name:
        return np.full(len(table), np.nan)
    column = table[_column(table, name, where)]
    values = convert(column, "mag", u.mag, f"{where}, column {name}", override)
    return np.where(is_sentinel(values, positive=True) | (values == 0), np.nan, values)


def _epoch(name: str, n: int, numbers) -> np.ndarray:
    try:
        return np.full(n, float(name))
    except ValueError:
        return numbers("epoch", u.yr)
