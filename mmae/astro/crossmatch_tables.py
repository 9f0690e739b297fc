"""Sky match of two Parquet tables: in memory in one process, or in parallel on a Ray cluster.

With Ray, the sky is divided into HEALPix cells, and the cells are distributed over buckets. A row of the first table
is in the bucket of its cell. A row of the second is in the bucket of its cell and in those of all cells within the
radius. So each pair is found in exactly one bucket, and buckets are matched independently:

    tables -> one scratch file per row group, rows sorted by bucket -> one match per bucket -> files of pairs

Shape suffixes: N rows, B buckets.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmae.astro.crossmatch import Pairs, match, nearest_of, one_to_one_of
from mmae.astro.healpix import FINEST, PIXEL_SIDE_DEG, nested_cell, on_sky, with_neighbours
from mmae.core.errors import InputError
from mmae.core.progress import ProgressBar
from mmae.core.tasks import Job, in_ray

Keep = Literal["all", "nearest", "one-to-one"]
Engine = Literal["auto", "memory", "ray"]
MOST_IN_MEMORY = 10_000_000  # rows of both tables together up to which `auto` matches in memory
BUCKET_ROWS = 1_000_000  # approximate, of both tables together; 40 MB of coordinates, 0.3 GB during the match
CELL_ORDER = 5  # 1.8 degrees: many more cells than buckets, and few rows near cell edges
# Every point outside a pixel and its neighbours is at least 0.62 pixel sides away from the pixel; rounded down.
MARGIN = 0.5


@dataclass(frozen=True)
class SkyTable:
    """One or several Parquet files, read as one table, and the names of the coordinate columns (ICRS degrees).

    Row numbers run through all files in order.
    """

    paths: tuple[Path, ...]
    ra: str = "ra"
    dec: str = "dec"

    def row_groups(self) -> list[Job]:
        """One job per row group: file, row group number, first row and number of rows.

        Raises:
            InputError: a file cannot be read or has no such column.
        """
        jobs, start = [], 0
        for path in self.paths:
            try:
                with pq.ParquetFile(path) as file:
                    missing = {self.ra, self.dec} - set(file.schema_arrow.names)
                    rows = [file.metadata.row_group(g).num_rows for g in range(file.num_row_groups)]
            except (pa.ArrowInvalid, OSError) as error:
                raise InputError(f"{path}: not a readable Parquet table ({str(error).splitlines()[0]}).") from error
            if missing:
                raise InputError(
                    f"{path}: no column {', '.join(sorted(missing))}. Give the names of the coordinate columns."
                )
            for group, n in enumerate(rows):
                jobs.append({"path": str(path), "group": group, "start": start, "rows": n})
                start += n
        return jobs

    def read(self, job: Job) -> tuple[np.ndarray, np.ndarray]:
        """RA and declination (N,), (N,) of one row group.

        Raises:
            InputError: a coordinate is NaN or out of range.
        """
        with pq.ParquetFile(job["path"]) as file:
            table = file.read_row_group(job["group"], [self.ra, self.dec], use_threads=False)
        ra_N, dec_N = (table[c].cast(pa.float64()).fill_null(np.nan).to_numpy() for c in (self.ra, self.dec))
        bad_N = ~on_sky(ra_N, dec_N)
        if bad_N.any():
            row = int(np.flatnonzero(bad_N)[0])
            raise InputError(
                f"{job['path']}: row {job['start'] + row} of the table has RA {ra_N[row]}, declination {dec_N[row]}: "
                f"out of range. Remove such rows; convert hours to degrees."
            )
        return ra_N, dec_N


def match_tables(
    first: SkyTable, second: SkyTable, radius_arcsec: float, scratch: Path, keep: Keep = "all", engine: Engine = "auto"
) -> Pairs:
    """The pairs of rows of two tables within a radius; both engines return the same pairs.

    Args:
        radius_arcsec: as in `crossmatch.match`.
        scratch: an empty folder on storage shared by all nodes; used by the Ray engine.
        keep: all pairs, only the nearest for each row of the first table (`crossmatch.nearest`), or a greedy
            one-to-one match (`crossmatch.one_to_one`).
        engine: auto uses Ray for more than 10 million rows.

    Raises:
        InputError: a table cannot be read, a coordinate or the radius is out of range.
    """
    n_rows = sum(job["rows"] for table in (first, second) for job in table.row_groups())
    if engine == "auto":
        engine = "ray" if n_rows > MOST_IN_MEMORY else "memory"
    if engine == "memory":
        pairs = match(*_whole(first), *_whole(second), radius_arcsec)
    else:
        pairs = read_pairs(match_in_ray(first, second, radius_arcsec, scratch))
    return {"all": lambda p: p, "nearest": nearest_of, "one-to-one": one_to_one_of}[keep](pairs)


def match_in_ray(
    first: SkyTable, second: SkyTable, radius_arcsec: float, scratch: Path, workers: int | None = None
) -> list[Path]:
    """Match on Ray and return one Parquet file of pairs per bucket: index1, index2, separation_arcsec.

    No process holds more than one bucket, so neither the tables nor the pairs have to fit into memory.
    Arguments and errors as `match_tables`; `workers` as in `tasks.in_ray`.
    """
    margin_order = _margin_order(radius_arcsec)
    sides = {"first": first, "second": second}
    jobs = [
        {"side": side, "number": number, **job}
        for side, table in sides.items()
        for number, job in enumerate(table.row_groups())
    ]
    n_buckets = max(1, -(-sum(job["rows"] for job in jobs) // BUCKET_ROWS))
    scratch.mkdir(parents=True, exist_ok=True)

    def divide(job: Job) -> Job:
        ra_N, dec_N = sides[job["side"]].read(job)
        cell_N = nested_cell(ra_N, dec_N, CELL_ORDER)
        row_N, bucket_N = np.arange(len(ra_N)), cell_N % n_buckets
        if job["side"] == "second":
            row_N, bucket_N = _with_margin(ra_N, dec_N, margin_order, n_buckets)
        order_N = np.argsort(bucket_N, kind="stable")
        row_N = row_N[order_N]
        starts_B = np.searchsorted(bucket_N[order_N], np.arange(n_buckets + 1))
        table = pa.table({"row": job["start"] + row_N, "ra": ra_N[row_N], "dec": dec_N[row_N]}).combine_chunks()
        path = scratch / f"{job['side']}-{job['number']:06d}.arrow"
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            for start, stop in zip(starts_B[:-1], starts_B[1:], strict=True):
                part = table.slice(start, stop - start)
                writer.write_batch(part.to_batches()[0] if len(part) else _no_rows(table.schema))
        return {"side": job["side"], "path": str(path)}

    files: dict[str, list[str]] = {"first": [], "second": []}
    for done in ProgressBar(
        in_ray(jobs, divide, workers), total=len(jobs), desc="sky cells", unit="part", disable=len(jobs) < 8
    ):
        files[done["side"]].append(done["path"])

    def match_bucket(job: Job) -> Job:
        bucket = job["bucket"]
        one, other = (_bucket(files[side], bucket) for side in ("first", "second"))
        pairs = match(one["ra"], one["dec"], other["ra"], other["dec"], radius_arcsec)
        path = scratch / f"pairs-{bucket:06d}.parquet"
        pq.write_table(
            pa.table(
                {
                    "index1": one["row"][pairs.index1],
                    "index2": other["row"][pairs.index2],
                    "separation_arcsec": pairs.separation_arcsec,
                }
            ),
            path,
        )
        return {"path": str(path)}

    buckets = [{"bucket": bucket} for bucket in range(n_buckets)]
    found = ProgressBar(
        in_ray(buckets, match_bucket, workers), total=n_buckets, desc="sky match", unit="bucket", disable=n_buckets < 8
    )
    paths = [Path(done["path"]) for done in found]
    for path in (*files["first"], *files["second"]):
        Path(path).unlink()
    return paths


def read_pairs(paths: list[Path]) -> Pairs:
    """The pairs of all files, sorted by index1, then index2."""
    table = pa.concat_tables(pq.read_table(path) for path in paths)
    pairs = Pairs(*(table[name].to_numpy() for name in ("index1", "index2", "separation_arcsec")))
    return pairs.select(np.lexsort((pairs.index2, pairs.index1)))


def _whole(table: SkyTable) -> tuple[np.ndarray, np.ndarray]:
    parts = [table.read(job) for job in table.row_groups()]
    ra_N, dec_N = (np.concatenate([part[axis] for part in parts]) if parts else np.zeros(0) for axis in (0, 1))
    return ra_N, dec_N


def _margin_order(radius_arcsec: float) -> int:
    """The highest HEALPix order at which a pixel and its neighbours cover the radius around every point of the pixel.

    Raises:
        InputError: the radius is negative or NaN, or too large for cells of CELL_ORDER.
    """
    if not radius_arcsec >= 0:
        raise InputError(f"match radius {radius_arcsec} arcsec: it must be 0 or more.")
    side = max(radius_arcsec / 3600 / MARGIN, PIXEL_SIDE_DEG / 2**FINEST)
    order = int(np.floor(np.log2(PIXEL_SIDE_DEG / side)))
    if order < CELL_ORDER:
        widest = PIXEL_SIDE_DEG / 2**CELL_ORDER * MARGIN * 3600
        raise InputError(
            f"match radius {radius_arcsec} arcsec: the engine `ray` supports at most {widest:.0f} arcsec. "
            f"Use the engine `memory` for larger radii."
        )
    return order


def _with_margin(ra_N: np.ndarray, dec_N: np.ndarray, order: int, n_buckets: int) -> tuple[np.ndarray, np.ndarray]:
    """Row and bucket numbers, one entry for each bucket with a cell within the margin of the row."""
    fine_N9 = with_neighbours(nested_cell(ra_N, dec_N, order), order)
    bucket_N9 = np.sort((fine_N9 >> 2 * (order - CELL_ORDER)) % n_buckets, axis=1)
    new_N9 = np.diff(bucket_N9, axis=1, prepend=-1) != 0
    row_N = np.nonzero(new_N9)[0]
    return row_N, bucket_N9[new_N9]


def _no_rows(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array([], field.type) for field in schema], schema=schema)


def _bucket(paths: list[str], bucket: int) -> dict[str, np.ndarray]:
    """The rows of one bucket from all scratch files, copied so that the memory maps can be released."""
    batches = []
    for path in paths:
        with pa.memory_map(path) as source:
            batches.append(pa.ipc.open_file(source).get_batch(bucket))
    if not batches:
        return {"row": np.zeros(0, np.int64), "ra": np.zeros(0), "dec": np.zeros(0)}
    table = pa.Table.from_batches(batches)
    return {name: table[name].to_numpy() for name in table.column_names}
