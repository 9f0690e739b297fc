"""The sky match against `search_around_sky`, on random points and at poles, RA 0 and the exact radius."""

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord, search_around_sky
from astropy.time import Time
from hypothesis import given, settings
from hypothesis import strategies as st

from mmae.astro import crossmatch
from mmae.astro.crossmatch import match, move_to_epoch, nearest, one_to_one
from mmae.core.errors import InputError

RADII = [2.0, 60.0, 180.0]


def random_points(n, rng):
    return rng.uniform(0, 360, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))


def astropy_pairs(ra1, dec1, ra2, dec2, radius):
    first, second = SkyCoord(ra1, dec1, unit="deg"), SkyCoord(ra2, dec2, unit="deg")
    index1, index2, sep, _ = search_around_sky(first, second, radius * u.arcsec)
    order = np.lexsort((index2, index1))
    return index1[order], index2[order], sep.arcsec[order]


def assert_equals_astropy(ra1, dec1, ra2, dec2, radius):
    pairs = match(ra1, dec1, ra2, dec2, radius)
    index1, index2, sep = astropy_pairs(ra1, dec1, ra2, dec2, radius)
    np.testing.assert_array_equal(pairs.index1, index1)
    np.testing.assert_array_equal(pairs.index2, index2)
    np.testing.assert_allclose(pairs.separation_arcsec, sep, rtol=1e-9, atol=1e-9)
    return pairs


# Points at places where matches typically fail: poles, RA 0, and separations equal to the radius.
ANCHORS = st.sampled_from(
    [
        (0.0, 0.0),
        (360.0, 0.0),
        (359.9999, 45.0),
        (0.0, 90.0),
        (123.0, 90.0),
        (77.0, -90.0),
        (180.0, -89.9999),
        (45.0, 60.0),
        (0.0, 89.999999),
        (12.5, -33.3),
    ]
)
STEPS = st.one_of(st.sampled_from([0.0, 2.0, -2.0, 60.0, -60.0, 180.0, -180.0, 1e-7, 4.0]), st.floats(-200, 200))


@st.composite
def clustered_points(draw):
    points = draw(st.lists(st.tuples(ANCHORS, STEPS, STEPS), min_size=0, max_size=25))
    ra = np.array([(a + dx / 3600) % 360 for (a, _), dx, _ in points])
    dec = np.array([np.clip(d + dy / 3600, -90, 90) for (_, d), _, dy in points])
    copies = draw(st.lists(st.integers(0, max(len(points) - 1, 0)), max_size=5)) if points else []
    return np.append(ra, ra[copies]), np.append(dec, dec[copies])


@settings(max_examples=150, deadline=None)
@given(clustered_points(), clustered_points(), st.sampled_from(RADII))
def test_pairs_equal_astropy_near_poles_and_at_the_radius(first, second, radius):
    if len(first[0]) and len(second[0]):  # astropy fails on an empty catalogue
        assert_equals_astropy(*first, *second, radius)
    else:
        assert len(match(*first, *second, radius)) == 0


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([5.0, 3600.0, 90 * 3600.0, 170 * 3600.0, 180 * 3600.0]))
def test_pairs_equal_astropy_at_any_radius(seed, radius):
    rng = np.random.default_rng(seed)
    assert_equals_astropy(*random_points(60, rng), *random_points(50, rng), radius)


@pytest.mark.parametrize("radius", RADII)
def test_pairs_equal_astropy_for_20000_points(radius):
    rng = np.random.default_rng(5)
    ra, dec = random_points(20_000, rng)
    near = rng.integers(0, len(ra), 20_000)  # second catalogue scattered around the first
    dec2 = np.clip(dec[near] + rng.normal(0, radius / 3600, len(near)), -90, 90)
    pairs = assert_equals_astropy(ra, dec, ra[near], dec2, radius)
    assert len(pairs) > 10_000


@pytest.mark.parametrize("radius", RADII)
def test_pairs_equal_astropy_on_a_grid_with_spacing_equal_to_the_radius(radius):
    step = np.arange(-20, 21) * radius / 3600
    for ra0, dec0 in ((0.0, 0.0), (0.0, 70.0), (200.0, -89.0)):
        ra, dec = (x.ravel() for x in np.meshgrid((ra0 + step) % 360, dec0 + step))
        pairs = assert_equals_astropy(ra, dec, ra, dec, radius)
        assert len(pairs) > len(ra)


def test_radius_is_inclusive_and_identical_points_are_paired():
    assert len(match([10.0], [0.0], [10.0], [0.0], 0.0)) == 1
    assert len(match([10.0, 10.0], [0.0, 0.0], [10.0] * 3, [0.0] * 3, 1.0)) == 6
    assert len(match([0.0], [0.0], [180.0], [0.0], 180 * 3600)) == 1


def test_pairs_across_ra_0_and_at_the_pole():
    pairs = match([359.9999, 0.0], [0.0, 90.0], [0.0001, 90.0, 270.0], [0.0, 89.9999, 89.9999], 1.0)
    assert list(zip(pairs.index1.tolist(), pairs.index2.tolist(), strict=True)) == [(0, 0), (1, 1), (1, 2)]
    np.testing.assert_allclose(pairs.separation_arcsec, [0.72, 0.36, 0.36], rtol=1e-6)


def test_negative_ra_is_equivalent_to_ra_plus_360():
    assert len(match([-0.0001], [5.0], [359.9999], [5.0], 0.001)) == 1
    step = np.arange(-20, 21) * 2 / 3600
    ra, dec = (x.ravel() for x in np.meshgrid(step, 30 + step))
    assert_equals_astropy(ra, dec, ra, dec, 2.0)


def test_empty_catalogues_have_no_pairs():
    for first, second in (([], [1.0]), ([1.0], []), ([], [])):
        assert len(match(first, first, second, second, 10.0)) == 0
        assert len(one_to_one(first, first, second, second, 10.0)) == 0
        assert len(nearest(first, first, second, second, 10.0)) == 0


@pytest.mark.parametrize(
    "ra, dec, named",
    [
        ([1.0, np.nan], [0.0, 0.0], "second catalogue: row 1"),
        ([1.0, 2.0], [0.0, 90.001], "second catalogue: row 1"),
        ([400.0], [0.0], "row 0"),
        ([np.inf], [0.0], "row 0"),
        ([1.0, 2.0], [0.0], r"second catalogue: RA has shape \(2,\), declination \(1,\)"),
    ],
)
def test_invalid_coordinates_are_refused(ra, dec, named):
    with pytest.raises(InputError, match=named):
        match([0.0], [0.0], ra, dec, 5.0)


def test_masked_coordinate_is_refused():
    with pytest.raises(InputError, match="first catalogue: row 1"):
        match(np.ma.array([1.0, 2.0], mask=[False, True]), [0.0, 0.0], [1.0], [0.0], 5.0)


@pytest.mark.parametrize("radius", [-1.0, np.nan, 180 * 3600 + 1])
def test_invalid_radius_is_refused(radius):
    with pytest.raises(InputError, match=f"{radius} arcsec"):
        match([0.0], [0.0], [0.0], [0.0], radius)


@settings(max_examples=60, deadline=None)
@given(clustered_points(), clustered_points(), st.sampled_from(RADII))
def test_nearest_and_one_to_one_equal_explicit_loops(first, second, radius):
    pairs = match(*first, *second, radius)
    rows = sorted(zip(pairs.separation_arcsec, pairs.index1.tolist(), pairs.index2.tolist(), strict=True))
    best, used1, used2, greedy = {}, set(), set(), set()
    for _, i, j in rows:
        best.setdefault(i, j)
        if i not in used1 and j not in used2:
            greedy.add((i, j))
            used1.add(i)
            used2.add(j)
    near, single = nearest(*first, *second, radius), one_to_one(*first, *second, radius)
    assert dict(zip(near.index1.tolist(), near.index2.tolist(), strict=True)) == best
    assert set(zip(single.index1.tolist(), single.index2.tolist(), strict=True)) == greedy
    assert (np.diff(single.index1) > 0).all()


def test_separation_and_position_angle_recover_known_offsets():
    rng = np.random.default_rng(3)
    ra, dec = random_points(500, rng)
    angle, distance = rng.uniform(0, 360, 500), rng.uniform(0.1, 179, 500)
    moved = SkyCoord(ra, dec, unit="deg").directional_offset_by(angle * u.deg, distance * u.deg)
    # Coordinates in double precision are exact to 1e-14 rad; near the pole and the antipode errors of RA and of the
    # angle grow by 1 / cos(dec) and 1 / sin(distance), about 1e3 here.
    np.testing.assert_allclose(crossmatch.separation(ra, dec, moved.ra.deg, moved.dec.deg), distance, atol=1e-9)
    found = crossmatch.position_angle(ra, dec, moved.ra.deg, moved.dec.deg)
    np.testing.assert_allclose((found - angle + 180) % 360, 180, atol=1e-9)
    assert ((found >= 0) & (found < 360)).all()


@pytest.mark.parametrize(("east", "north", "angle"), [(0, 1, 0), (1, 0, 90), (0, -1, 180), (-1, 0, 270), (0, 0, 0)])
def test_position_angle_is_east_of_north(east, north, angle):
    assert crossmatch.position_angle(10.0, 0.0, 10.0 + east, float(north)) == pytest.approx(angle)


def test_proper_motion_of_barnards_star_over_100_years():
    # Gaia DR3: -801.551 mas/yr, 10362.394 mas/yr.
    ra, dec = move_to_epoch(
        [269.44850252, 10.0], [4.73942005, 20.0], [-801.551, np.nan], [10362.394, np.nan], 2016.0, 2116.0
    )
    moved = crossmatch.separation(269.44850252, 4.73942005, ra[0], dec[0]) * 3600
    assert moved == pytest.approx(100 * np.hypot(0.801551, 10.362394), rel=1e-5)
    assert dec[0] > 4.73942005 and ra[0] < 269.44850252
    assert (ra[1], dec[1]) == (10.0, 20.0)  # proper motion not measured


def test_proper_motion_equals_astropy_with_one_epoch_per_row():
    ra, dec = np.array([0.00001, 30.0, 200.0]), np.array([10.0, 89.99, -60.0])
    pmra, pmdec = np.array([-500.0, 200.0, 0.0]), np.array([30.0, 900.0, 0.0])
    epoch = np.array([2000.0, 2010.0, 1990.0])
    got = move_to_epoch(ra, dec, pmra, pmdec, epoch, 2020.0)
    sky = SkyCoord(
        ra * u.deg,
        dec * u.deg,
        pm_ra_cosdec=pmra * u.mas / u.yr,
        pm_dec=pmdec * u.mas / u.yr,
        distance=1 * u.kpc,
        obstime=Time(epoch, format="jyear"),
    )
    with np.errstate(all="ignore"):
        want = sky.apply_space_motion(Time(2020.0, format="jyear"))
    assert crossmatch.separation(*got, want.ra.deg, want.dec.deg).max() * 3600 < 1e-4
    assert ((got[0] >= 0) & (got[0] < 360)).all()


def test_invalid_epoch_or_shape_is_refused():
    with pytest.raises(InputError, match="row 1 of from_epoch"):
        move_to_epoch([1.0, 2.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [2000.0, np.nan], 2016.0)
    with pytest.raises(InputError, match="pmra"):
        move_to_epoch([1.0, 2.0], [0.0, 0.0], [0.0], [0.0, 0.0], 2000.0, 2016.0)
