"""The first pass over the files of a known source: ids and positions of all rows, without spectra and images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import pyarrow as pa

from mmae.core.errors import InputError
from mmae.core.tasks import Job, Runner
from mmae.ingest.files import name_of
from mmae.ingest.ids import distinct_names, repeated, with_origin
from mmae.ingest.layouts.all import LAYOUTS
from mmae.ingest.readers.values import UNREADABLE
from mmae.ingest.sources.convert import numbers_of, object_ids_of, targetids_of
from mmae.ingest.sources.description import KnownSource
from mmae.ingest.sources.recognise import MissingColumns, require_columns, what_it_is
from mmae.survey.schema import Rejection

FILE = "file"  # field of the rejection of a whole file
FILES_PER_JOB = 32
SAME_PLACE = 1 / 3600  # degrees; rows of one id within this distance are one object
ROWS = pa.schema(
    [
        ("file", pa.string()),
        ("row", pa.int64()),
        ("object_id", pa.string()),
        ("ra", pa.float64()),
        ("dec", pa.float64()),
        ("targetid", pa.int64()),
    ]
)


@dataclass
class SourceIndex:
    """The rows (ROWS) of all files that can be read, with unique ids, and what was rejected."""

    rows: pa.Table
    rejections: list[Rejection] = field(default_factory=list)


def index_source(source: KnownSource, files: Sequence[str], run: Runner, workers: int | None = None) -> SourceIndex:
    """Index all files. Files that cannot be read are rejected.

    Raises:
        InputError: no file can be read, or a readable one does not have the columns of the source.
    """
    jobs = [{"files": list(files[i : i + FILES_PER_JOB])} for i in range(0, len(files), FILES_PER_JOB)]

    def index(job: Job) -> Job:
        tables, rejections = [], []
        for path in job["files"]:
            try:
                tables.append(_index_file(path, source))
            except MissingColumns as error:
                raise InputError(f"{path}: {error}") from None
            except UNREADABLE as error:
                reason = what_it_is(path, source, error).removeprefix(f"{path}: ")
                rejections.append(asdict(Rejection(name_of(path), path, FILE, reason)))
        table = pa.concat_tables([ROWS.empty_table(), *tables])
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, ROWS) as writer:
            writer.write_table(table)
        return {"rows": sink.getvalue().to_pybytes(), "rejections": json.dumps(rejections)}

    tables, rejections = [], []
    for found in run(jobs, index, workers):
        tables.append(pa.ipc.open_stream(found["rows"]).read_all())
        rejections += [Rejection(**r) for r in json.loads(found["rejections"])]
    rows = pa.concat_tables(tables).combine_chunks()
    if not len(rows):
        first = rejections[0].reason if rejections else "the files have no rows"
        where = rejections[0].where if rejections else files[0]
        raise InputError(f"{where}: {first}. None of {len(files)} files of {source.name} can be used.")
    rows, again = _with_unique_ids(rows, LAYOUTS[source.layout].ENDINGS)
    return SourceIndex(rows, rejections + again)


def _index_file(path: str, source: KnownSource) -> pa.Table:
    layout, columns = LAYOUTS[source.layout], source.columns
    require_columns(layout.columns(path), source)
    count = layout.count(path)
    if not count:  # a partition without rows
        return ROWS.empty_table()
    wanted = [part.strip() for part in columns.object_id.split(",") if part]
    wanted += [name for name in (columns.ra, columns.dec, columns.targetid) if name]
    names, targetids, positions = [], [], {"ra": [], "dec": []}
    for piece in layout.read(path, wanted, np.arange(count)):
        values, n = piece.values, len(piece.rows)
        ids = object_ids_of(values, n, columns)
        names += [name or f"row-{row}" for name, row in zip(ids, piece.rows.tolist(), strict=True)]
        targetids += targetids_of(values, n, columns)
        for name, numbers in positions.items():
            numbers.append(numbers_of(values, getattr(columns, name), n))
    place = {name: pa.array(np.concatenate(numbers), from_pandas=True) for name, numbers in positions.items()}
    return pa.table(
        {"file": [path] * count, "row": np.arange(count), "object_id": names, **place, "targetid": targetids},
        schema=ROWS,
    )


def _with_unique_ids(rows: pa.Table, endings: tuple[str, ...]) -> tuple[pa.Table, list[Rejection]]:
    """The rows without repetitions of one object (same id and place); other rows of one id are named by their file."""
    again_N = repeated(rows["object_id"])
    if not again_N.any():
        return rows, []
    rejections, dropped_N = [], np.zeros(len(rows), bool)
    kept_of: dict[str, list[dict]] = {}  # rows of each repeated id, at different places
    for number, row in zip(np.flatnonzero(again_N), rows.filter(pa.array(again_N)).to_pylist(), strict=True):
        others = kept_of.setdefault(row["object_id"], [])
        first = next((other for other in others if _same_place(other, row)), None)
        if first is None:
            others.append(row)
            continue
        dropped_N[number] = True
        reason = f"the object is also in {first['file']}, row {first['row']}, which is kept"
        rejections.append(Rejection(row["object_id"], f"{row['file']}, row {row['row']}", "row", reason))
    kept = rows.filter(pa.array(~dropped_N)).combine_chunks()
    short = distinct_names(kept["file"].unique().to_pylist(), endings)
    origin = pa.array([short[path] for path in kept["file"].to_pylist()], pa.string())
    unique = with_origin(kept["object_id"].combine_chunks(), origin, kept["row"].combine_chunks())
    return kept.set_column(kept.schema.get_field_index("object_id"), "object_id", unique), rejections


def _same_place(one: dict, other: dict) -> bool:
    if None in (one["ra"], one["dec"], other["ra"], other["dec"]):
        return False
    east = (one["ra"] - other["ra"] + 180) % 360 - 180
    return float(np.hypot(east * np.cos(np.radians(one["dec"])), one["dec"] - other["dec"])) < SAME_PLACE
