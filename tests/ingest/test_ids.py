"""Names that are unique over a survey."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmae.ingest.ids import distinct_names, repeated, with_origin

ENDINGS = (".fits", ".fits.gz", ".csv", ".parquet")


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["/d/a.fits", "/d/b.fits.gz"], ["a", "b"]),
        (["/d/1/a.fits", "/d/2/a.fits.gz", "/d/2/b.fits"], ["1/a", "2/a", "2/b"]),
        (["/x/1/d/a.csv", "/x/2/d/a.csv"], ["1/d/a", "2/d/a"]),
        (["/d/c.csv", "/d/c.parquet"], ["c.csv", "c.parquet"]),
        (["s3://bucket/p/tractor-1500p020.fits"], ["tractor-1500p020"]),
        ([], []),
    ],
)
def test_distinct_names(paths, names):
    assert list(distinct_names(paths, ENDINGS).values()) == names


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("fg"), st.integers(0, 9)), max_size=30))
def test_with_origin_changes_only_repeated_names_and_makes_them_unique(rows):
    rows = list({(file, row): (name, file, row) for name, file, row in rows}.values())
    columns = [pa.array([r[i] for r in rows], t) for i, t in enumerate((pa.string(), pa.string(), pa.int64()))]
    names = with_origin(*columns).to_pylist()
    assert len(set(names)) == len(names)
    before = [r[0] for r in rows]
    for (name, file, _), after in zip(rows, names, strict=True):
        assert after == name if before.count(name) == 1 else after.startswith(f"{file}/") and after.endswith(name)


def test_names_without_file_are_not_changed():
    file = pa.array(["a", None, None], pa.string())
    assert with_origin(pa.array(["1", "1", "2"]), file, pa.array([0, None, None], pa.int64())).to_pylist() == [
        "a/1",
        "1",
        "2",
    ]
    assert repeated(pa.chunked_array([["x"], ["y", "x"]])).tolist() == [True, False, True]
    assert repeated(pa.array([], pa.string())).tolist() == []
