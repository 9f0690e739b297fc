"""Survey descriptions, and reading of valid and invalid catalogues with them."""

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
    """MALS columns of VizieR (J/ApJS/270/33), with the sentinel -999."""
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


def test_package_descriptions_are_valid():
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
            windows = survey.windows.values() or [survey]
            assert all(w.frequency_mhz > 0 and w.beam_arcsec > 0 and w.limit_mjy > 0 for w in windows)
            assert 0 < survey.flux_scale_error < 0.5
        else:
            assert OPTICAL_COLUMNS[survey.magnitude] == u.mag and survey.magnitude in survey.columns
            assert 15 < survey.limit_mag < 25
        for column, unit in survey.units.items():  # the described unit converts to the standard one
            wanted = {**RADIO_COLUMNS, **OPTICAL_COLUMNS}[column]
            assert u.Unit(unit).is_equivalent(wanted), (name, column)


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


def test_units_of_the_file_are_used(tmp_path):
    source = mals_table()
    source["Flux"] = [0.0015, 0.02, 0.001] * u.Jy
    source["Majaxis"] = [12 / 3600] * 3 * u.deg
    source.write(tmp_path / "m.fits")
    table, _ = read_catalogue(tmp_path / "m.fits", MALS)
    np.testing.assert_allclose(table["flux_mjy"], [1.5, 20.0, 1.0])
    np.testing.assert_allclose(table["major_arcsec"], 12)


def test_units_of_the_description_are_used_without_units_in_the_file(tmp_path):
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


def test_rejected_rows_are_counted_once_each(tmp_path):
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
    # missing and invalid coordinates, missing and negative flux density; the last: an error that is dropped
    assert [entry.count for entry in rejected] == [2, 2, 1, 1, 1] and "flux_err_mjy" in rejected[-1].reason
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
    """Columns with standard names need no description, and its units (Jy for GLEAM) do not apply to them."""
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
    source["flux_mjy"].unit = "Jy"  # a unit in the file has precedence
    source["Fintwide"] = [0.1, 0.2]  # and so have the column names of the survey
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


# name of the case -> the file, and what the error must name besides its path
BAD = {
    "missing": (lambda p: p / "missing.fits", "missing.fits"),
    "suffix": (lambda p: (p / "x.txt").write_text("a") and p / "x.txt", r"\.txt"),
    "corrupt": (lambda p: (p / "x.fits").write_text("no FITS") and p / "x.fits", "fits"),
    "corrupt parquet": (lambda p: (p / "x.parquet").write_text("PAR") and p / "x.parquet", "parquet"),
    "corrupt votable": (lambda p: (p / "x.vot").write_text("<VOTABLE>") and p / "x.vot", "votable"),
    "no rows": (lambda p: write(p, mals_table()[:0]), "rows"),
    "no flux": (lambda p: write(p, mals_table(Flux=None, FluxPk=None)), r"flux_mjy \(Flux or total_flux"),
    "no ra": (lambda p: write(p, mals_table(RAJ2000=None)), r"\bra \(RAJ2000"),
    "wrong unit": (lambda p: write(p, mals_table(Flux=[1.0, 2.0, 3.0] * u.s), "x.fits"), r"Flux:.*\bs\b"),
    "magnitudes": (lambda p: write(p, mals_table(Flux=[1.0, 2.0, 3.0] * u.mag), "x.fits"), r"Flux:.*\bmag\b"),
    "text": (lambda p: write(p, mals_table(Flux=["1.0", "bright", "2"])), "Flux: row 1 .*'bright'"),
    "sexagesimal": (lambda p: write(p, mals_table(RAJ2000=["1 2 3", "1 2 3", "12 71 00"])), "row 2 .*'12 71 00'"),
    "vectors": (lambda p: write(p, mals_table(Flux=np.ones((3, 2))), "x.fits"), r"Flux .*\(2,\)"),
    "no valid row": (lambda p: write(p, mals_table(DEJ2000=[91.0, -100.0, 200.0])), "3 rows.*: 3"),
}


@pytest.mark.parametrize("case", BAD)
def test_error_names_the_file_and_the_problem(tmp_path, case):
    make, named = BAD[case]
    path = make(tmp_path)
    with pytest.raises(InputError, match=named) as caught:
        read_catalogue(path, MALS)
    assert str(path) in str(caught.value)


def test_truncated_fits(tmp_path):
    Table({"RAJ2000": np.ones(5000), "DEJ2000": np.ones(5000), "Flux": np.ones(5000)}).write(tmp_path / "m.fits")
    whole = (tmp_path / "m.fits").read_bytes()
    (tmp_path / "m.fits").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"m\.fits"):
        read_catalogue(tmp_path / "m.fits", MALS)


OPTICAL = "name: x\ntitle: x\ncitation: x\ncolumns: {ra: [R]}\nkind: optical\n"


@pytest.mark.parametrize(
    "text, named",
    [
        ("name: [", r"s\.yaml.*YAML"),
        ("name: x\ntitle: x\n", "citation"),
        ("name: x\ntitle: x\ncitation: x\ncolumns: {}\ncolour: red\n", "colour"),
        ("name: x\ntitle: x\ncitation: x\ncolumns: {flux: [F]}\n", r"\bflux\b.*flux_mjy"),
        ("name: x\ntitle: x\ncitation: x\ncolumns: {ra: [R]}\nunits: {ra: furlongs}\n", r"\bra\b.*furlongs"),
        (OPTICAL + "limit_mag: 20\n", "magnitude.*limit_mag"),
        (OPTICAL + "magnitude: r_mag\n", "magnitude.*limit_mag"),
        (OPTICAL + "magnitude: h_mag\nlimit_mag: 20\n", "magnitude.*h_mag.*r_mag"),
        (OPTICAL + "magnitude: ra\nlimit_mag: 20\n", r"magnitude.*\bra\b.*r_mag"),
    ],
)
def test_error_names_the_field_of_an_invalid_description(tmp_path, text, named):
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(InputError, match=named):
        survey_description(tmp_path / "s.yaml")


def test_unknown_survey():
    with pytest.raises(InputError, match="'ska'.*tgss"):
        survey_description("ska")
    with pytest.raises(InputError, match=r"missing\.yaml"):
        survey_description("missing.yaml")


def test_column_names_may_differ_in_case_and_punctuation(tmp_path):
    table = mals_table()
    table.rename_column("SPW/WB", "spw_wb")
    table.rename_column("e_Spwfit", "E_SPWFIT")
    table, _ = read_catalogue(write(tmp_path, table), replace(MALS, units={}))
    assert table["band"][0] == "LSPW_2" and table["alpha_err"][1] == pytest.approx(0.1)


def test_real_gleam_list(gamma_radio):
    table, rejected = read_catalogue(gamma_radio / "gleam_kgs_157k.fits", survey_description("gleam_kgs"))
    assert len(table) == 157_612 and rejected == [] and (table["alpha"] < -1.4).sum() == 5538
    assert table["flux_mjy"][0] == pytest.approx(215_992.25)


DESCRIPTION = "name: mine\ntitle: mine\ncitation: me\nfrequency_mhz: 1400\ncolumns: {flux_mjy: [S]}\n"


def mine(tmp_path, more=""):
    (tmp_path / "mine.yaml").write_text(DESCRIPTION + more)
    return survey_description(tmp_path / "mine.yaml")


def test_units_are_read_by_their_meaning(tmp_path):
    table = Table({"RA": [np.pi], "DEC": [-30.0], "S": [0.25], "peak_mjy": [0.2], "pa_deg": [np.pi / 2]})
    for name, unit in {"RA": "RADIANS", "DEC": "DEGREE", "S": "JY", "peak_mjy": "JY/BEAM", "pa_deg": "radians"}.items():
        table[name].unit = u.Unit(unit, parse_strict="silent")
    table.write(tmp_path / "t.fits")
    row = read_catalogue(tmp_path / "t.fits", mine(tmp_path))[0][0]
    assert row["ra"] == pytest.approx(180) and row["dec"] == -30 and row["pa_deg"] == pytest.approx(90)
    assert row["flux_mjy"] == pytest.approx(250) and row["peak_mjy"] == pytest.approx(200)


def test_a_wrong_unit_is_overruled(tmp_path):
    Table({"ra": [15.0], "dec": [2.0], "S": [0.25] * u.s}).write(tmp_path / "t.fits")
    with pytest.raises(InputError, match="column S.*override_units"):
        read_catalogue(tmp_path / "t.fits", mine(tmp_path))
    survey = mine(tmp_path, "override_units: {flux_mjy: Jy, ra: hours}\n")
    row = read_catalogue(tmp_path / "t.fits", survey)[0][0]
    assert row["flux_mjy"] == 250 and row["ra"] == pytest.approx(225)
    with pytest.raises(InputError, match="flux_mjy.*furlongs"):
        mine(tmp_path, "override_units: {flux_mjy: furlongs}\n")


def test_sentinels_are_missing_in_every_survey(tmp_path):
    """-99 as a right ascension is not 261 degrees, and as a spectral index not steep."""
    (tmp_path / "t.csv").write_text(
        "# mine\nra,dec,S,alpha,alpha_err\n1,2,3,-99,-99\n-99,2,3,-0.7,0.1\n1,2,-999,,null\n"
    )
    table, rejected = read_catalogue(tmp_path / "t.csv", mine(tmp_path))
    assert list(table["flux_mjy"]) == [3] and np.isnan(table["alpha"][0]) and np.isnan(table["alpha_err"][0])
    assert sorted(entry.count for entry in rejected) == [1, 1]


def test_positions_in_semicolons_and_sexagesimal(tmp_path):
    (tmp_path / "t.csv").write_text("ra;dec;S\n12:34:56,7;-01:30:00;3,5\n00:00:00;+00:30:00;4\n")
    table, _ = read_catalogue(tmp_path / "t.csv", mine(tmp_path))
    np.testing.assert_allclose(table["ra"], [188.73625, 0])
    assert list(table["dec"]) == [-1.5, 0.5] and list(table["flux_mjy"]) == [3.5, 4]
