"""Output tables of the search in Parquet, FITS and VOTable, with units, UCDs and descriptions.

Shape suffix: N rows.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy import units as u
from astropy.io import fits
from astropy.io.votable import from_table
from astropy.io.votable.tree import Info
from astropy.table import Column, MaskedColumn, Table
from astropy.utils.exceptions import AstropyWarning
from numpy.typing import ArrayLike

from mmae.astro.tables import convert, text_values
from mmae.core.errors import InputError
from mmae.steepspec.arrays import columns as checked_columns
from mmae.steepspec.arrays import require
from mmae.steepspec.schema import ColumnSpec


def as_table(columns: Mapping[str, ArrayLike], spec: Sequence[ColumnSpec], meta: Mapping[str, str] = {}) -> Table:
    """Table with exactly the columns of `spec`, in its order, with units, descriptions and UCDs (meta["ucd"]).

    Args:
        columns: name -> (N) values; those with a unit are converted, those without are in the unit of
            the spec. Masked values become NaN or "". Names that are not in the spec are ignored.
        spec: column specifications of `schema`.
        meta: metadata of the table (provenance, settings), converted to text.

    Returns:
        N rows of float64 (NaN: unknown), int64, bool or str according to the spec.

    Raises:
        InputError: a column is missing, not one-dimensional, of a different length, of the wrong kind
            or in a unit that cannot be converted.
    """
    if missing := [wanted.name for wanted in spec if wanted.name not in columns]:
        raise InputError(f"table: no column {', '.join(missing)}; give every column of the schema")
    checked_columns("table", **{wanted.name: columns[wanted.name] for wanted in spec})
    table = Table(meta={str(key): str(value) for key, value in meta.items()})
    for wanted in spec:
        table[wanted.name] = Column(
            _values(columns[wanted.name], wanted),
            description=wanted.meaning,
            meta={"ucd": wanted.ucd},
            unit=u.Unit(wanted.unit) if wanted.unit else None,
        )
    return table


def write_table(
    table: Table, stem: Path, spec: Sequence[ColumnSpec], formats: Sequence[str] = ("parquet", "fits", "vot")
) -> list[Path]:
    """Write the columns of `spec` as <stem>.parquet, <stem>.fits and <stem>.vot, also for zero rows.

    Units, UCDs and descriptions are in the field metadata in Parquet, in TUNITn, TUCDn and TCOMMn in
    FITS, in the FIELD element in the VOTable. The metadata of the table is written as well, except for
    entries that do not fit into a FITS card. NaN is null in Parquet. FITS text is ASCII: other
    characters become "?". Existing files are replaced only when all new ones are complete.

    Args:
        formats: any of parquet, fits and vot.

    Returns:
        The paths, in that order.

    Raises:
        InputError: as `as_table`, or for an unknown format.
        OSError: the folder cannot be written to.
    """
    table, stem = as_table({name: table[name] for name in table.colnames}, spec, table.meta), Path(stem)
    writers = {"parquet": write_parquet, "fits": _write_fits, "vot": _write_votable}
    if unknown := set(formats) - set(writers):
        raise InputError(f"table: unknown format {', '.join(sorted(unknown))}; choose {', '.join(writers)}")
    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = [stem.with_name(f"{stem.name}.{ending}") for ending in formats]
    # In the same folder, so that the rename is atomic.
    with TemporaryDirectory(dir=stem.parent, prefix=f".{stem.name}-") as temporary:
        for path, ending in zip(paths, formats, strict=True):
            writers[ending](table, Path(temporary) / path.name)
        for path in paths:
            os.replace(Path(temporary) / path.name, path)
    return paths


def write_parquet(table: Table, path: Path) -> None:
    """Write any table of numbers, flags and text, with unit, UCD (meta["ucd"]) and description per field.

    NaN and masked values become null; the metadata of the table is written into the schema.
    """
    columns = table.columns.values()
    arrays = [pa.array(np.ma.getdata(column.data), mask=_missing(column)) for column in columns]
    fields = [
        pa.field(column.name, array.type, metadata=_column_notes(column))
        for column, array in zip(columns, arrays, strict=True)
    ]
    schema = pa.schema(fields, metadata={str(key): str(value) for key, value in table.meta.items()})
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), path)


def _values(values: ArrayLike, wanted: ColumnSpec) -> np.ndarray:
    """(N) values in the dtype of the specification."""
    where, column = f"table: column {wanted.name}", MaskedColumn(values)
    if wanted.kind == "text":
        return text_values(column)
    numbers = convert(column, wanted.unit, u.Unit(wanted.unit), where)
    if wanted.kind == "float":
        return numbers
    if wanted.kind == "bool":
        require(np.isin(numbers, (0, 1)), where, "not a flag", "give true or false")
        return numbers.astype(bool)
    require(numbers == np.rint(numbers), where, "not an integer", "give integers, none missing")
    return numbers.astype(np.int64)


def _missing(column: Column) -> np.ndarray:
    mask = np.ma.getmaskarray(np.ma.asarray(column.data))
    return mask | np.isnan(np.ma.getdata(column.data)) if column.dtype.kind == "f" else mask


def _column_notes(column: Column) -> dict[str, str]:
    return {"unit": str(column.unit or ""), "ucd": column.meta.get("ucd", ""), "description": column.description or ""}


def _write_fits(table: Table, path: Path) -> None:
    notes = {name: _column_notes(table[name]) for name in table.colnames}
    table = table.copy(copy_data=False)
    for name in table.colnames:
        if table[name].dtype.kind == "U":
            table[name] = np.char.encode(table[name].data, "ascii", "replace")
            table[name].unit = notes[name]["unit"] or None
    table.meta = {key: value for key, value in table.meta.items() if _fits_card(key, value)}
    with warnings.catch_warnings():
        # Warnings on metadata with long names (HIERARCH) or reserved FITS keywords (not written).
        warnings.simplefilter("ignore", AstropyWarning)
        hdu = fits.table_to_hdu(table, name=path.stem)
        for number, name in enumerate(table.colnames, 1):
            for keyword, note in (("TUCD", "ucd"), ("TCOMM", "description")):
                hdu.header[f"{keyword}{number}"] = notes[name][note]
        fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)


def _fits_card(key: str, value: str) -> bool:
    """Whether the entry fits into a FITS header card: not too long, and ASCII."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)
        try:
            return fits.Card.fromstring(str(fits.Card(key, value))).value == value.rstrip()
        except (ValueError, fits.VerifyError):
            return False


def _write_votable(table: Table, path: Path) -> None:
    bare = table.copy(copy_data=False)
    bare.meta.clear()  # astropy would write entries such as "ID" or "ref" as attributes of the TABLE element
    file = from_table(bare)
    element = file.get_first_table()
    element.name = path.stem
    element.infos.extend(
        Info(ID=f"meta_{number}", name=key, value=value) for number, (key, value) in enumerate(table.meta.items())
    )
    file.to_xml(str(path), tabledata_format="binary2")
