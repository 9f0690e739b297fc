"""Tables as people and archives write them; every form gives the same values."""

import gzip
import lzma

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.table import Column, MaskedColumn, Table

from mmae.astro.missing import is_sentinel
from mmae.astro.tables import convert, degrees, find_column, read_table, sexagesimal, text_values
from mmae.core.errors import InputError

NAN = np.nan
HEADER = ("object_id", "ra", "dec", "mag")
# 17 digits, as in HSC and Gaia: not exact in float64
IDS = ["42063891853123457", "42063891853123459", "42063891853123461"]


def write(tmp_path, text, name="t.csv", encoding="utf-8"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return path


def lines(separator, *, header=HEADER, comma=False, missing="", prefix="", end="\n"):
    rows = [(IDS[0], "150.25", "-2.5", "20.5"), (IDS[1], "0.5", "+2.25", missing), (IDS[2], "359.75", "1e1", "-99")]
    if comma:
        rows = [tuple(cell.replace(".", ",") for cell in row) for row in rows]
    return prefix + separator.join(header) + end + "".join(separator.join(row) + end for row in rows)


COMMENTS = "# made with TOPCAT\n#\n# object, 2 columns\n"
RULED = lines("\t").replace("\n", "\n\tdeg\tdeg\tmag\n----\t----\t---\t---\n", 1)
FORMS = {
    "commas": lines(","),
    "commas and blanks": lines(", "),
    "semicolons": lines(";"),
    "tabs": lines("\t"),
    "bars": lines(" | ", missing="null"),
    "markdown": "".join(
        f"| {line} |\n" for line in lines(" | ", missing="null").replace("\n", "\n---|---|---|---\n", 1).splitlines()
    ),
    "white space": lines("   ", missing="nan"),
    "aligned": lines(" ", missing="--").replace(" ", "      ", 2),
    "semicolons and decimal commas": lines(";", comma=True),
    "tabs and decimal commas": lines("\t", comma=True),
    "white space and decimal commas": lines(" ", comma=True, missing="NaN"),
    "quoted": '"' + lines('","').strip().replace("\n", '"\n"') + '"\n',
    "quoted decimal commas": '"' + lines('","', comma=True).strip().replace("\n", '"\n"') + '"\n',
    "commented header": lines(",", prefix="# "),
    "commented header without blank": lines(",", prefix="#"),
    "commented header of white space": lines(" ", prefix="# ", missing="NA"),
    "commented header, decimal commas": lines(" ", prefix="# ", comma=True, missing="NA"),
    "header of EAZY": lines(" ", prefix="# ", missing="NA").replace("\n", "\n# EAZY v1.00\n", 1),
    "header of numpy.savetxt": lines(",", prefix="# ").replace(",", " ", 3),
    "comments before": COMMENTS + lines(","),
    "comments before a commented header": COMMENTS + lines(",", prefix="# "),
    "comments between": lines(",").replace("\n", "\n# a comment, here\n"),
    "percent signs": "% from MATLAB\n" + lines(" ", missing="NaN"),
    "blank lines": "\n\n" + lines(",").replace("\n", "\n\n"),
    "Windows": lines(",", end="\r\n"),
    "old Mac": lines(",", end="\r"),
    "VizieR": "#\n#   VizieR Astronomical Server\n#Column\tra\t(F10.6)\n" + RULED,
    "psql": lines(" | ", missing="").replace("\n", "\n-----------+----+----+----\n", 1) + "(3 rows)\n",
    "SDSS CasJobs": "#Table1\n" + lines(",", missing="null"),
    "separator at the end": lines(",").replace("\n", ",\n"),
    "index of pandas": "".join(f"{n},{x}\n" for n, x in zip(["", 0, 1, 2], lines(",").split("\n"), strict=False)),
    "SExtractor": "# 1 object_id  Name\n# 2 ra  [deg]\n# 3 dec\n# 4 mag\n"
    + lines(" ", missing="nan").split("\n", 1)[1],
    "ECSV": "# %ECSV 1.0\n# ---\n# datatype:\n# - {name: object_id, datatype: int64}\n"
    "# - {name: ra, unit: deg, datatype: float64}\n# - {name: dec, unit: deg, datatype: float64}\n"
    "# - {name: mag, datatype: float32}\n" + lines(" ", missing="null"),
    "IPAC": "\\comment = from IRSA\n"
    "|        object_id|    ra|  dec|  mag|\n"
    "|             long|double|doubl|doubl|\n"
    "|                 |   deg|  deg|  mag|\n"
    "|             null|  null| null| null|\n"
    f" {IDS[0]} 150.25  -2.5  20.5 \n {IDS[1]}    0.5  2.25  null \n {IDS[2]} 359.75  10.0   -99 \n",
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_text_gives_the_same_values(tmp_path, form):
    table = read_table(write(tmp_path, FORMS[form], "t.dat"))
    assert [name for name in table.colnames if name in HEADER] == list(HEADER)
    assert text_values(table["object_id"]).tolist() == IDS
    for name, values in {"ra": [150.25, 0.5, 359.75], "dec": [-2.5, 2.25, 10.0], "mag": [20.5, NAN, NAN]}.items():
        np.testing.assert_array_equal(convert(table[name], "", u.dimensionless_unscaled, name, "1"), values)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_byte_order_marks_and_encodings(tmp_path, encoding):
    table = read_table(write(tmp_path, "name;ra\nSuñer;1\n", encoding=encoding))
    assert table.colnames == ["name", "ra"] and text_values(table["name"]).tolist() == ["Suñer"]


@pytest.mark.parametrize("name", ["t.tsv", "t.dat", "t.txt", "t.zout", "t", "t.csv.gz", "t.dat.xz"])
def test_the_content_decides_and_not_the_suffix(tmp_path, name):
    raw = lines("\t").encode()
    pack = {".gz": gzip.compress, ".xz": lzma.compress}.get(name[-3:], lambda raw: raw)
    assert len(read_table(write(tmp_path, pack(raw), name))) == 3


def test_units_of_a_vizier_table(tmp_path):
    table = read_table(write(tmp_path, RULED, "asu.tsv"))
    assert table["ra"].unit == u.deg and table["object_id"].unit is None


def test_a_table_without_ids_of_numbers(tmp_path):
    table = read_table(write(tmp_path, "id,big,n,e\n007,18446744073709551616,1,1.5D3\n010,1,nan,2\n"))
    assert text_values(table["id"]).tolist() == ["007", "010"]  # zeros are part of an identifier
    assert text_values(table["big"]).tolist() == ["18446744073709551616", "1"]
    np.testing.assert_array_equal(table["n"], [1, NAN])
    np.testing.assert_array_equal(table["e"], [1500, 2])


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "no rows"),
        ("a,b\n", "no rows"),
        ("# a comment\n", "no rows"),
        ("1,2\n3,4\n", "column names.*line 1"),
        ("# one\n1,2,3\n3,4,5\n", "column names.*line 2"),
        ("a,b\n1,2\n3\n4,5\n", "line 3 has 1 values.*2 columns.*commas"),
        ("a b\n1 2\n# x\n\n3 4 5\n6 7\n", "line 5 has 3 values.*2 columns.*white space"),
        ("id,ra,dec\n7,150,5,2,0\n8,150,6,2,0\n", "line 2 has 5 values"),  # decimal commas that cannot be told apart
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"SQLite format 3\0", "SQLite"),
        (b"PK\x03\x04", "spreadsheet"),
        (b"\x00\x01\x02 not text", "neither text"),
        ("<!DOCTYPE html><html></html>", "web page"),
        ("<VOTABLE>", "votable"),
        (gzip.compress(b"a,b\n1,2\n", mtime=0)[:-12], "t.csv"),
    ],
)
def test_one_line_names_the_file_and_the_fault(tmp_path, text, named):
    path = write(tmp_path, text)
    with pytest.raises(InputError, match=named) as raised:
        read_table(path)
    assert str(raised.value).startswith(f"{path}: ") and "\n" not in str(raised.value)


def test_repeated_names_are_refused_only_where_they_are_used(tmp_path):
    path = write(tmp_path, "id,ra,ra,dec\n1,2,3,4\n")
    table = read_table(path)
    assert find_column(table, ("dec",)) == "dec"
    with pytest.raises(InputError, match=r"t\.csv.*'ra'"):
        find_column(table, ("ra",))
    arrow = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["ra", "ra"])
    pq.write_table(arrow, tmp_path / "t.parquet")
    with pytest.raises((InputError, ValueError), match="ra"):
        find_column(read_table(tmp_path / "t.parquet"), ("ra",))


def test_fits_ascii_tables_have_missing_values(tmp_path):
    """TNULL and blank fields (FITS 4.0, section 7.2): astropy gives 0 for them."""
    columns = [
        fits.Column("ra", format="F10.5", array=np.array([1.0, 2.0, -9.0]), null="-9.00000", unit="DEGREE"),
        fits.Column("n", format="I5", array=np.array([1, 2, 3]), null="3"),
        fits.Column("plain", format="E12.4", array=np.array([1.0, 2.0, -999.0])),
        fits.Column("t", format="A5", array=np.array(["a", "", "b"])),
    ]
    fits.TableHDU.from_columns(columns).writeto(tmp_path / "t.fits")
    raw = (tmp_path / "t.fits").read_bytes().replace(b"    2.00000", b"           ", 1)
    (tmp_path / "t.fits").write_bytes(raw)
    table = read_table(tmp_path / "t.fits")
    np.testing.assert_array_equal(convert(table["ra"], "", u.deg, "ra"), [1, NAN, NAN])
    assert table["n"].mask.tolist() == [False, False, True] and table["plain"].mask.tolist() == [False, False, True]
    assert text_values(table["t"]).tolist() == ["a", "", "b"]


def test_fits_binary_tables_have_missing_values(tmp_path):
    hdu = fits.BinTableHDU.from_columns(
        [
            fits.Column("id", format="K", array=np.array([1, -2147483648, -99]), null=-2147483648),
            fits.Column("scaled", format="I", array=np.array([1, 2, -32768], np.int16), null=-32768),
            fits.Column("x", format="E", array=np.array([1.0, NAN, -99.9], np.float32)),
            fits.Column("s", format="8A", array=np.array(["a", "null", ""])),
        ]
    )
    hdu.header["TSCAL2"] = 0.5
    hdu.writeto(tmp_path / "t.fits")
    table = read_table(tmp_path / "t.fits")
    assert text_values(table["id"]).tolist() == ["1", "", ""]
    np.testing.assert_array_equal(convert(table["scaled"], "", u.dimensionless_unscaled, ""), [0.5, 1, NAN])
    np.testing.assert_array_equal(convert(table["x"], "", u.dimensionless_unscaled, ""), [1, NAN, NAN])
    assert text_values(table["s"]).tolist() == ["a", "", ""]


def test_parquet_and_votable_have_missing_values(tmp_path):
    pq.write_table(
        pa.table({"x": pa.array([1.0, None, -999.0]), "n": [5, -9999, 7], "s": ["a", None, "N/A"]}), tmp_path / "p"
    )
    table = Table({"x": MaskedColumn([1.0, 0, -999.0], mask=[0, 1, 0]), "n": [5, -9999, 7], "s": ["a", "null", ""]})
    table.write(tmp_path / "v", format="votable")
    for name in "pv":
        table = read_table(tmp_path / name)
        np.testing.assert_array_equal(convert(table["x"], "", u.dimensionless_unscaled, ""), [1, NAN, NAN])
        assert text_values(table["n"]).tolist() == ["5", "", "7"] and text_values(table["s"]).tolist() == ["a", "", ""]


def test_hdf5_is_answered(tmp_path):
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["x"] = [1.0]
    with pytest.raises(InputError, match="HDF5"):
        read_table(tmp_path / "t.h5")


@pytest.mark.parametrize("kind", ["f4", "f8", "i8", "i4", "i2"])
def test_sentinels_in_every_type(kind):
    values = np.array([-99, -999, -9999, -98, 99, 0]).astype(kind)
    assert is_sentinel(values).tolist() == [True, True, True, False, False, False]
    assert is_sentinel(values, positive=True)[4]
    if kind.startswith("f"):
        assert is_sentinel(np.array([-99.9, -99.99, -9999.0, -9.9], kind)).tolist() == [True, True, True, False]


def test_sentinels_can_be_kept(tmp_path):
    assert read_table(write(tmp_path, "z\n-99\n0.5\n"), sentinels=False)["z"].tolist() == [-99, 0.5]


@pytest.mark.parametrize(
    ("text", "hours", "value"),
    [
        ("12:34:56.7", True, 188.73625),
        ("12 34 56.7", True, 188.73625),
        ("12h34m56.7s", True, 188.73625),
        ("12:34:56,7", True, 188.73625),
        ("-00:30:36", False, -0.51),
        ("-00d30m36s", False, -0.51),
        ("+10° 30′", False, 10.5),
        ("150.5", True, 150.5),
        ("12.5h", True, 187.5),
        ("-99", True, NAN),
        ("", True, NAN),
    ],
)
def test_sexagesimal_forms(text, hours, value):
    np.testing.assert_allclose(sexagesimal(Column([text]), hours, "t"), [value])


@pytest.mark.parametrize(
    ("unit", "value", "expected"),
    [("hourangle", 10.0, 150), ("HOURS", 10.0, 150), ("RADIANS", np.pi, 180), (None, 10.0, 10), ("degree", 10.0, 10)],
)
def test_positions_in_every_unit_of_angle(unit, value, expected):
    column = Column([value], unit=u.Unit(unit, parse_strict="silent") if unit else None)
    np.testing.assert_allclose(degrees(column, True, "t"), [expected])


def test_a_wrong_unit_in_the_file_can_be_overruled():
    column = Column([0.25], unit="s")
    with pytest.raises(InputError, match=r"t: the unit s .*override_units"):
        convert(column, "Jy", u.mJy, "t")
    assert convert(column, "mJy", u.mJy, "t", "Jy").tolist() == [250]
    assert degrees(Column([1.0], unit="s"), False, "t", override="deg").tolist() == [1]
