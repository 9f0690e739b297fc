"""Files of the simulated sky, read back by the readers of the real catalogues."""

import filecmp
from dataclasses import replace

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import Table

from mmae.astro.tables import read_table
from mmae.steepspec.catalogue import read_catalogue, survey_description
from mmae.steepspec.config import SkySettings
from mmae.steepspec.pulsars import read_psrcat
from mmae.steepspec.regions import read_4fgl
from mmae.steepspec.simulation.detections import MISSING
from mmae.steepspec.simulation.files import psrcat, write_sky
from mmae.steepspec.simulation.sky import simulate_sky

SMALL = SkySettings(pointings=2, overlapping=1, regions=20, field_pulsars=300)
NAMES = {"mals": "mals.fits", "regions": "regions.fits", "known_pulsars": "known_pulsars.db"} | {
    name: f"{name}.parquet"
    for name in ("tgss", "racs_low", "nvss", "panstarrs", "allwise", "gaia", "pointings", "truth")
}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A small sky, and its files."""
    sky = simulate_sky(SMALL)
    return sky, write_sky(sky, tmp_path_factory.mktemp("sky") / "new")


def test_files_depend_on_the_seed_only(written, tmp_path):
    sky, first = written
    again = write_sky(simulate_sky(SMALL), tmp_path)
    again = write_sky(simulate_sky(SMALL), tmp_path)  # overwrites the files
    assert {name: path.name for name, path in first.items()} == NAMES
    for name, path in first.items():
        assert filecmp.cmp(path, again[name], shallow=False), name
    assert len(simulate_sky(replace(SMALL, seed=1)).mals) != len(sky.mals)
    truth = Table.read(first["truth"])
    assert truth.colnames == sky.truth.colnames and truth["known"].dtype == bool
    assert len(Table.read(first["pointings"])) == SMALL.pointings


def read(written, name, survey=None):
    """The standard table of a survey; no row may be rejected."""
    table, rejected = read_catalogue(written[1][name], survey_description(survey or name))
    assert rejected == []
    return table


def test_mals_reads_back(written):
    table, mals = read(written, "mals", "mals_dr1"), written[0].mals
    for column, mals_column in (
        ("ra", "RAJ2000"),
        ("dec", "DEJ2000"),
        ("flux_mjy", "Flux"),
        ("flux_err_mjy", "e_Flux"),
        ("peak_mjy", "FluxPk"),
        ("rms_mjy", "rms"),
        ("major_arcsec", "Majaxis"),
    ):
        np.testing.assert_array_equal(table[column], mals[mals_column], err_msg=column)
    np.testing.assert_array_equal(table["alpha"], np.where(mals["Spwfit"] == MISSING, np.nan, mals["Spwfit"]))
    for column, mals_column in (("band", "SPW/WB"), ("pointing", "Pointing"), ("s_code", "Scode")):
        assert list(table[column]) == list(mals[mals_column])
    assert set(table["band"]) == set(survey_description("mals_dr1").windows)


@pytest.mark.parametrize("name", ["tgss", "racs_low", "nvss"])
def test_companions_read_back(written, name):
    table, simulated = read(written, name), written[0].companions[name]
    assert len(table) > 30
    for column in simulated.colnames:
        assert list(table[column]) == list(simulated[column]), column
    assert read_table(written[1][name])["flux_mjy"].unit == u.mJy


def test_optical_catalogues_read_back(written):
    optical = written[0].optical
    table = read(written, "panstarrs")
    assert [int(name) for name in table["source_id"]] == list(optical["object_id"])
    np.testing.assert_array_equal(table["r_mag"], optical["r_mag"])
    np.testing.assert_array_equal(table["i_mag"] - table["i_kron_mag"] > 0.05, optical["is_galaxy"])
    np.testing.assert_allclose(table["r_mag"] - table["i_mag"], 0.3)

    infrared, detected = read(written, "allwise"), optical[np.isfinite(optical["w1_mag"])]
    assert 0.2 < len(detected) / len(optical) < 0.8
    assert infrared["source_id"][0] == f"SIM{detected['object_id'][0]:08d}"
    for band in ("w1_mag", "w2_mag"):
        np.testing.assert_array_equal(infrared[band], detected[band])
    assert np.isnan(infrared["w2_mag"]).any()

    stars, measured = read(written, "gaia", "gaia_dr3"), optical[np.isfinite(optical["parallax_over_error"])]
    assert [int(name) for name in stars["source_id"]] == list(measured["object_id"])
    np.testing.assert_array_equal(stars["gaia_g_mag"], measured["r_mag"])
    parallax = stars["parallax_mas"] / stars["parallax_err_mas"]
    np.testing.assert_allclose(parallax, measured["parallax_over_error"])
    assert read_table(written[1]["gaia"])["ra_error"].unit == u.mas  # the unit in the Gaia archive
    motion = np.hypot(*(stars[f"pm{axis}_mas_yr"] / stars[f"pm{axis}_err_mas_yr"] for axis in ("ra", "dec")))
    np.testing.assert_allclose(motion, measured["pm_over_error"])
    moving = stars[motion > 5]
    assert len(moving) > 30 and abs((moving["pmra_mas_yr"] > 0).mean() - 0.5) < 0.2  # all directions

    for got, source in ((table, optical), (infrared, detected), (stars, measured)):
        np.testing.assert_array_equal(got["ra"], source["ra"])
        np.testing.assert_array_equal(got["dec"], source["dec"])
        for error in ("ra_err_arcsec", "dec_err_arcsec"):
            np.testing.assert_allclose(got[error], 0.2)
        assert "" not in set(got["source_id"])


def test_regions_read_back(written):
    table, regions = read_4fgl(written[1]["regions"]), written[0].regions
    assert len(table) == len(regions) and list(table["name"]) == list(regions["Source_Name"])
    for column, fermi_column in (
        ("ra", "RAJ2000"),
        ("dec", "DEJ2000"),
        ("semi_major", "Conf_95_SemiMajor"),
        ("pa", "Conf_95_PosAng"),
        ("lp_beta", "LP_beta"),
        ("class1", "CLASS1"),
    ):
        np.testing.assert_array_equal(table[column], regions[fermi_column])


def test_pulsars_read_back(written):
    (table, rejected), pulsars = read_psrcat(written[1]["known_pulsars"]), written[0].known_pulsars
    assert rejected == [] and list(table["name"]) == list(pulsars["PSRJ"]) and len(table) > 30
    true = SkyCoord(pulsars["RAJD"], pulsars["DECJD"])
    assert SkyCoord(table["ra"], table["dec"]).separation(true).arcsec.max() < 0.05
    np.testing.assert_allclose(table["flux_1400"], pulsars["S1400"], rtol=1e-7)


def test_pulsar_positions_with_seconds_that_round_up(tmp_path):
    ra = np.array([359.9999999999, 0.0, 15 - 1e-10, 100.0])
    dec = np.array([-1e-9, -0.5, 29.9999999999, -0.0001])
    pulsars = Table({"PSRJ": list("abcd"), "RAJD": ra, "DECJD": dec, "S1400": [1e-6] * 4})
    (tmp_path / "p.db").write_text(psrcat(pulsars))
    table, rejected = read_psrcat(tmp_path / "p.db")
    assert rejected == [] and len(table) == 4
    assert SkyCoord(table["ra"], table["dec"]).separation(SkyCoord(ra, dec, unit="deg")).arcsec.max() < 0.05


def test_depths_are_those_of_the_survey_descriptions(written):
    for name, column, survey in (("allwise", "w1_mag", "allwise"), ("gaia", "gaia_g_mag", "gaia_dr3")):
        deepest, limit = read(written, name, survey)[column].max(), survey_description(survey).limit_mag
        assert limit - 0.05 < deepest < limit
