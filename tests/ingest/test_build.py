"""Surveys built with Ray Data from a source."""

import json
import shutil
import time
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmae.core.errors import InputError
from mmae.ingest.build import build_survey
from mmae.ingest.config import BuildConfig
from mmae.ingest.job import build_job
from mmae.ingest.readers.galaxiesml import galaxiesml_source
from mmae.simulation.config import SimulationConfig
from mmae.simulation.source import simulation_source
from mmae.survey.schema import Galaxy, SurveySpec
from mmae.survey.source import ChunkRead, Source
from mmae.survey.store import MANIFEST, open_survey, verify_content
from tests.ingest.files import write_galaxiesml

SPEC = SurveySpec(image_size=8, n_wavelengths=50)


def make_galaxy(row: int) -> Galaxy:
    rng = np.random.default_rng(row)
    galaxy = Galaxy(
        f"g{row}",
        redshift=row / 100,
        image_CHW=rng.normal(size=SPEC.image_shape).astype(np.float32),
        flux_L=rng.normal(size=50).astype(np.float32),
        ivar_L=np.ones(50, np.float32),
    )
    if row % 10 == 1:
        galaxy.image_CHW = None
    if row % 10 == 2:
        galaxy.flux_L = galaxy.ivar_L = None
    if row % 10 == 3:
        galaxy.image_CHW[0, 0, 0] = np.inf  # its image is rejected
    if row % 10 == 4:
        galaxy.flux_L = galaxy.ivar_L = None
        galaxy.image_CHW[:] = 0  # the row is rejected
    if row % 10 == 5:
        galaxy.redshift = -0.3
    if row % 10 == 6:  # a band and a column were not observed
        galaxy.image_CHW[3] = np.nan
        galaxy.image_CHW[1, :, 5] = np.nan
    return galaxy


def read_rows(chunk) -> ChunkRead:
    rows = range(chunk["start"], chunk["stop"])
    return ChunkRead([make_galaxy(r) for r in rows], [f"memory, row {r}" for r in rows])


def memory_source(n: int, size: int = 25) -> Source:
    chunks = [{"start": s, "stop": min(s + size, n)} for s in range(0, n, size)]
    return Source("memory", SPEC, {"made": "by hand"}, chunks, read_rows)


def all_rows(survey) -> dict[str, dict]:
    tables = [pq.read_table(survey.path / s.path) for s in survey.shards]
    return {row["object_id"]: row for row in pa.concat_tables(tables).to_pylist()}


def test_every_galaxy_is_kept_or_rejected(tmp_path, ray_cluster):
    survey = open_survey(build_survey([memory_source(100)], tmp_path / "s").path)
    verify_content(survey)
    rows = all_rows(survey)
    rejected = pq.read_table(survey.path / "rejected.parquet").to_pylist()
    lost = {r["object_id"] for r in rejected if r["field"] == "row"}
    assert lost == {f"g{r}" for r in range(100) if r % 10 == 4}
    assert rows.keys() | lost == {f"g{r}" for r in range(100)} and not rows.keys() & lost
    assert {r["object_id"] for r in rejected if r["field"] == "redshift"} == {
        f"g{r}" for r in range(100) if r % 10 == 5
    }
    assert all("memory, row" in r["where"] for r in rejected)
    assert rows["g3"]["image"] is None and rows["g3"]["flux"] is not None

    expected = make_galaxy(17)
    assert np.array_equal(np.frombuffer(rows["g17"]["image"], "f4").reshape(SPEC.image_shape), expected.image_CHW)
    assert np.array_equal(np.frombuffer(rows["g17"]["flux"], "f4"), expected.flux_L)

    missing = np.frombuffer(rows["g26"]["image"], "f4").reshape(SPEC.image_shape)
    np.testing.assert_array_equal(missing, make_galaxy(26).image_CHW)
    assert rows["g26"]["masked_fraction"] == 1 and rows["g17"]["masked_fraction"] is None

    expected = {"galaxies": 90, "images": 70, "incomplete_images": 10, "spectra": 80, "redshifts": 80}
    assert {key: sum(counts[key] for counts in survey.counts.values()) for key in expected} == expected
    assert survey.provenance["sources"] == [{"name": "memory", "made": "by hand"}]


def test_rows_do_not_depend_on_the_chunks(tmp_path, ray_cluster):
    coarse = build_survey([memory_source(100, 50)], tmp_path / "a")
    fine = build_survey([memory_source(100, 10)], tmp_path / "b")
    assert all_rows(coarse) == all_rows(fine)
    again = build_survey([memory_source(100, 50)], tmp_path / "c")
    assert again.content_hash == coarse.content_hash != fine.content_hash


def test_bytes_do_not_depend_on_the_number_of_workers(tmp_path, ray_cluster):
    surveys = [build_survey([memory_source(100, 10)], tmp_path / str(n), workers=n) for n in (1, 2, 4)]
    surveys.append(build_survey([memory_source(100, 10)], tmp_path / "all"))
    first = surveys[0]
    for survey in surveys[1:]:
        assert survey.content_hash == first.content_hash
        assert (survey.path / MANIFEST).read_bytes() == (first.path / MANIFEST).read_bytes()
        for shard in first.shards:
            assert (survey.path / shard.path).read_bytes() == (first.path / shard.path).read_bytes()


@pytest.mark.parametrize("workers", [1, 2])
def test_at_most_workers_chunks_run_at_once(tmp_path, ray_cluster, workers):
    busy = tmp_path / "busy"
    busy.mkdir()

    def read(chunk):
        mark = busy / str(chunk["start"])
        mark.touch()
        most, end = 0, time.monotonic() + 1  # time for an additional worker to appear
        while most <= workers and time.monotonic() < end:
            most = max(most, len(list(busy.iterdir())))
            time.sleep(0.01)
        (tmp_path / f"{most} at once").touch()
        mark.unlink()
        return read_rows(chunk)

    build_survey([replace(memory_source(40, 10), read=read)], tmp_path / "s", workers=workers)
    assert max(int(path.name.split()[0]) for path in tmp_path.glob("* at once")) <= workers


def test_zero_workers_is_an_error(tmp_path):
    with pytest.raises(InputError, match="workers is 0"):
        build_survey([memory_source(10)], tmp_path / "s", workers=0)
    assert not list(tmp_path.iterdir())


def test_only_the_files_of_the_survey_remain(tmp_path, ray_cluster):
    survey = build_survey([memory_source(30)], tmp_path / "s")
    assert [path.name for path in tmp_path.iterdir()] == ["s"]
    there = {path.name for path in survey.path.iterdir()}
    assert there == {MANIFEST, "rejected.parquet", "train", "val", "test"}


def test_groups_share_a_split(tmp_path, ray_cluster):
    def read(chunk):
        part = read_rows(chunk)
        for galaxy in part.galaxies:
            galaxy.group_id = f"parent{int(galaxy.object_id[1:]) // 7}"
        return part

    survey = build_survey([replace(memory_source(100), read=read)], tmp_path / "s")
    splits: dict[str, set] = {}
    for row in all_rows(survey).values():
        splits.setdefault(row["group_id"], set()).add(row["split"])
    assert all(len(s) == 1 for s in splits.values())
    assert {s for group in splits.values() for s in group} == {"train", "val", "test"}


def test_wrong_grid_stops_the_build(tmp_path, ray_cluster):
    def read(chunk):
        return ChunkRead([Galaxy("g", image_CHW=np.ones((4, 8, 8), np.float32))], ["file.fits, row 0"])

    with pytest.raises(Exception, match=r"file.fits, row 0: .*\(4, 8, 8\)"):
        build_survey([replace(memory_source(10), read=read)], tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_sources_on_different_grids_are_refused(tmp_path):
    other = replace(memory_source(10), spec=replace(SPEC, bands=("i", "r", "g", "z", "y")))
    with pytest.raises(InputError, match="bands"):
        build_survey([memory_source(10), other], tmp_path / "s")


def test_folder_with_files_is_not_overwritten(tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match=str(tmp_path / "s")):
        build_survey([memory_source(10)], tmp_path / "s")
    assert (tmp_path / "s" / "thesis.tex").read_text() == "years of work"


def test_a_survey_without_usable_galaxies_is_an_error(tmp_path, ray_cluster):
    def read(chunk):
        return ChunkRead([Galaxy("g")], ["row 0"])

    with pytest.raises(InputError, match=str(tmp_path / "s")):
        build_survey([replace(memory_source(10, 10), read=read)], tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_simulated_survey_does_not_depend_on_workers(tmp_path, ray_cluster):
    simulation = SimulationConfig(galaxies=8)
    source = simulation_source(simulation, SurveySpec())
    parallel = build_survey([replace(source, chunks=[{"start": i, "stop": i + 1} for i in range(8)])], tmp_path / "a")
    serial = build_survey([source], tmp_path / "b")
    assert all_rows(parallel) == all_rows(serial)


def test_galaxiesml_file_becomes_a_survey(tmp_path, ray_cluster, capsys):
    file = write_galaxiesml(tmp_path / "gml.hdf5", n=24)
    survey = build_job(BuildConfig(tmp_path / "s", ("galaxiesml",), galaxiesml=file))
    assert sum(survey.rows_per_split().values()) == 24
    assert (survey.path / "contact_sheet.png").stat().st_size > 10_000
    printed = capsys.readouterr().out
    assert "train" in printed and "rejected.parquet" in printed
    manifest = json.loads((survey.path / MANIFEST).read_text())
    assert manifest["spec"]["n_wavelengths"] == 7781
    assert galaxiesml_source(file).spec == survey.spec


def test_source_without_files_is_refused(tmp_path):
    with pytest.raises(InputError, match="--desi PATH"):
        build_job(BuildConfig(tmp_path / "s", ("desi",)))


def test_moved_survey_still_opens(tmp_path, ray_cluster):
    survey = build_survey([memory_source(30)], tmp_path / "s")
    shutil.move(survey.path, tmp_path / "elsewhere")
    there = open_survey(tmp_path / "elsewhere")
    assert all_rows(there).keys() == {f"g{r}" for r in range(30) if r % 10 != 4}
