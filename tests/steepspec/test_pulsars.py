"""The text format of psrcat, and the detectable fraction of known pulsars."""

import sqlite3

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import Table
from scipy.stats import binom

from mmae.core.errors import InputError
from mmae.steepspec.pulsars import (
    detectability,
    detectability_by_band,
    known_or_mean_index,
    number_with_error,
    read_psrcat,
)

END = "@-----------------------------------------------------------------\n"
GOOD = (
    "PSRJ     J0002+6216                    cwp+17\nRAJ      00:02:58.17   2    cwp+17\n"
    "DECJ     -62:16:09.4   1    cwp+17\nF0       8.6682478274             1    cwp+17\n"
    "S1400    0.022                         wu18\nS400     0.134  11  wu18\nS100G    0.001 wu18\n"
    "SPINDX   -1.9  3 x\nDM 218.6 6 wcp+18\nTYPE HE[wcp+18]\n"
)


def write(tmp_path, text):
    path = tmp_path / "psrcat.db"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "words, value, error",
    [
        (["0.134", "11", "clh+20"], 0.134, 0.011),
        (["3", "1", "lylg95"], 3, 1),
        (["-0.448354E-12", "5"], -0.448354e-12, 5e-18),
        (["2.5D-3", "12"], 2.5e-3, 1.2e-3),
        (["1.5", "0.3"], 1.5, 0.3),
        (["0.022", "wu18"], 0.022, np.nan),
        (["0.022", "7ab"], 0.022, np.nan),
        (["7"], 7, np.nan),
        (["<0.1", "2"], np.nan, np.nan),
        (["*"], np.nan, np.nan),
        ([], np.nan, np.nan),
    ],
)
def test_number_with_error(words, value, error):
    np.testing.assert_allclose(number_with_error(words), (value, error), rtol=1e-12)


def test_record(tmp_path):
    table, rejected = read_psrcat(write(tmp_path, "#CATALOGUE 1.67\n" + GOOD + END))
    row = table[0]
    assert rejected == [] and row["name"] == "J0002+6216" and row["type"] == "HE[wcp+18]"
    want = SkyCoord("00:02:58.17", "-62:16:09.4", unit=("hourangle", "deg"))
    assert SkyCoord(row["ra"], row["dec"], unit="deg").separation(want).arcsec < 1e-6
    assert (row["flux_1400"], row["flux_400"], row["dm"]) == (0.022, 0.134, 218.6)
    assert row["flux_err_400"] == pytest.approx(0.011) and np.isnan(row["flux_err_1400"])
    assert (row["spindx"], row["period"]) == (-1.9, pytest.approx(1 / 8.6682478274))
    assert row["flux_100000"] == 0.001  # S100G is at 100 GHz
    assert table["flux_400"].unit == u.mJy


def test_coarse_and_ecliptic_positions(tmp_path):
    table, _ = read_psrcat(
        write(
            tmp_path, "PSRJ A\nRAJ 00:11:34\nDECJ -00:10\n" + END + "PSRJ B\nELONG 244.34 1 x\nELAT -12.5 1 x\n" + END
        )
    )
    assert table["dec"][0] == pytest.approx(-1 / 6) and table["ra"][0] == pytest.approx(15 * (11 + 34 / 60) / 60)
    assert list(table["position"]) == ["equatorial", "ecliptic"]
    # Rotation by the obliquity only, accurate to arcseconds.
    lon, lat, tilt = np.radians([244.34, -12.5, 23.4392911])
    sin_dec = np.sin(lat) * np.cos(tilt) + np.cos(lat) * np.sin(tilt) * np.sin(lon)
    assert table["dec"][1] == pytest.approx(np.degrees(np.arcsin(sin_dec)), abs=0.01)


def test_invalid_records_are_counted_and_the_others_kept(tmp_path):
    text = (
        GOOD
        + END
        + END
        + "RAJ 1:2:3\nDECJ 1:2:3\n"
        + END
        + "PSRJ X\n"
        + END
        + "PSRJ Y\nRAJ ab:cd\nDECJ 1:2:3\n"
        + END
        + "PSRJ Z\nRAJ 25:00:00\nDECJ 10:00:00\n"
        + END
        + "PSRJ W\nRAJ 1:2:3\nDECJ 1:2:3\nS1400 many\nS400 -3\nS600 <2\n"
        + END
        + "PSRJ V\nRAJ 1:2:3\nDECJ 1:2"
    )
    table, rejected = read_psrcat(write(tmp_path, text))
    assert list(table["name"]) == ["J0002+6216", "W"]
    # no name (PSRJ, PSRB); no position; unreadable positions (Y, Z); unreadable fluxes (W); no end line (V)
    assert [entry.count for entry in rejected] == [1, 1, 2, 2, 1]


@pytest.mark.parametrize("text", ["", "ra,dec\n1,2\n", "# only comments\n"])
def test_files_in_other_formats_and_missing_files(tmp_path, text):
    with pytest.raises(InputError, match=r"psrcat\.db.*PSRJ"):
        read_psrcat(write(tmp_path, text))
    with pytest.raises(InputError, match=r"missing\.db"):
        read_psrcat(tmp_path / "missing.db")


def pulsar_table(flux_1400, **more) -> Table:
    n = len(flux_1400)
    return Table(
        {
            "dec": np.zeros(n),
            "spindx": np.full(n, np.nan),
            "spindx_err": np.full(n, np.nan),
            "flux_1400": flux_1400,
            "flux_err_1400": np.full(n, np.nan),
            **more,
        }
    )


def test_fraction_and_its_interval():
    table = pulsar_table([1.0] * 30 + [0.01] * 10 + [np.nan] * 10)
    result = detectability(table, 1400, 0.1)
    assert (result.pulsars, result.detectable, result.fraction) == (40, 30, 0.75)
    # By definition of the 68% interval, the tail probability of the observed counts at its ends is 16%.
    assert binom.sf(29, 40, result.low) == pytest.approx(0.16)
    assert binom.cdf(30, 40, result.high) == pytest.approx(0.16)
    assert detectability(table, 1400, 0.1, unknown_undetected=True).fraction == 0.6
    assert result.scatter == 0  # no dependence on the index at the reference frequency


def test_flux_is_scaled_with_the_index():
    table = pulsar_table([0.1, np.nan], flux_400=[np.nan, 1.0])
    scaled = 0.1 * (700 / 1400) ** -2.0
    assert detectability(table, 700, scaled * 0.999, index=-2.0).detectable == 1
    assert detectability(table, 700, scaled * 1.001, index=-2.0).detectable == 0
    assert detectability(table, 1400, 0.03, index=-2.0, reference_mhz=(1400, 400)).detectable == 2
    table["spindx"][0] = -3.0
    assert detectability(table, 700, 0.1 * 2**3 * 0.999).detectable == 1
    assert known_or_mean_index(table)[0].tolist() == [-3.0, -1.6]


@pytest.mark.parametrize(
    "call",
    [
        lambda t: detectability(t, 1400, 0.0),
        lambda t: detectability(t, -1, 0.1),
        lambda t: detectability(t, 1400, 0.1, reference_mhz=(333,)),
        lambda t: detectability(t[:0], 1400, 0.1),
    ],
)
def test_invalid_arguments(call):
    with pytest.raises(InputError):
        call(pulsar_table([1.0, 2.0]))


def test_fractions_of_psrcat_are_those_of_the_design(gamma_radio):
    table, rejected = read_psrcat(gamma_radio / "psrcat_v1.67.db")
    assert len(table) == 3320 and rejected == []
    assert int(np.isfinite(table["flux_1400"]).sum()) == 2284

    def percent(rows, *survey, **options):
        return 100 * detectability(rows, *survey, resamplings=0, **options).fraction

    assert percent(table, 1381, 0.110) == pytest.approx(81.1, abs=0.05)
    # 80.7% is for pulsars with equatorial coordinates in the file; with the 265 that have ecliptic
    # coordinates, more of which are detectable, it is 82.1%.
    equatorial = table[table["position"] == "equatorial"]
    assert percent(equatorial[equatorial["dec"] < 20], 1381, 0.110) == pytest.approx(80.7, abs=0.05)
    assert percent(table[table["dec"] < 20], 1381, 0.110) == pytest.approx(82.1, abs=0.05)
    # Of all pulsars: S400 is used if S1400 is unknown, and pulsars without a flux are undetected.
    of_all = percent(table, 1381, 0.110, reference_mhz=(1400, 400), unknown_undetected=True)
    assert of_all == pytest.approx(59.9, abs=0.05)
    assert percent(table, 1006, 0.125) == pytest.approx(85.6, abs=0.05)
    assert percent(table, 1006, 0.125, index=-1.6) == pytest.approx(85.6, abs=0.3)


def test_bins_add_up_to_the_whole(gamma_radio):
    table, _ = read_psrcat(gamma_radio / "psrcat_v1.67.db")
    whole = detectability(table, 1381, 0.110, resamplings=0)
    latitude = SkyCoord(table["ra"], table["dec"]).galactic.b.deg
    for values, edges in ((table["dec"], [-90, -30, 0, 20, 90.1]), (abs(latitude), [0, 5, 30, 90.1])):
        bands = detectability_by_band(table, values, edges, 1381, 0.110, resamplings=20)
        assert bands["pulsars"].sum() == whole.pulsars and bands["detectable"].sum() == whole.detectable
        assert (bands["low"] < bands["fraction"]).all() and (bands["fraction"] < bands["high"]).all()
    assert len(detectability_by_band(table, table["dec"], [91, 92], 1381, 0.110)) == 0


def psrcat2(path, parameters):
    """A psrcat2.db with the tables of version 2 that are read; parameters: label, derivative, value, error, MHz."""
    with sqlite3.connect(path) as database:
        database.executescript(
            """
            CREATE TABLE pulsar (pulsar_id INTEGER PRIMARY KEY, jname TEXT);
            CREATE TABLE parameterType (parameterType_id INTEGER PRIMARY KEY, label TEXT);
            CREATE TABLE observingSystem (observingSystem_id INTEGER PRIMARY KEY, centralFrequency REAL);
            CREATE TABLE derived (derived_id INTEGER PRIMARY KEY, parameter_id INTEGER);
            CREATE TABLE parameter (parameter_id INTEGER PRIMARY KEY, pulsar_id INTEGER, parameterType_id INTEGER,
                observingSystem_id INTEGER, timeDerivative INTEGER, companionNumber INTEGER, value TEXT,
                uncertainty TEXT);
            CREATE TABLE sourceTypeOptions (sourceTypeOptions_id INTEGER PRIMARY KEY, label TEXT);
            CREATE TABLE sourceType (sourceType_id INTEGER PRIMARY KEY, pulsar_id INTEGER,
                sourceTypeOptions_id INTEGER);
            """
        )
        for name, rows in parameters.items():
            pulsar = database.execute("INSERT INTO pulsar (jname) VALUES (?)", [name]).lastrowid
            for label, derivative, value, error, mhz in rows:
                kind = database.execute("INSERT INTO parameterType (label) VALUES (?)", [label]).lastrowid
                system = database.execute("INSERT INTO observingSystem (centralFrequency) VALUES (?)", [mhz]).lastrowid
                database.execute(
                    "INSERT INTO parameter VALUES (NULL, ?, ?, ?, ?, NULL, ?, ?)",
                    [pulsar, kind, system, derivative, value, error],
                )
        database.execute("INSERT INTO derived (parameter_id) SELECT max(parameter_id) FROM parameter")
        database.executescript(
            "INSERT INTO sourceTypeOptions VALUES (1, 'RADIO'), (2, 'HE');"
            "INSERT INTO sourceType VALUES (1, 1, 1), (2, 1, 2)"
        )
    database.close()
    return path


def test_psrcat_2_is_a_sqlite_database(tmp_path):
    path = psrcat2(
        tmp_path / "psrcat2.db",
        {
            "J0002+6216": [
                ("RAJ", 0, "00:02:58.17", "0.0001", None),
                ("DECJ", 0, "+62:16:09.4", None, None),
                ("F", 0, "8.6682478274", "1.8e-10", None),
                ("F", 1, "-4.48354E-13", None, None),
                ("DM", 0, "218", "1", None),
                ("DM", 0, "218.6", "0.6", None),  # entered later
                ("FLUX", 0, "0.022", "0.004", 1400.0),
                ("FLUX", 0, "1.5", "0.1", 350.0),
                ("FLUX", 0, "9.9", None, 100000.0),
                ("SPINDX", 0, "-1.9", "0.3", None),
            ],
            "J0030+0451": [("ELONG", 0, "8.9", None, None), ("ELAT", 0, "1.4", None, None)],
            "J0000+0000": [],
            "J1400+5010": [
                ("RAJ", 0, "14:00", None, None),
                ("DECJ", 0, "+50:10", None, None),
                ("DM", 0, "3", "1", None),
            ],
        },
    )
    table, rejected = read_psrcat(path)
    assert list(table["name"]) == ["J0002+6216", "J0030+0451", "J1400+5010"]
    assert [(entry.reason, entry.count) for entry in rejected] == [("no position", 1)]
    first = table[0]
    assert first["ra"] == pytest.approx(0.742375) and first["dec"] == pytest.approx(62.269277777)
    assert first["period"] == pytest.approx(1 / 8.6682478274) and first["dm"] == 218.6 and first["type"] == "HE"
    assert first["flux_1400"] == 0.022 and first["flux_err_1400"] == pytest.approx(0.004)
    assert first["flux_350"] == 1.5 and first["flux_100000"] == 9.9 and np.isnan(first["flux_err_100000"])
    assert first["spindx"] == -1.9 and first["spindx_err"] == pytest.approx(0.3)
    assert table["position"][1] == "ecliptic"
    assert np.isnan(table["dm"][2])  # derived from another parameter


def test_another_sqlite_database_is_refused(tmp_path):
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        database.execute("CREATE TABLE runs (id INTEGER)")
    database.close()
    with pytest.raises(InputError, match=r"mlflow\.db.*SQLite.*psrcat"):
        read_psrcat(tmp_path / "mlflow.db")
