"""Parquet with nested columns, as in the HATS form of the Multimodal Universe: dataset/Norder=/Dir=/Npix=.parquet.

`spectrum.flux` is the field `flux` of the column `spectrum`, a struct of lists; of a list of structs (one per band) it
is the list of the fields. Row groups may be larger than memory: they are decoded in pieces.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmae.ingest.layouts.layout import PIECE_ROWS, Piece, find, openable

ENDINGS = (".parquet", ".pq")


def columns(path: str) -> dict[str, str]:
    with closing(pq.ParquetFile(openable(path))) as file:
        rows = file.metadata.num_rows
        return {name: f"{kind} ({rows},)" for name, kind in _leaves(file.schema_arrow).items()}


def count(path: str) -> int:
    with closing(pq.ParquetFile(openable(path))) as file:
        return int(file.metadata.num_rows)


def read(path: str, names: Sequence[str], rows: np.ndarray, centre: Mapping[str, int] | None = None) -> Iterator[Piece]:
    with closing(pq.ParquetFile(openable(path))) as file:
        leaves = list(_leaves(file.schema_arrow))
        own = {name: found for name in names if (found := find(name, leaves))}
        top = list(dict.fromkeys(found.split(".")[0] for found in own.values()))
        first = 0
        for group in range(file.num_row_groups):
            last = first + file.metadata.row_group(group).num_rows
            wanted = rows[(rows >= first) & (rows < last)]
            if len(wanted):
                yield from _read_group(file, group, first, wanted, own, top)
            first = last


def _read_group(
    file: pq.ParquetFile, group: int, first: int, wanted: np.ndarray, own: dict[str, str], top: list[str]
) -> Iterator[Piece]:
    """Some rows of a row group whose first row is `first`; pieces before the last wanted row are decoded too."""
    for batch in file.iter_batches(PIECE_ROWS, row_groups=[group], columns=top, use_threads=False):
        here = wanted[(wanted >= first) & (wanted < first + len(batch))]
        if len(here):
            some = batch if len(here) == len(batch) else batch.take(pa.array(here - first))
            yield Piece(here, {name: _values(some, found) for name, found in own.items()})
        first += len(batch)
        if first > wanted[-1]:
            return


def _leaves(schema: pa.Schema) -> dict[str, str]:
    """The names of all columns and fields with their types, lists written as their values: `spectrum.flux`."""
    found: dict[str, str] = {}

    def walk(name: str, kind: pa.DataType) -> None:
        depth, plain = 0, kind
        while _is_list(plain):
            depth, plain = depth + 1, plain.value_type
        if pa.types.is_struct(plain):
            for field in plain:
                walk(f"{name}.{field.name}", field.type)
        else:
            found[name] = f"{'list of ' * depth}{plain}"

    for field in schema:
        walk(field.name, field.type)
    return found


def _values(batch: pa.RecordBatch, name: str) -> np.ndarray | list[Any]:
    """A column or field as an array (rows, ...), or one array per row where their shapes differ."""
    column, *fields = name.split(".")
    array = batch.column(column)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    shape, fields = [len(array)], list(fields)
    regular = array.null_count == 0
    inner = array
    while regular and (_is_list(inner.type) or pa.types.is_struct(inner.type)):
        if pa.types.is_struct(inner.type):
            inner = pc.struct_field(inner, fields.pop(0))
        else:
            lengths = np.unique(pc.list_value_length(inner).to_numpy(zero_copy_only=False))
            if len(lengths) != 1 or inner.null_count:
                regular = False
                break
            shape.append(int(lengths[0]))
            inner = inner.flatten()
        regular = inner.null_count == 0 or not (_is_list(inner.type) or pa.types.is_struct(inner.type))
    if regular and inner.null_count == 0:
        return _native(inner).reshape(shape)
    return [_one(value, name.split(".")[1:]) for value in array.to_pylist()]


def _native(array: pa.Array) -> np.ndarray:
    return array.to_numpy(zero_copy_only=False)


def _one(value: Any, fields: list[str]) -> Any:
    """The field of one row as an array or scalar; None if the row has none."""
    for field in fields:
        if value is None:
            return None
        value = [item[field] for item in value] if isinstance(value, list) else value[field]
    if not isinstance(value, list):
        return value
    array = np.array(value)
    return array.astype(np.float64) if array.dtype == object and not _has_text(value) else array


def _has_text(value: Any) -> bool:
    while isinstance(value, list) and value:
        value = value[0]
    return isinstance(value, str | bytes)


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
