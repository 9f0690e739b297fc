"""The partitions of a catalogue contain every row once, and do not depend on the order of the input."""

from __future__ import annotations

import numpy as np
import pytest

from mmae.astro.healpix import nested_cell
from mmae.catalogue.hats_files import Pixel
from mmae.catalogue.partitions import EMPTY, add_counts, choose_pixels, count_pixels, overlapping, rows_in


def positions(kind: str) -> np.ndarray:
    rng = np.random.default_rng(0)
    if kind == "sky":
        ra, dec = rng.uniform(0, 360, 4000), np.degrees(np.arcsin(rng.uniform(-1, 1, 4000)))
    elif kind == "field":
        ra, dec = rng.normal(0, 0.3, 4000) % 360, rng.normal(0, 0.3, 4000)
    else:  # a pole, and one position many times
        ra, dec = rng.uniform(0, 360, 4000), 90 - rng.uniform(0, 2, 4000)
        ra[:500], dec[:500] = 12.0, 89.5
    return nested_cell(ra, dec)


@pytest.mark.parametrize("kind", ["sky", "field", "pole"])
@pytest.mark.parametrize("most", [50, 700])
def test_every_row_is_in_one_partition(kind, most):
    healpix_N = positions(kind)
    counts = count_pixels(healpix_N)
    pixels = choose_pixels(counts, most)
    hits_N, rows = np.zeros(len(healpix_N), int), []
    for pixel in pixels:
        low, high = pixel.spatial_range
        inside_N = (healpix_N >= low) & (healpix_N < high)
        hits_N += inside_N
        rows.append(int(inside_N.sum()))
        assert rows[-1] == rows_in(pixel, counts) > 0
        # A pixel is divided only if its parent has too many rows.
        if pixel.order:
            parent_low, parent_high = Pixel(pixel.order - 1, pixel.number // 4).spatial_range
            assert ((healpix_N >= parent_low) & (healpix_N < parent_high)).sum() > most
    assert (hits_N == 1).all()
    largest = 500 if kind == "pole" else 0  # rows of one position cannot be divided
    assert max(rows) <= max(most, largest + 20)


def test_partitions_do_not_depend_on_pieces():
    healpix_N = positions("field")
    whole = choose_pixels(count_pixels(healpix_N), 300)
    shuffled_N = np.random.default_rng(1).permutation(healpix_N)
    parts = add_counts(count_pixels(part) for part in np.array_split(shuffled_N, 7))
    assert choose_pixels(parts, 300) == whole


def test_pieces_that_cannot_have_rows_of_a_pixel_are_left_out():
    pixel = Pixel(3, 100)
    low, high = pixel.spatial_range
    spans = [[0, low - 1], [low - 5, low], EMPTY, [high - 1, high + 9], [high, high + 1]]
    assert overlapping(pixel, np.array(spans)) == [1, 3]
    assert overlapping(Pixel(0, 0), np.array([EMPTY])) == []


def test_paths_follow_the_standard():
    assert Pixel(7, 123456).path == "Norder=7/Dir=120000/Npix=123456.parquet"
    assert Pixel(0, 11).path == "Norder=0/Dir=0/Npix=11.parquet"
    low, high = Pixel(1, 47).spatial_range
    assert low == 47 * 4**28 and high == 12 * 4**29
