"""Units in the spellings of archives."""

import pytest
from astropy import units as u

from mmae.astro.units import parse_unit


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("deg", u.deg),
        ("degrees", u.deg),
        ("DEGREE", u.deg),
        ("decimal degrees", u.deg),
        ("deg (J2000)", u.deg),
        ("(deg)", u.deg),
        ("RADIANS", u.rad),
        ("ARCSEC", u.arcsec),
        ("arcseconds", u.arcsec),
        ("MAS", u.mas),
        ("mas/year", u.mas / u.yr),
        ("MAS/YR", u.mas / u.yr),
        ("mas.yr-1", u.mas / u.yr),
        ("milliarcsec per year", u.mas / u.yr),
        ("year", u.yr),
        ("YR", u.yr),
        ("hours", u.hour),
        ("JY/BEAM", u.Jy / u.beam),
        ("mJy/bm", u.mJy / u.beam),
        ("Jy beam^-1", u.Jy / u.beam),
        ("mJy beam**-1", u.mJy / u.beam),
        ("MJY", u.mJy),
        ("MJy", u.MJy),
        ("microJy", u.uJy),
        ("µJy", u.uJy),
        ("Jansky", u.Jy),
        ("mag", u.mag),
        ("MAG", u.mag),
        ("AB mag", u.mag),
        ("mag(AB)", u.mag),
        ("ABmag", u.mag),
        ("redshift", u.dimensionless_unscaled),
        ("--", u.dimensionless_unscaled),
        ("", u.dimensionless_unscaled),
        (u.Unit("DEGREE", parse_strict="silent"), u.deg),
        (u.km, u.km),
    ],
)
def test_units_are_read_by_their_meaning(text, unit):
    assert parse_unit(text) == unit


@pytest.mark.parametrize("text", ["furlongs", "[deg]", "pixels of mine"])
def test_unknown_units_are_errors(text):
    with pytest.raises(ValueError, match=r"furlongs|deg|pixels"):
        parse_unit(text)
