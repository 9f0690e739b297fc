"""The margin cache of a catalogue: for each partition, the rows of others within some arcsec of its border.

A cross-match that works partition by partition needs them, because a galaxy of one catalogue and its counterpart in the
other may be on two sides of a border. Parts of the sky without galaxies count as partitions, where rows are near them.

    collection.properties    names the catalogue, which stays where it is, and its margin cache
    margin_10arcs/           the margin cache: a HATS catalogue with the columns of the main one

Two pixels of the same order that do not touch are at least NARROWEST of an average side apart. So with pixels of an
order whose sides are large enough, the rows in a pixel that touches the partition are all rows within the threshold,
and some that are up to a pixel away.

Shape suffixes: N rows, T parts of the sky, F pixels with rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, starmap
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmae.astro.healpix import PIXEL_SIDE_DEG, with_neighbours
from mmae.catalogue.hats_files import DATASET, SPATIAL_ORDER, Pixel, in_sky_order, write_catalogue_files, write_parquet
from mmae.catalogue.rows import SPATIAL
from mmae.catalogue.state import COLLECTION, collection_folder
from mmae.core.files import write_whole
from mmae.core.progress import ProgressBar
from mmae.core.tasks import Job, Runner

PROPERTIES = "collection.properties"
NARROWEST = 1 / 1.6
"""Least distance of pixels that do not touch, in average sides; the value of the package hats. In the projection of
Gorski et al. (2005, section 5) an edge is at most 1.52 / nside long (at the poles), so that its distance from the
opposite one, area / length, is at least 0.67 sides."""


def write_margin(
    folder: Path, out: Path, pixels: Sequence[Pixel], schema: pa.Schema, arcsec: float, run: Runner
) -> None:
    """Write the collection of a catalogue in progress, with its margin cache.

    Args:
        folder: of the catalogue in progress, with its partitions.
        out: where the catalogue will be.
        arcsec: threshold of the margin.
    """
    order, tiles = border_order(arcsec), sky_tiles(pixels)
    jobs: list[Job] = [{"order": pixel.order, "number": pixel.number} for pixel in in_sky_order(pixels)]
    found = run(jobs, near_work(folder, tiles, order))
    pairs = [
        (tile, source["order"], source["number"])
        for source, result in zip(
            jobs, ProgressBar(found, total=len(jobs), desc="borders", unit="partition"), strict=True
        )
        for tile in np.frombuffer(result["tiles"], np.int64).tolist()
    ]
    sources = {tiles[tile]: [pair[1:] for pair in some] for tile, some in groupby(sorted(pairs, key=_tile), _tile)}
    name = f"margin_{arcsec:g}arcs"
    margin, main = folder / COLLECTION / name, f"../{out.name}"
    jobs = [
        {"order": tile.order, "number": tile.number, "sources": np.array(some, np.int64).tobytes()}
        for tile, some in sources.items()
    ]
    written = run(jobs, margin_work(folder, margin, order))
    for _ in ProgressBar(written, total=len(jobs), desc="margin", unit="partition"):
        pass
    kind = {"dataproduct_type": "margin", "hats_primary_table_url": main, "hats_margin_threshold": float(arcsec)}
    write_catalogue_files(margin, f"{out.name}_{name}", list(sources), schema, kind)
    values = {"obs_collection": collection_folder(out).name, "hats_primary_table_url": main}
    values |= {"all_margins": name, "default_margin": name}
    write_whole(folder / COLLECTION / PROPERTIES, "".join(f"{key}={value}\n" for key, value in values.items()))


def _tile(pair: tuple[int, int, int]) -> int:
    return pair[0]


def border_order(arcsec: float) -> int:
    """The highest order at which pixels that do not touch are at least `arcsec` apart."""
    return min(int(np.log2(NARROWEST * PIXEL_SIDE_DEG * 3600 / arcsec)), SPATIAL_ORDER)


def sky_tiles(pixels: Sequence[Pixel]) -> list[Pixel]:
    """The partitions, and the largest pixels that cover the rest of the sky, in their order on the sky."""
    partitions = set(pixels)
    start_P = np.array(sorted(pixel.spatial_range[0] for pixel in pixels))
    waiting = [Pixel(0, number) for number in range(12)]
    tiles = []
    while waiting:
        pixel = waiting.pop()
        first, last = np.searchsorted(start_P, pixel.spatial_range)
        if pixel in partitions or first == last:
            tiles.append(pixel)
        else:
            waiting += [Pixel(pixel.order + 1, 4 * pixel.number + part) for part in range(4)]
    return in_sky_order(tiles)


def near_work(folder: Path, tiles: Sequence[Pixel], order: int):
    """The work of a job {"order", "number"} of a partition: indices of the other tiles to which its rows are near."""
    start_T = np.array([tile.spatial_range[0] for tile in tiles])

    def work(job: Job) -> Job:
        pixel = Pixel(job["order"], job["number"])
        fine_F = np.unique(_read_column(folder, pixel) >> _shift(order))
        near_F9 = with_neighbours(fine_F, order)
        tile_N = np.unique(np.searchsorted(start_T, near_F9.ravel() << _shift(order), side="right") - 1)
        own = np.searchsorted(start_T, pixel.spatial_range[0])
        return {"tiles": tile_N[tile_N != own].tobytes()}

    return work


def margin_work(folder: Path, margin: Path, order: int):
    """The work of a job {"order", "number", "sources"}: write the margin of a pixel, from these partitions.

    It is written again when a killed job continues: it is small.
    """

    def work(job: Job) -> Job:
        pixel = Pixel(job["order"], job["number"])
        tables = []
        for source in starmap(Pixel, np.frombuffer(job["sources"], np.int64).reshape(-1, 2).tolist()):
            near_N = near(_read_column(folder, source), pixel, order)
            with pq.ParquetFile(folder / DATASET / source.path, page_checksum_verification=True) as parquet:
                tables.append(parquet.read().filter(pa.array(near_N)))
        rows = pa.concat_tables(tables)
        write_parquet(rows.take(np.argsort(rows[SPATIAL].to_numpy(), kind="stable")), margin / DATASET / pixel.path)
        return {"rows": len(rows)}

    return work


def near(healpix_N: np.ndarray, pixel: Pixel, order: int) -> np.ndarray:
    """Mask of the rows that are outside a pixel, in a pixel of a higher order that touches it.

    Args:
        healpix_N: pixels of order 29 of the rows.
        order: at least that of the pixel.
    """
    fine_F, of_N = np.unique(healpix_N >> _shift(order), return_inverse=True)
    low, high = (end >> _shift(order) for end in pixel.spatial_range)
    near_F9 = with_neighbours(fine_F, order)
    inside_F9 = (near_F9 >= low) & (near_F9 < high)
    return (inside_F9.any(1) & ~inside_F9[:, 0])[of_N]


def _read_column(folder: Path, pixel: Pixel) -> np.ndarray:
    with pq.ParquetFile(folder / DATASET / pixel.path, page_checksum_verification=True) as parquet:
        return parquet.read([SPATIAL])[SPATIAL].to_numpy()


def _shift(order: int) -> int:
    """Bits between the numbers of pixels of an order and of order 29."""
    return 2 * (SPATIAL_ORDER - order)
