"""HEALPix pixels: standard numbering, equal areas, compact shapes."""

import numpy as np
import pytest

from mmae.astro.crossmatch import separation
from mmae.astro.healpix import cell_centre, cell_corners, nested_cell, on_sky, sky_cell


def uniform(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 360, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))


@pytest.mark.parametrize(
    ("nside", "expected"),
    [(1, [6, 0, 7, 11, 1]), (64, [23786, 8071, 36413, 47167, 6]), (512, [1513296, 533565, 2335211, 3016187, 329])],
)
def test_pixel_numbers_equal_reference_values(nside, expected):
    ra, dec = np.array([(149.1, 2.2), (10.68, 41.27), (266.4, -29.0), (359.99999, -66.6), (123.4, 88.8)]).T
    assert sky_cell(ra, dec, nside).tolist() == expected
    assert [int(sky_cell(a, d, nside)) for a, d in zip(ra, dec, strict=True)] == expected


@pytest.mark.parametrize("nside", [1, 3, 8])
def test_pixels_have_equal_areas(nside):
    n_pixels = 12 * nside**2
    n_K = np.bincount(sky_cell(*uniform(200 * n_pixels), nside), minlength=n_pixels)
    assert len(n_K) == n_pixels
    chi2 = ((n_K - 200) ** 2 / 200).sum()
    assert abs(chi2 - (n_pixels - 1)) < 5 * np.sqrt(2 * (n_pixels - 1))


@pytest.mark.parametrize("nside", [16, 512])
def test_pixel_diameter_is_below_the_longest_diagonal(nside):
    """The longest diagonal is 1.9 sides, at the poles."""
    ra, dec = uniform(20_000)
    side = np.degrees(np.sqrt(4 * np.pi / (12 * nside**2)))
    rng = np.random.default_rng(1)
    near_dec = np.clip(dec + rng.uniform(-2, 2, 20_000) * side, -90, 90)
    near_ra = ra + rng.uniform(-2, 2, 20_000) * side / np.maximum(np.cos(np.radians(dec)), 1e-3)
    apart = separation(ra, dec, near_ra, near_dec)
    same = sky_cell(ra, dec, nside) == sky_cell(near_ra, near_dec, nside)
    assert same.sum() > 500
    assert apart[same].max() < 1.9 * side


def test_right_ascension_is_periodic():
    ra, dec = uniform(5000)
    for turned in (ra - 360, ra + 360):
        assert np.array_equal(sky_cell(turned, dec, 512), sky_cell(ra, dec, 512))
    assert sky_cell(360.0, 12.3, 512) == sky_cell(0.0, 12.3, 512)
    assert sky_cell(-1e-18, 12.3, 512) < 12 * 512**2


def test_poles_have_valid_pixels_at_all_orders():
    for nside in (1, 512, 1 << 29):
        cells = sky_cell([0, 90, 200, 0, 359.9], [90, 90, 90, -90, -90], nside)
        assert cells.min() >= 0 and cells.max() < 12 * nside**2
        assert set(cells[:3]) <= set(range(4)) and cells[3] >= 12 * nside**2 - 4


def test_out_of_range_and_nan_positions_are_not_on_the_sky():
    ra = [0, 360, -180, np.nan, 10, 361, -181, 10, 10, np.inf, -999]
    dec = [0, 90, -90, 0, np.nan, 0, 0, 91, -90.1, 0, -999]
    assert on_sky(ra, dec).tolist() == [True] * 3 + [False] * 8


@pytest.mark.parametrize("order", [0, 5, 10])
def test_centres_are_in_their_pixels(order):
    cell = np.arange(0, 12 * 4**order, max(1, 4**order // 50))
    assert np.array_equal(nested_cell(*cell_centre(cell, order), order), cell)


def test_corners_surround_the_centre():
    cell = np.arange(0, 12 * 4**5, 97)
    ra, dec = cell_centre(cell, 5)
    ra_P4, dec_P4 = cell_corners(cell, 5)
    side = 58.6 / 32
    for corner in range(4):
        distance = separation(ra, dec, ra_P4[:, corner], dec_P4[:, corner])
        assert (distance > 0.4 * side).all() and (distance < 1.3 * side).all()
