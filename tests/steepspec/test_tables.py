"""Tables in Parquet, FITS and VOTable: values and column metadata, read back by other readers."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.io.votable import parse
from astropy.io.votable.ucd import parse_ucd
from astropy.table import MaskedColumn, Table

from mmae.astro.tables import read_table, text_values
from mmae.core.errors import InputError
from mmae.steepspec.schema import MEMBERS, POINTS, REGIONS, SOURCES, ColumnSpec
from mmae.steepspec.tables import as_table, write_parquet, write_table

SCHEMAS = {"sources": SOURCES, "members": MEMBERS, "regions": REGIONS, "points": POINTS}
ALL = {(name, column.name): column for name, spec in SCHEMAS.items() for column in spec}
META = {"search": "0f3a", "settings": "steep = -1.4;" * 20}


def random_columns(spec, n: int) -> dict[str, np.ndarray]:
    """Columns of length n; every float column has a NaN and every text column an empty text, in varying rows."""
    columns = {}
    for number, wanted in enumerate(spec):
        rng = np.random.default_rng(number)
        values = {
            "float": rng.normal(size=n) * 10.0 ** rng.integers(-8, 8),
            "int": rng.integers(-9, 2**40, n),
            "bool": rng.random(n) < 0.5,
            "text": np.array([f"{wanted.name} {row}, <&>" for row in range(n)], str),
        }[wanted.kind]
        if n and wanted.kind in ("float", "text"):
            values[number % n] = np.nan if wanted.kind == "float" else ""
        columns[wanted.name] = values
    return columns


def plain(table: Table, wanted: ColumnSpec) -> np.ndarray:
    column = table[wanted.name]
    if wanted.kind == "text":
        return text_values(column)
    return np.ma.filled(np.ma.asarray(column.data), np.nan if wanted.kind == "float" else 0)


@pytest.mark.parametrize("key", ALL, ids=".".join)
def test_units_and_ucds_of_the_schema_are_valid(key):
    column = ALL[key]
    parse_ucd(column.ucd, check_controlled_vocabulary=True, has_colon=False)
    for standard in (None, "vounit", "fits"):
        assert u.Unit(column.unit, format=standard) == u.Unit(column.unit)
    assert column.meaning.isascii() and len(column.meaning) <= 68  # one FITS card


@pytest.mark.parametrize("spec", SCHEMAS.values(), ids=SCHEMAS)
@pytest.mark.parametrize("n", [0, 1, 7])
def test_all_formats_have_the_same_values_and_metadata(tmp_path, spec, n):
    columns = random_columns(spec, n)
    table = as_table(columns, spec, META)
    paths = write_table(table, tmp_path / "steep.v1", spec)
    assert [path.name for path in paths] == ["steep.v1.parquet", "steep.v1.fits", "steep.v1.vot"]
    assert sorted(tmp_path.iterdir()) == sorted(paths)  # no temporary files
    arrow = pq.read_table(paths[0])
    with fits.open(paths[1]) as hdus:
        hdu, header = hdus["STEEP.V1"].data.copy(), hdus[1].header
    vot = parse(paths[2], verify="exception").get_first_table()
    assert vot.name == "steep.v1" and {info.name: info.value for info in vot.infos} == META
    assert {key: header[key] for key in META} == META
    assert arrow.schema.metadata == {key.encode(): value.encode() for key, value in META.items()}
    names = [wanted.name for wanted in spec]
    assert arrow.column_names == hdu.names == [field.name for field in vot.fields] == names
    votable = vot.to_table(use_names_over_ids=True)
    for number, wanted in enumerate(spec, 1):
        field, words = arrow.schema.field(wanted.name), (wanted.unit, wanted.ucd, wanted.meaning)
        keys = ("unit", "ucd", "description")
        assert tuple(field.metadata[key.encode()].decode() for key in keys) == words
        assert tuple(header.get(f"{key}{number}", "") for key in ("TUNIT", "TUCD", "TCOMM")) == words
        element = vot.fields[number - 1]
        assert (str(element.unit or ""), element.ucd, " ".join(element.description.split())) == words
        values = columns[wanted.name]
        kind = {"float": pa.float64(), "int": pa.int64(), "bool": pa.bool_(), "text": pa.string()}
        assert field.type == kind[wanted.kind]
        got = arrow[wanted.name]
        if wanted.kind == "float":
            assert got.null_count == np.isnan(values).sum()
        np.testing.assert_array_equal(np.array(got.to_pylist(), values.dtype), values)
        np.testing.assert_array_equal(hdu[wanted.name], values)
        np.testing.assert_array_equal(plain(votable, wanted), values)
        assert votable[wanted.name].dtype.kind == hdu[wanted.name].dtype.kind == values.dtype.kind


def test_catalogue_reader_reads_all_formats(tmp_path):
    columns = random_columns(MEMBERS, 5)
    for path in write_table(as_table(columns, MEMBERS), tmp_path / "members", MEMBERS):
        table = read_table(path)
        assert table.colnames == [wanted.name for wanted in MEMBERS]
        for wanted in MEMBERS:
            assert u.Unit(table[wanted.name].unit or "") == u.Unit(wanted.unit)
            if wanted.kind == "bool":  # flags in Parquet are read as text
                words = [str(flag) for flag in columns[wanted.name].tolist()]
                assert list(text_values(table[wanted.name])) == words
            else:
                np.testing.assert_array_equal(plain(table, wanted), columns[wanted.name])


SPEC = (
    ColumnSpec("a", "float", "arcsec", "pos.angDistance", "a"),
    ColumnSpec("i", "int", "", "meta.number", "i"),
    ColumnSpec("b", "bool", "", "meta.code", "b"),
    ColumnSpec("t", "text", "", "meta.note", "t"),
)
GOOD = {"a": [1.0, 2.0], "i": [3, 4], "b": [True, False], "t": ["x", ""]}


def test_conversion_of_columns():
    masked = MaskedColumn([1, 2], mask=[False, True])
    table = as_table({"t": np.array([5, 6]), "b": [1.0, 0.0], "i": [3.0, 4.0], "a": masked, "more": 1}, SPEC)
    assert table.colnames == ["a", "i", "b", "t"] and list(table["t"]) == ["5", "6"]
    assert [column.dtype.kind for column in table.columns.values()] == ["f", "i", "b", "U"]
    assert table["a"][0] == 1 and np.isnan(table["a"][1]) and not table.masked
    assert table["a"].unit == u.arcsec and table["i"].unit is None
    assert table["a"].description == "a" and table["a"].meta["ucd"] == "pos.angDistance"
    for degrees in ([1, 2] * u.deg, Table({"a": [1, 2] * u.deg})["a"]):
        np.testing.assert_allclose(as_table({**GOOD, "a": degrees}, SPEC)["a"], [3600, 7200])
    assert list(as_table({**GOOD, "t": MaskedColumn(["x", "y"], mask=[True, False])}, SPEC)["t"]) == ["", "y"]
    assert len(as_table({name: [] for name in GOOD}, SPEC)) == 0


@pytest.mark.parametrize(
    "change, named",
    [
        ({"a": None, "t": None}, "column a, t"),
        ({"a": [1.0]}, r"a \(1,\), i \(2,\)"),
        ({"i": [[1], [2]]}, r"i \(2, 1\)"),
        ({"t": "word"}, r"t \(\)"),
        ({"a": ["x", "y"]}, "column a: row 0 .*'x'"),
        ({"a": [1, 2] * u.s}, r"column a: .*\bs\b"),
        ({"i": [1.5, 2.0]}, "column i: .*row 0 first"),
        ({"i": [1.0, np.nan]}, "column i: .*row 1 first"),
        ({"b": [0, 2]}, "column b: .*row 1 first"),
    ],
)
def test_error_names_the_invalid_column(change, named):
    with pytest.raises(InputError, match=named):
        as_table({name: v for name, v in {**GOOD, **change}.items() if v is not None}, SPEC)


def test_text_and_metadata_that_do_not_fit_into_fits(tmp_path):
    meta = {
        "café": "x",
        "note": "é",
        "TTYPE1": "b",
        "ID": "not an XML name",
        "n": 5,
        "long": "w" * 500,
        "h" * 70: "v" * 70,
    }
    stem = tmp_path / "new" / "odd"
    paths = write_table(as_table({**GOOD, "t": ["Ångström", "a"]}, SPEC, meta), stem, SPEC)
    assert pq.read_table(paths[0])["t"].to_pylist() == ["Ångström", "a"]
    assert set(pq.read_schema(paths[0]).metadata) == {key.encode() for key in meta}
    vot = parse(paths[2], verify="exception").get_first_table()
    assert list(vot.to_table()["t"]) == ["Ångström", "a"]
    with fits.open(paths[1]) as hdus:
        assert list(hdus[1].data["t"]) == ["?ngstr?m", "a"] and hdus[1].header["TTYPE1"] == "a"
        assert hdus[1].header["LONG"] == "w" * 500 and hdus[1].header["N"] == "5"
        assert "NOTE" not in hdus[1].header


def test_formats(tmp_path):
    table = as_table(GOOD, SPEC)
    assert [path.name for path in write_table(table, tmp_path / "x", SPEC, ("vot", "parquet"))] == [
        "x.vot",
        "x.parquet",
    ]
    assert Table.read(tmp_path / "x.vot").colnames == pq.read_table(tmp_path / "x.parquet").column_names
    with pytest.raises(InputError, match="csv"):
        write_table(table, tmp_path / "x", SPEC, ("csv",))


def test_a_failed_write_keeps_the_existing_files(tmp_path, monkeypatch):
    paths = write_table(as_table(GOOD, SPEC), tmp_path / "x", SPEC)
    before = [path.read_bytes() for path in paths]

    def full(*_):
        raise OSError("disk full")

    monkeypatch.setattr("mmae.steepspec.tables._write_votable", full)
    with pytest.raises(OSError, match="disk full"):
        write_table(as_table({**GOOD, "i": [7, 8]}, SPEC), tmp_path / "x", SPEC)
    assert sorted(tmp_path.iterdir()) == sorted(paths) and [path.read_bytes() for path in paths] == before


def test_table_without_schema_as_parquet(tmp_path):
    table = Table({"flux": MaskedColumn([1.0, 2.0, np.nan], mask=[True, False, False]), "n": [1, 2, 3]})
    table["flux"].unit = u.mJy / u.beam
    write_parquet(table, tmp_path / "t.parquet")
    assert pq.read_table(tmp_path / "t.parquet")["flux"].to_pylist() == [None, 2.0, None]
    assert read_table(tmp_path / "t.parquet")["flux"].unit == u.mJy / u.beam
