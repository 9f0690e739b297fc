"""Predictions files: detection of columns, rows left out, invalid files."""

from __future__ import annotations

import bz2
import gzip

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from astropy.table import Table

from mmae.core.errors import InputError
from mmae.evaluation.photoz.predictions_file import PREDICTION_NAMES, TRUTH_NAMES, read_predictions
from mmae.evaluation.photoz.section import file_section
from mmae.report.contents import numbers


def csv(tmp_path, text: str, name: str = "p.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


def parquet(tmp_path, name: str = "p.parquet", **columns):
    path = tmp_path / name
    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize("truth", TRUTH_NAMES)
def test_truth_column_is_detected_by_name(tmp_path, truth):
    file = read_predictions(csv(tmp_path, f"{truth.upper()},y_pred\n0.5,0.6\n"))
    assert file.truth == truth.upper() and file.redshift_N.tolist() == [0.5]


@pytest.mark.parametrize("name", PREDICTION_NAMES)
def test_prediction_column_is_detected_by_name(tmp_path, name):
    file = read_predictions(parquet(tmp_path, y_test=[0.5, 1.0], **{name: [0.25, 0.75]}))
    assert {k: v.tolist() for k, v in file.predictions.items()} == {name: [0.25, 0.75]}


def test_csv_and_parquet_give_bit_identical_values(tmp_path):
    rng = np.random.default_rng(0)
    table = pa.table({"y_test": rng.uniform(0, 4, 500), "y_pred": rng.uniform(0, 4, 500)})
    pq.write_table(table, tmp_path / "a")
    pa.csv.write_csv(table, tmp_path / "b")
    for name in "ab":  # the format is detected from the content
        file = read_predictions(tmp_path / name)
        np.testing.assert_array_equal(file.redshift_N, table["y_test"].to_numpy())
        np.testing.assert_array_equal(file.predictions["y_pred"], table["y_pred"].to_numpy())


def test_predictions_of_this_project_have_three_modes_and_no_percentiles(tmp_path):
    path = parquet(
        tmp_path,
        object_id=["1", "2"],
        redshift=[0.1, 0.2],
        z_image=[0.1, 0.3],
        z_image_low=[0.0, 0.2],
        z_image_high=[0.2, 0.4],
        z_spectrum=[None, 0.2],
        z_both=[None, 0.25],
    )
    file = read_predictions(path)
    assert list(file.predictions) == ["z_image", "z_spectrum", "z_both"]
    np.testing.assert_array_equal(file.predictions["z_spectrum"], [np.nan, 0.2])
    assert file.left_out == 0 and file.truth == "redshift"


def test_missing_values_are_nan_and_failed_predictions_infinite(tmp_path):
    expected = [0.5, np.nan, np.inf, np.inf, np.inf]
    text = "z_true,z_pred\n1,0.5\n1,\n1,nan\n1,inf\n1,-inf\n"
    np.testing.assert_array_equal(read_predictions(csv(tmp_path, text)).predictions["z_pred"], expected)
    path = parquet(tmp_path, z_true=[1.0] * 5, z_pred=pa.array([0.5, None, np.nan, np.inf, -np.inf]))
    np.testing.assert_array_equal(read_predictions(path).predictions["z_pred"], expected)


def test_rows_without_a_true_redshift_are_left_out_and_counted(tmp_path):
    text = "z_true,z_pred\n0.5,0.6\n,0.7\nnan,0.8\nNA,0.85\n-2,0.9\ninf,1\n0.75,0.5\n"
    file = read_predictions(csv(tmp_path, text))
    assert file.left_out == 5
    assert file.redshift_N.tolist() == [0.5, 0.75] and file.predictions["z_pred"].tolist() == [0.6, 0.5]


def test_given_column_names_replace_the_detection(tmp_path):
    path = parquet(tmp_path, best=[0.1], truth=[0.2], other=[0.3], z_pred=[0.4], z_true=[0.5])
    file = read_predictions(path, truth="truth", predicted=["other", "best", "other"])
    assert file.redshift_N.tolist() == [0.2]
    assert {k: v.tolist() for k, v in file.predictions.items()} == {"other": [0.3], "best": [0.1]}


def test_blanks_in_a_header_and_integers_are_read(tmp_path):
    file = read_predictions(csv(tmp_path, "id, y_test , y_pred\na, 1, 2\n"))
    assert file.redshift_N.tolist() == [1.0] and file.predictions["y_pred"].tolist() == [2.0]
    file = read_predictions(parquet(tmp_path, y_test=pa.array([1], pa.int32()), y_pred=pa.array([1.5], pa.float16())))
    assert file.redshift_N.tolist() == [1.0] and file.predictions["y_pred"].tolist() == [1.5]


def test_empty_prediction_column_is_skipped_unless_given_by_name(tmp_path):
    path = parquet(tmp_path, redshift=[0.1], z_image=[0.2], z_spectrum=pa.array([None], pa.float64()))
    assert list(read_predictions(path).predictions) == ["z_image"]
    with pytest.raises(InputError, match="'z_spectrum'"):
        read_predictions(path, predicted=["z_image", "z_spectrum"])


@pytest.mark.parametrize(
    ("text", "options", "named"),
    [
        ("z_true,object_id\n1,2\n", {}, "z_true, object_id"),
        ("z_pred,object_id\n1,2\n", {}, "z_pred, object_id"),
        ("z_true,z_spec,z_pred\n1,1,1\n", {}, "z_true, z_spec"),
        ("z_true,z_pred\n1,1\n", {"truth": "zz"}, "'zz'.*z_true, z_pred"),
        ("z_true,z_pred\n1,1\n", {"predicted": ["zz"]}, "'zz'"),
        ("z_true,z_pred\n1,1\n", {"predicted": ["z_true"]}, "'z_true'"),
        ("z_true,z_pred,z_pred\n1,1,2\n", {}, "'z_pred'"),
        ("z_true,z_pred\n1,1\n1,high\n", {}, "'z_pred'.*row 1.*'high'"),
        ("z_true,z_pred\n1,1\n1,2,3\n", {}, "2 columns"),
        ("z_true,z_pred\nnan,1\n1,nan\n", {}, "'z_true'.*'z_pred'"),
        ("z_true,z_pred\n", {}, "no rows"),
        ("", {}, "p.csv"),
    ],
)
def test_invalid_files_are_refused(tmp_path, text, options, named):
    path = csv(tmp_path, text)
    with pytest.raises(InputError, match=named) as raised:
        read_predictions(path, **options)
    assert str(path) in str(raised.value)


def test_text_columns_and_unreadable_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="'z_pred'.*row 0.*'one'"):
        read_predictions(parquet(tmp_path, z_true=[1.0], z_pred=["one"]))
    (tmp_path / "broken").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(InputError, match="broken"):
        read_predictions(tmp_path / "broken")
    with pytest.raises(InputError, match="none.csv"):
        read_predictions(tmp_path / "none.csv")
    with pytest.raises(InputError, match=tmp_path.name):
        read_predictions(tmp_path)
    (tmp_path / "latin").write_bytes(b"z_true,z_pred,\xe9\n1,1,1\n")
    assert read_predictions(tmp_path / "latin").redshift_N.tolist() == [1.0]


@pytest.mark.parametrize("sentinel", ["-99", "-99.0000", "-99.9", "-999", "-9999.0", "-1", "99", "999.0", "nan"])
def test_sentinels_are_failed_predictions_and_no_true_redshifts(tmp_path, sentinel):
    text = f"z_spec,z_phot\n0.5,0.6\n0.7,{sentinel}\n{sentinel},0.8\n0.9,\n0.2,null\n"
    for separator in ",;":
        file = read_predictions(csv(tmp_path, text.replace(",", separator)))
        np.testing.assert_array_equal(file.predictions["z_phot"], [0.6, np.inf, np.nan, np.nan])
        assert file.redshift_N.tolist() == [0.5, 0.7, 0.9, 0.2] and file.left_out == 1


def test_sentinels_of_a_fits_table(tmp_path):
    Table({"z_spec": [0.5, -99.0, 0.7], "z_phot": np.array([0.6, 0.7, -99.0], np.float32)}).write(tmp_path / "p.fits")
    file = read_predictions(tmp_path / "p.fits")
    assert file.redshift_N.tolist() == [0.5, 0.7] and file.left_out == 1
    np.testing.assert_allclose(file.predictions["z_phot"], [0.6, np.inf], rtol=1e-6)


@pytest.mark.parametrize(
    "text",
    [
        "# z_spec z_phot\n0.5 0.6\n1.0 0.9\n",
        "# made by EAZY\nz_spec,z_phot\n0.5,0.6\n1.0,0.9\n",
        "# z_spec,z_phot\n0.5,0.6\n1.0,0.9\n",
        "z_spec;z_phot\n0,5;0,6\n1;0,9\n",
        "\ufeffz_spec\tz_phot\n0.5\t0.6\n1.0\t0.9\n",
        "#  1 Z_SPEC\n#  2 Z_PHOT\n 0.5 0.6\n 1.0 0.9\n",
    ],
)
def test_predictions_in_any_form_of_text(tmp_path, text):
    file = read_predictions(csv(tmp_path, text, "eazy.zout"))
    assert file.redshift_N.tolist() == [0.5, 1.0] and list(file.predictions.values())[0].tolist() == [0.6, 0.9]


ROWS = "z_spec,z_phot\n0.5,0.6\n1.0,0.9\n0.7,-99\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.csv.gz", gzip.compress(ROWS.encode(), mtime=0)),
        ("p.txt.bz2", bz2.compress(ROWS.encode())),
        ("p.csv", b"\xef\xbb\xbf" + ROWS.replace("\n", "\r\n").encode()),
        ("p.txt", ROWS.replace(",", " | ").encode()),
        (
            "p.ecsv",
            (
                "# %ECSV 1.0\n# ---\n# datatype:\n# - {name: z_spec, datatype: float64}\n"
                "# - {name: z_phot, datatype: float64}\n" + ROWS.replace(",", " ")
            ).encode(),
        ),
    ],
)
def test_compressed_and_described_text(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    file = read_predictions(tmp_path / name)
    assert file.redshift_N.tolist() == [0.5, 1.0, 0.7] and file.left_out == 0
    np.testing.assert_array_equal(file.predictions["z_phot"], [0.6, 0.9, np.inf])


def test_compressed_fits(tmp_path):
    Table({"ZSPEC": [0.5, -99.0], "Z_B": np.ma.array([0.6, 0.7], mask=[False, True])}).write(tmp_path / "p.fits.gz")
    file = read_predictions(tmp_path / "p.fits.gz")
    assert file.redshift_N.tolist() == [0.5] and file.left_out == 1 and list(file.predictions) == ["Z_B"]


def test_failed_predictions_are_counted_and_rows_without_a_value_are_not(tmp_path):
    file = read_predictions(csv(tmp_path, "z_spec,z_phot\n" + "0.5,0.5\n" * 40 + "0.5,-99\n0.5,\n-99,0.5\n"))
    section = file_section(file, seed=0, resamples=10)
    found = numbers([section])
    assert (found["redshift/all_z/not_finite/z_phot"], found["redshift/all_z/galaxies/z_phot"]) == (1, 41)
    (paper,) = (table for table in section.tables if table.name == "paper")
    assert "1 rows without a finite true redshift" in paper.note and "1 rows have no value" in paper.note


@pytest.mark.parametrize("truth", ["z", "ztrue", "ZSPEC", "z-spec", "specz", "SpecZ_redshift", "z_best"])
@pytest.mark.parametrize("predicted", ["zpred", "Z_B", "Z_ML", "z_a", "zphot", "photoz_best", "z_mode", "Photo-Z"])
def test_usual_names(tmp_path, truth, predicted):
    file = read_predictions(csv(tmp_path, f"{truth},{predicted}\n0.5,0.6\n"))
    assert file.truth == truth and list(file.predictions) == [predicted]


def test_two_candidates_are_named_with_the_option(tmp_path):
    path = csv(tmp_path, "ZSPEC,Z_BEST,z_phot\n0.5,0.6,0.7\n")
    with pytest.raises(InputError, match="ZSPEC, Z_BEST.*--truth-column"):
        read_predictions(path)
    assert read_predictions(path, truth="ZSPEC").redshift_N.tolist() == [0.5]
    with pytest.raises(InputError, match="--predicted-column"):
        read_predictions(csv(tmp_path, "z_spec,mine\n0.5,0.6\n"))
