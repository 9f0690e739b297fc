"""Reads true and predicted redshifts from a CSV or Parquet file of any model.

Shape suffix: N rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from mmae.core.errors import InputError
from mmae.core.untrusted import require_plain_columns
from mmae.metrics.redshift import is_redshift

# Case-insensitive whole names: object_id and z_image_low do not match.
TRUTH_NAMES = (
    "z_true",
    "true_z",
    "y_test",
    "y_true",
    "redshift",
    "redshift_true",
    "z_spec",
    "zspec",
    "spec_z",
    "specz",
    "specz_redshift",
    "z_ref",
)
PREDICTION_NAMES = (
    "z_pred",
    "pred_z",
    "y_pred",
    "redshift_pred",
    "predicted_redshift",
    "z_phot",
    "zphot",
    "phot_z",
    "photoz",
    "photo_z",
    "photoz_best",
    "z_photo",
    "z_est",
    "z_image",
    "z_spectrum",
    "z_both",
)
CSV_NULLS = ["", " ", "NA", "N/A", "null", "NULL", "None"]  # not "nan", which is a failed prediction
PARQUET_MAGIC = b"PAR1"
READ_ERRORS = (pa.ArrowException, OSError, UnicodeDecodeError)


@dataclass(frozen=True)
class PredictionsFile:
    """The N rows of a file with a true redshift.

    Attributes:
        path: of the file.
        truth: name of the column of true redshifts.
        redshift_N: the true redshifts.
        predictions: column -> (N,) predicted redshifts; NaN for a missing value (null; in a
            CSV empty or NA), infinite for a value that is not finite.
        left_out: number of rows without a finite true redshift.
    """

    path: Path
    truth: str
    redshift_N: np.ndarray
    predictions: dict[str, np.ndarray]
    left_out: int


def read_predictions(path: str | Path, truth: str | None = None, predicted: Sequence[str] = ()) -> PredictionsFile:
    """Read a CSV file with a header, or a Parquet file; the format is detected from the content.

    Args:
        path: of the file.
        truth: name of the column of true redshifts; by default the one in TRUTH_NAMES.
        predicted: names of the columns of predictions; by default all in PREDICTION_NAMES.

    Raises:
        InputError: no such file or column, several candidates for the true redshift, a column that
            is not numeric, or no row with a true redshift and a prediction.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file. Give a CSV or Parquet file with true and predicted redshifts.")
    try:
        with path.open("rb") as file:
            parquet = file.read(len(PARQUET_MAGIC)) == PARQUET_MAGIC
        names = pq.read_schema(path).names if parquet else _header(path)
    except READ_ERRORS as error:
        raise InputError(f"{path}: neither Parquet nor CSV with a header ({error}).") from error
    truth = _truth_column(path, names, truth)
    columns = _prediction_columns(path, names, predicted)
    if truth in columns:
        raise InputError(f"{path}: column {truth!r} is both the true and a predicted redshift; give two columns.")
    for name in (truth, *columns):
        if names.count(name) > 1:
            raise InputError(f"{path}: two columns are named {name!r}; rename one.")
    redshift_N, *predicted_N = (
        _values(path, column, name) for name, column in _read_columns(path, parquet, [truth, *columns]).items()
    )
    known_N = is_redshift(redshift_N)
    predictions = {name: z_N[known_N] for name, z_N in zip(columns, predicted_N, strict=True)}
    empty = [name for name, z_N in predictions.items() if not np.isfinite(z_N).any()]
    if len(empty) == len(columns) or (predicted and empty):
        named = ", ".join(map(repr, empty))
        raise InputError(
            f"{path}: no row has finite redshifts in both {truth!r} and {named}. Give other columns, or fix the file."
        )
    return PredictionsFile(
        path,
        truth,
        redshift_N[known_N],
        {name: z_N for name, z_N in predictions.items() if name not in empty},
        int((~known_N).sum()),
    )


def _header(path: Path) -> list[str]:
    with pyarrow.csv.open_csv(path) as reader:
        return reader.schema.names


def _truth_column(path: Path, names: list[str], wanted: str | None) -> str:
    if wanted is not None:
        return _named(path, names, wanted)
    found = _known(names, TRUTH_NAMES)
    if len(found) == 1:
        return found[0]
    problem = f"several columns could be the true redshift: {', '.join(found)}" if found else "no true redshift"
    raise InputError(
        f"{path}: {problem}. The file has the columns {', '.join(names)}. Give the name of the column, "
        f"or rename it to {TRUTH_NAMES[0]}."
    )


def _prediction_columns(path: Path, names: list[str], wanted: Sequence[str]) -> list[str]:
    if wanted:
        return list(dict.fromkeys(_named(path, names, name) for name in wanted))
    found = _known(names, PREDICTION_NAMES)
    if not found:
        raise InputError(
            f"{path}: no predicted redshift. The file has the columns {', '.join(names)}. Give the "
            f"name of the column, or rename it to {PREDICTION_NAMES[0]}."
        )
    return found


def _known(names: list[str], accepted: Sequence[str]) -> list[str]:
    return [name for name in names if name.strip().lower() in accepted]


def _named(path: Path, names: list[str], wanted: str) -> str:
    if wanted not in names:
        raise InputError(f"{path}: no column {wanted!r}. The file has the columns {', '.join(names)}.")
    return wanted


def _read_columns(path: Path, parquet: bool, names: list[str]) -> dict[str, pa.ChunkedArray]:
    try:
        if parquet:
            table = pq.read_table(path, columns=names)
            require_plain_columns(table.schema, path)
        else:
            # With one thread, errors contain the row number.
            table = pyarrow.csv.read_csv(
                path,
                read_options=pyarrow.csv.ReadOptions(use_threads=False),
                convert_options=pyarrow.csv.ConvertOptions(
                    include_columns=names, column_types=dict.fromkeys(names, pa.float64()), null_values=CSV_NULLS
                ),
            )
    except READ_ERRORS as error:
        raise InputError(f"{path}: columns {', '.join(names)} cannot be read as numbers: {error}") from error
    return {name: table[name] for name in names}


def _values(path: Path, column: pa.ChunkedArray, name: str) -> np.ndarray:
    """Values as float64; null becomes NaN, other values that are not finite become infinite."""
    kind = column.type
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind)):
        raise InputError(
            f"{path}: column {name!r} has type {kind}, not numeric. Write it as floating point, or give another column."
        )
    value_N = column.cast(pa.float64()).fill_null(np.nan).to_numpy()
    return np.where(column.is_null().to_numpy() | np.isfinite(value_N), value_N, np.inf)
