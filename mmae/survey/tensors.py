"""Image and spectrum columns of a survey as numpy arrays.

Shape suffixes: N rows, X samples of one tensor.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa


def encode_tensor(values: Sequence[np.ndarray | None], dtype: np.dtype, kind: pa.FixedSizeBinaryType) -> pa.Array:
    """A column of fixed-size binary; one copy of each row.

    Args:
        values: N arrays of X samples, of any shape; None: null.
        dtype: in which the samples are stored.
        kind: of the column, X samples wide.
    """
    stored_NX = np.zeros((len(values), kind.byte_width // dtype.itemsize), dtype)
    for row, value in enumerate(values):
        if value is not None:
            stored_NX[row] = value.reshape(-1)
    present_N = np.array([value is not None for value in values], bool)
    validity = None if present_N.all() else pa.py_buffer(np.packbits(present_N, bitorder="little"))
    return pa.Array.from_buffers(kind, len(values), [validity, pa.py_buffer(stored_NX)])


def decode_tensor(
    column: pa.ChunkedArray, dtype: np.dtype, value_NX: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Decode a column of fixed-size binary.

    Args:
        dtype: type of the stored samples.
        value_NX: the array to fill, float32; None for a new one.

    Returns:
        The samples as float32 (N, X), zero where the row is null, and a mask (N,) bool of rows that are not null.
    """
    width = column.type.byte_width
    if value_NX is None:
        value_NX = np.empty((len(column), width // dtype.itemsize), np.float32)
    present_N = np.ones(len(column), bool)
    row = 0
    for chunk in column.chunks:
        flat = np.frombuffer(chunk.buffers()[1], dtype=np.uint8, count=len(chunk) * width, offset=chunk.offset * width)
        here = slice(row, row + len(chunk))
        value_NX[here] = flat.view(dtype).reshape(len(chunk), -1)
        if chunk.null_count:
            present_N[here] = chunk.is_valid().to_numpy(zero_copy_only=False)
        row += len(chunk)
    value_NX[~present_N] = 0  # the bytes of a null are undefined
    return value_NX, present_N
