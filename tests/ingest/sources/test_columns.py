"""Columns of numbers and ids of a known source: whole columns give what their single values give."""

from __future__ import annotations

import numpy as np
import pytest

from mmae.ingest.sources.convert import numbers_of, object_ids_of, targetids_of
from mmae.ingest.sources.description import Columns

VALUES = [1.5, 0.0, -3.0, np.nan, np.inf, -np.inf, -99.0, -99.9, -9999.0, 99.0]
NUMBERS = [1.5, 0.0, -3.0, np.nan, np.nan, np.nan, np.nan, np.nan, np.nan, 99.0]


@pytest.mark.parametrize("dtype", ["f4", "f8", ">f4"])
def test_numbers(dtype):
    column = np.array(VALUES, dtype)
    for given in (column, column[:, None], list(column)):
        np.testing.assert_array_equal(numbers_of({"z": given}, "z", len(VALUES)), NUMBERS)


def test_numbers_that_are_absent_masked_or_of_another_type():
    assert np.isnan(numbers_of({}, "z", 3)).all() and np.isnan(numbers_of({"z": [1.0]}, "", 1)).all()
    masked = np.ma.masked_array([1.0, 2.0], [False, True])
    np.testing.assert_array_equal(numbers_of({"z": masked}, "z", 2), [1, np.nan])
    np.testing.assert_array_equal(numbers_of({"z": [None, 2, np.zeros(2)]}, "z", 3), [np.nan, 2, np.nan])
    np.testing.assert_array_equal(numbers_of({"z": np.array([-99, -5, 7])}, "z", 3), [np.nan, -5, 7])
    np.testing.assert_array_equal(numbers_of({"z": np.array([True, False])}, "z", 2), [1, 0])


def test_ids_are_text_and_targetids_numbers():
    columns = Columns(object_id="brick, id", targetid="id")
    values = {"brick": [b"0001p2", "b'17'", None], "id": np.array([5, -(2**62), 7])}
    assert object_ids_of(values, 3, columns) == ["0001p2-5", f"17-{-(2**62)}", ""]
    assert targetids_of(values, 3, columns) == [5, -(2**62), 7]
    assert targetids_of({"id": [b"12", "x", None]}, 3, columns) == [12, None, None]
    assert object_ids_of({}, 2, columns) == ["", ""] and targetids_of({}, 2, columns) == [None, None]
