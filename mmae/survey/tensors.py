"""Image and spectrum columns of a survey as numpy arrays.

Shape suffixes: N rows, X samples of one tensor.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa


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
