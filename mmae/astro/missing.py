"""Missing values in tables: one rule for all columns of all formats.

Missing are masked values, nulls, empty fields, the words of `WORDS` in text, and numbers that consist of nines after a
minus sign (-99, -99.9, -999, -9999.0). NaN is missing wherever numbers are used, but stays NaN in the table.
"""

from __future__ import annotations

import numpy as np
from astropy.table import Column, MaskedColumn, Table

WORDS = frozenset(
    ("", "-", "--", "---", "...", "null", "none", "nan", "na", "n/a", "#n/a", "<na>", "nil", "masked", "indef", "\\n")
)
"""Text that means "missing", in lower case."""
_NINES = [float("9" * whole + "." + "9" * decimals) for whole in range(2, 7) for decimals in range(5)]


def is_sentinel(values: np.ndarray, positive: bool = False) -> np.ndarray:
    """Which numbers mean "missing": -99, -999, -9999, ..., also with nines after the point.

    Args:
        values: of any shape; only floats and signed integers have sentinels.
        positive: also 99, 999, ...: for magnitudes and redshifts, which never reach such values.
    """
    values = np.asarray(values)
    if values.dtype.kind not in "fi":
        return np.zeros(values.shape, bool)
    chosen = np.array([-nine for nine in _NINES] + (_NINES if positive else []))
    # In the precision of the column: float32 has no -99.9.
    chosen = chosen.astype(values.dtype) if values.dtype.kind == "f" else chosen[chosen == np.rint(chosen)]
    return np.isin(values, chosen)


def mask_missing(table: Table, sentinels: bool = True) -> Table:
    """The table with missing values masked.

    Args:
        sentinels: mask numbers such as -99.
    """
    for name in table.colnames:
        column = table[name]
        if not isinstance(column, Column):
            continue  # times and positions of ECSV files
        data = np.ma.getdata(column.data)
        if column.dtype.kind in "USO" and column.ndim == 1:
            missing = np.array([_is_word(value) for value in data.tolist()], bool)
        elif sentinels:
            missing = is_sentinel(data)
        else:
            continue
        if missing.any():
            missing |= np.ma.getmaskarray(np.ma.asarray(column.data))
            table[name] = MaskedColumn(
                data, mask=missing, unit=column.unit, description=column.description, meta=column.meta
            )
    return table


def _is_word(value: object) -> bool:
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    return text is None or (isinstance(text, str) and text.strip().lower() in WORDS)
