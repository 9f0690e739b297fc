"""The match on Ray returns the pairs of the match in memory, also at edges of cells and buckets."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmae.astro import crossmatch_tables
from mmae.astro.crossmatch import match, nearest, one_to_one, separation
from mmae.astro.crossmatch_tables import MARGIN, SkyTable, match_in_ray, match_tables, read_pairs
from mmae.astro.healpix import PIXEL_SIDE_DEG, nested_cell, with_neighbours
from mmae.core.errors import InputError


def sky_table(path, ra, dec, row_group=700) -> SkyTable:
    pq.write_table(pa.table({"RA": ra, "DEC": dec}), path, row_group_size=row_group)
    return SkyTable((path,), "RA", "DEC")


def clustered_points(rng) -> tuple[np.ndarray, np.ndarray]:
    """Many points at places where matches typically fail: poles, RA 0, corners of cells, repeated positions."""
    corners = [(0.0, 0.0), (45.0, 41.8103148957786), (90.0, 0.0), (22.5, 0.0), (45.0, 0.0), (180.0, -41.8103148957786)]
    places = [(0.0, 90.0), (77.0, -90.0), (360.0, 45.0), (0.0, -30.0), (359.99999, 10.0), *corners]
    ra, dec = np.repeat(np.array(places), 200, axis=0).T
    step = rng.choice([0.0, 2.0, -2.0, 60.0, -60.0, 180.0, -180.0, 90.0], (2, len(ra))) / 3600
    step[:, ::3] = rng.uniform(-200, 200, (2, len(ra)))[:, ::3] / 3600
    return (ra + step[0]) % 360, np.clip(dec + step[1], -90, 90)


@pytest.mark.parametrize("radius", [0.0, 2.0, 60.0, 180.0])
def test_pairs_on_ray_equal_pairs_in_memory(tmp_path, ray_cluster, monkeypatch, radius):
    monkeypatch.setattr(crossmatch_tables, "BUCKET_ROWS", 400)
    rng = np.random.default_rng(int(radius))
    scattered = rng.uniform(0, 360, 1500), np.degrees(np.arcsin(rng.uniform(-1, 1, 1500)))
    first = [np.concatenate(both) for both in zip(clustered_points(rng), scattered, strict=True)]
    second = [np.concatenate(both) for both in zip(clustered_points(rng), scattered, strict=True)]
    tables = sky_table(tmp_path / "1.parquet", *first), sky_table(tmp_path / "2.parquet", *second)
    found = match_tables(*tables, radius, tmp_path / "scratch", engine="ray")
    expected = match(*first, *second, radius)
    assert len(expected) >= 1500  # the scattered points are in both tables
    np.testing.assert_array_equal(found.index1, expected.index1)
    np.testing.assert_array_equal(found.index2, expected.index2)
    np.testing.assert_array_equal(found.separation_arcsec, expected.separation_arcsec)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32), st.integers(5, 20))
def test_points_within_the_margin_are_in_a_neighbouring_pixel(seed, order):
    """At random positions, at the poles and at corners of pixels."""
    rng = np.random.default_rng(seed)
    ra, dec = rng.uniform(0, 360, 200), np.degrees(np.arcsin(rng.uniform(-1, 1, 200)))
    dec[:20] = np.copysign(90 - np.abs(rng.normal(0, 2 * PIXEL_SIDE_DEG / 2**order, 20)), dec[:20])
    ra[20:40] = 90 * rng.integers(0, 4, 20)
    reach = MARGIN * PIXEL_SIDE_DEG / 2**order
    angle, distance = rng.uniform(0, 2 * np.pi, 200), reach * np.sqrt(rng.uniform(0, 1, 200))
    near_dec = np.clip(dec + distance * np.cos(angle), -90, 90)
    near_ra = (ra + distance * np.sin(angle) / np.maximum(np.cos(np.radians(dec)), 1e-9)) % 360
    close = separation(ra, dec, near_ra, near_dec) <= reach
    around = with_neighbours(nested_cell(ra, dec, order), order)
    assert close.sum() > 100
    assert (around == nested_cell(near_ra, near_dec, order)[:, None]).any(axis=1)[close].all()


@pytest.mark.parametrize(("keep", "function"), [("nearest", nearest), ("one-to-one", one_to_one)])
def test_nearest_and_one_to_one_are_equal_for_both_engines(tmp_path, ray_cluster, monkeypatch, keep, function):
    monkeypatch.setattr(crossmatch_tables, "BUCKET_ROWS", 500)
    first, second = clustered_points(np.random.default_rng(1)), clustered_points(np.random.default_rng(2))
    tables = sky_table(tmp_path / "1.parquet", *first), sky_table(tmp_path / "2.parquet", *second)
    expected = function(*first, *second, 30.0)
    for engine in ("memory", "ray"):
        found = match_tables(*tables, 30.0, tmp_path / engine, keep, engine)
        np.testing.assert_array_equal([found.index1, found.index2], [expected.index1, expected.index2])


def test_row_numbers_run_through_several_files(tmp_path, ray_cluster):
    ra, dec = np.arange(10.0), np.zeros(10)
    parts = [sky_table(tmp_path / f"{i}.parquet", ra[5 * i : 5 * i + 5], dec[:5], row_group=2).paths[0] for i in (0, 1)]
    whole = sky_table(tmp_path / "whole.parquet", ra, dec)
    paths = match_in_ray(SkyTable(tuple(parts), "RA", "DEC"), whole, 1.0, tmp_path / "scratch")
    pairs = read_pairs(paths)
    assert pairs.index1.tolist() == pairs.index2.tolist() == list(range(10))
    assert sorted(p.name for p in (tmp_path / "scratch").iterdir()) == [p.name for p in paths]  # no scratch files left


def test_invalid_tables_and_radii_are_refused_by_name(tmp_path, ray_cluster):
    good = sky_table(tmp_path / "good.parquet", np.arange(5.0), np.zeros(5))
    bad = sky_table(tmp_path / "bad.parquet", np.array([1.0, 2.0, np.nan]), np.zeros(3), row_group=2)
    for engine in ("memory", "ray"):
        with pytest.raises(InputError, match=r"bad.parquet: row 2 .* RA nan"):
            match_tables(good, bad, 1.0, tmp_path / "scratch", engine=engine)
    with pytest.raises(InputError, match="RA2"):
        match_tables(good, SkyTable(bad.paths, "RA2", "DEC"), 1.0, tmp_path)
    (tmp_path / "cut.parquet").write_bytes(good.paths[0].read_bytes()[:100])
    with pytest.raises(InputError, match="cut.parquet"):
        match_tables(good, SkyTable((tmp_path / "cut.parquet",), "RA", "DEC"), 1.0, tmp_path)
    with pytest.raises(InputError, match="7200.*memory"):
        match_tables(good, good, 7200.0, tmp_path, engine="ray")
