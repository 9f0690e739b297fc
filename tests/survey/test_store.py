"""A survey on disk: layout of the shards, and errors that name the damaged file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmae.core.errors import InputError
from mmae.core.files import file_hash
from mmae.survey.schema import Galaxy, SurveySpec, to_table
from mmae.survey.store import (
    MANIFEST,
    Shard,
    Survey,
    content_hash,
    open_survey,
    verify_content,
    write_manifest,
    write_shard,
)

SPEC = SurveySpec(
    bands=("g", "r"),
    image_size=4,
    n_wavelengths=12,
    band_noise=(0.02, 0.03),
    arcsinh_mean=(1.0, 1.5),
    arcsinh_std=(1.8, 1.9),
)
TENSORS = ("image", "flux", "ivar")


def galaxies(n: int, seed: int = 0) -> list[Galaxy]:
    rng = np.random.default_rng(seed)
    return [
        Galaxy(
            f"{seed}-{i}",
            redshift=float(i) / 100,
            image_CHW=rng.normal(1, 1, (2, 4, 4)),
            flux_L=rng.normal(1, 1, 12),
            ivar_L=np.ones(12),
        )
        for i in range(n)
    ]


def table(n: int, split: str, spec: SurveySpec = SPEC) -> pa.Table:
    return to_table(galaxies(n), [split] * n, spec)


@pytest.fixture
def survey(tmp_path) -> Survey:
    """Two shards, five rows to train on and three to validate; no test split."""
    shards = tuple(
        Shard(path, split, n, write_shard(table(n, split), tmp_path / path))
        for path, split, n in (("train/000000.parquet", "train", 5), ("val/000001.parquet", "val", 3))
    )
    survey = Survey(
        tmp_path, SPEC, {"sources": ["by hand"]}, {"train": {"galaxies": 5}}, content_hash(SPEC, list(shards)), shards
    )
    write_manifest(survey)
    return survey


def file(survey: Survey, number: int = 0) -> Path:
    return survey.path / survey.shards[number].path


def test_an_opened_survey_equals_the_written_one(survey):
    assert open_survey(survey.path) == survey
    assert open_survey(str(survey.path), SPEC) == survey
    assert survey.rows_per_split() == {"train": 5, "val": 3, "test": 0}
    assert survey.files("val") == [str(survey.path / "val/000001.parquet")]
    verify_content(survey)


def test_rows_keep_their_order(survey):
    rows = pq.read_table(survey.files("train")[0]).to_pylist()
    assert [r["object_id"] for r in rows] == [f"0-{i}" for i in range(5)]


def test_the_error_for_an_empty_split_names_it(survey):
    with pytest.raises(InputError, match="test split") as caught:
        survey.files("test")
    assert str(survey.path) in str(caught.value) and "'train': 5" in str(caught.value)


def test_a_folder_without_a_survey(tmp_path):
    with pytest.raises(InputError, match=rf"{tmp_path.name}.*{MANIFEST}.*build_survey"):
        open_survey(tmp_path)
    with pytest.raises(InputError, match="absent"):
        open_survey(tmp_path / "absent")


@pytest.mark.parametrize(
    "content",
    [
        b"{ not json",
        b"",
        b"[]",
        b"{}",
        b'"text"',
        b"null",
        pytest.param(b"\xff\xfe\x00garbage", id="binary"),
        pytest.param(None, id="cut"),
    ],
)
def test_the_error_for_a_damaged_manifest_names_it(survey, content):
    manifest = survey.path / MANIFEST
    manifest.write_bytes(manifest.read_bytes()[:-40] if content is None else content)
    with pytest.raises(InputError) as caught:
        open_survey(survey.path)
    assert str(manifest) in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("spec", {"bnads": ["g"]}),
        ("spec", []),
        ("spec", None),
        ("shards", [1]),
        ("shards", [{"path": "x"}]),
        ("shards", None),
    ],
)
def test_the_error_for_an_invalid_manifest_names_it(survey, field, value):
    manifest = survey.path / MANIFEST
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {field: value}))
    with pytest.raises(InputError) as caught:
        open_survey(survey.path)
    assert str(manifest) in str(caught.value)


def remove(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-60])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def one_row_less(path: Path) -> None:
    whole = pq.read_table(path)
    write_shard(whole.slice(0, len(whole) - 1), path)


def other_bands(path: Path) -> None:
    write_shard(table(3, "val", replace(SPEC, bands=("r", "g"))), path)


def other_grid(path: Path) -> None:
    write_shard(table(3, "val", replace(SPEC, wavelength_start=3600.8)), path)


def other_dtype(path: Path) -> None:
    write_shard(table(3, "val", replace(SPEC, image_dtype="float16")), path)


def without_metadata(path: Path) -> None:
    write_shard(pq.read_table(path).replace_schema_metadata(None), path)


def unreadable_metadata(path: Path) -> None:
    write_shard(pq.read_table(path).replace_schema_metadata({b"mmae.survey_spec": b"{ not json"}), path)


def without_a_column(path: Path) -> None:
    write_shard(pq.read_table(path).drop_columns(["ivar"]), path)


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (remove, "val/000001.parquet"),
        (cut, "val/000001.parquet"),
        (emptied, "val/000001.parquet"),
        (one_row_less, "2 rows, .*3 "),
        (other_bands, r"bands .*\('r', 'g'\).*\('g', 'r'\)"),
        (other_grid, "wavelength_start .*3600.8"),
        (other_dtype, "val/000001.parquet"),
        (without_metadata, "metadata"),
        (unreadable_metadata, "metadata"),
        (without_a_column, "val/000001.parquet"),
    ],
)
def test_the_error_for_a_damaged_shard_names_it(survey, damage, named):
    damage(file(survey, 1))
    with pytest.raises(InputError, match=named) as caught:
        open_survey(survey.path)
    assert str(file(survey, 1)) in str(caught.value)


def test_a_survey_with_another_grid_than_expected_is_refused(survey):
    with pytest.raises(InputError, match="n_wavelengths .*12.*13"):
        open_survey(survey.path, replace(SPEC, n_wavelengths=13))


def test_a_flipped_bit_is_found_by_verify_content(survey):
    path = file(survey, 1)
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    open_survey(survey.path)  # the footer is unchanged
    with pytest.raises(InputError) as caught:
        verify_content(survey)
    assert str(path) in str(caught.value)


def test_hash_of_a_shard_is_that_of_its_bytes(tmp_path):
    first = write_shard(table(3, "val"), tmp_path / "a.parquet")
    again = write_shard(table(3, "val"), tmp_path / "deep" / "b.parquet")
    assert first == again == file_hash(tmp_path / "a.parquet")
    assert write_shard(table(4, "val"), tmp_path / "c.parquet") != first


def test_content_hash_depends_on_spec_and_rows_but_not_on_the_order_of_shards(survey):
    shards = list(survey.shards)
    here = content_hash(SPEC, shards)
    assert content_hash(SPEC, shards[::-1]) == here
    assert content_hash(replace(SPEC, zero_point=22.5), shards) != here
    assert content_hash(SPEC, shards[:1]) != here
    assert content_hash(SPEC, [replace(shards[0], blake2b="0" * 32), shards[1]]) != here


def test_shards_have_no_compression_dictionaries_or_tensor_statistics(tmp_path):
    path = tmp_path / "train" / "big.parquet"
    write_shard(table(600, "train"), path)
    assert [f.name for f in path.parent.iterdir()] == ["big.parquet"]  # no partial file is left
    with pq.ParquetFile(path) as parquet:
        groups = [parquet.metadata.row_group(i) for i in range(parquet.metadata.num_row_groups)]
        assert sum(g.num_rows for g in groups) == 600 and max(g.num_rows for g in groups) <= 256
        assert len(groups) == 3
        for group in groups:
            columns = {(c := group.column(i)).path_in_schema: c for i in range(group.num_columns)}
            assert set(TENSORS) <= columns.keys()
            for name, column in columns.items():
                assert column.compression == "UNCOMPRESSED" and not column.has_dictionary_page, name
                assert not any("DICTIONARY" in e for e in column.encodings), name
            for name in TENSORS:
                assert columns[name].physical_type == "FIXED_LEN_BYTE_ARRAY"
                assert not columns[name].is_stats_set, name
            assert columns["redshift"].is_stats_set
    # Raw tensors are 2 x 4 x 4 and 2 x 12 floats; the overhead is small.
    assert path.stat().st_size < 600 * (56 * 4 + 100)
