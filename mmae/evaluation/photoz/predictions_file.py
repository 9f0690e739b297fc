"""Reads true and predicted redshifts from a table of any model, in any format of `astro.tables`.

Shape suffix: N rows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.table import Column, Table

from mmae.astro.missing import is_sentinel
from mmae.astro.tables import convert, find_column, read_table
from mmae.core.errors import InputError
from mmae.metrics.redshift import is_redshift

# Whole names; case and punctuation are ignored. object_id and z_image_low do not match.
TRUTH_NAMES = (
    "z_true",
    "true_z",
    "y_test",
    "y_true",
    "redshift",
    "redshift_true",
    "true_redshift",
    "redshift_spec",
    "z",
    "z_spec",
    "spec_z",
    "specz_redshift",
    "spectroscopic_redshift",
    "z_ref",
    "z_best",
)
PREDICTION_NAMES = (
    "z_pred",
    "pred_z",
    "y_pred",
    "redshift_pred",
    "predicted_redshift",
    "z_phot",
    "phot_z",
    "photo_z",
    "photoz_best",
    "photoz_mean",
    "photoz_median",
    "photoz_mode",
    "z_photo",
    "z_phot_mean",
    "z_phot_median",
    "z_est",
    "z_mode",
    "z_mean",
    "z_median",
    "z_peak",
    "z_a",
    "z_m1",
    "z_m2",
    "z_mc",
    "z_b",
    "z_ml",
    "z_image",
    "z_spectrum",
    "z_both",
)


@dataclass(frozen=True)
class PredictionsFile:
    """The N rows of a file with a true redshift.

    Attributes:
        path: of the file.
        truth: name of the column of true redshifts.
        redshift_N: the true redshifts.
        predictions: column -> (N,) predicted redshifts; NaN without a value (null, empty field, NA), infinite
            for a failed prediction: NaN, infinite, -1 or less, or a number that means "missing", such as -99 or 999.
        left_out: number of rows without a true redshift.
    """

    path: Path
    truth: str
    redshift_N: np.ndarray
    predictions: dict[str, np.ndarray]
    left_out: int


def read_predictions(path: str | Path, truth: str | None = None, predicted: Sequence[str] = ()) -> PredictionsFile:
    """Read a table of true and predicted redshifts; the format is detected from the content.

    Args:
        path: of the file.
        truth: name of the column of true redshifts; by default the one in TRUTH_NAMES.
        predicted: names of the columns of predictions; by default all in PREDICTION_NAMES.

    Raises:
        InputError: as `read_table`; no such column, several candidates for the true redshift, a column that
            is not numeric, or no row with a true redshift and a prediction.
    """
    path = Path(path)
    table = read_table(path, sentinels=False)
    truth = _truth_column(table, path, truth)
    columns = _prediction_columns(table, path, predicted)
    if truth in columns:
        raise InputError(f"{path}: column {truth!r} is both the true and a predicted redshift; give two columns.")
    redshift_N = _redshifts(table[truth], f"{path}: column {truth!r}")
    known_N = np.isfinite(redshift_N)
    predictions = {name: _redshifts(table[name], f"{path}: column {name!r}")[known_N] for name in columns}
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


def _truth_column(table: Table, path: Path, wanted: str | None) -> str:
    if wanted is not None:
        return _named(table, path, wanted)
    found = _known(table, TRUTH_NAMES)
    if len(found) == 1:
        return _named(table, path, found[0])
    if found:
        raise InputError(
            f"{path}: {', '.join(found)} could each be the true redshift. Give one of them as --truth-column."
        )
    raise InputError(
        f"{path}: no true redshift. The file has the columns {_listed(table)}. Give the name of the column as "
        f"--truth-column, or rename it to {TRUTH_NAMES[0]}."
    )


def _prediction_columns(table: Table, path: Path, wanted: Sequence[str]) -> list[str]:
    if wanted:
        return list(dict.fromkeys(_named(table, path, name) for name in wanted))
    found = _known(table, PREDICTION_NAMES)
    if not found:
        raise InputError(
            f"{path}: no predicted redshift. The file has the columns {_listed(table)}. Give the name of the column "
            f"as --predicted-column, or rename it to {PREDICTION_NAMES[0]}."
        )
    return [_named(table, path, name) for name in found]


def _known(table: Table, accepted: Sequence[str]) -> list[str]:
    plain = {_letters(name) for name in accepted}
    return [name for name in table.colnames if _letters(name) in plain]


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _named(table: Table, path: Path, wanted: str) -> str:
    found = find_column(table, (wanted,))
    if found is None:
        raise InputError(f"{path}: no column {wanted!r}. The file has the columns {_listed(table)}.")
    return found


def _listed(table: Table, most: int = 40) -> str:
    more = len(table.colnames) - most
    return ", ".join(table.colnames[:most]) + (f" and {more} more" if more > 0 else "")


def _redshifts(column: Column, where: str) -> np.ndarray:
    """(N,) redshifts; missing values are NaN, values that are no redshifts infinite."""
    if column.ndim != 1:
        raise InputError(f"{where} has {column.shape[1:]} values per row; it must have one.")
    missing_N = np.ma.getmaskarray(np.ma.asarray(column.data))
    value_N = convert(column, "", u.dimensionless_unscaled, where, override="1")
    failed_N = ~is_redshift(value_N) | is_sentinel(value_N, positive=True)
    return np.where(missing_N, np.nan, np.where(failed_N, np.inf, value_N))
