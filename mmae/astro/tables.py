"""Read tables as people and archives write them, with units, sexagesimal coordinates and missing values.

One reader for all jobs: FITS (binary and ASCII tables), VOTable, Parquet, ECSV, CDS, IPAC, CSV and other text, also
compressed by gzip, bzip2 or xz. The format follows from the content; missing values are those of `missing`, units
those of `units`, text those of `text_tables`.
"""

from __future__ import annotations

import lzma
import re
import warnings
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy import units as u
from astropy.io import fits
from astropy.table import Column, MaskedColumn, Table
from astropy.utils.data import get_readable_fileobj
from astropy.utils.exceptions import AstropyWarning

from mmae.astro.missing import is_sentinel, mask_missing
from mmae.astro.text_tables import read_text_table, unique_names
from mmae.astro.units import parse_unit
from mmae.core.errors import InputError
from mmae.core.untrusted import require_plain_columns

_SUFFIXES = {
    ".fits": "fits",
    ".fit": "fits",
    ".fts": "fits",
    ".vot": "votable",
    ".xml": "votable",
    ".votable": "votable",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_COMPRESSED = (".gz", ".bz2", ".xz")
TABLE_ENDINGS = tuple(
    ending + compressed for ending in (*_SUFFIXES, ".csv", ".tsv", ".ecsv", ".dat") for compressed in ("", *_COMPRESSED)
)
"""Which files of a folder are tables. A file that is named itself may have any suffix."""
_BEGINNINGS = {
    b"SIMPLE  =": "fits",
    b"PAR1": "parquet",
    b"SQLite format 3\0": "a SQLite database",
    b"\x89HDF\r\n": "an HDF5 file",
    b"PK\x03\x04": "a ZIP archive or spreadsheet",
    b"\x93NUMPY": "a NumPy array",
    b"ARROW1": "an Arrow file",
    b"%PDF": "a PDF document",
}
_READABLE = ("fits", "votable", "parquet", "text")
# Raised by astropy and pyarrow for truncated or corrupt files and for other formats.
_UNREADABLE = (
    OSError,
    EOFError,
    LookupError,
    TypeError,
    ValueError,
    UnicodeError,
    zlib.error,
    lzma.LZMAError,
    fits.VerifyError,
    pa.ArrowException,
)


def read_table(path: Path, sentinels: bool = True) -> Table:
    """The first table of a file; the format follows from the content. Missing values are masked, or NaN.

    Args:
        sentinels: mask numbers that mean "missing", such as -99 (`missing.is_sentinel`).

    Returns:
        The table; meta has the path, and the names of columns that occur twice ("repeated").

    Raises:
        InputError: the file does not exist, is no table, cannot be read, or has no rows.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file. Check the path.")
    kind = "text"
    try:
        with warnings.catch_warnings():
            # Units and UCDs of archive files often violate the standards; `convert` checks the units that are used.
            warnings.simplefilter("ignore", AstropyWarning)
            kind = _format_of(path)
            if kind not in _READABLE:
                raise InputError(f"{path}: {kind}, not a table. Save it as CSV, FITS, VOTable or Parquet.")
            table = {"fits": _read_fits, "votable": _read_votable, "parquet": _read_parquet, "text": _read_text}[kind](
                path
            )
            table = mask_missing(table, sentinels)
            table.meta["path"] = str(path)
    except InputError:
        raise
    except _UNREADABLE as error:
        reason = " ".join(str(error or type(error).__name__).split())[:300]
        raise InputError(
            f"{path}: not a readable {kind} table ({reason}). Check the file, or download it again."
        ) from error
    if not len(table):
        raise InputError(f"{path}: the table has no rows. Check the query.")
    return table


def find_column(table: Table, names: tuple[str, ...]) -> str | None:
    """The first of the names that is a column of the table; None if there is none.

    If no name matches exactly, case and punctuation are ignored: archives write "SPW/WB" as "SPW_WB".

    Raises:
        InputError: two columns have this name.
    """
    plain = {_plain(name): name for name in reversed(table.colnames)}
    found = next((name for name in names if name in table.colnames), None) or next(
        (plain[_plain(name)] for name in names if _plain(name) in plain), None
    )
    if found in table.meta.get("repeated", ()):
        raise InputError(f"{table.meta.get('path')}: two columns are named {found!r}; rename one.")
    return found


def convert(column: Column, described: str, wanted: u.UnitBase, where: str, override: str | None = None) -> np.ndarray:
    """Values (N,) float64 in the wanted unit; masked values are NaN.

    A "per beam" in a unit is ignored: surveys differ on whether a peak flux is in mJy or mJy/beam.

    Args:
        described: unit to assume if the file gives none.
        where: start of the error message.
        override: the true unit, whatever the file gives.

    Raises:
        InputError: the values are not numbers, or the unit cannot be converted.
    """
    if column.dtype.kind not in "fiub":
        text = text_values(column)
        try:
            values = np.array([word or "nan" for word in text], np.float64)
        except ValueError:
            row = next(i for i, word in enumerate(text) if not _is_number(word))
            raise InputError(
                f"{where}: row {row} is {str(text[row])!r}, not a number. Check the choice of the column."
            ) from None
        values = np.where(is_sentinel(values), np.nan, values)
    else:
        values = np.ma.filled(np.ma.asarray(column.data).astype(np.float64), np.nan)
    return values * _factor(override or (str(column.unit or "").strip() or described), wanted, where)


def degrees(column: Column, hours: bool, where: str, described: str = "deg", override: str | None = None) -> np.ndarray:
    """Right ascension or declination in degrees (N,), from numbers in any unit of angle or sexagesimal text.

    Args:
        hours: the column is the right ascension, sexagesimal text is in hours.
        where, described, override: as in `convert`.

    Raises:
        InputError: as `convert` and `sexagesimal`.
    """
    if column.dtype.kind in "USO":
        return sexagesimal(column, hours, where)
    unit = override or str(column.unit or "").strip() or described
    try:
        if hours and parse_unit(unit) == u.hour:
            unit = "hourangle"
    except ValueError:
        pass  # `convert` raises the error
    return convert(column, described, u.deg, where, unit)


def _factor(unit: str, wanted: u.UnitBase, where: str) -> float:
    try:
        return _per_beam(parse_unit(unit)).to(_per_beam(wanted))
    except (ValueError, TypeError, u.UnitConversionError):
        raise InputError(
            f"{where}: the unit {unit} cannot be converted to {wanted or 'a pure number'}. Correct the unit in the "
            f"file, or give the true one as override_units in the survey's description."
        ) from None


def text_values(column: Column) -> np.ndarray:
    """Values as text (N,), stripped; masked values are "", integers have no ".0"."""
    data = np.ma.asarray(column.data) if isinstance(column, MaskedColumn) else np.asarray(column.data)
    mask = np.ma.getmaskarray(data)
    data = np.ma.getdata(data)
    if data.dtype.kind == "S":
        data = np.char.decode(data, "latin-1")
    text = np.array(["" if value is None else str(value).strip() for value in data.tolist()], dtype=np.str_)
    return np.where(mask, "", text)


def sexagesimal(column: Column, hours: bool, where: str) -> np.ndarray:
    """Degrees (N,) from "hh mm ss.s", "dd:mm:ss" or "12h34m56s"; a single number is in degrees; blank is NaN.

    Raises:
        InputError: a row has another form.
    """
    text = text_values(column)
    split = [_ANGLE_MARKS.split(_plain_angle(word)) if word else ["nan"] for word in text]
    values = np.empty(len(text))
    for row, parts in enumerate(split):
        try:
            sizes = [abs(float(part)) for part in parts]
        except ValueError:
            sizes = []
        if not 1 <= len(sizes) <= 3 or any(size >= 60 for size in sizes[1:]):
            raise InputError(
                f"{where}: row {row} is {str(text[row])!r}, neither degrees nor sexagesimal "
                f"({'hh mm ss' if hours else 'dd mm ss'}). Correct or remove the row."
            )
        size = sum(part / 60**power for power, part in enumerate(sizes))
        in_hours = hours and (len(sizes) > 1 or "h" in text[row].lower())
        values[row] = (-size if parts[0].startswith("-") else size) * (15 if in_hours else 1)
    return np.where(is_sentinel(values), np.nan, values)


_ANGLE_MARKS = re.compile(r"[:\s]+")


def _plain_angle(word: str) -> str:
    """The parts of an angle, separated by spaces, with decimal points."""
    return re.sub(r"[hdms°'\"′″]+", " ", word.lower().replace("−", "-").replace(",", ".")).strip() or word


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower())


def _per_beam(unit: u.UnitBase) -> u.UnitBase:
    """The unit without "per beam"."""
    powers = dict(zip(unit.bases, unit.powers, strict=True))
    return unit * u.beam if powers.get(u.beam) == -1 else unit


def _is_number(word: str) -> bool:
    try:
        float(word or "nan")
    except ValueError:
        return False
    return True


def _format_of(path: Path) -> str:
    """One of `_READABLE`, or what the file is instead: by its first bytes, else by its suffix."""
    with get_readable_fileobj(str(path), encoding="binary") as file:
        start = file.read(2048)
    for beginning, kind in _BEGINNINGS.items():
        if start.startswith(beginning):
            return kind
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if b"<votable" in text:
        return "votable"
    if text.startswith((b"<!doctype html", b"<html")):
        return "a web page"
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() not in _COMPRESSED]
    return _SUFFIXES.get(suffixes[-1] if suffixes else "", "text")


def _read_text(path: Path) -> Table:
    with get_readable_fileobj(str(path), encoding="binary") as file:
        return read_text_table(file.read(), path)


def _read_votable(path: Path) -> Table:
    # Names instead of XML identifiers: the identifier of "S1.4" is "S1_4".
    return Table.read(path, format="votable", table_id=0, use_names_over_ids=True)


def _read_parquet(path: Path) -> Table:
    schema = pq.read_schema(path)
    require_plain_columns(schema, path)
    plain = [field.name for field in schema if not pa.types.is_nested(field.type)]  # arrays are not catalogue values
    return _from_arrow(pq.read_table(path, columns=list(dict.fromkeys(plain)), partitioning=None))


def _from_arrow(arrow: pa.Table) -> Table:
    names, repeated = unique_names(arrow.column_names)
    table = Table(meta={"repeated": repeated})
    for i, (name, column) in enumerate(zip(names, arrow.columns, strict=True)):
        mask = np.asarray(column.is_null())
        if pa.types.is_decimal(column.type) or pa.types.is_float16(column.type):
            column = column.cast(pa.float64())
        if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
            filled = column.fill_null(0).to_numpy()
        else:
            filled = np.array(["" if value is None else str(value) for value in column.to_pylist()], np.str_)
        unit = (arrow.schema.field(i).metadata or {}).get(b"unit", b"").decode() or None
        table[name] = MaskedColumn(filled, mask=mask, unit=u.Unit(unit, parse_strict="silent") if unit else None)
    return table


def _read_fits(path: Path) -> Table:
    with fits.open(path) as file:
        table = next((hdu for hdu in file if isinstance(hdu, (fits.BinTableHDU, fits.TableHDU))), None)
        if table is None:
            raise ValueError("the file has no table")
        if isinstance(table, fits.TableHDU):
            return _from_ascii(table)
        return _from_binary(table)


def _from_binary(hdu: fits.BinTableHDU) -> Table:
    """A FITS binary table; TNULL is a value before scaling with TSCAL and TZERO, which astropy compares after it."""
    table, fields = Table.read(hdu, format="fits", mask_invalid=False), hdu.data.view(np.ndarray)
    for column in hdu.columns:
        if column.null is not None and (column.bscale not in (None, "", 1) or column.bzero not in (None, "", 0)):
            table[column.name] = MaskedColumn(table[column.name], mask=fields[column.name] == column.null)
    return table


def _from_ascii(hdu: fits.TableHDU) -> Table:
    """A FITS ASCII table; blank fields and those with the text of TNULL are missing (astropy reads them as 0)."""
    table, fields = Table(), hdu.data.view(np.ndarray)
    for column in hdu.columns:
        raw = np.char.strip(fields[column.name])
        null = str(column.null or "").strip().encode()
        values = np.asarray(hdu.data[column.name])
        table[column.name] = MaskedColumn(
            values, mask=(raw == b"") | (raw == null), unit=u.Unit(column.unit or "", parse_strict="silent") or None
        )
    return table
