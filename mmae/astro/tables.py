"""Read catalogues from archives: FITS, VOTable, CSV or Parquet, with units and sexagesimal coordinates."""

from __future__ import annotations

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
from astropy.utils.exceptions import AstropyWarning

from mmae.core.errors import InputError
from mmae.core.untrusted import require_plain_columns

_FORMATS = {
    ".fits": "fits",
    ".fit": "fits",
    ".fts": "fits",
    ".vot": "votable",
    ".xml": "votable",
    ".votable": "votable",
    ".csv": "ascii.csv",
    ".parquet": "parquet",
    ".pq": "parquet",
}
# Raised by astropy and pyarrow for truncated or corrupt files and for other formats.
_UNREADABLE = (
    OSError,
    EOFError,
    LookupError,
    TypeError,
    ValueError,
    UnicodeError,
    zlib.error,
    fits.VerifyError,
    pa.ArrowException,
)


def read_table(path: Path) -> Table:
    """The first table of a file; the format follows from the suffix, also of gzipped FITS, VOTable and CSV.

    Raises:
        InputError: the file does not exist, has an unknown suffix, cannot be read, or has no rows.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file. Check the path.")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    ending = suffixes[-2] if suffixes[-1:] == [".gz"] and len(suffixes) > 1 else (suffixes or [""])[-1]
    if ending not in _FORMATS:
        raise InputError(f"{path}: unknown suffix {ending or '(none)'}. Supported are {', '.join(sorted(_FORMATS))}.")
    kind = _FORMATS[ending]
    try:
        with warnings.catch_warnings():
            # Units and UCDs of archive files often violate the standards; `convert` checks the units that are used.
            warnings.simplefilter("ignore", AstropyWarning)
            if kind == "parquet":
                arrow = pq.read_table(path)
                require_plain_columns(arrow.schema, path)
                table = _from_arrow(arrow)
            elif kind == "fits":
                table = Table.read(path, format="fits", hdu=_first_table(path))
            elif kind == "votable":
                # Names instead of XML identifiers: the identifier of "S1.4" is "S1_4".
                table = Table.read(path, format="votable", table_id=0, use_names_over_ids=True)
            else:
                table = Table.read(path, format=kind, fill_values=[("", "0"), ("nan", "0"), ("NaN", "0")])
    except InputError:
        raise
    except _UNREADABLE as error:
        raise InputError(
            f"{path}: not a readable {kind.removeprefix('ascii.')} table "
            f"({error or type(error).__name__}). Download it again."
        ) from error
    if not len(table):
        raise InputError(f"{path}: the table has no rows. Check the query.")
    return table


def find_column(table: Table, names: tuple[str, ...]) -> str | None:
    """The first of the names that is a column of the table; None if there is none.

    If no name matches exactly, case and punctuation are ignored: archives write "SPW/WB" as "SPW_WB".
    """
    for name in names:
        if name in table.colnames:
            return name
    plain = {_plain(name): name for name in reversed(table.colnames)}
    return next((plain[_plain(name)] for name in names if _plain(name) in plain), None)


def convert(column: Column, described: str, wanted: u.UnitBase, where: str) -> np.ndarray:
    """Values (N,) float64 in the wanted unit; masked values are NaN.

    A "per beam" in a unit is ignored: surveys differ on whether a peak flux is in mJy or mJy/beam.

    Args:
        described: unit to assume if the file gives none.
        where: start of the error message.

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
    else:
        values = np.ma.filled(np.ma.asarray(column.data).astype(np.float64), np.nan)
    unit = described if column.unit is None or str(column.unit) == "" else column.unit
    try:
        unit = u.Unit(unit) if not isinstance(unit, str) else u.Unit(unit, parse_strict="raise")
        factor = _per_beam(unit).to(_per_beam(wanted))
    except (ValueError, TypeError, u.UnitConversionError):
        raise InputError(
            f"{where}: the unit {unit} cannot be converted to {wanted or 'a pure number'}. Correct the unit in "
            f"the file or in the survey's description."
        ) from None
    return values * factor


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
    """Degrees (N,) from "hh mm ss.s" or "dd:mm:ss"; a single number is in degrees; blank is NaN.

    Raises:
        InputError: a row has another form.
    """
    text = text_values(column)
    split = [re.split(r"[:\s]+", word.replace("−", "-")) if word else ["nan"] for word in text]
    degrees = np.empty(len(text))
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
        degrees[row] = (-size if parts[0].startswith("-") else size) * (15 if hours and len(sizes) > 1 else 1)
    return degrees


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


def _from_arrow(arrow: pa.Table) -> Table:
    table = Table()
    for name, column in zip(arrow.column_names, arrow.columns, strict=True):
        if pa.types.is_nested(column.type):
            continue  # arrays are not catalogue values
        mask = np.asarray(column.is_null())
        if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
            filled = column.fill_null(0).to_numpy()
        else:
            filled = np.array(["" if value is None else str(value) for value in column.to_pylist()])
        unit = (arrow.schema.field(name).metadata or {}).get(b"unit", b"").decode() or None
        table[name] = MaskedColumn(filled, mask=mask, unit=unit)
    return table


def _first_table(path: Path) -> int:
    with fits.open(path) as file:
        for number, hdu in enumerate(file):
            if isinstance(hdu, (fits.BinTableHDU, fits.TableHDU)):
                return number
    raise ValueError("the file has no table")
