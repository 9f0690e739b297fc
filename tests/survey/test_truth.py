"""The truth of simulated galaxies: stored beside the survey, checked, and not read in training."""

from __future__ import annotations

import json
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmae.core.errors import InputError
from mmae.ingest.build import build_survey
from mmae.loader.config import StreamConfig
from mmae.loader.stream import read_split
from mmae.survey.schema import SPLITS, SurveySpec
from mmae.survey.source import ChunkRead, Source
from mmae.survey.store import MANIFEST, Shard, content_hash, open_survey, verify_content, write_shard
from mmae.survey.truth import read_truth
from tests.ingest.small import in_turn, write_one_chunk
from tests.ingest.test_build import SPEC, all_rows, memory_source, read_rows

TRUTH_SCHEMA = pa.schema(
    [
        ("object_id", pa.string()),
        ("mass", pa.float64()),
        ("kind", pa.string()),
        ("lines", pa.int64()),
        ("lensed", pa.bool_()),
    ]
)


def truth_row(row: int) -> dict:
    # Rows 25 to 50 are a chunk in which mass is None in all rows; the others have whole numbers.
    return {
        "object_id": f"g{row}",
        "mass": None if 25 <= row < 50 else row,
        "kind": "LRG" if row % 2 else None,
        "lines": row % 7,
        "lensed": row % 3 == 0 if row % 4 else None,
    }


def read_with_truth(chunk) -> ChunkRead:
    """Truth of all galaxies, including those that the builder rejects."""
    part = read_rows(chunk)
    part.truth = [truth_row(row) for row in range(chunk["start"], chunk["stop"])]
    return part


def memory_truth_source(n: int, size: int = 25) -> Source:
    return replace(memory_source(n, size), read=read_with_truth, truth_schema=TRUTH_SCHEMA)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished survey with truth; tests must not change it."""
    return build_survey([memory_truth_source(100)], tmp_path_factory.mktemp("truth") / "s", run=in_turn)


@pytest.fixture
def survey(finished, tmp_path):
    """A copy that tests may change."""
    for path in finished.path.rglob("*"):
        if path.is_file():
            copy = tmp_path / "s" / path.relative_to(finished.path)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    return open_survey(tmp_path / "s")


def one_chunk(tmp_path, truth, schema=TRUTH_SCHEMA):
    """The report of a chunk of ten galaxies with this truth."""
    source = memory_source(10)

    def read(chunk):
        return replace(read_rows(chunk), truth=truth)

    source = replace(source, read=read, truth_schema=schema)
    return write_one_chunk(source, 3, tmp_path)


def test_truth_rows_are_those_of_the_kept_galaxies(finished):
    survey = open_survey(finished.path)
    rows = all_rows(survey)
    table = read_truth(survey)
    assert table.column_names == [*TRUTH_SCHEMA.names, "split"]
    kept = [row for row in range(100) if row % 10 != 4]
    assert table.to_pylist() == [truth_row(row) | {"split": rows[f"g{row}"]["split"]} for row in kept]
    assert {f"g{row}" for row in kept} == rows.keys()
    verify_content(survey)


def test_one_file_per_chunk_and_one_schema(finished):
    files = sorted((finished.path / "truth").iterdir())
    assert [f.name for f in files] == [f"{i:06d}.parquet" for i in range(4)]
    schemas = [pq.read_schema(f) for f in files]
    assert all(schema == TRUTH_SCHEMA.append(pa.field("split", pa.string())) for schema in schemas)
    assert pq.read_table(files[1])["mass"].null_count == len(pq.read_table(files[1])) == 23


def test_selected_columns(finished):
    table = read_truth(finished, ["lines", "object_id"])
    assert table.column_names == ["lines", "object_id"] and len(table) == 90
    with pytest.raises(InputError, match="colour.* object_id, mass"):
        read_truth(finished, ["object_id", "colour"])


def test_survey_without_truth(tmp_path, finished):
    plain = build_survey([memory_source(100)], tmp_path / "s", run=in_turn)
    assert not (plain.path / "truth").exists()
    assert "truth" not in json.loads((plain.path / MANIFEST).read_text())
    with pytest.raises(InputError, match=str(plain.path)):
        read_truth(open_survey(plain.path))
    assert all_rows(plain) == all_rows(finished)
    assert plain.content_hash != finished.content_hash  # truth is content
    assert plain.content_hash == content_hash(SPEC, list(finished.shards))


def test_hash_of_surveys_without_truth_does_not_change():
    shards = [Shard("train/000000.parquet", "train", 5, "ab" * 16), Shard("val/000001.parquet", "val", 3, "cd" * 16)]
    before_truth = "3eee193132ad13576b0b43e8e6dc4769"
    assert content_hash(SurveySpec(), shards) == before_truth


def test_training_does_not_read_truth(survey, ray_cluster):
    for shard in survey.truth_shards:
        (survey.path / shard.path).unlink()
    n_rows = 0
    for split in SPLITS:
        assert not any("truth" in file[len(str(survey.path)) :] for file in survey.files(split))
        data = read_split(survey, split, StreamConfig())
        assert not set(data.columns()) & (set(TRUTH_SCHEMA.names) - {"object_id"})
        n_rows += data.count()
    assert n_rows == 90


def removed(path):
    path.unlink()


def cut(path):
    path.write_bytes(path.read_bytes()[:-60])


def one_row_less(path):
    write_shard(pq.read_table(path).slice(1), path)


@pytest.mark.parametrize(
    ("damage", "named"),
    [(removed, "truth/000001.parquet"), (cut, "truth/000001.parquet"), (one_row_less, "22 rows, .*23 ")],
)
def test_the_error_for_a_damaged_file_names_it(survey, damage, named):
    path = survey.path / survey.truth_shards[1].path
    damage(path)
    with pytest.raises(InputError, match=named) as caught:
        open_survey(survey.path)
    assert str(path) in str(caught.value)


def test_a_flipped_bit_is_found_by_verify_content(survey):
    path = survey.path / survey.truth_shards[2].path
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    open_survey(survey.path)
    with pytest.raises(InputError) as caught:
        verify_content(survey)
    assert str(path) in str(caught.value)


def test_chunk_without_kept_galaxies_writes_no_truth(tmp_path):
    report = one_chunk(tmp_path, [truth_row(4)])  # row 4 is rejected
    assert report.truth == [] and not (tmp_path / "truth").exists()
    report = one_chunk(tmp_path, [truth_row(4), truth_row(7), truth_row(99)])  # there is no galaxy 99
    assert [(s.path, s.rows) for s in report.truth] == [("truth/000003.parquet", 1)]


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        ([truth_row(1), truth_row(2) | {"colour": 1}], r"galaxy g2: .*\[\].*\['colour'\]"),
        ([{"object_id": "g1"}], r"galaxy g1: .*\['kind', 'lensed', 'lines', 'mass'\]"),
        ([{"mass": 1.0}], "galaxy None"),
        ([truth_row(4) | {"colour": 1.0}], "galaxy g4"),  # also if the galaxy is not kept
        ([truth_row(1) | {"lines": 1.5}], "lines .*int64"),
        ([truth_row(1) | {"mass": "heavy"}], "mass .*double"),
        ([truth_row(1) | {"lines": 2**70}], "lines .*int64"),
        ([truth_row(1), truth_row(1)], "galaxy g1: "),
    ],
)
def test_truth_rows_that_contradict_the_schema_are_refused(tmp_path, rows, named):
    with pytest.raises(InputError, match=named) as caught:
        one_chunk(tmp_path, rows)
    assert "source memory" in str(caught.value)


def test_rows_without_a_schema_are_refused(tmp_path):
    with pytest.raises(InputError, match="source memory: .*truth_schema"):
        one_chunk(tmp_path, [truth_row(1)], schema=None)


@pytest.mark.parametrize(
    "schema", [pa.schema([("mass", pa.float64())]), TRUTH_SCHEMA.append(pa.field("split", pa.string()))]
)
def test_truth_schema_must_have_object_id_and_not_split(schema):
    with pytest.raises(InputError, match="source memory: truth_schema"):
        replace(memory_source(10), truth_schema=schema)


def test_sources_with_incompatible_truth_schemas_are_refused(tmp_path):
    schema = TRUTH_SCHEMA.set(1, pa.field("mass", pa.string()))
    other = replace(memory_truth_source(10), name="other", truth_schema=schema)
    with pytest.raises(InputError, match="sources memory, other: .*mass"):
        build_survey([memory_truth_source(10), other], tmp_path / "s")
    assert not list(tmp_path.iterdir())


def test_sources_with_different_truth_columns_or_without_truth(tmp_path):
    def read_later(chunk):  # other galaxies: rows 100 and on
        later = {"start": chunk["start"] + 100, "stop": chunk["stop"] + 100}
        truth = [{"object_id": f"g{row}", "age": 1.5} for row in range(later["start"], later["stop"])]
        return replace(read_rows(later), truth=truth)

    def read_last(chunk):
        return read_rows({"start": chunk["start"] + 200, "stop": chunk["stop"] + 200})

    younger = replace(
        memory_source(20),
        name="younger",
        read=read_later,
        truth_schema=pa.schema([("object_id", pa.string()), ("age", pa.float32())]),
    )
    observed = replace(memory_source(10), name="observed", read=read_last)
    survey = build_survey([memory_truth_source(50), younger, observed], tmp_path / "s", run=in_turn)
    table = {row["object_id"]: row for row in read_truth(open_survey(survey.path)).to_pylist()}
    assert table.keys() == {f"g{r}" for r in [*range(50), *range(100, 120)] if r % 10 != 4}
    assert table["g7"]["mass"] == 7 and table["g7"]["age"] is None
    assert table["g107"]["age"] == 1.5 and table["g107"]["kind"] is None
