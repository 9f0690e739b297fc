"""The margin cache has all rows near the border of a partition, and lsdb finds matches across borders with it."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import astropy.units as u
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.coordinates import SkyCoord
from astropy_healpix.core import boundaries_lonlat
from scipy.spatial.distance import cdist

from mmae.astro.healpix import PIXEL_SIDE_DEG, nested_cell, with_neighbours
from mmae.catalogue import job, state
from mmae.catalogue.config import PredictConfig
from mmae.catalogue.hats_files import write_parquet
from mmae.catalogue.margin import NARROWEST, border_order, sky_tiles, write_margin
from mmae.catalogue.partitions import FINEST, choose_pixels, count_pixels
from mmae.catalogue.read import read_catalogue, read_pixels
from mmae.catalogue.rows import SPATIAL
from mmae.core.errors import InputError
from tests.catalogue.small import Killed, content, galaxy, in_turn, killing, options, predict_here, write_survey

THREE_MEET = float(
    np.degrees(np.arcsin(2 / 3))
)  # declination at which only three pixels of order 0 meet, at RA 0, 90, ...
ARCSEC = 30.0


def scattered(ra: float, dec: float, n: int, arcmin: float, seed: int) -> SkyCoord:
    """Positions within some arcmin of one, denser in the middle."""
    rng = np.random.default_rng(seed)
    return SkyCoord(ra, dec, unit="deg").directional_offset_by(
        rng.uniform(0, 360, n) * u.deg, arcmin * rng.random(n) * u.arcmin
    )


def write_rows(folder: Path, healpix_N: np.ndarray, most: int):
    """Partitions with a row number each; and their pixels."""
    order_N = np.argsort(healpix_N, kind="stable")
    rows = pa.table({SPATIAL: healpix_N[order_N], "row": order_N})
    pixels = choose_pixels(count_pixels(healpix_N), most)
    for pixel in pixels:
        first, last = np.searchsorted(healpix_N[order_N], pixel.spatial_range)
        write_parquet(rows.slice(first, last - first), folder / "dataset" / pixel.path)
    return pixels, rows.schema


@pytest.mark.parametrize(
    ("ra", "dec"), [(0, 0), (17, 89.999), (200, -90), (0, THREE_MEET), (90, -THREE_MEET), (359.999, 12), (45, 60)]
)
def test_no_pair_across_a_border_is_missed(tmp_path, ra, dec):
    """Of rows and positions anywhere around them, also where the catalogue has no partition."""
    at, probe = scattered(ra, dec, 500, 12, 0), scattered(ra, dec, 500, 13, 1)
    healpix_N = nested_cell(at.ra.deg, at.dec.deg)
    pixels, schema = write_rows(tmp_path, healpix_N, most=40)
    write_margin(tmp_path, Path("c"), pixels, schema, ARCSEC, in_turn)
    margin = tmp_path / "collection" / f"margin_{ARCSEC:g}arcs"
    in_margin = {p: pq.read_table(margin / "dataset" / p.path, partitioning=None) for p in read_pixels(margin)}

    tiles = sky_tiles(pixels)
    of_row_N, of_probe_P = (
        tile_of(tiles, healpix) for healpix in (healpix_N, nested_cell(probe.ra.deg, probe.dec.deg))
    )
    near_PN = chord(probe, at) <= 2 * np.sin(np.radians(ARCSEC / 3600) / 2)
    found = {p: set(rows["row"].to_pylist()) for p, rows in in_margin.items()}
    pairs = [(tiles[of_probe_P[i]], n) for i, n in np.argwhere(near_PN) if of_probe_P[i] != of_row_N[n]]
    assert len({pixel.order for pixel in pixels}) > 1
    assert len(pairs) > 10 and all(n in found[tile] for tile, n in pairs)

    for pixel, rows in in_margin.items():
        assert not {n for n in found[pixel] if tiles[of_row_N[n]] == pixel} and len(found[pixel]) == len(rows)
        assert (np.diff(rows[SPATIAL].to_numpy()) >= 0).all()
    assert sum(map(len, found.values())) < 3 * len(at)  # and not all rows everywhere


def chord(one: SkyCoord, other: SkyCoord) -> np.ndarray:
    """Distances of unit vectors: accurate for small angles."""
    return cdist(one.cartesian.xyz.value.T, other.cartesian.xyz.value.T)


def tile_of(tiles, healpix_N: np.ndarray) -> np.ndarray:
    """The number of the tile that contains each pixel of order 29: exactly one."""
    inside_TN = np.array([(healpix_N >= low) & (healpix_N < high) for low, high in (t.spatial_range for t in tiles)])
    assert (inside_TN.sum(0) == 1).all()
    return inside_TN.argmax(0)


def test_the_tiles_cover_the_sky_once():
    healpix_N = nested_cell(np.array([10.0, 10.01, 200.0]), np.array([5.0, 5.0, -70.0]))
    pixels = choose_pixels(count_pixels(healpix_N), 1)
    tiles = sky_tiles(pixels)
    assert set(pixels) < set(tiles)
    ends = [end for tile in tiles for end in tile.spatial_range]
    assert ends[0] == 0 and ends[-1] == 12 * 4**29 and ends[1:-1:2] == ends[2::2]


@pytest.mark.parametrize("first", [0, 64 * 4, 64 * 8])  # pixels of order 0: north, equator, south
def test_pixels_that_do_not_touch_are_as_far_apart_as_assumed(first):
    order, steps = 3, 24
    cells = np.arange(first, first + 64)
    for cell in cells:
        touching = np.unique(with_neighbours(np.array([cell]), order))
        others = np.setdiff1d(with_neighbours(touching, order), touching)
        own_B3, other_B3 = (edges(which, order, steps) for which in (np.array([cell]), others))
        nearest_deg = np.degrees(np.arccos(np.clip((own_B3 @ other_B3.T).max(), -1, 1)))
        assert nearest_deg > NARROWEST * PIXEL_SIDE_DEG / 2**order


def edges(cells: np.ndarray, order: int, steps: int) -> np.ndarray:
    """Unit vectors (B, 3) on the borders of pixels."""
    lon, lat = boundaries_lonlat(cells, steps, 1 << order, order="nested")
    return SkyCoord(lon.ravel(), lat.ravel()).cartesian.xyz.value.T


def test_the_largest_margin_fits_the_smallest_partitions():
    assert border_order(PredictConfig("m", "s", Path("o"), margin_arcsec=120).margin_arcsec) >= FINEST
    assert border_order(1e-9) == 29
    for arcsec in (-1, 121):
        with pytest.raises(ValueError, match="margin_arcsec is"):
            PredictConfig("m", "s", Path("o"), margin_arcsec=arcsec)


# Two of the galaxies are at a corner of four pixels of every order but 0.
GALAXIES = [galaxy(0, ra=0.0003, dec=0.0), galaxy(1, ra=0.0, dec=0.0004), *(galaxy(i) for i in range(2, 100))]


@pytest.fixture(scope="module")
def survey(tmp_path_factory) -> Path:
    return write_survey(tmp_path_factory.mktemp("survey") / "s", GALAXIES)


@pytest.fixture(scope="module")
def whole(bundle, survey, tmp_path_factory) -> Path:
    """A catalogue with its collection, of an uninterrupted job."""
    return predict_here(options(bundle, survey, tmp_path_factory.mktemp("whole") / "c")).path


def both(out: Path) -> tuple[dict[str, bytes], dict[str, bytes]]:
    return content(out), content(state.collection_folder(out))


def test_the_margin_has_the_columns_and_values_of_the_catalogue(whole):
    rows = {row["object_id"]: row for row in read_catalogue(whole).to_pylist()}
    margin = read_catalogue(state.collection_folder(whole) / "margin_10arcs")
    assert margin.schema.equals(read_catalogue(whole).schema, check_metadata=True)
    assert {"g00000", "g00001"} <= set(margin["object_id"].to_pylist())
    assert all(repr(row) == repr(rows[row["object_id"]]) for row in margin.to_pylist())


@pytest.mark.parametrize("where", ["write_catalogue_files", "write_whole", "margin_work"])
def test_a_job_killed_while_it_writes_the_margin_gives_the_same_bytes(bundle, survey, whole, tmp_path, where):
    config = options(bundle, survey, tmp_path / "c")
    with pytest.raises(Killed), pytest.MonkeyPatch.context() as patch:
        patch.setattr(f"mmae.catalogue.margin.{where}", killing)
        predict_here(config)
    assert not config.out.exists() and not state.collection_folder(config.out).exists()
    predict_here(config)
    assert both(config.out) == both(whole)


def test_a_job_killed_before_the_collection_has_its_place_puts_it_there(bundle, survey, whole, tmp_path):
    config = options(bundle, survey, tmp_path / "c")
    with pytest.raises(Killed), pytest.MonkeyPatch.context() as patch:
        patch.setattr(state, "remove_job_files", killing)
        predict_here(config)
    assert config.out.exists() and not state.collection_folder(config.out).exists()
    predict_here(config, run_pieces=None)
    assert both(config.out) == both(whole)


def test_no_margin_if_it_is_not_wanted(bundle, survey, whole, tmp_path):
    out = predict_here(options(bundle, survey, tmp_path / "c", margin_arcsec=0)).path
    assert not state.collection_folder(out).exists()
    assert content(out).keys() == content(whole).keys()
    with pytest.raises(InputError, match="not a catalogue of this job"):
        predict_here(options(bundle, survey, out))


def test_the_collection_of_a_lost_catalogue_is_not_taken_for_that_of_the_next(bundle, survey, tmp_path):
    config = options(bundle, survey, tmp_path / "c")
    shutil.rmtree(predict_here(config).path)
    with pytest.raises(InputError, match="belongs to a catalogue"):
        predict_here(config)


def test_lsdb_finds_the_match_across_a_border(whole):
    lsdb = pytest.importorskip("lsdb")
    validation = pytest.importorskip("hats.io.validation")
    collection = state.collection_folder(whole)
    assert validation.is_valid_collection(str(collection), strict=True)
    assert validation.is_valid_catalog(str(whole), strict=True)
    across = pd.DataFrame({"ra": [359.9997, 180.0], "dec": [0.0, 45.0]})  # 2.2 arcsec from g00000
    left = lsdb.from_dataframe(across, ra_column="ra", dec_column="dec", catalog_name="probe", margin_threshold=None)

    def matches(path: Path) -> list[str]:
        opened = lsdb.open_catalog(str(path))
        return (
            left.crossmatch(opened, radius_arcsec=5, n_neighbors=9, suffixes=("_in", ""))
            .compute()["object_id"]
            .tolist()
        )

    with pytest.warns(RuntimeWarning, match="margin"):
        assert "g00000" not in matches(whole)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*margin")
        assert sorted(matches(collection)) == ["g00000", "g00001"]


def test_lsdb_accepts_a_margin_without_rows(bundle, tmp_path):
    lsdb = pytest.importorskip("lsdb")
    survey = write_survey(tmp_path / "s", [galaxy(0, ra=20.0, dec=12.0)])
    out = predict_here(options(bundle, survey, tmp_path / "c")).path
    left = lsdb.from_dataframe(pd.DataFrame({"ra": [20.0], "dec": [12.0]}), ra_column="ra", dec_column="dec")
    opened = lsdb.open_catalog(str(state.collection_folder(out)))
    assert len(left.crossmatch(opened, radius_arcsec=5, suffixes=("_in", "")).compute()) == 1


def test_options_say_what_differs(bundle, survey, tmp_path):
    config = options(bundle, survey, tmp_path / "c")
    with pytest.raises(Killed), pytest.MonkeyPatch.context() as patch:
        patch.setattr(job, "write_margin", killing)
        predict_here(config)
    with pytest.raises(InputError, match="another margin_arcsec"):
        predict_here(options(bundle, survey, tmp_path / "c", margin_arcsec=5))
