"""The truth of simulated galaxies: a separate table, read for scores and never in training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mmae.core.errors import InputError
from mmae.survey.source import Source
from mmae.survey.store import Survey

TRUTH = "truth"


def read_truth(survey: Survey, columns: Sequence[str] | None = None) -> pa.Table:
    """The truth of all kept galaxies of a survey, one row each, in the order of the chunks.

    Args:
        columns: names, in this order; None: all. The table always has object_id and split.

    Raises:
        InputError: the survey has no truth (it is not simulated, or was built before there was a truth
            table), or no such column.
    """
    if not survey.truth_shards:
        raise InputError(
            f"{survey.path}: this survey has no truth table. Only simulated surveys have one: build "
            f"one with `python ray_jobs/build_survey.py --out FOLDER`."
        )
    tables = []
    for shard in survey.truth_shards:
        with pq.ParquetFile(survey.path / shard.path) as parquet:
            tables.append(parquet.read())
    table = pa.concat_tables(tables, promote_options="default")
    if columns is None:
        return table
    unknown = [name for name in columns if name not in table.column_names]
    if unknown:
        raise InputError(
            f"{survey.path}: the truth table has no column {', '.join(unknown)}; it has "
            f"{', '.join(table.column_names)}."
        )
    return table.select(list(columns))


def truth_table(source: Source, rows: list[dict[str, Any]], kept: set[str]) -> pa.Table | None:
    """The truth of the kept galaxies of one chunk, without splits; None if there is none.

    Args:
        kept: object_id of every kept galaxy.

    Raises:
        InputError: a row has other columns than the source's truth_schema, or other types.
    """
    _check_rows(source, rows)
    rows = [row for row in rows if row["object_id"] in kept]
    if not rows:
        return None
    columns = [_column(source, rows, column) for column in source.truth_schema]
    return pa.table(columns, schema=source.truth_schema)


def add_splits(table: pa.Table, split_of: dict[str, str]) -> pa.Table:
    """A truth table with the column split, given the split of each object_id."""
    split = [split_of[name] for name in table["object_id"].to_pylist()]
    return table.append_column(pa.field("split", pa.string()), pa.array(split, pa.string()))


def check_truth_schemas(sources: list[Source]) -> None:
    """Raise InputError if two sources have a truth column of one name with different types."""
    schemas = {s.name: s.truth_schema for s in sources if s.truth_schema is not None}
    try:
        pa.unify_schemas([pa.schema([]), *schemas.values()])
    except pa.ArrowException as error:
        raise InputError(
            f"sources {', '.join(schemas)}: incompatible truth tables ({error}). Build them one by one."
        ) from error


def _check_rows(source: Source, rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    if source.truth_schema is None:
        raise InputError(
            f"source {source.name}: it has truth rows but no truth_schema. Give their columns and "
            f"types in Source(truth_schema=...)."
        )
    expected, seen = set(source.truth_schema.names), set()
    for row in rows:
        name = row.get("object_id")
        if row.keys() != expected:
            raise InputError(
                f"source {source.name}, galaxy {name}: the truth lacks the columns "
                f"{sorted(expected - row.keys())} and has {sorted(row.keys() - expected)}, which are "
                f"not in truth_schema. Give every row all columns, None where unknown."
            )
        if name in seen:
            raise InputError(f"source {source.name}, galaxy {name}: two rows of truth. Give one.")
        seen.add(name)


def _column(source: Source, rows: list[dict[str, Any]], column: pa.Field) -> pa.Array:
    values = [row[column.name] for row in rows]
    try:
        array = pa.array(values, column.type)
        if pa.types.is_integer(column.type) and array.to_pylist() != values:
            raise pa.ArrowInvalid("a value is not a whole number")  # Arrow would truncate it
    except (pa.ArrowException, TypeError, OverflowError) as error:
        raise InputError(
            f"source {source.name}, galaxies {rows[0]['object_id']} to {rows[-1]['object_id']}: truth "
            f"column {column.name} is not {column.type} in all rows ({error}). Correct truth_schema or the rows."
        ) from error
    return array
