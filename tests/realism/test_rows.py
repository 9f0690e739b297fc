"""Reading a survey: rows, nulls, samples, truth table."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmae.realism.rows import (
    RowGroup,
    align_truth,
    read_images,
    read_objects,
    read_spectra,
    row_groups,
    sample_images,
    sample_row_groups,
    tensor_rows,
)
from mmae.survey.schema import Galaxy, SurveySpec, to_table
from tests.realism.surveys import make_survey


def test_truth_is_matched_by_object_id(objects):
    # The truth table of the fixture is in random order.
    measured = objects.mag_NC[:, 2] - objects.truth["i_mag"]
    assert np.abs(measured).max() < 0.1
    assert objects.truth["redshift_true"] == pytest.approx(objects.redshift_N, rel=1e-6)
    assert set(objects.class_N) == {"BGS", "LRG", "QSO"}
    assert np.array_equal(objects.is_galaxy_N, objects.class_N != "QSO")
    assert np.isnan(objects.truth["halpha_ew"][~objects.is_galaxy_N]).all()  # null in the file


def test_object_without_truth_row():
    table = pa.table({"object_id": ["b"], "target_class": ["BGS"], "i_mag": [20.0], "catastrophic": [True]})
    truth = align_truth(table, np.array(["a", "b"]))
    assert truth["target_class"].tolist() == ["", "BGS"]
    assert np.isnan(truth["i_mag"][0]) and truth["i_mag"][1] == 20.0 and truth["catastrophic"][1] == 1.0
    assert align_truth(None, np.array(["a"])) is None


def test_without_truth_table_galaxies_are_extended_sources(tmp_path):
    objects = read_objects(make_survey(tmp_path / "bare", 20, truth=False, spectra=False))
    assert objects.truth is None and set(objects.class_N) <= {"PSF", "extended"}
    assert np.array_equal(objects.is_galaxy_N, objects.morphtype_N == "EXP")


def test_row_numbers_of_images_and_spectra(survey, objects):
    # The flux of an image identifies the galaxy.
    for group in row_groups(survey):
        row_N, image_NCHW = read_images(group, survey)
        mag_N = 27 - 2.5 * np.log10(image_NCHW[:, 2].sum(axis=(1, 2)))
        bright = objects.mag_NC[row_N, 2] < 20
        assert np.abs(mag_N - objects.mag_NC[row_N, 2])[bright].max() < 0.1
        row_again, flux_NL, ivar_NL = read_spectra(group)
        assert np.array_equal(row_N, row_again)
        assert flux_NL.shape == ivar_NL.shape == (len(row_N), survey.spec.n_wavelengths)


def test_nulls_are_skipped():
    column = pa.chunked_array(
        [pa.array([b"\0" * 8, None], pa.binary(8)), pa.array([None, np.float32([1, 2]).tobytes()], pa.binary(8))]
    )
    values, present = tensor_rows(column, "float32")
    assert present.tolist() == [0, 3] and values.tolist() == [[0, 0], [1, 2]]


def test_images_with_missing_pixels_are_left_out(tmp_path):
    spec = SurveySpec(image_size=4, n_wavelengths=3)
    images = np.random.default_rng(0).normal(size=(6, *spec.image_shape)).astype(np.float32)
    images[1, 2], images[4, 0, 0, 0] = np.nan, np.nan
    rows = to_table([Galaxy(f"g{i}", image_CHW=image) for i, image in enumerate(images)], ["test"] * 6, spec)
    path = tmp_path / "a.parquet"
    pq.write_table(rows.slice(1), path)
    group = RowGroup(str(path), 0, 10, 5)
    of_spec = SimpleNamespace(spec=spec)
    row_N, image_NCHW = read_images(group, of_spec)
    assert row_N.tolist() == [11, 12, 14]
    np.testing.assert_array_equal(image_NCHW, images[[2, 3, 5]])
    assert read_images(group, of_spec, 2)[0].tolist() == [11, 12, 13, 14]  # the missing corner is cut off


def test_samples_are_limited_and_reproducible(survey):
    row_N, image_NCHW = sample_images(survey, 50, 3, 32)
    assert image_NCHW.shape == (50, 5, 32, 32)
    assert np.array_equal(row_N, sample_images(survey, 50, 3, 32)[0])
    assert sum(group.rows for group in sample_row_groups(survey, 10_000, 0)) == 300  # all
    assert max(len(sample_row_groups(survey, 40, seed)) for seed in range(5)) == 1 < len(row_groups(survey))
