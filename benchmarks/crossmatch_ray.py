"""Time and peak memory of the sky match on Ray, for tables too large for one process.

    python benchmarks/crossmatch_ray.py --points 1000000      half a minute
    python benchmarks/crossmatch_ray.py                       1e7 x 1e7

Memory is the PSS of this process and all Ray processes, including the object store, sampled five times per second.
Afterwards the pairs are compared with those of one process, unless --trust is given.
"""

import argparse
import shutil
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import ray

from mmae.astro.crossmatch import match
from mmae.astro.crossmatch_tables import SkyTable, match_in_ray, read_pairs
from mmae.core.ray_setup import start_ray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=10_000_000, help="rows of each table")
    parser.add_argument("--radius", type=float, nargs="+", default=[2.0, 60.0, 180.0], help="arcsec")
    parser.add_argument("--workers", type=int, default=None, help="number of concurrent buckets")
    parser.add_argument("--trust", action="store_true", help="do not compare the pairs")
    arguments = parser.parse_args()
    start_ray()
    folder = Path(tempfile.mkdtemp(prefix="mmae-match-"))
    try:
        tables = [write_points(folder / f"{name}.parquet", arguments.points, seed) for seed, name in enumerate("ab")]
        print(
            f"{arguments.points} x {arguments.points} random points, {psutil.cpu_count()} CPUs, "
            f"before: {memory_gb():.2f} GB",
            flush=True,
        )
        for radius in arguments.radius:
            with PeakMemory() as peak:
                start = time.perf_counter()
                paths = match_in_ray(*tables, radius, folder / "scratch", arguments.workers)
                seconds = time.perf_counter() - start
            n_pairs = sum(pq.ParquetFile(path).metadata.num_rows for path in paths)
            print(f'{radius:5.0f}"  {n_pairs:10d} pairs  {seconds:6.1f} s  peak {peak.gb:.2f} GB', flush=True)
            if not arguments.trust:
                compare(tables, radius, paths)
            shutil.rmtree(folder / "scratch")
    finally:
        ray.shutdown()
        shutil.rmtree(folder)


def write_points(path: Path, n: int, seed: int) -> SkyTable:
    rng = np.random.default_rng(seed)
    points = pa.table({"ra": rng.uniform(0, 360, n), "dec": np.degrees(np.arcsin(rng.uniform(-1, 1, n)))})
    pq.write_table(points, path, row_group_size=500_000)
    return SkyTable((path,))


def compare(tables: list[SkyTable], radius: float, paths: list[Path]) -> None:
    found = read_pairs(paths)
    start = time.perf_counter()
    points = [pq.read_table(table.paths[0]) for table in tables]
    expected = match(*(p[c].to_numpy() for p in points for c in ("ra", "dec")), radius)
    seconds = time.perf_counter() - start
    if not (np.array_equal(found.index1, expected.index1) and np.array_equal(found.index2, expected.index2)):
        raise SystemExit(f"the pairs differ at {radius} arcsec")
    print(f"        the same pairs in one process: {seconds:6.1f} s", flush=True)


def memory_gb() -> float:
    """PSS of this process and all its children, in GB."""
    total = 0
    me = psutil.Process()
    for process in (me, *me.children(recursive=True)):
        try:
            total += process.memory_full_info().pss
        except psutil.Error:
            continue  # it has ended
    return total / 1e9


class PeakMemory:
    """Peak memory during the block."""

    def __enter__(self) -> "PeakMemory":
        self.gb, self._over = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._over.wait(0.2):
            self.gb = max(self.gb, memory_gb())

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


if __name__ == "__main__":
    main()
