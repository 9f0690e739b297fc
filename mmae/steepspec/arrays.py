"""Conversion and checks of the input columns of each step."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from mmae.core.errors import InputError


def columns(what: str, **named: object) -> dict[str, np.ndarray]:
    """Plain 1-D float64 (or bool, or text) arrays of equal length, masked values as NaN or "".

    Args:
        what: name of the table, for the error message.
        named: column name -> (N) values.

    Raises:
        InputError: a column is not one-dimensional, or the lengths differ.
    """
    arrays = {name: plain_column(values) for name, values in named.items()}
    lengths = {name: array.shape for name, array in arrays.items()}
    if any(len(shape) != 1 for shape in lengths.values()) or len(set(lengths.values())) > 1:
        raise InputError(
            f"{what}: the columns must be one-dimensional and of equal length, but their shapes are "
            + ", ".join(f"{name} {shape}" for name, shape in lengths.items())
            + "; use the same rows of one table for all of them"
        )
    return arrays


def plain_column(values: object) -> np.ndarray:
    """One column without unit and mask: text and booleans keep their kind, numbers become float64."""
    array = np.ma.asanyarray(getattr(values, "value", values))
    if array.dtype.kind in "USO":
        text = np.ma.filled(array.astype(str) if array.dtype.kind == "O" else array, "")
        return np.char.strip(np.char.decode(text) if text.dtype.kind == "S" else text)
    if array.dtype.kind == "b":
        return np.asarray(np.ma.filled(array, False))
    return np.ma.filled(array.astype(np.float64), np.nan)


def per_row(values: ArrayLike, n: int) -> np.ndarray:
    """(n,) values from an array or from one number."""
    values = np.asarray(values)
    return np.full(n, values) if values.ndim == 0 else values


def require(condition: np.ndarray | bool, what: str, problem: str, advice: str) -> None:
    """Check a condition, one bool or one per row (N).

    Raises:
        InputError: `condition` is False anywhere; the message names the first such row.
    """
    condition = np.asarray(condition)
    if condition.all():
        return
    where = ""
    if condition.ndim:
        where = f" (row {int(np.argmin(condition))} first, {int((~condition).sum())} in all)"
    raise InputError(f"{what}: {problem}{where}; {advice}")
