"""The search on real data against astropy, and on a simulated sky against its truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits

from mmae.steepspec.assessment.pulls import alpha_pulls
from mmae.steepspec.assessment.recovery import match_truth
from mmae.steepspec.catalogue import read_catalogue, survey_description
from mmae.steepspec.config import SearchConfig, SearchSettings, SkySettings
from mmae.steepspec.counts import rejection_table
from mmae.steepspec.job import read_inputs, simulated_inputs
from mmae.steepspec.regions import read_4fgl
from mmae.steepspec.search import Inputs, search
from mmae.steepspec.simulation.sky import simulate_sky

SKY = SkySettings(pointings=3, overlapping=1, regions=30, regions_per_pointing=12, field_pulsars=120)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """A small sky, the inputs read from its files, the result of the search, and the folder."""
    folder = tmp_path_factory.mktemp("sky")
    inputs, pulsars = read_inputs(simulated_inputs(SearchConfig(sky=SKY), folder))
    return simulate_sky(SKY), inputs, search(inputs), folder


def independent(region, ra, dec) -> np.ndarray:
    """Ellipse membership with SkyCoord only."""
    centre = SkyCoord(region["RAJ2000"], region["DEJ2000"], unit="deg")
    sky = SkyCoord(ra, dec, unit="deg")
    separation = centre.separation(sky).deg
    angle = (centre.position_angle(sky) - region["Conf_95_PosAng"] * u.deg).rad
    return (
        (separation * np.cos(angle) / region["Conf_95_SemiMajor"]) ** 2
        + (separation * np.sin(angle) / region["Conf_95_SemiMinor"]) ** 2
    ) <= 1


@pytest.mark.long
def test_counts_on_real_data_equal_those_of_astropy(gamma_radio):
    """DESIGN section 5: 313 GLEAM sources in 189 fields, 13 steep in 11."""
    survey = survey_description("gleam_kgs")
    radio, counts = read_catalogue(gamma_radio / "gleam_kgs_157k.fits", survey)
    found = search(
        Inputs(radio, survey, read_4fgl(gamma_radio / "gll_psc_v35.fit"), counts=counts), SearchSettings(shifts=20)
    )

    raw = fits.getdata(gamma_radio / "gleam_kgs_157k.fits")
    regions = fits.getdata(gamma_radio / "gll_psc_v35.fit", "LAT_Point_Source_Catalog")
    blank = np.char.strip(regions["CLASS1"]) == ""
    regions = regions[blank & np.isfinite(regions["Conf_95_SemiMajor"]) & (regions["Conf_95_SemiMajor"] > 0)]
    ra, dec, steep = raw["ra"].astype(float), raw["dec"].astype(float), raw["alpha"] < -1.4
    sources = fields = steep_sources = steep_fields = 0
    counts_by_region = {}
    for region in regions:
        near = np.flatnonzero(abs(dec - region["DEJ2000"]) <= region["Conf_95_SemiMajor"] * 1.01)
        inside = near[independent(region, ra[near], dec[near])]
        counts_by_region[region["Source_Name"].strip()] = len(inside)
        sources, fields = sources + len(inside), fields + bool(len(inside))
        steep_sources, steep_fields = steep_sources + steep[inside].sum(), steep_fields + steep[inside].any()
    assert (sources, fields, steep_sources, steep_fields) == (313, 189, 13, 11)

    assert len(found.regions) == len(regions)
    assert dict(zip(found.regions["name"], found.regions["sources"], strict=True)) == counts_by_region
    assert len(found.members) == sources and int(found.members["steep"].sum()) == steep_sources
    assert int((found.regions["steep"] > 0).sum()) == steep_fields and len(found.candidates) == 13
    # Moved regions contain the same number: the 13 are not an excess.
    assert found.chance.mean_sources == pytest.approx(sources, abs=3 * found.chance.sd_sources)
    assert 8 < found.chance_steep.mean_sources < 15 and found.chance_steep.probability(13) > 0.05
    assert (found.members["source_class"] == "ambiguous").all()  # one flux density does not determine the class


def test_candidates_are_steep_and_not_known_and_members_are_inside(simulated):
    sky, _, found, _ = simulated
    candidates, members = found.candidates, found.members
    assert len(candidates) > 5
    assert (candidates["alpha"] < -1.4).all() and not candidates["vetoed"].any()
    assert candidates["rank"].tolist() == list(range(1, len(candidates) + 1))
    by_name = {row["Source_Name"]: row for row in sky.regions}
    for row in members:
        assert independent(by_name[row["region"]], row["ra"], row["dec"]), row["region"]
    searched = {name for name, row in by_name.items() if row["CLASS1"] == "" and np.isfinite(row["Conf_95_SemiMajor"])}
    assert set(found.regions["name"]) == searched
    # Every detected source has one member row per searched ellipse that contains it.
    pairs = sum(independent(by_name[name], found.sources["ra"], found.sources["dec"]).sum() for name in searched)
    assert pairs == len(members) == found.regions["sources"].sum()
    classes = ("pulsar_candidate", "ambiguous", "radio_galaxy", "agn", "star")
    order = [classes.index(name) for name in candidates["source_class"]]
    assert order == sorted(order)


def test_known_pulsars_are_vetoed_and_named(simulated):
    sky, _, found, _ = simulated
    match = match_truth(found.sources, sky.truth)
    known = (match >= 0) & np.asarray(sky.truth["known"])[match]
    assert known.sum() > 5
    np.testing.assert_array_equal(np.asarray(found.sources["vetoed"]), known)
    assert set(found.sources["known_class"][known]) == {"pulsar"}
    names = zip(found.sources["known_name"][known], found.sources["reasons"][known], strict=True)
    assert all(name.startswith("SIM") and name in reason for name, reason in names)


def test_rejections_account_for_all_rows(simulated):
    _, inputs, found, _ = simulated
    table = rejection_table(found.counts)
    of = {step: int(table["count"][table["step"] == step].sum()) for step in set(table["step"])}
    assert len(inputs.radio) - of["merge windows"] - of["drop overlaps"] - of.get("clean", 0) == len(found.sources)
    assert len(inputs.regions) - of["unassociated regions"] == len(found.regions)
    candidates = len(np.unique(np.asarray(found.candidates["ra"])))
    assert len(found.sources) - of["candidates"] == candidates


def test_pulls_of_alpha_have_mean_0_and_width_1(simulated):
    """Sources of a pointing and window share flux-scale errors: errors are from resampling pointings."""
    sky, _, found, _ = simulated
    pulls = alpha_pulls(found.sources, sky.truth, match_truth(found.sources, sky.truth))
    mean, width = pulls.by_snr.total["mean"], pulls.by_snr.total["robust width"]
    # A flux-scale error common to a window shifts the mean pull of a pointing by up to 1 sigma: with 3
    # pointings the mean of the pulls has an error of up to 1 / sqrt(3).
    assert abs(mean.value) < 3 / np.sqrt(3)
    assert 0.7 < width.value < 1.3
    assert np.nanmedian(found.sources["alpha_err"]) > 0.1


@pytest.mark.long
def test_without_shared_scale_errors_the_pulls_are_unbiased(tmp_path):
    settings = replace(SKY, mals_scale_error=0.0, pointings=2, overlapping=0)
    inputs, _ = read_inputs(simulated_inputs(SearchConfig(sky=settings), tmp_path))
    radio = replace(inputs.survey, flux_scale_error=1e-6)
    found = search(replace(inputs, survey=radio), SearchSettings(shifts=0))
    sky = simulate_sky(settings)
    match = match_truth(found.sources, sky.truth)
    sources = found.sources
    strong = (match >= 0) & (sources["alpha_from"] == "sed") & (sources["snr"] > 15)
    pull = ((sources["alpha"] - np.asarray(sky.truth["alpha"])[match]) / sources["alpha_err"])[strong]
    n = int(strong.sum())
    assert n > 500
    assert abs(np.mean(pull)) < 4 / np.sqrt(n)
    assert abs(1.4826 * np.median(abs(pull - np.median(pull))) - 1) < 0.12


@pytest.mark.long
def test_ray_and_one_process_give_the_same_result(simulated, ray_cluster):
    _, inputs, found, _ = simulated
    again = search(inputs, on_ray=True)
    for name in ("sources", "members", "regions", "points"):
        one, two = getattr(found, name), getattr(again, name)
        for column in one.colnames:
            np.testing.assert_array_equal(np.asarray(one[column]), np.asarray(two[column]), err_msg=column)
