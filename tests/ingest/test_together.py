"""A built survey has no galaxy in two splits, whatever its chunks, and however often the build was killed."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from mmae.astro.healpix import sky_cell
from mmae.core.errors import InputError
from mmae.core.tasks import Job
from mmae.ingest import build, together
from mmae.ingest.build import build_survey
from mmae.ingest.chunk import SplitConfig
from mmae.ingest.job import print_summary
from mmae.survey.columns import split_hash
from mmae.survey.schema import SPLITS, Galaxy
from mmae.survey.splits import assign_split, hash_splits, splitting_units
from mmae.survey.store import MANIFEST, open_survey, verify_content
from mmae.survey.truth import read_truth
from tests.ingest.small import ARCSEC, field, galaxy, source
from tests.ingest.test_build import all_rows
from tests.ingest.test_resume import content


def in_turn(jobs: list[Job], work: Callable[[Job], Job], workers: int | None = None) -> Iterator[Job]:
    """Chunks one after the other, in this process."""
    return map(work, jobs)


def doubtful() -> list[Galaxy]:
    """300 galaxies apart, and rows that are some of them again, elsewhere in the list."""
    galaxies = field(300, seed=1)
    for i, g in enumerate(galaxies[:60]):
        g.targetid = 39_000_000_000_000_000 + i
    rng = np.random.default_rng(3)
    again = []
    for i in range(20):  # one target, given another place in a far cell
        again.append(galaxy(400 + i, galaxies[i].ra + 3, 5.0, targetid=galaxies[i].targetid))
    for i in range(60, 110):  # one place, within the radius, often across the edge of a cell
        edge_ra, edge_dec = at_an_edge(galaxies[i].ra, galaxies[i].dec)
        galaxies[i] = replace(galaxies[i], ra=edge_ra, dec=edge_dec)
        again.append(galaxy(400 + i, edge_ra + 0.9 * ARCSEC, edge_dec))
    for i in range(120, 180):  # parent images of six over several cells, some without a place
        galaxies[i].group_id = f"parent-{i // 6}"
        if i % 6 == 5:
            galaxies[i].ra = galaxies[i].dec = None
    again.append(galaxy(600, galaxies[121].ra, galaxies[121].dec, group_id="parent-21"))  # chains two parents
    everything = galaxies + again
    return [everything[i] for i in rng.permutation(len(everything))]


def at_an_edge(ra: float, dec: float) -> tuple[float, float]:
    """The place nearest in right ascension, up to 0.4 arcsec, that has a cell's edge east of it."""
    steps = ra + np.arange(0, 1200, 0.4) * ARCSEC
    cells = sky_cell(steps, np.full(steps.size, dec), 512)
    return float(steps[np.flatnonzero(np.diff(cells))[0]]), dec


@pytest.fixture
def survey(tmp_path):
    return open_survey(build_survey([source(doubtful(), 50, truth=True)], tmp_path / "s", run=in_turn).path)


def together_sets(galaxies: list[Galaxy]) -> list[set[str]]:
    """The sets that the list above makes, by its own construction."""
    name = {g.object_id: g for g in galaxies}
    sets = [{f"g{i:05d}", f"g{400 + i:05d}"} for i in [*range(20), *range(60, 110)]]
    parents: dict[str, set[str]] = {}
    for g in name.values():
        if g.group_id:
            parents.setdefault(g.group_id, set()).add(g.object_id)
    chained = parents.pop("parent-20") | parents.pop("parent-21")
    return [*sets, *parents.values(), chained]


def test_no_galaxy_and_no_group_stands_in_two_splits(survey):
    rows, galaxies = all_rows(survey), doubtful()
    assert rows.keys() == {g.object_id for g in galaxies}
    crossed = 0
    config = SplitConfig()
    cell_split = {}
    for members in together_sets(galaxies):
        assert len({rows[name]["split"] for name in members}) == 1
        crossed += len({sky_cell(rows[n]["ra"], rows[n]["dec"], 512).item() for n in members if rows[n]["ra"]}) > 1
    assert crossed > 60  # else nothing was tested
    # Cells are whole but for the rows that went to their twins.
    in_sets = set().union(*together_sets(galaxies))
    for name, row in rows.items():
        if name not in in_sets:
            cell_split.setdefault(sky_cell(row["ra"], row["dec"], config.nside).item(), set()).add(row["split"])
    assert len(cell_split) > 100 and all(len(found) == 1 for found in cell_split.values())


def test_rows_are_those_that_were_read_and_lie_in_the_folder_of_their_split(survey):
    verify_content(survey)
    by_name = {g.object_id: g for g in doubtful()}
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


def test_manifest_counts_what_the_rows_show(survey):
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
    first = {g.object_id: split_of_its_cell(g) for g in doubtful()}
    found = survey.duplicates
    assert found.moved == sum(first[name] != row["split"] for name, row in rows.items()) > 20
    assert (found.galaxies, found.rows, found.largest) == (71, 142, 13)


def split_of_its_cell(g: Galaxy) -> str:
    (unit,) = splitting_units([g.ra], [g.dec], [g.group_id or g.object_id], 512)
    return assign_split(unit, SplitConfig().fractions, 0)


def test_chunks_do_not_matter(tmp_path, survey):
    for size in (23, 371):
        other = build_survey([source(doubtful(), size, truth=True)], tmp_path / str(size), run=in_turn)
        assert all_rows(other) == all_rows(survey)
        assert other.duplicates == survey.duplicates and split_hash(other) == split_hash(survey)
        assert other.counts == survey.counts
    shuffled = doubtful()
    random.Random(4).shuffle(shuffled)
    other = build_survey([source(shuffled, 50, truth=True)], tmp_path / "shuffled", run=in_turn)
    assert all_rows(other) == all_rows(survey) and split_hash(other) == split_hash(survey)


def test_split_hash_is_of_the_rows(tmp_path, survey):
    rows = pq.read_table([survey.path / s.path for s in survey.shards], columns=["object_id", "split"])
    assert survey.recorded_split_hash == split_hash(survey) == hash_splits(rows["object_id"], rows["split"])
    assert json.loads((survey.path / MANIFEST).read_text())["split_hash"] == split_hash(survey)
    assert split_hash(replace(survey, recorded_split_hash="")) == split_hash(survey)  # an older survey
    other = build_survey([source(doubtful(), 50)], tmp_path / "other", SplitConfig(seed=1), run=in_turn)
    assert split_hash(other) != split_hash(survey) and other.content_hash != survey.content_hash


class Killed(BaseException):
    pass


@pytest.mark.parametrize("when", ["before a report", "after a report", "between shards", "before the truth"])
@pytest.mark.parametrize("nth", [1, 4])
def test_a_build_killed_while_it_moves_rows_ends_as_if_it_was_not(tmp_path, survey, monkeypatch, when, nth):
    calls = Counter()

    def dying(function, before=True):
        def call(*arguments):
            calls[function] += 1
            if before and calls[function] == nth:
                raise Killed
            result = function(*arguments)
            if calls[function] == nth:
                raise Killed
            return result

        return call

    n_chunks = 8
    with monkeypatch.context() as patch:
        if "report" in when:
            nth += n_chunks  # that many reports are saved before anything moves
            patch.setattr(build, "save_report", dying(build.save_report, when.startswith("before")))
        elif when == "between shards":
            patch.setattr(together, "write_rows", dying(together.write_rows, before=False))
        else:
            patch.setattr(together, "_move_truth", dying(together._move_truth))
        with pytest.raises(Killed):
            build_survey([source(doubtful(), 50, truth=True)], tmp_path / "k", run=in_turn)
    unread = replace(source(doubtful(), 50, truth=True), read=lambda chunk: pytest.fail("read again"))
    again = build_survey([unread], tmp_path / "k", run=in_turn)
    assert content(again.path) == content(survey.path)


def test_moving_twice_is_moving_once(tmp_path, survey):
    """As where Ray starts a task again whose node it has lost."""

    def twice(jobs, work, workers):
        for job in jobs:
            work(job)
            yield work(job)

    again = build_survey([source(doubtful(), 50, truth=True)], tmp_path / "t", run=twice)
    assert content(again.path) == content(survey.path)


def test_what_holds_no_duplicates_is_written_once(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "move_rows", lambda *_: pytest.fail("nothing is to be moved"))
    survey = build_survey([source(field(200), 30)], tmp_path / "s", run=in_turn)
    found = survey.duplicates
    assert (found.galaxies, found.rows, found.largest, found.moved) == (0, 0, 1, 0)
    assert not list(survey.path.rglob("*moved*"))


def test_a_chunk_may_lose_all_rows_of_a_split(tmp_path):
    """One row a chunk: every moved row leaves an empty shard behind, which must not stay."""
    survey = open_survey(build_survey([source(doubtful()[:120], 1, truth=True)], tmp_path / "s", run=in_turn).path)
    files = {str(p.relative_to(survey.path)) for p in survey.path.glob("t*/*.parquet")}
    files |= {str(p.relative_to(survey.path)) for p in survey.path.glob("val/*.parquet")}
    assert files == {s.path for s in (*survey.shards, *survey.truth_shards)}
    assert all(s.rows == 1 for s in survey.shards) and len(survey.shards) == 120
    assert sum("-moved" in s.path for s in survey.shards) == survey.duplicates.moved > 3


def test_without_cells_groups_are_divided_and_duplicates_kept_together(tmp_path):
    survey = build_survey([source(doubtful(), 50)], tmp_path / "s", SplitConfig(nside=0), run=in_turn)
    rows = all_rows(survey)
    for members in together_sets(doubtful()):
        assert len({rows[name]["split"] for name in members}) == 1
    cells: dict[int, set[str]] = {}
    for row in rows.values():
        if row["ra"]:
            cells.setdefault(sky_cell(row["ra"], row["dec"], 512).item(), set()).add(row["split"])
    assert sum(len(found) > 1 for found in cells.values()) > 10
    with pytest.raises(InputError, match="split nside"):
        build_survey([source(doubtful(), 50)], tmp_path / "t", SplitConfig(nside=-1), run=in_turn)


def test_summary_tells_shares_duplicates_and_uneven_splits(survey):
    def printed(survey) -> str:
        console = Console(record=True, width=200)
        print_summary(survey, console)
        return console.export_text()

    text = printed(survey)
    psf = {split: survey.counts[split]["psf"] / survey.counts[split]["morphtypes"] for split in SPLITS}
    assert f"train {psf['train']:.1%} ± " in text and f"test {psf['test']:.1%} ± " in text and "z > 1.5" in text
    assert "duplicates    71 galaxies in 142 rows" in text and f"{survey.duplicates.moved} rows moved" in text
    assert "warning" not in text
    lopsided = {s: dict(c) for s, c in survey.counts.items()}
    lopsided["test"]["psf"] = lopsided["test"]["morphtypes"]
    assert "warning: the share of PSF in the test split is +" in printed(replace(survey, counts=lopsided))


def test_through_ray(tmp_path, ray_cluster, survey, monkeypatch):
    """The bytes are those of the build in one process, for any number of workers."""
    monkeypatch.undo()
    for workers in (1, 2):
        other = build_survey([source(doubtful(), 50, truth=True)], tmp_path / str(workers), workers=workers)
        assert content(other.path) == content(survey.path)
