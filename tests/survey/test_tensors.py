"""Arrays on their way into a column of fixed-size binary and back."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from mmae.survey.tensors import decode_tensor, encode_tensor


@pytest.mark.parametrize("missing", [(), (0, 4, 9), range(10)])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_there_and_back(missing, dtype):
    dtype = np.dtype(dtype)
    samples = np.random.default_rng(0).normal(size=(10, 2, 3, 3)).astype(dtype).astype(np.float64)
    values = [None if i in missing else np.asfortranarray(sample) for i, sample in enumerate(samples)]
    column = encode_tensor(values, dtype, pa.binary(18 * dtype.itemsize))
    assert column.null_count == len(missing)
    assert column.to_pylist() == [None if v is None else np.ascontiguousarray(v, dtype).tobytes() for v in values]
    decoded_NX, present_N = decode_tensor(pa.chunked_array([column]), dtype)
    np.testing.assert_array_equal(present_N, [v is not None for v in values])
    np.testing.assert_array_equal(decoded_NX[present_N], samples.reshape(10, -1)[present_N])
