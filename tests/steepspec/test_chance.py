"""The chance-coincidence estimate on simulated skies with known results, and on real data."""

import numpy as np
import pytest
from astropy.table import Table

from mmae.core.errors import InputError
from mmae.steepspec.chance import chance_estimate, footprint, shifted
from mmae.steepspec.regions import members, read_4fgl, unassociated


def sky(n, rng, ra=(0, 360), dec=(-90, 90)):
    low, high = np.sin(np.radians(dec))
    return rng.uniform(*ra, n), np.degrees(np.arcsin(rng.uniform(low, high, n)))


def circles(ra, dec, radius):
    n = len(ra)
    return Table(
        {"ra": ra, "dec": dec, "semi_major": np.full(n, radius), "semi_minor": np.full(n, radius), "pa": np.zeros(n)}
    )


@pytest.fixture(scope="module")
def half_sky():
    """A survey of RA 100 to 340, declination -60 to 20, and regions over the whole sky."""
    rng = np.random.default_rng(11)
    return sky(20_000, rng, (100, 340), (-60, 20)), circles(*sky(600, rng), 0.7)


def test_footprint_covers_the_survey_only(half_sky):
    (ra, dec), _ = half_sky
    survey = footprint(ra, dec)
    assert survey.contains(ra, dec).all()
    rng = np.random.default_rng(1)
    outside = sky(2000, rng, (0, 90), (-90, 90))
    assert not survey.contains(*outside).any() and not survey.contains(200.0, 60.0)
    inner = sky(5000, rng, (102, 338), (-58, 18))
    assert survey.contains(*inner).all()
    true_area = 240 * np.degrees(np.sin(np.radians(20)) - np.sin(np.radians(-60)))
    assert survey.area_deg2 == pytest.approx(true_area, rel=0.1)
    assert survey.contains([0.0, 360.0, 359.99], [90.0, -90.0, 0.0]).shape == (3,)


def test_shifted_regions_stay_in_the_survey_at_their_declination(half_sky):
    (ra, dec), regions = half_sky
    survey = footprint(ra, dec)
    copies = shifted(regions, survey, 20)
    inside = survey.contains(regions["ra"], regions["dec"])
    assert len(copies) == 20 and len(copies[0]) == inside.sum()
    for copy in copies:
        assert survey.contains(copy["ra"], copy["dec"]).all()
        original = regions[copy["region"]]
        np.testing.assert_array_equal(copy["dec"], original["dec"])
        step = abs((copy["ra"] - original["ra"] + 180) % 360 - 180) * np.cos(np.radians(copy["dec"]))
        assert step.min() > 1.3  # two radii, along the parallel
    assert len({float(copy["ra"][0]) for copy in copies}) == 20
    assert all((a["ra"] == b["ra"]).all() for a, b in zip(copies, shifted(regions, survey, 20), strict=True))
    assert (regions["ra"] != copies[0]["ra"][0]).any() and "region" not in regions.colnames


def test_estimate_of_a_random_sky_is_area_times_density(half_sky):
    (ra, dec), regions = half_sky
    chance = chance_estimate(ra, dec, regions, footprint(ra, dec), shifts=50)
    density = len(ra) / footprint(ra, dec).area_deg2
    assert chance.mean_sources == pytest.approx(chance.regions * np.pi * 0.7**2 * density, rel=0.04)
    # The regions are as random as their copies and contain the same number on average.
    observed = len(np.unique(members(ra, dec, regions).index1))
    assert observed == pytest.approx(chance.mean_sources, abs=3 * chance.sd_sources)
    assert chance.sd_sources == pytest.approx(np.sqrt(chance.mean_sources), rel=0.5)
    assert chance.error_sources == pytest.approx(chance.sd_sources / np.sqrt(50))
    assert chance.unmoved == 0 and (chance.fields_K <= chance.sources_K).all()


def test_an_injected_excess_is_measured(half_sky):
    (ra, dec), regions = half_sky
    survey = footprint(ra, dec)
    rare = np.arange(0, len(ra), 40)
    inside = regions[survey.contains(regions["ra"], regions["dec"])][:60]
    ra_all, dec_all = np.append(ra[rare], inside["ra"]), np.append(dec[rare], inside["dec"])
    observed = len(members(ra_all, dec_all, regions))
    chance = chance_estimate(ra_all, dec_all, regions, survey, shifts=20)
    assert observed - chance.mean_sources == pytest.approx(60, abs=15)
    assert chance.probability(observed) < 1e-6 and chance.probability(0) == 1


def test_a_region_without_another_position_is_not_moved():
    ra, dec = sky(20_000, np.random.default_rng(4))
    regions = circles(np.array([10.0, 10.0]), np.array([0.0, 89.7]), 0.5)  # 0.6 degrees at most, at the pole
    chance = chance_estimate(ra, dec, regions, footprint(ra, dec), shifts=10)
    assert (chance.regions, chance.unmoved) == (1, 1)


def test_invalid_arguments(half_sky):
    (ra, dec), regions = half_sky
    survey = footprint(ra, dec)
    for shifts in (1, 201):
        with pytest.raises(InputError, match=f"shifts is {shifts}"):
            chance_estimate(ra, dec, regions, survey, shifts=shifts)
    with pytest.raises(InputError, match="the 0 regions"):
        chance_estimate(ra, dec, circles(np.array([30.0]), np.array([70.0]), 0.5), survey)
    with pytest.raises(InputError):
        footprint([], [])


def test_real_chance_count(gamma_radio):
    """20 shifts in the footprint: 11 steep sources are expected and 13 observed, which is no excess.

    Twice the value of DESIGN section 5 (4-8), but equal to ellipse area times density of steep
    sources (35.4 deg2 x 5,538 / 17,046 deg2 = 11.5); all 313 sources also agree with chance.
    """
    regions, _ = unassociated(read_4fgl(gamma_radio / "gll_psc_v35.fit"))
    table = Table.read(gamma_radio / "gleam_kgs_157k.fits")
    ra, dec, steep = np.array(table["ra"]), np.array(table["dec"]), np.array(table["alpha"]) < -1.4
    survey = footprint(ra, dec)
    steep_chance = chance_estimate(ra[steep], dec[steep], regions, survey, shifts=20)
    inside = regions[survey.contains(regions["ra"], regions["dec"])]
    area = np.pi * np.sum(inside["semi_major"] * inside["semi_minor"])
    assert steep_chance.mean_sources == pytest.approx(area * steep.sum() / survey.area_deg2, abs=3)
    assert 8 < steep_chance.mean_sources < 14 and steep_chance.probability(13) > 0.1
    all_chance = chance_estimate(ra, dec, regions, survey, shifts=20)
    assert all_chance.mean_sources == pytest.approx(313, abs=3 * all_chance.sd_sources)
