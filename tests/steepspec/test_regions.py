"""Fermi error ellipses: reading, membership on the sphere, and the counts of DESIGN section 5."""

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord, search_around_sky
from astropy.io import fits
from astropy.table import Table

from mmae.core.errors import InputError
from mmae.steepspec.regions import HDU, inside_ellipse, members, read_4fgl, unassociated


@pytest.fixture(scope="session")
def dr4(gamma_radio):
    return read_4fgl(gamma_radio / "gll_psc_v35.fit")


@pytest.fixture(scope="session")
def gleam(gamma_radio):
    """RA, declination and steep flag of the GLEAM list."""
    table = Table.read(gamma_radio / "gleam_kgs_157k.fits")
    return np.array(table["ra"]), np.array(table["dec"]), np.array(table["alpha"]) < -1.4


def astropy_inside(ra0, dec0, a, b, pa, ra, dec):
    """The ellipse test of DESIGN section 5 with SkyCoord only."""
    centre, point = SkyCoord(ra0, dec0, unit="deg"), SkyCoord(ra, dec, unit="deg")
    s, angle = centre.separation(point).deg, (centre.position_angle(point).deg - pa) * np.pi / 180
    return (s * np.cos(angle) / a) ** 2 + (s * np.sin(angle) / b) ** 2 <= 1


def region(ra, dec, major, minor, pa):
    return Table({"ra": [ra], "dec": [dec], "semi_major": [major], "semi_minor": [minor], "pa": [pa]})


def test_counts_of_the_releases_are_those_of_the_data_readme(gamma_radio):
    for name, rows, blank, unknown, without in (
        ("gll_psc_v35.fit", 7195, 2423, 140, 19),
        ("gll_psc_v20.fit", 5066, 1337, 92, 18),
    ):
        table = read_4fgl(gamma_radio / name)
        unk = np.char.lower(table["class1"]) == "unk"  # DR4 has 3 in capitals: identified, not associated
        open_class = (table["class1"] == "") | unk
        assert len(table) == rows and (table["class1"] == "").sum() == blank and unk.sum() == unknown
        # Extended sources have no ellipse either, but all of them have a class.
        no_ellipse = ~np.isfinite(table["semi_major"]) | (table["semi_major"] <= 0)
        assert (no_ellipse & open_class).sum() == without
        assert table["semi_major"].unit == u.deg and table["flags"].dtype == np.int64
        assert np.isfinite(table["lp_sigcurv"]).sum() > 0.9 * rows and len(np.unique(table["name"])) == rows
        kept, rejected = unassociated(table)
        assert len(kept) + sum(entry.count for entry in rejected) == rows
        with_unknown, _ = unassociated(table, include_unknown=True)
        assert len(with_unknown) - len(kept) == (unk & ~no_ellipse).sum()
        assert (kept["semi_major"] >= kept["semi_minor"]).all() and (kept["semi_minor"] > 0).all()


def test_every_real_ellipse_equals_astropy(dr4):
    usable = dr4[np.isfinite(dr4["semi_major"]) & (dr4["semi_major"] > 0)]
    assert len(usable) == 7195 - 90  # 90 without: the extended sources, and 19 of blank or unknown class
    assert (abs(usable["dec"]) > 60).sum() > 300 and ((usable["ra"] < 1) | (usable["ra"] > 359)).sum() > 20
    rng = np.random.default_rng(7)
    n, points = len(usable), 12
    a, b, pa, ra, dec = (np.asarray(usable[k])[:, None] for k in ("semi_major", "semi_minor", "pa", "ra", "dec"))
    # Points on the boundary, scaled by 1 +- 1e-6 to 0.1: inside or outside by construction.
    t = rng.uniform(0, 2 * np.pi, (n, points))
    size = 1 + rng.choice([-1, 1], (n, points)) * 10 ** rng.uniform(-6, -1, (n, points))
    along, across = size * a * np.cos(t), size * b * np.sin(t)
    centre = SkyCoord(ra * u.deg, dec * u.deg)
    place = centre.directional_offset_by(
        (np.degrees(np.arctan2(across, along)) + pa) * u.deg, np.hypot(along, across) * u.deg
    )
    for k in range(points):
        got = inside_ellipse(usable, place.ra.deg[:, k], place.dec.deg[:, k])
        np.testing.assert_array_equal(got, size[:, k] < 1)
        np.testing.assert_array_equal(
            got,
            astropy_inside(
                *(usable[c] for c in ("ra", "dec", "semi_major", "semi_minor", "pa")),
                place.ra.deg[:, k],
                place.dec.deg[:, k],
            ),
        )


@pytest.mark.parametrize("ra, dec", [(0.0, 0.0), (359.99, 10.0), (0.01, -75.0), (120.0, 89.8), (45.0, -89.95)])
def test_ellipse_across_ra_0_and_near_the_poles(ra, dec):
    rng = np.random.default_rng(2)
    ellipse = region(ra, dec, 0.5, 0.1, 30.0)
    centre = SkyCoord(ra, dec, unit="deg")
    place = centre.directional_offset_by(
        rng.uniform(0, 360, 4000) * u.deg, 0.6 * np.sqrt(rng.uniform(0, 1, 4000)) * u.deg
    )
    got = inside_ellipse(ellipse, place.ra.deg, place.dec.deg)
    np.testing.assert_array_equal(got, astropy_inside(ra, dec, 0.5, 0.1, 30.0, place.ra.deg, place.dec.deg))
    assert got.mean() == pytest.approx(0.5 * 0.1 / 0.36, abs=0.02)  # the ratio of the areas
    pairs = members(place.ra.deg, place.dec.deg, ellipse)
    np.testing.assert_array_equal(pairs.index1, np.flatnonzero(got))


def test_position_angle_is_east_of_north():
    ellipse = region(10.0, 20.0, 1.0, 0.1, 90.0)
    assert inside_ellipse(ellipse, 10.0 + 0.9 / np.cos(np.radians(20)), 20.0)
    assert not inside_ellipse(ellipse, 10.0, 20.9)
    tilted = region(10.0, 0.0, 1.0, 0.1, 45.0)
    assert inside_ellipse(tilted, 10.5, 0.5) and not inside_ellipse(tilted, 9.5, 0.5)


def test_regions_without_ellipse_have_no_members():
    ellipses = Table(
        {
            "ra": [10.0] * 4,
            "dec": [0.0] * 4,
            "semi_major": [np.nan, -1.0, np.inf, 1.0],
            "semi_minor": [1.0, -1.0, np.inf, 1.0],
            "pa": [0.0, 0.0, 0.0, 0.0],
        }
    )
    pairs = members([10.0], [0.0], ellipses)
    assert pairs.index2.tolist() == [3]
    assert len(members([10.0], [0.0], ellipses[:3])) == 0 and len(members([], [], ellipses)) == 0


def test_a_source_in_two_ellipses_has_two_pairs():
    ellipses = Table(
        {"ra": [10.0, 10.1], "dec": [0.0, 0.0], "semi_major": [0.2, 0.2], "semi_minor": [0.2, 0.2], "pa": [0.0, 0.0]}
    )
    pairs = members([10.05, 50.0], [0.0, 0.0], ellipses)
    assert pairs.index1.tolist() == [0, 0] and pairs.index2.tolist() == [0, 1]


def test_real_members_equal_those_of_astropy(gamma_radio, dr4, gleam):
    ra, dec, steep = gleam
    regions, _ = unassociated(dr4)
    pairs, steep_pairs = members(ra, dec, regions), members(ra[steep], dec[steep], regions)

    raw = fits.getdata(gamma_radio / "gll_psc_v35.fit", HDU)
    blank = np.array([word.strip() == "" for word in raw["CLASS1"]])
    raw = raw[blank & np.isfinite(raw["Conf_95_SemiMajor"]) & (raw["Conf_95_SemiMajor"] > 0)]
    columns = [
        np.array(raw[name], float)
        for name in ("RAJ2000", "DEJ2000", "Conf_95_SemiMajor", "Conf_95_SemiMinor", "Conf_95_PosAng")
    ]
    centres, sources = SkyCoord(columns[0], columns[1], unit="deg"), SkyCoord(ra, dec, unit="deg")
    index_r, index_s, _, _ = search_around_sky(centres, sources, columns[2].max() * u.deg)
    inside = astropy_inside(*(column[index_r] for column in columns), ra[index_s], dec[index_s])

    assert len(regions) == len(raw) == 2407
    assert set(zip(pairs.index1.tolist(), pairs.index2.tolist(), strict=True)) == set(
        zip(index_s[inside].tolist(), index_r[inside].tolist(), strict=True)
    )
    assert (len(pairs), len(np.unique(pairs.index2))) == (313, 189)
    steep_inside = inside & steep[index_s]
    assert (len(steep_pairs), len(np.unique(steep_pairs.index2))) == (13, 11)
    assert (steep_inside.sum(), len(np.unique(index_r[steep_inside]))) == (13, 11)


def write_4fgl(path, hdu=HDU, **change):
    columns = {
        "Source_Name": ["4FGL J0001.0+0000 ", "4FGL J0002.0+0000 "],
        "CLASS1": ["     ", "bll  "],
        "CLASS2": ["", ""],
        "ASSOC1": ["", "X"],
        "Flags": [0, 1],
        "RAJ2000": [1.0, 2.0],
        "DEJ2000": [0.0, 0.0],
        "Conf_95_SemiMajor": [0.1, 0.1],
        "Conf_95_SemiMinor": [0.1, 0.1],
        "Conf_95_PosAng": [0.0, 0.0],
        **{
            name: [1.0, 1.0]
            for name in (
                "Signif_Avg",
                "LP_SigCurv",
                "PLEC_SigCurv",
                "Variability_Index",
                "Energy_Flux100",
                "PL_Index",
                "LP_beta",
            )
        },
        **change,
    }
    table = Table({name: values for name, values in columns.items() if values is not None})
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU(table, name=hdu)]).writeto(path)
    return path


def test_padded_text_is_stripped(tmp_path):
    table = read_4fgl(write_4fgl(tmp_path / "ok.fit"))
    assert list(table["class1"]) == ["", "bll"] and table["name"][0] == "4FGL J0001.0+0000"
    assert len(unassociated(table)[0]) == 1


def test_error_names_the_file_and_the_problem(tmp_path):
    with pytest.raises(InputError, match=r"missing\.fit"):
        read_4fgl(tmp_path / "missing.fit")
    with pytest.raises(InputError, match=f"HDU {HDU}"):
        read_4fgl(write_4fgl(tmp_path / "other.fit", hdu="EVENTS"))
    with pytest.raises(InputError, match="column CLASS1"):
        read_4fgl(write_4fgl(tmp_path / "column.fit", CLASS1=None))
    with pytest.raises(InputError, match="row 1 .4FGL J0002.0"):
        read_4fgl(write_4fgl(tmp_path / "nan.fit", RAJ2000=[1.0, np.nan]))
    (tmp_path / "text.fit").write_text("not FITS")
    with pytest.raises(InputError, match=r"text\.fit"):
        read_4fgl(tmp_path / "text.fit")
    whole = (write_4fgl(tmp_path / "whole.fit")).read_bytes()
    (tmp_path / "truncated.fit").write_bytes(whole[: len(whole) - 2880])
    with pytest.raises(InputError, match=r"truncated\.fit"):
        read_4fgl(tmp_path / "truncated.fit")
