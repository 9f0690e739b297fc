"""Surveys and options that a prediction job refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmae.core.errors import InputError
from tests.catalogue.small import SPEC, galaxy, options, pieces_in_turn, predict_here, write_small_bundle, write_survey


@pytest.fixture(scope="module")
def survey(tmp_path_factory) -> Path:
    return write_survey(tmp_path_factory.mktemp("survey") / "s", [galaxy(i) for i in range(60)])


def test_no_usable_galaxy(bundle, tmp_path):
    survey = write_survey(tmp_path / "s", [galaxy(i, ra=None) for i in range(3)])
    with pytest.raises(InputError, match="no galaxy can be predicted"):
        predict_here(options(bundle, survey, tmp_path / "c"))


def changed(table: pa.Table, change: str) -> pa.Table:
    if change == "no metadata":
        return table.replace_schema_metadata(None)
    return table.drop_columns(["ra"])


@pytest.mark.parametrize(
    ("change", "message"), [("no metadata", "no survey metadata"), ("no position", "no column ra")]
)
def test_files_without_metadata_or_position_are_refused(bundle, survey, tmp_path, change, message):
    table = pq.read_table(survey / "test" / "000000.parquet", partitioning=None)
    pq.write_table(changed(table, change), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=message):
        predict_here(options(bundle, tmp_path / "a.parquet", tmp_path / "c"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bands": ("r", "g")}, "bands is"),
        ({"pixel_scale": 0.2}, "pixel_scale is 0.2"),
        ({"zero_point": 22.5}, "zero_point is 22.5"),
        ({"wavelength_start": 3600.0}, "wavelength_start is 3600"),
    ],
)
def test_another_grid_than_that_of_the_model_is_refused(survey, tmp_path, changes, message):
    bundle = write_small_bundle(tmp_path / "b", replace(SPEC, **{**changes}))
    with pytest.raises(InputError, match="does not fit the model") as error:
        predict_here(options(bundle, survey, tmp_path / "c"))
    name = message.split()[0]
    assert name in str(error.value) and str(error.value).count(", expected ") == 1
    if name == "wavelength_start":  # of no matter for images
        predict_here(options(bundle, survey, tmp_path / "c", use=("image",)))


def test_modalities_that_the_model_does_not_read_are_refused(bundle, survey, tmp_path):
    with pytest.raises(InputError, match="--use magnitudes: the model reads image, spectrum only"):
        predict_here(options(bundle, survey, tmp_path / "c", use=("magnitudes",)))


def test_a_file_that_changes_in_between_is_noticed(bundle, tmp_path):
    survey = write_survey(tmp_path / "s", [galaxy(i) for i in range(60)])
    config = options(bundle, survey, tmp_path / "c")
    shard = survey / "test" / "000002.parquet"

    def damaging(jobs, make):
        data = bytearray(shard.read_bytes())
        data[len(data) // 2] ^= 1
        shard.write_bytes(data)
        return pieces_in_turn(jobs, make)

    with pytest.raises(InputError, match=r"000002\.parquet: cannot be read"):
        predict_here(config, damaging)
