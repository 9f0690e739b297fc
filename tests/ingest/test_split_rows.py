"""No galaxy and no group is in two splits, for any division into chunks, also if the build is killed and restarted."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from mmae.astro.healpix import sky_cell
from mmae.core.errors import InputError
from mmae.core.files import LOCK
from mmae.ingest import chunk
from mmae.ingest.build import build_survey
from mmae.ingest.chunk import CHUNKS, ROWS
from mmae.ingest.config import SplitConfig
from mmae.ingest.job import print_summary
from mmae.ingest.resume import JOB
from mmae.survey.columns import split_hash
from mmae.survey.schema import SPLITS, Galaxy, to_table
from mmae.survey.splits import assign_split, hash_splits, splitting_units
from mmae.survey.store import MANIFEST, open_survey, verify_content, write_shard
from mmae.survey.truth import read_truth
from tests.ingest.small import ARCSEC, SPEC, field, galaxy, in_turn, source
from tests.ingest.test_build import all_rows
from tests.ingest.test_resume import content


def galaxies_with_duplicates() -> list[Galaxy]:
    """300 separate galaxies, and further rows of some of them, in random order."""
    galaxies = field(300, seed=1)
    for i, g in enumerate(galaxies[:60]):
        g.targetid = 39_000_000_000_000_000 + i
    rng = np.random.default_rng(3)
    again = []
    for i in range(20):  # the same targetid at 8 arcsec, across the edge of a cell
        edge_ra, edge_dec = at_an_edge(galaxies[i].ra, galaxies[i].dec)
        galaxies[i] = replace(galaxies[i], ra=edge_ra, dec=edge_dec)
        again.append(galaxy(400 + i, edge_ra + 8 * ARCSEC, edge_dec, targetid=galaxies[i].targetid))
    for i in range(60, 110):  # within the radius, across the edge of a cell
        edge_ra, edge_dec = at_an_edge(galaxies[i].ra, galaxies[i].dec)
        galaxies[i] = replace(galaxies[i], ra=edge_ra, dec=edge_dec)
        again.append(galaxy(400 + i, edge_ra + 0.9 * ARCSEC, edge_dec))
    for i in range(120, 180):  # parent images of six galaxies in several cells, some without position
        galaxies[i].group_id = f"parent-{i // 6}"
        if i % 6 == 5:
            galaxies[i].ra = galaxies[i].dec = None
    again.append(galaxy(600, galaxies[121].ra, galaxies[121].dec, group_id="parent-21"))  # links two parents
    everything = galaxies + again
    return [everything[i] for i in rng.permutation(len(everything))]


def at_an_edge(ra: float, dec: float) -> tuple[float, float]:
    """The next position to the east that has the edge of a cell at most 0.4 arcsec east of it."""
    steps = ra + np.arange(0, 1200, 0.4) * ARCSEC
    cells = sky_cell(steps, np.full(steps.size, dec), 512)
    return float(steps[np.flatnonzero(np.diff(cells))[0]]), dec


@pytest.fixture
def survey(tmp_path):
    return open_survey(
        build_survey([source(galaxies_with_duplicates(), 50, truth=True)], tmp_path / "s", run=in_turn).path
    )


def sets_with_one_split(galaxies: list[Galaxy]) -> list[set[str]]:
    """The sets of object_ids that share a split, by construction of the list above."""
    name = {g.object_id: g for g in galaxies}
    sets = [{f"g{i:05d}", f"g{400 + i:05d}"} for i in [*range(20), *range(60, 110)]]
    parents: dict[str, set[str]] = {}
    for g in name.values():
        if g.group_id:
            parents.setdefault(g.group_id, set()).add(g.object_id)
    chained = parents.pop("parent-20") | parents.pop("parent-21")
    return [*sets, *parents.values(), chained]


def test_no_galaxy_and_no_group_is_in_two_splits(survey):
    rows, galaxies = all_rows(survey), galaxies_with_duplicates()
    assert rows.keys() == {g.object_id for g in galaxies}
    crossed = 0
    config = SplitConfig()
    cell_split = {}
    for members in sets_with_one_split(galaxies):
        assert len({rows[name]["split"] for name in members}) == 1
        crossed += len({sky_cell(rows[n]["ra"], rows[n]["dec"], 512).item() for n in members if rows[n]["ra"]}) > 1
    assert crossed > 60  # sets that cross cells
    # All other rows of a cell share a split.
    in_sets = set().union(*sets_with_one_split(galaxies))
    for name, row in rows.items():
        if name not in in_sets:
            cell_split.setdefault(sky_cell(row["ra"], row["dec"], config.nside).item(), set()).add(row["split"])
    assert len(cell_split) > 100 and all(len(found) == 1 for found in cell_split.values())


def test_rows_are_unchanged_and_in_the_folder_of_their_split(survey):
    verify_content(survey)
    by_name = {g.object_id: g for g in galaxies_with_duplicates()}
    n_rows = 0
    for shard in survey.shards:
        for row in pq.read_table(survey.path / shard.path).to_pylist():
            n_rows += 1
            was = by_name[row["object_id"]]
            assert row["split"] == shard.split == shard.path.split("/")[0]
            assert (row["ra"], row["dec"], row["targetid"]) == (was.ra, was.dec, was.targetid)
            assert np.array_equal(np.frombuffer(row["flux"], "f4"), was.flux_L)
            assert (row["image"] is None) == (was.image_CHW is None)
    assert n_rows == len(by_name) == 371
    truth = read_truth(survey).to_pylist()
    rows = all_rows(survey)
    assert [t["split"] for t in truth] == [rows[t["object_id"]]["split"] for t in truth]
    assert {t["object_id"]: t["mass"] for t in truth} == {n: float(n[1:]) for n in by_name}


def test_counts_of_the_manifest_are_those_of_the_rows(survey):
    rows = all_rows(survey)
    for split in SPLITS:
        mine = [row for row in rows.values() if row["split"] == split]
        counts = survey.counts[split]
        assert counts["galaxies"] == len(mine) > 10
        assert counts["images"] == sum(row["image"] is not None for row in mine)
        assert counts["paired"] == sum(row["image"] is not None and row["flux"] is not None for row in mine)
        assert counts["morphtypes"] == sum(row["morphtype"] is not None for row in mine)
        assert counts["psf"] == sum(row["morphtype"] == "PSF" for row in mine)
        assert counts["high_redshifts"] == sum(row["redshift"] > 1.5 for row in mine)
        assert counts["redshift_max"] == max(row["redshift"] for row in mine)
    first = {g.object_id: split_of_cell(g) for g in galaxies_with_duplicates()}
    found = survey.duplicates
    assert found.moved == sum(first[name] != row["split"] for name, row in rows.items()) > 20
    assert (found.galaxies, found.rows, found.largest) == (71, 142, 13)


def split_of_cell(g: Galaxy) -> str:
    (unit,) = splitting_units([g.ra], [g.dec], [g.group_id or g.object_id], 512)
    return assign_split(unit, SplitConfig().fractions, 0)


def test_splits_do_not_depend_on_chunks_or_order(tmp_path, survey):
    for size in (23, 371):
        other = build_survey([source(galaxies_with_duplicates(), size, truth=True)], tmp_path / str(size), run=in_turn)
        assert all_rows(other) == all_rows(survey)
        assert other.duplicates == survey.duplicates and split_hash(other) == split_hash(survey)
        assert other.counts == survey.counts
    shuffled = galaxies_with_duplicates()
    random.Random(4).shuffle(shuffled)
    other = build_survey([source(shuffled, 50, truth=True)], tmp_path / "shuffled", run=in_turn)
    assert all_rows(other) == all_rows(survey) and split_hash(other) == split_hash(survey)


def test_split_hash_is_that_of_the_rows(tmp_path, survey):
    rows = pq.read_table([survey.path / s.path for s in survey.shards], columns=["object_id", "split"])
    assert survey.recorded_split_hash == split_hash(survey) == hash_splits(rows["object_id"], rows["split"])
    assert json.loads((survey.path / MANIFEST).read_text())["split_hash"] == split_hash(survey)
    assert split_hash(replace(survey, recorded_split_hash="")) == split_hash(survey)  # a survey without a recorded hash
    other = build_survey([source(galaxies_with_duplicates(), 50)], tmp_path / "other", SplitConfig(seed=1), run=in_turn)
    assert split_hash(other) != split_hash(survey) and other.content_hash != survey.content_hash


class Killed(BaseException):
    pass


def kill_at(monkeypatch, n: int, before: bool) -> None:
    """Raise Killed before or after the n-th rename or removal of a file."""
    operations = count()

    def dying(operation):
        def call(*arguments, **options):
            now = next(operations) == n
            if now and before:
                raise Killed
            result = operation(*arguments, **options)
            if now:
                raise Killed
            return result

        return call

    for name in ("rename", "unlink"):
        monkeypatch.setattr(Path, name, dying(getattr(Path, name)))


def few_duplicates() -> list[Galaxy]:
    """40 rows; three pairs of them have one parent image and cells of different splits."""
    galaxies = field(40, seed=1)
    apart = sorted(galaxies, key=lambda g: ("train", "val", "test").index(split_of_cell(g)))
    for number, (one, other) in enumerate(zip(apart[:3], apart[-3:], strict=True)):
        one.group_id = other.group_id = f"parent-{number}"
    return sorted(galaxies, key=lambda g: g.object_id[::-1])


@pytest.mark.parametrize("before", [True, False])
def test_a_build_killed_at_any_file_operation_gives_the_same_survey(tmp_path, monkeypatch, before):
    small = source(few_duplicates(), 15, truth=True)
    whole = build_survey([small], tmp_path / "whole", run=in_turn)
    assert whole.duplicates.moved == 3
    expected = content(whole.path)
    for n in count():
        out = tmp_path / str(n)
        with monkeypatch.context() as patch:
            kill_at(patch, n, before)
            try:
                build_survey([small], out, run=in_turn)
                break  # fewer operations than n
            except Killed:
                pass
        if (out / MANIFEST).exists():  # only files of the build were left to remove
            open_survey(out)
            extra = {name for name in content(out).keys() - expected.keys() if name.split("/")[0] not in (CHUNKS, ROWS)}
            assert extra <= {JOB, LOCK}
            continue
        again = build_survey([small], out, run=in_turn)
        assert content(again.path) == expected
    assert n > 3 * 10  # per chunk: 4 intermediate files or more, 2 reports, truth; 3 removed


@pytest.mark.parametrize("n_divided", [0, 4, 8])
def test_chunks_are_read_once_when_the_build_is_killed_while_it_divides(tmp_path, survey, n_divided):
    def killed(jobs, work, workers):
        for i, job in enumerate(jobs):
            if "splits" in job and i == n_divided:
                raise Killed
            yield work(job)
        if "splits" in jobs[0]:
            raise Killed

    whole = source(galaxies_with_duplicates(), 50, truth=True)
    with pytest.raises(Killed):
        build_survey([whole], tmp_path / "k", run=killed)
    unread = replace(whole, read=lambda chunk: pytest.fail("chunk read again"))
    again = build_survey([unread], tmp_path / "k", run=in_turn)
    assert content(again.path) == content(survey.path)


def test_only_chunks_with_rows_in_another_split_are_written_again(tmp_path, monkeypatch):
    def written_shards(galaxies: list[Galaxy], out: Path) -> list[str]:
        paths = []
        write = chunk.write_shard
        with monkeypatch.context() as patch:
            patch.setattr(chunk, "write_shard", lambda table, path: paths.append(path.parts[-2]) or write(table, path))
            build_survey([source(galaxies, 15)], out, run=in_turn)
        return [name for name in paths if name in SPLITS]

    assert written_shards(field(40, seed=1), tmp_path / "few") == []
    assert written_shards(few_duplicates(), tmp_path / "moved")


def test_repeated_tasks_give_the_same_survey(tmp_path, survey):
    """Ray repeats a task that ran on a lost node."""

    def twice(jobs, work, workers):
        for job in jobs:
            work(job)
            yield work(job)

    again = build_survey([source(galaxies_with_duplicates(), 50, truth=True)], tmp_path / "t", run=twice)
    assert content(again.path) == content(survey.path)


def test_input_that_changes_during_the_build_is_an_error(tmp_path):
    """A chunk is lost and read again without groups, so that a divided chunk would need another split."""
    galaxies = few_duplicates()
    small, folder = source(galaxies, 15), tmp_path / "s.unfinished"

    def killed(jobs, work, workers):
        yield from map(work, jobs)
        if "splits" in jobs[0]:
            raise Killed

    with pytest.raises(Killed):
        build_survey([small], tmp_path / "s", run=killed)
    (folder / CHUNKS / "000000.json").unlink()
    for g in galaxies[:15]:
        g.group_id = None
    with pytest.raises(InputError, match=f"{folder.name}: .* chunk [12] "):
        build_survey([small], tmp_path / "s", run=in_turn)


def test_survey_without_duplicates(tmp_path):
    survey = build_survey([source(field(200), 30)], tmp_path / "s", run=in_turn)
    found = survey.duplicates
    assert (found.galaxies, found.rows, found.largest, found.moved) == (0, 0, 1, 0)
    assert {row["object_id"]: row["split"] for row in all_rows(survey).values()} == {
        g.object_id: split_of_cell(g) for g in field(200)
    }


def test_bytes_of_shards_are_those_of_a_table_in_memory(tmp_path):
    """The way through an intermediate file leaves no trace, so content hashes are comparable between versions."""
    galaxies = field(40)
    survey = build_survey([source(galaxies, 40)], tmp_path / "s", run=in_turn)
    for shard in survey.shards:
        rows = [replace(g) for g in galaxies if split_of_cell(g) == shard.split]
        assert write_shard(to_table(rows, [shard.split] * len(rows), SPEC), tmp_path / "t.parquet") == shard.blake2b


def test_chunks_of_one_row(tmp_path):
    """Every chunk has rows of one split only; no empty shard is written."""
    galaxies = galaxies_with_duplicates()[:120]
    survey = open_survey(build_survey([source(galaxies, 1, truth=True)], tmp_path / "s", run=in_turn).path)
    files = {str(p.relative_to(survey.path)) for p in survey.path.rglob("*/*.parquet")}
    assert files == {s.path for s in (*survey.shards, *survey.truth_shards)}
    assert all(s.rows == 1 for s in survey.shards) and len(survey.shards) == 120
    assert survey.duplicates.moved > 3


def test_without_cells_groups_are_divided_and_duplicates_share_a_split(tmp_path):
    survey = build_survey([source(galaxies_with_duplicates(), 50)], tmp_path / "s", SplitConfig(nside=0), run=in_turn)
    rows = all_rows(survey)
    for members in sets_with_one_split(galaxies_with_duplicates()):
        assert len({rows[name]["split"] for name in members}) == 1
    cells: dict[int, set[str]] = {}
    for row in rows.values():
        if row["ra"]:
            cells.setdefault(sky_cell(row["ra"], row["dec"], 512).item(), set()).add(row["split"])
    assert sum(len(found) > 1 for found in cells.values()) > 10
    with pytest.raises(InputError, match="nside: -1"):
        build_survey([source(galaxies_with_duplicates(), 50)], tmp_path / "t", SplitConfig(nside=-1), run=in_turn)


def test_summary_shows_shares_duplicates_and_uneven_splits(survey):
    def printed(survey) -> str:
        console = Console(record=True, width=200)
        print_summary(survey, console)
        return console.export_text()

    text = printed(survey)
    psf = {split: survey.counts[split]["psf"] / survey.counts[split]["morphtypes"] for split in SPLITS}
    assert f"train {psf['train']:.1%} ± " in text and f"test {psf['test']:.1%} ± " in text and "z > 1.5" in text
    (duplicates,) = [line for line in text.splitlines() if line.startswith("duplicates")]
    assert [int(word) for word in duplicates.split() if word.isdigit()][:2] == [71, 142]
    assert f" {survey.duplicates.moved} " in duplicates
    assert "warning" not in text
    lopsided = {s: dict(c) for s, c in survey.counts.items()}
    lopsided["test"]["psf"] = lopsided["test"]["morphtypes"]
    warnings = [line for line in printed(replace(survey, counts=lopsided)).splitlines() if "warning" in line]
    assert any("PSF" in line and "test" in line and "+" in line for line in warnings)


@pytest.mark.parametrize(
    ("galaxies", "cause"),
    [
        (field(40, side=0.02), "--split.nside larger than 512"),  # one cell
        ([replace(g, group_id="one") for g in field(60)], "60 rows share one split"),
    ],
)
def test_summary_ends_with_a_warning_of_empty_splits(tmp_path, galaxies, cause):
    survey = build_survey([source(galaxies, 20)], tmp_path / "s", run=in_turn)
    assert sorted(survey.rows_per_split().values())[:2] == [0, 0]
    console = Console(record=True, width=200)
    print_summary(survey, console)
    (warning,) = [line for line in console.export_text().splitlines() if line.startswith("WARNING")]
    assert "Empty: " in warning and "100.0%" in warning and cause in warning


def test_equal_targetids_of_different_places_are_different_groups(tmp_path):
    """Targets of two files that number their objects alike, and one target observed twice."""
    some = field(120, seed=5)
    for i, g in enumerate(some):
        g.targetid, g.group_id = i % 60 + 1, str(i % 60 + 1)
    some.append(galaxy(900, some[7].ra, some[7].dec, targetid=8, group_id="8"))
    survey = build_survey([source(some, 50)], tmp_path / "s", run=in_turn)
    rows = all_rows(survey)
    assert rows["g00007"]["group_id"] == rows["g00900"]["group_id"] == "g00007"
    assert rows["g00067"]["group_id"] == "g00067" and rows["g00000"]["group_id"] == "g00000"
    assert len({row["group_id"] for row in rows.values()}) == 120
    assert (survey.duplicates.galaxies, survey.duplicates.rows, survey.duplicates.largest) == (1, 2, 2)
    # Observed twice and at one place only: the group is the targetid.
    some = [galaxy(n, 150.0, 2.0, targetid=7, group_id="7") for n in (1, 2)]
    alone = build_survey([source([*some, *field(30)[5:]], 7)], tmp_path / "t", run=in_turn)
    assert {all_rows(alone)[name]["group_id"] for name in ("g00001", "g00002")} == {"7"}


def test_repeated_object_ids_are_an_error_that_names_both_rows(tmp_path):
    some = field(30)
    with pytest.raises(InputError, match=r"2 rows .* g00003: row g00003 and row g00003 .*1 ids"):
        build_survey([source([*some, replace(some[3], ra=10.0)], 10)], tmp_path / "s", run=in_turn)
    # A row without group is its own group, also if its id is the group of others.
    some[0].group_id = some[1].group_id = "g00005"
    survey = build_survey([source(some, 10)], tmp_path / "t", run=in_turn)
    assert survey.duplicates.largest == 2


def test_build_with_ray_gives_the_same_bytes(tmp_path, ray_cluster, survey):
    for workers in (1, 2):
        other = build_survey(
            [source(galaxies_with_duplicates(), 50, truth=True)], tmp_path / str(workers), workers=workers
        )
        assert content(other.path) == content(survey.path)
