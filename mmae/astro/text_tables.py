"""Tables in text files, as people and archives write them: separator, header and decimal point are found out.

Formats with an exact description (ECSV, CDS and AAS tables, IPAC, SExtractor) are read by astropy, all others by
pyarrow after the header has been found: commas, semicolons, tabs, bars or white space; comment lines; the header in the
first line or in a comment; rows of units and rules as in VizieR; decimal commas.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from astropy import units as u
from astropy.table import MaskedColumn, Table

from mmae.astro.missing import WORDS
from mmae.core.errors import InputError

SEPARATORS = {"\t": "tabs", ";": "semicolons", "|": "bars", ",": "commas", " ": "white space"}
SAMPLE = 100  # lines from which separator and header are found
_COMMENT = re.compile(r"\s*(#|%|!|//)")
_RULE = re.compile(r"[\s\-=+|:;,]*--[\s\-=+|:;,]*")  # a line of dashes below the header
_NUMBER = re.compile(
    r"[+-]?(\d+[.,]?\d*|[.,]\d+)([eEdD][+-]?\d+)?|[+-]?(nan|inf|infinity)|[+-]?\d+([: hmd°]\s*\d+){1,2}([.,]\d*)?\D?",
    re.IGNORECASE,
)
_INTEGER, _LEADING_ZERO = r"^[+-]?\d+$", r"^[+-]?0\d"
_FLOAT = r"^[+-]?((\d+\.?\d*|\.\d+)([eEdD][+-]?\d+)?|[iI][nN][fF]([iI][nN][iI][tT][yY])?)$"
_WITH_COMMA = r"^[+-]?(\d+(,\d*)?|,\d+)([eEdD][+-]?\d+)?$"
_SEXTRACTOR = re.compile(r"#\s*(\d+)\s+[A-Za-z_]\w*")
_MISSING = [(word, "0") for word in sorted(WORDS | {"null", "NULL", "None", "NaN", "N/A", "NA"})]


@dataclass(frozen=True)
class _Line:
    number: int  # in the file, from 1
    text: str


@dataclass(frozen=True)
class _Form:
    """How the lines of a table are divided, and its column names and units."""

    separator: str
    names: list[str]
    units: list[str]
    rows: list[_Line]


def read_text_table(raw: bytes, path: Path) -> Table:
    """The table in the content of a text file. Numbers are int64 or float64, missing values are masked.

    Names that occur twice get a suffix; they are listed in meta["repeated"].

    Raises:
        InputError: the content is not text, has no line with column names, or a line has another number of values.
        ValueError, LookupError: astropy cannot read the table.
    """
    text = _decoded(raw, path).replace("\r\n", "\n").replace("\r", "\n")
    lines = [_Line(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    known = _astropy_format(lines)
    if known is not None:
        return Table.read(text.split("\n"), format=known, guess=False, fill_values=_MISSING)
    if (readme := path.parent / "ReadMe").is_file() and path.name in readme.read_text("latin-1"):
        return Table.read(text.split("\n"), format="ascii.cds", guess=False, readme=str(readme), fill_values=_MISSING)
    form = _form(lines, path)
    return _parsed(form, path)


def unique_names(names: list[str]) -> tuple[list[str], list[str]]:
    """The names, repeated ones with a suffix (_2, _3, ...), and those that are repeated; empty: col1, col2, ..."""
    unique: list[str] = []
    for number, name in enumerate(names, 1):
        name = name or f"col{number}"
        new, count = name, 1
        while new in unique:
            count += 1
            new = f"{name}_{count}"
        unique.append(new)
    return unique, sorted({name for name in names if name and names.count(name) > 1})


def _decoded(raw: bytes, path: Path) -> str:
    for mark, encoding in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if raw.startswith(mark):
            return raw.decode(encoding)
    if b"\0" in raw[:100_000]:
        raise InputError(f"{path}: neither text nor a known table format. Save it as CSV, FITS, VOTable or Parquet.")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _astropy_format(lines: list[_Line]) -> str | None:
    """The format of astropy.io.ascii with this beginning; None: a plain table."""
    head = [line.text.strip() for line in lines[:SAMPLE]]
    if not head:
        return None
    if head[0].startswith("# %ECSV"):
        return "ascii.ecsv"
    if any(line.startswith("Byte-by-byte Description") for line in head):
        return "ascii.mrt" if head[0].startswith("Title:") else "ascii.cds"
    plain = [line for line in head if not line.startswith("\\")]
    if plain and plain[0].startswith("|") and not plain[-1].startswith("|"):
        return "ascii.ipac"
    numbered = [int(match.group(1)) for line in head if (match := _SEXTRACTOR.match(line))]
    if len(numbered) > 1 and numbered[0] == 1 and (np.diff(numbered) > 0).all():
        return "ascii.sextractor"
    return None


def _form(lines: list[_Line], path: Path) -> _Form:
    """Separator, header and rows.

    Raises:
        InputError: there is no header.
    """
    first = next((i for i, line in enumerate(lines) if not _COMMENT.match(line.text)), len(lines))
    comments = [_COMMENT.sub("", line.text, count=1).strip("#%!/ \t") for line in lines[:first]][-SAMPLE:]
    data = [line for line in lines[first:] if not _COMMENT.match(line.text)]
    if data and re.fullmatch(r"\(\d+ rows?\)", data[-1].text.strip()):  # the end of a table from psql
        data = data[:-1]
    if not data:
        raise InputError(f"{path}: the table has no rows. Check the query.")
    rule = next((i for i in range(1, min(4, len(data))) if _RULE.fullmatch(data[i].text)), None)
    sample = [line.text for i, line in enumerate(data[:SAMPLE]) if i != rule]
    for separator in _separators(sample):
        cells = _cells(sample[0], separator)
        if _are_names(cells):
            below = 1 if rule is None else rule + 1
            units = _cells(data[1].text, separator) if rule is not None and rule > 1 else []
            return _Form(separator, cells, units, data[below:])
        for comment in reversed(comments):
            for other in (separator, *SEPARATORS):
                names = _cells(comment, other)
                if len(names) == len(cells) and _are_names(names) and all(names) and len(set(names)) == len(names):
                    return _Form(separator, names, [], data)
    raise InputError(
        f"{path}: no line with column names: line {data[0].number} is {data[0].text[:60]!r}, and no comment before it "
        f"has as many names. Add a first line with the column names."
    )


def _separators(sample: list[str]) -> list[str]:
    """Possible separators, the most probable first: in every line the same number of times, else in most lines."""
    counts = {separator: [len(_cells(line, separator)) for line in sample] for separator in SEPARATORS}
    regular = [s for s, n in counts.items() if len(set(n)) == 1 and n[0] > 1]
    if regular:
        return regular
    # One line is damaged, or there is one column.
    share = {s: n.count(n[0]) / len(n) for s, n in counts.items() if n[0] > 1}
    return sorted(share, key=lambda s: -share[s]) or [","]


def _cells(line: str, separator: str) -> list[str]:
    if separator == " ":
        line = line.replace("\t", " ").strip()
    elif separator == "|":
        line = _without_outer_bars(line)
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])]
    except csv.Error:
        return [line]


def _without_outer_bars(line: str) -> str:
    line = line.strip()
    return line[1:].removesuffix("|") if line.startswith("|") else line


def _are_names(cells: list[str]) -> bool:
    """Whether cells can be column names: no number, and not mostly missing values."""
    words = sum(cell.lower() in WORDS for cell in cells)
    return 2 * words <= len(cells) and words < len(cells) and not any(_NUMBER.fullmatch(cell) for cell in cells)


def _parsed(form: _Form, path: Path) -> Table:
    if not form.rows:
        raise InputError(f"{path}: the table has no rows. Check the query.")
    separator, texts = form.separator, [row.text for row in form.rows]
    if separator == " ":
        separator, texts = "\t", _joined_by_tabs(texts)
    elif separator == "|":
        texts = [_without_outer_bars(text) for text in texts]
    wrong: list[pa.csv.InvalidRow] = []

    def remember(row: pa.csv.InvalidRow) -> str:
        wrong.append(row)
        return "error"

    keys = [str(i) for i in range(len(form.names))]
    try:
        arrow = pa.csv.read_csv(
            io.BytesIO("\n".join(texts).encode()),
            read_options=pa.csv.ReadOptions(column_names=keys, use_threads=False),  # with threads, no row numbers
            parse_options=pa.csv.ParseOptions(delimiter=separator, invalid_row_handler=remember),
            convert_options=pa.csv.ConvertOptions(
                column_types=dict.fromkeys(keys, pa.string()), strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid:
        if not wrong:
            raise
        row = wrong[0]
        raise InputError(
            f"{path}: line {form.rows[row.number - 1].number} has {row.actual_columns} values, the header has "
            f"{row.expected_columns} columns (separated by {SEPARATORS[form.separator]}). Correct or remove the line."
        ) from None
    names, repeated = unique_names(form.names)
    columns = dict(zip(names, (_typed(column) for column in arrow.columns), strict=True))
    table = Table(_with_decimal_points(columns), meta={"repeated": repeated}, copy=False)
    if len(form.units) == len(names):
        for name, unit in zip(names, form.units, strict=True):
            table[name].unit = u.Unit(unit, parse_strict="silent") if unit else None
    unnamed = [new for name, new in zip(form.names, names, strict=True) if not name and table[new].mask.all()]
    table.remove_columns(unnamed)  # of separators at the end of lines
    return table


def _joined_by_tabs(texts: list[str]) -> list[str]:
    if not any('"' in text for text in texts):
        return ["\t".join(text.split()) for text in texts]
    rows = csv.reader((text.replace("\t", " ").strip() for text in texts), delimiter=" ", skipinitialspace=True)
    return ["\t".join(row) for row in rows]


def _typed(column: pa.ChunkedArray) -> MaskedColumn:
    """int64, float64 or text; identifiers with leading zeros or too many digits stay text."""
    plain = pc.utf8_trim_whitespace(column)
    lower = pc.utf8_lower(plain)
    is_nan = pc.is_in(lower, pa.array(["nan", "+nan", "-nan"]))
    missing = pc.is_in(lower, pa.array(sorted(WORDS - {"nan"})))
    known = pc.if_else(pc.or_(missing, is_nan), pa.scalar(None, pa.string()), plain)
    mask = missing.to_numpy()
    if _all_match(known, _INTEGER):
        numbers = _integers(known)
        if numbers is None:
            return MaskedColumn(_text(known), mask=known.is_null().to_numpy())
        nan = is_nan.to_numpy()
        if not nan.any():
            return MaskedColumn(numbers, mask=mask)
        if (np.abs(numbers) < 2**53).all():
            return MaskedColumn(np.where(nan, np.nan, numbers), mask=mask)
        return MaskedColumn(numbers, mask=mask | nan)
    if _all_match(known, _FLOAT):
        return MaskedColumn(_floats(known), mask=mask)
    return MaskedColumn(_text(known), mask=known.is_null().to_numpy())


def _all_match(known: pa.ChunkedArray, pattern: str) -> bool:
    """Whether all values match; also of a column without values, which has the type of a number."""
    return pc.all(pc.match_substring_regex(known, pattern)).as_py() is not False


def _integers(known: pa.ChunkedArray) -> np.ndarray | None:
    """None: there are leading zeros or too many digits."""
    if pc.any(pc.match_substring_regex(known, _LEADING_ZERO)).as_py():
        return None
    try:
        return known.cast(pa.int64()).fill_null(0).to_numpy()
    except pa.ArrowInvalid:
        return None


def _floats(known: pa.ChunkedArray) -> np.ndarray:
    return pc.replace_substring_regex(known, "[dD]", "e").cast(pa.float64()).fill_null(np.nan).to_numpy()


def _text(known: pa.ChunkedArray) -> np.ndarray:
    return np.array(known.fill_null("").to_pylist(), np.str_)


def _with_decimal_points(columns: dict[str, MaskedColumn]) -> dict[str, MaskedColumn]:
    """Text columns of numbers with decimal commas as numbers, unless another column has decimal points."""
    if any(column.dtype.kind == "f" and _has_fraction(column) for column in columns.values()):
        return columns
    result = dict(columns)
    for name, column in columns.items():
        if column.dtype.kind != "U":
            continue
        known = pa.chunked_array([pa.array(column.data.data, mask=np.ma.getmaskarray(column.data))])
        if _all_match(known, _WITH_COMMA) and pc.any(pc.match_substring(known, ",")).as_py():
            result[name] = MaskedColumn(_floats(pc.replace_substring(known, ",", ".")), mask=column.mask)
    return result


def _has_fraction(column: MaskedColumn) -> bool:
    values = np.ma.getdata(column.data)
    return bool((values[np.isfinite(values)] % 1 != 0).any())
