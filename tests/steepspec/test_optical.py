"""Optical and infrared counterparts of radio sources."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.table import Table

from mmae.steepspec.catalogue import OPTICAL_COLUMNS, survey_description
from mmae.steepspec.config import OpticalSettings
from mmae.steepspec.optical import OpticalCatalogue, optical_evidence

N = 60


def catalogue(survey: str, ra, dec, **columns) -> OpticalCatalogue:
    table = Table({"source_id": [f"{survey}{i}" for i in range(len(ra))], "ra": ra, "dec": dec})
    for name in OPTICAL_COLUMNS:
        if name not in table.colnames:
            table[name] = columns.get(name, np.full(len(ra), np.nan))
    return OpticalCatalogue(survey_description(survey), table)


@pytest.fixture(scope="module")
def sky():
    """Radio sources on a line; those with even index have an object at 0.1 arcsec, all have some at 10-19 arcsec."""
    rng = np.random.default_rng(0)
    ra, dec = 30 + 0.02 * np.arange(N), np.full(N, -10.0) + 0.01 * rng.random(N)
    even = np.arange(0, N, 2)
    around = rng.uniform(10, 19, (3, N)) / 3600
    angle = rng.uniform(0, 2 * np.pi, (3, N))
    far_ra, far_dec = (ra + around * np.cos(angle)).ravel(), (dec + around * np.sin(angle)).ravel()
    return ra, dec, np.concatenate([ra[even], far_ra]), np.concatenate([dec[even] + 0.1 / 3600, far_dec]), even


def evidence(sky, *catalogues, epoch=None):
    ra, dec = sky[:2]
    return optical_evidence(ra, dec, np.full(N, 0.4), epoch, catalogues, OpticalSettings())


def test_colours_and_morphology_come_from_the_reliable_counterpart(sky):
    _, _, ra, dec, even = sky
    m = len(ra)
    i_mag = np.full(m, 18.0)
    ps = catalogue("panstarrs", ra, dec, r_mag=np.full(m, 18.5), i_mag=i_mag, i_kron_mag=i_mag - 0.2)
    wise = catalogue("allwise", ra, dec, w1_mag=np.full(m, 15.0), w2_mag=np.full(m, 14.0))
    found = evidence(sky, ps, wise)
    odd = np.setdiff1d(np.arange(N), even)
    assert (found["reliability"][even] > 0.9).all() and (found["p_no_counterpart"][even] < 0.1).all()
    assert (found["morphology"][even] == "galaxy").all() and (found["w1_mag"][even] == 15.0).all()
    assert (found["optical_mag"][even] == np.asarray(ps.table[ps.survey.magnitude])[0]).all()
    assert found["counterpart_arcsec"][even] == pytest.approx(0.1, abs=1e-3)
    assert (found["reliability"][odd] == 0).all() and (found["p_no_counterpart"][odd] == 1).all()
    assert (found["morphology"][odd] == "").all() and np.isnan(found["w1_mag"][odd]).all()
    assert (found["optical_limit_mag"] == ps.survey.limit_mag).all()  # not the depth of WISE


def test_one_catalogue_with_a_counterpart_is_enough(sky):
    _, _, ra, dec, even = sky
    m = len(ra)
    far_only = catalogue(
        "panstarrs",
        ra[len(even) :],
        dec[len(even) :],
        r_mag=np.full(m - len(even), 18.5),
        i_mag=np.full(m - len(even), 18.0),
    )
    wise = catalogue("allwise", ra, dec, w1_mag=np.full(m, 15.0), w2_mag=np.full(m, 14.0))
    for order in ((far_only, wise), (wise, far_only)):
        found = evidence(sky, *order)
        assert (found["p_no_counterpart"][even] < 0.1).all()
        assert (found["counterpart_catalogue"][even] == "allwise").all()


def test_motion_over_its_error_and_the_epoch(sky):
    _, _, ra, dec, even = sky
    m = len(ra)
    moved = {
        "gaia_g_mag": np.full(m, 15.0),
        "parallax_mas": np.full(m, 2.0),
        "parallax_err_mas": np.full(m, 0.1),
        "pmra_mas_yr": np.full(m, 30.0),
        "pmdec_mas_yr": np.full(m, 40.0),
        "pmra_err_mas_yr": np.full(m, 5.0),
        "pmdec_err_mas_yr": np.full(m, 5.0),
    }
    found = evidence(sky, catalogue("gaia_dr3", ra, dec, **moved))
    assert found["parallax_over_error"][even] == pytest.approx(20.0)
    assert found["pm_over_error"][even] == pytest.approx(10.0)
    # 10 years at 40 mas/yr north and 30 mas/yr east, from 0.1 arcsec north: 0.5 arcsec north and 0.3 east
    found = evidence(sky, catalogue("gaia_dr3", ra, dec, **moved), epoch=2026.0)
    assert found["counterpart_arcsec"][even] == pytest.approx(np.hypot(0.5, 0.3), abs=2e-3)


def test_results_are_nan_outside_the_footprints(sky):
    ra, dec, cat_ra, cat_dec, _ = sky
    wise = catalogue("allwise", cat_ra, cat_dec, w1_mag=np.full(len(cat_ra), 15.0))
    elsewhere = optical_evidence((ra + 120) % 360, dec, np.full(N, 0.4), None, [wise], OpticalSettings())
    assert np.isnan(elsewhere["reliability"]).all() and np.isnan(elsewhere["p_no_counterpart"]).all()
    nothing = evidence(sky)
    assert np.isnan(nothing["p_no_counterpart"]).all() and (nothing["counterpart_id"] == "").all()
