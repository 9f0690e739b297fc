"""What is written for one chunk, and its report."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest

from mmae.core.files import file_hash
from mmae.ingest.build import build_survey
from mmae.ingest.chunk import ChunkReport, read_chunk
from mmae.ingest.config import SplitConfig
from mmae.survey.schema import Galaxy, Rejection
from mmae.survey.source import ChunkRead, Source
from mmae.survey.store import open_survey
from tests.ingest.small import SPEC, field, in_turn, source, write_one_chunk
from tests.survey.test_store import galaxies


def test_a_chunk_gives_a_shard_per_split_and_a_report(tmp_path):
    members = galaxies(40)
    members[3].redshift = -1.0
    members[4].image_CHW[0, 0, 0] = np.inf
    members[5] = Galaxy("nothing")
    for g in members[10:20]:
        g.group_id = "one parent image"
    unreadable = Rejection("40", "by hand, row 40", "row", "unreadable")

    def read(chunk):
        return ChunkRead(members, [f"{chunk['file']}, row {i}" for i in range(40)], [unreadable])

    source = Source("hand", SPEC, {}, [{"file": "by hand"}], read)
    report = write_one_chunk(source, 7, tmp_path, SplitConfig((0.5, 0.3, 0.2), seed=1))

    assert [(r.field, r.where) for r in report.rejections] == [
        ("row", "by hand, row 40"),
        ("redshift", "by hand, row 3"),
        ("image", "by hand, row 4"),
        ("row", "by hand, row 5"),
    ]
    assert sum(c["galaxies"] for c in report.counts.values()) == 39
    assert sum(c["images"] for c in report.counts.values()) == 38
    assert sum(c["spectra"] for c in report.counts.values()) == 39
    assert sum(c["paired"] for c in report.counts.values()) == 38
    assert sum(c["redshifts"] for c in report.counts.values()) == 38

    assert sorted(s.path for s in report.shards) == [f"{s}/000007.parquet" for s in ("test", "train", "val")]
    found, groups = set(), set()
    for shard in report.shards:
        assert shard.blake2b == file_hash(tmp_path / shard.path)
        rows = pq.read_table(tmp_path / shard.path).to_pylist()
        assert len(rows) == shard.rows == report.counts[shard.split]["galaxies"]
        assert {r["split"] for r in rows} == {shard.split}
        assert sorted(report.redshifts[shard.split]) == pytest.approx(
            sorted(r["redshift"] for r in rows if r["redshift"] is not None)
        )
        found |= {r["object_id"] for r in rows}
        groups |= {(r["group_id"], r["split"]) for r in rows if r["group_id"] == "one parent image"}
    assert found == {g.object_id for g in members} - {"nothing"}
    assert len(groups) == 1


def test_report_survives_json(tmp_path):
    small = source(field(10), 10, truth=True)
    report = read_chunk(small, small.chunks[0], 0, tmp_path, SplitConfig())
    assert ChunkReport.from_json(report.to_json()) == report and not report.is_divided
    report = write_one_chunk(small, 0, tmp_path)
    assert ChunkReport.from_json(report.to_json()) == report and report.is_divided


def test_a_chunk_without_usable_galaxies(tmp_path):
    """Counts are zero and no shard is written, next to a chunk that has galaxies."""
    some = [Galaxy("nothing"), *field(5)]
    read = source(some, 1)
    survey = open_survey(build_survey([read], tmp_path / "s", run=in_turn).path)
    assert sum(c["galaxies"] for c in survey.counts.values()) == 5 == len(survey.shards)
    assert not [s for s in survey.shards if "000000" in s.path]
