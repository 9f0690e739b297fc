"""Survey descriptions, and catalogues read through them: good files, odd files, bad files."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy import units as u
from astropy.table import Table

from mmae.core.errors import InputError
from mmae.steepspec.catalogue import OPTICAL_COLUMNS, RADIO_COLUMNS, read_catalogue, survey_description, survey_names
from mmae.steepspec.counts import rejection_table

MALS = survey_description("mals_dr1")


def mals_table(**change) -> Table:
    """VizieR's MALS columns (J/ApJS/270/33), with the sentinel."""
    table = Table(
        {
            "RAJ2000": [10.0, 350.0, 10.001],
            "DEJ2000": [-30.0, 5.0, -30.0],
            "Majaxis": [12.0, 20.0, 8.0],
            "Minaxis": [11.0, 15.0, 8.0],
            "PA": [10.0, 80.0, 0.0],
            "Flux": [1.5, 20.0, 1.0],
            "e_Flux": [0.1, 0.5, 0.05],
            "FluxPk": [1.4, 15.0, 1.0],
            "Spwfit": [-999.0, -1.2, -999.0],
            "e_Spwfit": [-999.0, 0.1, -999.0],
            "Scode": ["S", "M", "S"],
            "SPW/WB": ["LSPW_2", "LSPW_2", "LSPW_9"],
        }
    )
    for name, unit in (("RAJ2000", "deg"), ("Majaxis", "arcsec"), ("Flux", "mJy"), ("FluxPk", "mJy/beam")):
        table[name].unit = unit
    for name, values in change.items():
        if values is None:
            table.remove_column(name)
        else:
            table[name] = values
    return table


def test_all_descriptions_are_sound():
    assert survey_names() == [
        "allwise",
        "first",
        "gaia_dr3",
        "gleam",
        "gleam_kgs",
        "mals_dr1",
        "nvss",
        "panstarrs",
        "racs_low",
        "sumss",
        "tgss",
        "vlass",
    ]
    for name in survey_names():
        survey = survey_description(name)
        assert survey.name == name and survey.citation and {"ra", "dec"} <= set(survey.columns)
        if survey.kind == "radio":
            scenes = survey.windows.values() or [survey]
            assert all(s.frequency_mhz > 0 and s.beam_arcsec > 0 and s.limit_mjy > 0 for s in scenes)
            assert 0 < survey.flux_scale_error < 0.5
        else:
            assert OPTICAL_COLUMNS[survey.magnitude] == u.mag and survey.magnitude in survey.columns
            assert 15 < survey.limit_mag < 25
        for ours, unit in survey.units.items():  # the described unit is of the standard one's kind
            wanted = {**RADIO_COLUMNS, **OPTICAL_COLUMNS}[ours]
            assert u.Unit(unit).is_equivalent(wanted), (name, ours)


@pytest.mark.parametrize("ending", [".fits", ".vot", ".csv", ".parquet", ".csv.gz", ".fits.gz"])
def test_every_format_gives_the_same_table(tmp_path, ending):
    path, source = tmp_path / f"mals{ending}", mals_table()
    if ending == ".parquet":
        pq.write_table(pa.table({name: source[name].tolist() for name in source.colnames}), path)
    else:
        source.write(path, format={".vot": "votable", ".fits": "fits", ".fits.gz": "fits"}.get(ending, "ascii.csv"))
    table, rejected = read_catalogue(path, MALS)
    assert rejected == [] and len(table) == 3 and table.colnames == list(RADIO_COLUMNS)
    np.testing.assert_allclose(table["flux_mjy"], [1.5, 20.0, 1.0], rtol=1e-6)
    np.testing.assert_array_equal(np.isnan(table["alpha"]), [True, False, True])
    assert np.isnan(table["alpha_err"][0]) and np.isnan(table["rms_mjy"]).all()
    assert list(table["band"]) == ["LSPW_2", "LSPW_2", "LSPW_9"] and list(table["s_code"]) == ["S", "M", "S"]
    assert table["peak_mjy"].unit == u.mJy / u.beam and len(set(table["source_id"])) == 3


def test_units_of_the_file_count(tmp_path):
    source = mals_table()
    source["Flux"] = [0.0015, 0.02, 0.001] * u.Jy
    source["Majaxis"] = [12 / 3600] * 3 * u.deg
    source.write(tmp_path / "m.fits")
    table, _ = read_catalogue(tmp_path / "m.fits", MALS)
    np.testing.assert_allclose(table["flux_mjy"], [1.5, 20.0, 1.0])
    np.testing.assert_allclose(table["major_arcsec"], 12)


def test_described_units_stand_in(tmp_path):
    Table({"ra": [1.0], "dec": [2.0], "I180MHz_Jy": [0.25], "alpha": [-1.5]}).write(tmp_path / "g.csv")
    table, _ = read_catalogue(tmp_path / "g.csv", survey_description("gleam_kgs"))
    assert table["flux_mjy"][0] == 250 and table["source_id"][0] == "gleam_kgs:0"


def test_sexagesimal_coordinates(tmp_path):
    Table(
        {
            "NVSS": ["a", "b"],
            "RAJ2000": ["00 00 00.36", "23:59:59.99"],
            "DEJ2000": ["-00 30 36", "+10:00:00.0"],
            "S1.4": [3.0, 4.0],
            "e_S1.4": [0.4, 0.5],
        }
    ).write(tmp_path / "n.vot", format="votable")
    table, _ = read_catalogue(tmp_path / "n.vot", survey_description("nvss"))
    np.testing.assert_allclose(table["ra"], [0.0015, 359.9999583333], rtol=1e-9)
    np.testing.assert_allclose(table["dec"], [-0.51, 10.0])
    np.testing.assert_allclose(table["flux_mjy"], [3.0, 4.0])


def test_rows_set_aside_are_counted_once_each(tmp_path):
    n = 8
    Table(
        {
            "RAJ2000": [10.0, np.nan, 400.0, -5.0, 10.0, 10.0, 10.0, np.nan],
            "DEJ2000": [0.0] * 4 + [-95.0] + [0.0] * 3,
            "Flux": [1.0, 1.0, 1.0, 1.0, 1.0, -999.0, -2.0, -2.0],
            "e_Flux": [0.0, *[0.1] * 7],
            "SPW/WB": ["LSPW_2"] * n,
        }
    ).write(tmp_path / "m.csv")
    table, rejected = read_catalogue(tmp_path / "m.csv", MALS)
    assert list(table["ra"]) == [10.0, 355.0] and np.isnan(table["flux_err_mjy"][0])
    assert {entry.reason: entry.count for entry in rejected} == {
        "no coordinates": 2,
        "impossible coordinates": 2,
        "no flux density": 1,
        "flux density not positive": 1,
        "flux_err_mjy not positive (error dropped, row kept)": 1,
    }
    assert list(rejection_table(rejected)["count"]) == [entry.count for entry in rejected]
    assert len(rejection_table([])) == 0


def test_filters_and_skipped_filters(tmp_path):
    columns = {"Component_name": list("abcd"), "RA": [1.0] * 4, "DEC": [1.0] * 4, "Total_flux": [1.0] * 4}
    Table({**columns, "Duplicate_flag": [0, 2, 1, 0], "Quality_flag": [0, 0, 4, 1]}).write(tmp_path / "v.csv")
    table, rejected = read_catalogue(tmp_path / "v.csv", survey_description("vlass"))
    assert list(table["source_id"]) == ["a", "c"] and sorted(entry.count for entry in rejected) == [1, 1]
    Table(columns).write(tmp_path / "w.csv")
    table, rejected = read_catalogue(tmp_path / "w.csv", survey_description("vlass"))
    assert len(table) == 4 and table.meta["filters_skipped"] == ["Duplicate_flag", "Quality_flag"] and not rejected


def test_optical_table(tmp_path):
    Table(
        {
            "source_id": [4295806720, 2**62],
            "ra": [44.9, 45.0],
            "dec": [0.1, 0.2],
            "ra_error": [0.5, 0.1],
            "pmra": [1.5, np.nan],
            "pmra_error": [0.5, np.nan],
            "pmdec": [-2.0, np.nan],
            "phot_g_mean_mag": [17.6, 20.9],
        }
    ).write(tmp_path / "gaia.fits")
    table, _ = read_catalogue(tmp_path / "gaia.fits", survey_description("gaia_dr3"))
    assert table.colnames == list(OPTICAL_COLUMNS) and list(table["source_id"]) == ["4295806720", str(2**62)]
    assert table["ra_err_arcsec"][0] == pytest.approx(0.0005) and np.isnan(table["pmra_mas_yr"][1])
    assert table["pmra_err_mas_yr"][0] == 0.5 and np.isnan(table["pmdec_err_mas_yr"]).all()


def test_standard_names_are_read_in_standard_units(tmp_path):
    """Files in our own form need no description, and the described units are not theirs (Jy, in GLEAM's)."""
    source = Table(
        {
            "source_id": ["a", "b"],
            "ra": [1.0, 2.0],
            "dec": [3.0, 4.0],
            "flux_mjy": [5.0, 6.0],
            "pointing": ["p", "q"],
            "peak_mjy": [7.0, 8.0],
        }
    )
    source.write(tmp_path / "own.csv")
    table, rejected = read_catalogue(tmp_path / "own.csv", survey_description("gleam"))
    assert rejected == []
    for name in source.colnames:
        assert list(table[name]) == list(source[name]), name
    source["flux_mjy"].unit = "Jy"  # a unit in the file counts all the same
    source["Fintwide"] = [0.1, 0.2]  # and the survey's own name comes first
    source.write(tmp_path / "both.fits")
    table, _ = read_catalogue(tmp_path / "both.fits", survey_description("gleam"))
    assert list(table["flux_mjy"]) == [100, 200]
    source.remove_column("Fintwide")
    source.write(tmp_path / "jansky.fits")
    table, _ = read_catalogue(tmp_path / "jansky.fits", survey_description("gleam"))
    assert list(table["flux_mjy"]) == [5000, 6000]


def write(tmp_path, table, name="bad.csv"):
    table.write(tmp_path / name)
    return tmp_path / name


BAD = {
    "absent": (lambda p: p / "absent.fits", "no such file"),
    "ending": (lambda p: (p / "x.txt").write_text("a") and p / "x.txt", "unknown ending .txt"),
    "garbled": (lambda p: (p / "x.fits").write_text("no FITS") and p / "x.fits", "not a readable fits"),
    "garbled parquet": (lambda p: (p / "x.parquet").write_text("PAR") and p / "x.parquet", "not a readable parquet"),
    "garbled votable": (lambda p: (p / "x.vot").write_text("<VOTABLE>") and p / "x.vot", "not a readable votable"),
    "no rows": (lambda p: write(p, mals_table()[:0]), "no rows"),
    "no flux": (lambda p: write(p, mals_table(Flux=None, FluxPk=None)), "no column for flux_mjy .Flux or total_flux"),
    "no ra": (lambda p: write(p, mals_table(RAJ2000=None)), "no column for ra"),
    "wrong unit": (lambda p: write(p, mals_table(Flux=[1.0, 2.0, 3.0] * u.s), "x.fits"), "column Flux: the unit is s"),
    "magnitudes": (lambda p: write(p, mals_table(Flux=[1.0, 2.0, 3.0] * u.mag), "x.fits"), "unit is mag"),
    "text": (lambda p: write(p, mals_table(Flux=["1.0", "bright", "2"])), "row 1 is 'bright', not a number"),
    "sexagesimal": (lambda p: write(p, mals_table(RAJ2000=["1 2 3", "1 2 3", "12 71 00"])), "row 2 is '12 71 00'"),
    "vectors": (lambda p: write(p, mals_table(Flux=np.ones((3, 2))), "x.fits"), "Flux has .2,. values a row"),
    "all bad": (lambda p: write(p, mals_table(DEJ2000=[91.0, -100.0, 200.0])), "none of its 3 rows.*impossible"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_get_one_clear_error(tmp_path, case):
    make, words = BAD[case]
    path = make(tmp_path)
    with pytest.raises(InputError, match=words) as caught:
        read_catalogue(path, MALS)
    assert str(path) in str(caught.value)


def test_truncated_fits(tmp_path):
    Table({"RAJ2000": np.ones(5000), "DEJ2000": np.ones(5000), "Flux": np.ones(5000)}).write(tmp_path / "m.fits")
    whole = (tmp_path / "m.fits").read_bytes()
    (tmp_path / "m.fits").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="not a readable fits table"):
        read_catalogue(tmp_path / "m.fits", MALS)


OPTICAL = "name: x\ntitle: x\ncitation: x\ncolumns: {ra: [R]}\nkind: optical\n"


@pytest.mark.parametrize(
    "text, words",
    [
        ("name: [", "not valid YAML"),
        ("name: x\ntitle: x\n", "citation"),
        ("name: x\ntitle: x\ncitation: x\ncolumns: {}\ncolour: red\n", "colour"),
        ("name: x\ntitle: x\ncitation: x\ncolumns: {flux: [F]}\n", "flux is no standard column"),
        ("name: x\ntitle: x\ncitation: x\ncolumns: {ra: [R]}\nunits: {ra: furlongs}\n", "unit of ra"),
        (OPTICAL + "limit_mag: 20\n", "needs magnitude.*limit_mag"),
        (OPTICAL + "magnitude: r_mag\n", "needs magnitude.*limit_mag"),
        (OPTICAL + "magnitude: h_mag\nlimit_mag: 20\n", "magnitude is h_mag, which is no standard column.*r_mag"),
        (OPTICAL + "magnitude: ra\nlimit_mag: 20\n", "magnitude is ra,"),
    ],
)
def test_bad_descriptions(tmp_path, text, words):
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(InputError, match=words):
        survey_description(tmp_path / "s.yaml")


def test_unknown_survey():
    with pytest.raises(InputError, match="unknown survey 'ska'.*tgss"):
        survey_description("ska")
    with pytest.raises(InputError, match="no such survey description"):
        survey_description("absent.yaml")


def test_case_and_punctuation_of_names(tmp_path):
    table = mals_table()
    table.rename_column("SPW/WB", "spw_wb")
    table.rename_column("e_Spwfit", "E_SPWFIT")
    table, _ = read_catalogue(write(tmp_path, table), replace(MALS, units={}))
    assert table["band"][0] == "LSPW_2" and table["alpha_err"][1] == pytest.approx(0.1)


def test_real_gleam_list(gamma_radio):
    table, rejected = read_catalogue(gamma_radio / "gleam_kgs_157k.fits", survey_description("gleam_kgs"))
    assert len(table) == 157_612 and rejected == [] and (table["alpha"] < -1.4).sum() == 5538
    assert table["flux_mjy"][0] == pytest.approx(215_992.25)
