"""A build that was killed goes on where it was, and nobody can tell from the survey."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from mmae.core.errors import InputError
from mmae.core.files import LOCK, folder_lock, partial_path
from mmae.ingest.build import build_survey
from mmae.ingest.chunk import DEFAULT_SPLIT, SplitConfig, write_chunk
from mmae.ingest.resume import CHUNKS, JOB, describe_build, finished_chunks, save_report
from mmae.survey.store import open_survey, verify_content
from tests.ingest.slow_build import CHUNK_ROWS, ROWS, marked_source, readings
from tests.ingest.test_build import all_rows

ROOT = Path(__file__).parents[2]
N_CHUNKS = ROWS // CHUNK_ROWS
LONG = 300  # seconds after which a process is taken to hang


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def marks(tmp_path) -> Path:
    (tmp_path / "marks").mkdir()
    return tmp_path / "marks"


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, ray_cluster) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    (folder / "marks").mkdir()
    survey = build_survey([marked_source(folder / "marks")], folder / "s")
    assert readings(folder / "marks") == dict.fromkeys(range(N_CHUNKS), 1)
    return survey.path


def leave_unfinished(out: Path, marks: Path, chunks=range(N_CHUNKS), split=DEFAULT_SPLIT) -> Path:
    """What a build leaves that was killed after these chunks; made without Ray."""
    source = marked_source(marks)
    folder = out.with_name(out.name + ".unfinished")
    with folder_lock(folder, "busy"):
        assert finished_chunks(folder, describe_build([source], split)) == {}
        for index in chunks:
            report = write_chunk(source, source.chunks[index], index, folder, split)
            save_report(folder, index, report.to_json())
    for path in marks.iterdir():  # what is read from here on counts
        path.unlink()
    return folder


def still_done(folder: Path, marks: Path, split=DEFAULT_SPLIT) -> set[int]:
    with folder_lock(folder, "busy"):
        return set(finished_chunks(folder, describe_build([marked_source(marks)], split)))


def wait_until(true, process: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + LONG
    while not true():
        assert process.poll() is None, f"the build ended by itself:\n{log.read_text()}"
        assert time.monotonic() < end, f"the build hangs:\n{log.read_text()}"
        time.sleep(0.02)


def test_a_killed_build_goes_on(tmp_path, marks, uninterrupted, capsys):
    out, reports, log = tmp_path / "s", tmp_path / "s.unfinished" / CHUNKS, tmp_path / "log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.ingest.slow_build", str(out), str(marks), str(tmp_path / "gate")],
            cwd=ROOT,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
    try:
        # Half of the chunks wait at a gate that nobody opens: the build cannot get to its end.
        wait_until(lambda: len(list(reports.glob("*.json"))) >= 3, process, log)
    finally:
        process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not out.exists()
    done = {int(path.stem) for path in reports.glob("*.json")}
    assert 3 <= len(done) < N_CHUNKS
    partial_path(tmp_path / "s.unfinished" / "train" / "000009.parquet").write_bytes(b"half")

    survey = open_survey(build_survey([marked_source(marks)], out).path)
    times_read = readings(marks)
    assert {index: times_read[index] for index in done} == dict.fromkeys(done, 1)
    assert times_read.keys() == set(range(N_CHUNKS))
    assert "of 10 chunks are done already" in capsys.readouterr().out
    verify_content(survey)
    assert content(out) == content(uninterrupted)  # every file, so: no row lost, none twice
    assert sum(shard.rows for shard in survey.shards) == len(all_rows(survey)) == 180
    assert not (tmp_path / "s.unfinished").exists()


def test_only_the_rest_is_read_and_the_bar_starts_there(tmp_path, marks, uninterrupted, capfd):
    leave_unfinished(tmp_path / "s", marks, (0, 1, 4, 9))
    survey = build_survey([marked_source(marks)], tmp_path / "s")
    assert readings(marks) == dict.fromkeys((2, 3, 5, 6, 7, 8), 1)
    assert content(survey.path) == content(uninterrupted)
    printed = capfd.readouterr()
    assert "s.unfinished: 4 of 10 chunks are done already" in printed.out
    assert "| 4/10" in printed.err and "| 10/10" in printed.err and "| 0/10" not in printed.err


def test_a_build_killed_at_its_very_end_reads_nothing_again(tmp_path, marks, uninterrupted):
    folder = leave_unfinished(tmp_path / "s", marks)
    (folder / "survey.json").write_text('{"half')
    (folder / "rejected.parquet").write_bytes(b"PAR1 half")
    survey = build_survey([marked_source(marks)], tmp_path / "s")
    assert readings(marks) == {}
    assert content(survey.path) == content(uninterrupted)


def test_a_build_that_failed_goes_on_when_mended(tmp_path, marks, uninterrupted, ray_cluster):
    source = marked_source(marks)

    def read(chunk):
        if chunk["start"] == 5 * CHUNK_ROWS:
            raise InputError("file 5: disk full")
        return source.read(chunk)

    with pytest.raises(Exception, match="disk full"):
        build_survey([replace(source, read=read)], tmp_path / "s", workers=1)
    before = readings(marks)
    assert before.keys() >= {0, 1, 2, 3, 4}
    survey = build_survey([source], tmp_path / "s")
    assert {i: readings(marks)[i] for i in range(6)} == dict.fromkeys(range(6), 1)
    assert content(survey.path) == content(uninterrupted)


def shard_removed(folder):
    (folder / "train" / "000002.parquet").unlink()


def shard_cut(folder):
    path = folder / "train" / "000002.parquet"
    path.write_bytes(path.read_bytes()[:-100])


def shard_of_zeros(folder):  # of the right size, as a crash of the machine can leave it
    path = folder / "train" / "000002.parquet"
    path.write_bytes(bytes(path.stat().st_size))


def truth_removed(folder):
    (folder / "truth" / "000002.parquet").unlink()


def report_removed(folder):
    (folder / CHUNKS / "000002.json").unlink()


def report_cut(folder):
    path = folder / CHUNKS / "000002.json"
    path.write_bytes(path.read_bytes()[:-10])


def report_of_another_kind(folder):
    (folder / CHUNKS / "000002.json").write_text("[]")


@pytest.mark.parametrize(
    "damage",
    [shard_removed, shard_cut, shard_of_zeros, truth_removed, report_removed, report_cut, report_of_another_kind],
)
def test_a_chunk_that_is_not_whole_is_done_again(tmp_path, marks, damage):
    folder = leave_unfinished(tmp_path / "s", marks, range(4))
    damage(folder)
    assert still_done(folder, marks) == {0, 1, 3}
    assert not list(folder.rglob("*000002*"))  # nothing of it is left to be taken for whole
    assert still_done(folder, marks) == {0, 1, 3}


def test_half_written_files_are_removed(tmp_path, marks):
    folder = leave_unfinished(tmp_path / "s", marks, range(2))
    for name in ("train/000007.parquet", "truth/000001.parquet", f"{CHUNKS}/000007.json", JOB):
        partial_path(folder / name).write_bytes(b"half")
    (folder / "val" / "000008.parquet").write_bytes(b"whole, but without a report")
    before = content(leave_unfinished(tmp_path / "other", marks, range(2)))
    assert still_done(folder, marks) == {0, 1}
    assert content(folder) == before


def test_half_written_files_of_this_build_do_not_get_into_the_survey(tmp_path, marks, uninterrupted):
    out, source = tmp_path / "s", marked_source(marks)

    def read(chunk):
        part = source.read(chunk)
        folder = tmp_path / "s.unfinished" / "train"  # an attempt that Ray gave up, say
        folder.mkdir(exist_ok=True)
        partial_path(folder / f"{chunk['start']}.parquet").write_bytes(b"half")
        return part

    build_survey([replace(source, read=read)], out)
    assert content(out) == content(uninterrupted)


OTHERS = {
    "split": lambda source, split: (source, replace(split, seed=1)),
    "provenance": lambda source, split: (replace(source, provenance={"made": "otherwise"}), split),
    "source": lambda source, split: (replace(source, name="other"), split),
    "spec": lambda source, split: (replace(source, spec=replace(source.spec, zero_point=22.5)), split),
    "chunks": lambda source, split: (replace(source, chunks=source.chunks[:6]), split),
    "truth_schema": lambda source, split: (replace(source, truth_schema=None), split),
}


@pytest.mark.parametrize("what", OTHERS)
def test_another_build_starts_afresh(tmp_path, marks, what, capsys):
    folder = leave_unfinished(tmp_path / "s", marks, range(4))
    source, split = OTHERS[what](marked_source(marks), SplitConfig())
    capsys.readouterr()
    with folder_lock(folder, "busy"):
        assert finished_chunks(folder, describe_build([source], split)) == {}
    printed = capsys.readouterr().out
    assert f"s.unfinished: left by a build with another {what};" in printed and printed.count("\n") == 1
    assert {path.name for path in folder.iterdir()} == {JOB, LOCK}
    assert json.loads((folder / JOB).read_text())["split"]["seed"] == split.seed


def test_another_build_has_the_rows_of_its_own(tmp_path, marks, uninterrupted, ray_cluster):
    leave_unfinished(tmp_path / "s", marks, range(4), SplitConfig(seed=1))
    survey = build_survey([marked_source(marks)], tmp_path / "s")
    assert readings(marks) == dict.fromkeys(range(N_CHUNKS), 1)
    assert content(survey.path) == content(uninterrupted)


@pytest.mark.parametrize("text", [None, "", "{ not json", "[]", "{}"])
def test_an_unknown_build_starts_afresh(tmp_path, marks, text, capsys):
    folder = leave_unfinished(tmp_path / "s", marks, range(4))
    (folder / JOB).unlink() if text is None else (folder / JOB).write_text(text)
    assert still_done(folder, marks) == set()
    assert "built afresh" in capsys.readouterr().out
    assert {path.name for path in folder.iterdir()} == {JOB, LOCK}


def test_files_of_others_are_left_alone(tmp_path, marks):
    folder = tmp_path / "s.unfinished"
    (folder / "train").mkdir(parents=True)
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match=r"thesis.tex: no build wrote this"):
        build_survey([marked_source(marks)], tmp_path / "s")
    assert (folder / "thesis.tex").read_text() == "years of work" and (folder / "train").is_dir()


def test_second_build_into_one_folder_is_refused(tmp_path, marks, uninterrupted, ray_cluster):
    folder = leave_unfinished(tmp_path / "s", marks, range(4))
    before = content(folder)
    with folder_lock(folder, "busy"):
        with pytest.raises(InputError, match="another build is writing here"):
            build_survey([marked_source(marks)], tmp_path / "s")
        assert content(folder) == before
    survey = build_survey([marked_source(marks)], tmp_path / "s")  # the lock went with its holder
    assert content(survey.path) == content(uninterrupted)
