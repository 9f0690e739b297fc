"""Image and spectrum columns of a survey as numpy arrays.

Shape suffixes: N rows, X samples of one tensor.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa


def decode_tensor(column: pa.ChunkedArray, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Decode a column of fixed-size binary.

    Args:
        dtype: type of the stored samples.

    Returns:
        The samples as float32 (N, X), zero where the row is null, and a mask (N,) bool of rows that are not null.
    """
    width = column.type.byte_width
    # One copy, from the Arrow buffer.
    value_NX = np.zeros((len(column), width // dtype.itemsize), np.float32)
    present_N = np.zeros(len(column), bool)
    row = 0
    for chunk in column.chunks:
        flat = np.frombuffer(chunk.buffers()[1], dtype=np.uint8, count=len(chunk) * width, offset=chunk.offset * width)
        is_present = chunk.is_valid().to_numpy(zero_copy_only=False)
        here = slice(row, row + len(chunk))
        # The bytes of a null are undefined and must not be copied.
        np.copyto(value_NX[here], flat.view(dtype).reshape(len(chunk), -1), where=is_present[:, None])
        present_N[here] = is_present
        row += len(chunk)
    return value_NX, present_N
