"""Files of anyone's predictions: which columns count, what is left out, and what is refused."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from mmae.core.errors import InputError
from mmae.evaluation.photoz.predictions_file import PREDICTION_NAMES, TRUTH_NAMES, read_predictions


def csv(tmp_path, text: str, name: str = "p.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


def parquet(tmp_path, name: str = "p.parquet", **columns):
    path = tmp_path / name
    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize("truth", TRUTH_NAMES)
def test_each_name_of_the_truth_is_known(tmp_path, truth):
    file = read_predictions(csv(tmp_path, f"{truth.upper()},y_pred\n0.5,0.6\n"))
    assert file.truth == truth.upper() and file.redshift_N.tolist() == [0.5]


@pytest.mark.parametrize("name", PREDICTION_NAMES)
def test_each_name_of_a_prediction_is_known(tmp_path, name):
    file = read_predictions(parquet(tmp_path, y_test=[0.5, 1.0], **{name: [0.25, 0.75]}))
    assert {k: v.tolist() for k, v in file.predictions.items()} == {name: [0.25, 0.75]}


def test_csv_and_parquet_give_the_same_to_the_last_bit(tmp_path):
    rng = np.random.default_rng(0)
    table = pa.table({"y_test": rng.uniform(0, 4, 500), "y_pred": rng.uniform(0, 4, 500)})
    pq.write_table(table, tmp_path / "a")
    pa.csv.write_csv(table, tmp_path / "b")
    for name in "ab":  # the content tells what a file is
        file = read_predictions(tmp_path / name)
        np.testing.assert_array_equal(file.redshift_N, table["y_test"].to_numpy())
        np.testing.assert_array_equal(file.predictions["y_pred"], table["y_pred"].to_numpy())


def test_our_own_predictions_give_three_rows_and_no_percentiles(tmp_path):
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


def test_no_value_and_a_failed_prediction_are_told_apart(tmp_path):
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


def test_named_columns_are_taken_and_no_others(tmp_path):
    path = parquet(tmp_path, best=[0.1], truth=[0.2], other=[0.3], z_pred=[0.4], z_true=[0.5])
    file = read_predictions(path, truth="truth", predicted=["other", "best", "other"])
    assert file.redshift_N.tolist() == [0.2]
    assert {k: v.tolist() for k, v in file.predictions.items()} == {"other": [0.3], "best": [0.1]}


def test_blanks_in_a_header_and_whole_numbers_do_no_harm(tmp_path):
    file = read_predictions(csv(tmp_path, "id, y_test , y_pred\na, 1, 2\n"))
    assert file.redshift_N.tolist() == [1.0] and file.predictions[" y_pred"].tolist() == [2.0]
    file = read_predictions(parquet(tmp_path, y_test=pa.array([1], pa.int32()), y_pred=pa.array([1.5], pa.float16())))
    assert file.redshift_N.tolist() == [1.0] and file.predictions["y_pred"].tolist() == [1.5]


def test_a_column_without_any_value_is_skipped_while_another_has_some(tmp_path):
    path = parquet(tmp_path, redshift=[0.1], z_image=[0.2], z_spectrum=pa.array([None], pa.float64()))
    assert list(read_predictions(path).predictions) == ["z_image"]
    with pytest.raises(InputError, match="'z_spectrum'"):
        read_predictions(path, predicted=["z_image", "z_spectrum"])


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("z_true,object_id\n1,2\n", {}, "no predicted redshift. The file has the columns z_true, object_id"),
        ("z_pred,object_id\n1,2\n", {}, "no true redshift. The file has the columns z_pred, object_id"),
        ("z_true,z_spec,z_pred\n1,1,1\n", {}, "several columns could be the true redshift: z_true, z_spec"),
        ("z_true,z_pred\n1,1\n", {"truth": "zz"}, "no column 'zz'. The file has the columns z_true, z_pred"),
        ("z_true,z_pred\n1,1\n", {"predicted": ["zz"]}, "no column 'zz'"),
        ("z_true,z_pred\n1,1\n", {"predicted": ["z_true"]}, "as the truth and as a prediction"),
        ("z_true,z_pred,z_pred\n1,1,2\n", {}, "two columns are called 'z_pred'"),
        ("z_true,z_pred\n1,1\n1,high\n", {}, "Row #3.*'high'"),
        ("z_true,z_pred\n1,1\n1,2,3\n", {}, "Expected 2 columns"),
        ("z_true,z_pred\nnan,1\n1,nan\n", {}, "no row has a finite redshift both in 'z_true' and in 'z_pred'"),
        ("z_true,z_pred\n", {}, "no row has a finite redshift"),
        ("", {}, "neither Parquet nor CSV"),
    ],
)
def test_what_cannot_be_scored_is_refused_with_its_reason(tmp_path, text, options, message):
    path = csv(tmp_path, text)
    with pytest.raises(InputError, match=message) as raised:
        read_predictions(path, **options)
    assert str(path) in str(raised.value)


def test_text_and_broken_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="'z_pred' holds string"):
        read_predictions(parquet(tmp_path, z_true=[1.0], z_pred=["1.0"]))
    (tmp_path / "broken").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(InputError, match="neither Parquet nor CSV"):
        read_predictions(tmp_path / "broken")
    with pytest.raises(InputError, match="no such file"):
        read_predictions(tmp_path / "none.csv")
    with pytest.raises(InputError, match="no such file"):
        read_predictions(tmp_path)
    (tmp_path / "latin").write_bytes(b"z_true,z_pred,\xe9\n1,1,1\n")
    with pytest.raises(InputError, match="neither Parquet nor CSV"):
        read_predictions(tmp_path / "latin")
