"""Object ids that are unique over a survey: names that occur more than once are prefixed by their file.

Archives number objects anew in every brick, tile or request, so a number alone does not name an object.

Shape suffix: N names.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def repeated(name_N: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """Mask (N,) of the values that occur more than once; null counts as a value."""
    names = pa.chunked_array([name_N]) if isinstance(name_N, pa.Array) else name_N
    codes = names.cast(pa.large_string()).combine_chunks().dictionary_encode(null_encoding="encode").indices.to_numpy()
    return np.bincount(codes)[codes] > 1 if len(codes) else np.zeros(0, bool)


def distinct_names(paths: Sequence[str], endings: tuple[str, ...] = ()) -> dict[str, str]:
    """A short name of each path: its last part without ending, with as many folders before it as make all distinct."""
    endings = tuple(sorted(endings, key=len, reverse=True))
    for removed in (endings, ()):  # two formats of one table differ in the ending only
        parts = {p: p.removesuffix(next((e for e in removed if p.endswith(e)), "")).split("/") for p in paths}
        for depth in range(1, max(map(len, parts.values()), default=0) + 1):
            names = {path: "/".join(words[-depth:]) for path, words in parts.items()}
            if len(set(names.values())) == len(names):
                return names
    return {path: path for path in paths}


def with_origin(name_N: pa.Array | pa.ChunkedArray, file_N: pa.Array, row_N: pa.Array) -> pa.Array:
    """The names; those that occur more than once are prefixed by their file, and if they still do, by file and row.

    Args:
        file_N: short name of the file; null: the name is not changed.
        row_N: number of the row in this file.
    """
    first_N = name_N.combine_chunks() if isinstance(name_N, pa.ChunkedArray) else name_N
    names = first_N.cast(pa.string())
    for prefix in ("{file}/{name}", "{file}/row-{row}/{name}"):
        again_N = repeated(names) & file_N.is_valid().to_numpy(zero_copy_only=False)
        if not again_N.any():
            break
        rows = pa.array(np.flatnonzero(again_N))
        origin = zip(*(column.take(rows).to_pylist() for column in (first_N, file_N, row_N)), strict=True)
        changed = pa.array([prefix.format(name=n, file=f, row=r) for n, f, r in origin], pa.string())
        names = pc.replace_with_mask(names, pa.array(again_N), changed)
    return names
