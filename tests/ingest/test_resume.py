"""A killed build continues from its finished chunks and gives the same survey as an uninterrupted one."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import ray

from mmae.core.errors import InputError
from mmae.core.files import LOCK, folder_lock, partial_path
from mmae.ingest.build import build_survey
from mmae.ingest.chunk import CHUNKS, ROWS, divide_chunk, read_chunk
from mmae.ingest.config import DEFAULT_SPLIT, SplitConfig
from mmae.ingest.resume import JOB, describe_build, finished_chunks, save_report
from mmae.ingest.split_rows import split_rows
from mmae.survey.store import open_survey, verify_content
from tests.ingest.slow_build import CHUNK_ROWS, marked_source, readings
from tests.ingest.slow_build import ROWS as N_ROWS
from tests.ingest.small import in_turn
from tests.ingest.test_build import all_rows

ROOT = Path(__file__).parents[2]
N_CHUNKS = N_ROWS // CHUNK_ROWS
LONG = 300  # seconds after which a process counts as hanging


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def marks(tmp_path) -> Path:
    (tmp_path / "marks").mkdir()
    return tmp_path / "marks"


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    (folder / "marks").mkdir()
    survey = build_survey([marked_source(folder / "marks")], folder / "s", run=in_turn)
    assert readings(folder / "marks") == dict.fromkeys(range(N_CHUNKS), 1)
    return survey.path


def killed_build(out: Path, marks: Path, read=range(N_CHUNKS), divided=(), split=DEFAULT_SPLIT) -> Path:
    """The folder of a build that was killed after it read and divided these chunks."""
    source = marked_source(marks)
    folder = out.with_name(out.name + ".unfinished")
    with folder_lock(folder, "busy"):
        assert finished_chunks(folder, describe_build([source], split)) == {}
        reports = {index: read_chunk(source, source.chunks[index], index, folder, split) for index in read}
        if divided:
            splits = split_rows(folder, [reports[index] for index in range(N_CHUNKS)]).chunks
            for index in divided:
                done = divide_chunk(reports[index], index, splits[index], folder)
                for file in reports[index].intermediate:
                    (folder / file.path).unlink()
                reports[index] = done
        for index, report in reports.items():
            save_report(folder, index, report.to_json())
    for path in marks.iterdir():  # count the readings from here on
        path.unlink()
    return folder


def still_done(folder: Path, marks: Path, split=DEFAULT_SPLIT) -> set[int]:
    with folder_lock(folder, "busy"):
        return set(finished_chunks(folder, describe_build([marked_source(marks)], split)))


def wait_until(true, process: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + LONG
    while not true():
        assert process.poll() is None, f"the build ended:\n{log.read_text()}"
        assert time.monotonic() < end, f"the build hangs:\n{log.read_text()}"
        time.sleep(0.02)


def kill_in(step: str, tmp_path: Path, marks: Path, ready, address: str = "") -> None:
    """Build in another process and send it SIGKILL once `ready`, while half of the chunks wait at a closed gate.

    Args:
        address: of a Ray cluster.
    """
    log = tmp_path / "log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.ingest.slow_build",
                step,
                str(tmp_path / "s"),
                str(marks),
                str(tmp_path / "g"),
            ],
            cwd=ROOT,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=os.environ | {"PYTHONPATH": str(ROOT), "RAY_ADDRESS": address},
        )
    try:
        wait_until(ready, process, log)
    finally:
        process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "s").exists()


@pytest.mark.long
def test_build_killed_while_it_reads_continues(tmp_path, marks, uninterrupted, ray_cluster, capsys):
    out, reports = tmp_path / "s", tmp_path / "s.unfinished" / CHUNKS
    address = ray.get_runtime_context().gcs_address
    kill_in("read", tmp_path, marks, lambda: len(list(reports.glob("*.json"))) >= 3, address)
    done = {int(path.stem) for path in reports.glob("*.json")}
    assert 3 <= len(done) < N_CHUNKS
    partial_path(tmp_path / "s.unfinished" / ROWS / "000009-train.parquet").write_bytes(b"half")

    survey = open_survey(build_survey([marked_source(marks)], out).path)
    times_read = readings(marks)
    assert {index: times_read[index] for index in done} == dict.fromkeys(done, 1)
    assert times_read.keys() == set(range(N_CHUNKS))
    assert f" {len(done)} of 10 " in capsys.readouterr().out
    verify_content(survey)
    assert content(out) == content(uninterrupted)  # every file: no row lost, none twice
    assert sum(shard.rows for shard in survey.shards) == len(all_rows(survey)) == 180
    assert not (tmp_path / "s.unfinished").exists()


def test_build_killed_while_it_writes_shards_continues(tmp_path, marks, uninterrupted):
    out, folder = tmp_path / "s", tmp_path / "s.unfinished"
    kill_in("write", tmp_path, marks, lambda: len(list((folder / "truth").glob("*.parquet"))) == 5)
    build_survey([marked_source(marks)], out, run=in_turn)
    assert readings(marks) == dict.fromkeys(range(N_CHUNKS), 1)
    assert content(out) == content(uninterrupted)


def bars(printed: str) -> dict[str, list[str]]:
    """The done/total of each progress bar, in order."""
    found: dict[str, list[str]] = {}
    for name, done in re.findall(r"^(\w+): (\d+/\d+)", printed, re.MULTILINE):
        found.setdefault(name, []).append(done)
    return found


def test_only_other_chunks_are_read_and_the_progress_bar_starts_there(tmp_path, marks, uninterrupted, capfd):
    killed_build(tmp_path / "s", marks, (0, 1, 4, 9))
    capfd.readouterr()
    survey = build_survey([marked_source(marks)], tmp_path / "s", run=in_turn)
    assert readings(marks) == dict.fromkeys((2, 3, 5, 6, 7, 8), 1)
    assert content(survey.path) == content(uninterrupted)
    printed = capfd.readouterr()
    assert "s.unfinished: " in printed.out and " 4 of 10 " in printed.out
    found = bars(printed.err)
    assert (found["read"][0], found["read"][-1]) == ("4/10", "10/10")
    assert (found["write"][0], found["write"][-1]) == ("0/10", "10/10")


def test_only_other_chunks_are_divided_and_the_progress_bar_starts_there(tmp_path, marks, uninterrupted, capfd):
    folder = killed_build(tmp_path / "s", marks, divided=(0, 3, 9))
    before = {path: path.stat().st_mtime_ns for path in folder.glob("t*/*.parquet")}
    capfd.readouterr()
    survey = build_survey([marked_source(marks)], tmp_path / "s", run=in_turn)
    assert readings(marks) == {}
    assert content(survey.path) == content(uninterrupted)
    found = bars(capfd.readouterr().err)
    assert found.keys() == {"write"} and (found["write"][0], found["write"][-1]) == ("3/10", "10/10")
    assert len(before) > 3
    assert {path: (survey.path / path.relative_to(folder)).stat().st_mtime_ns for path in before} == before


def test_build_killed_at_its_end_repeats_nothing(tmp_path, marks, uninterrupted):
    folder = killed_build(tmp_path / "s", marks, divided=range(N_CHUNKS))
    (folder / "survey.json").write_text('{"half')
    (folder / "rejected.parquet").write_bytes(b"PAR1 half")

    def run(jobs, work, workers):
        pytest.fail("no task is left")

    survey = build_survey([marked_source(marks)], tmp_path / "s", run=run)
    assert readings(marks) == {}
    assert content(survey.path) == content(uninterrupted)


def test_build_that_failed_continues(tmp_path, marks, uninterrupted, ray_cluster):
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


def remove(path: Path) -> None:
    path.unlink()


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def fill_with_zeros(path: Path) -> None:  # of the right size, as after a crash of the machine
    path.write_bytes(bytes(path.stat().st_size))


def write_a_list(path: Path) -> None:
    path.write_text("[]")


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        *((f"{ROWS}/000002-train.parquet", damage) for damage in (remove, truncate, fill_with_zeros)),
        (f"{ROWS}/000002-truth.parquet", remove),
        (f"{CHUNKS}/000002.parquet", remove),
        ("train/000005.parquet", remove),
        ("train/000005.parquet", truncate),
        ("train/000005.parquet", fill_with_zeros),
        ("truth/000005.parquet", remove),
        (f"{CHUNKS}/000005.parquet", remove),
        *((f"{CHUNKS}/000002.json", damage) for damage in (remove, truncate, write_a_list)),
    ],
)
def test_a_damaged_chunk_is_read_again(tmp_path, marks, uninterrupted, file, damage):
    folder = killed_build(tmp_path / "s", marks, divided=(0, 5))
    damage(folder / file)
    index = int(Path(file).name[:6])
    assert still_done(folder, marks) == set(range(N_CHUNKS)) - {index}
    assert not list(folder.rglob(f"*{index:06d}*"))
    assert still_done(folder, marks) == set(range(N_CHUNKS)) - {index}
    survey = build_survey([marked_source(marks)], tmp_path / "s", run=in_turn)
    assert readings(marks) == {index: 1}
    assert content(survey.path) == content(uninterrupted)


def test_partial_files_are_removed(tmp_path, marks):
    folder = killed_build(tmp_path / "s", marks, divided=(0, 1))
    before = content(folder)
    for name in (
        "train/000007.parquet",
        "truth/000001.parquet",
        f"{ROWS}/000007-train.parquet",
        f"{CHUNKS}/000007.json",
        JOB,
    ):
        partial_path(folder / name).write_bytes(b"half")
    (folder / "val" / "000008.parquet").write_bytes(b"complete, but without a report")
    (folder / ROWS / "000001-train.parquet").write_bytes(b"of a divided chunk")
    assert still_done(folder, marks) == set(range(N_CHUNKS))
    assert content(folder) == before


def test_partial_files_of_this_build_are_not_in_the_survey(tmp_path, marks, uninterrupted):
    out, source = tmp_path / "s", marked_source(marks)

    def read(chunk):
        part = source.read(chunk)
        folder = tmp_path / "s.unfinished" / "train"  # as of an attempt that Ray abandoned
        folder.mkdir(exist_ok=True)
        partial_path(folder / f"{chunk['start']}.parquet").write_bytes(b"half")
        return part

    build_survey([replace(source, read=read)], out, run=in_turn)
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
def test_files_of_another_build_are_removed(tmp_path, marks, what, capsys):
    folder = killed_build(tmp_path / "s", marks, range(4))
    source, split = OTHERS[what](marked_source(marks), SplitConfig())
    capsys.readouterr()
    with folder_lock(folder, "busy"):
        assert finished_chunks(folder, describe_build([source], split)) == {}
    printed = capsys.readouterr().out
    assert "s.unfinished: " in printed and f" {what};" in printed and printed.count("\n") == 1
    assert {path.name for path in folder.iterdir()} == {JOB, LOCK}
    assert json.loads((folder / JOB).read_text())["split"]["seed"] == split.seed


def test_rows_of_another_build_are_not_used(tmp_path, marks, uninterrupted):
    killed_build(tmp_path / "s", marks, range(4), split=SplitConfig(seed=1))
    survey = build_survey([marked_source(marks)], tmp_path / "s", run=in_turn)
    assert readings(marks) == dict.fromkeys(range(N_CHUNKS), 1)
    assert content(survey.path) == content(uninterrupted)


@pytest.mark.parametrize("text", [None, "", "{ not json", "[]", "{}"])
def test_files_of_an_unknown_build_are_removed(tmp_path, marks, text, capsys):
    folder = killed_build(tmp_path / "s", marks, range(4))
    (folder / JOB).unlink() if text is None else (folder / JOB).write_text(text)
    assert still_done(folder, marks) == set()
    assert "s.unfinished: " in capsys.readouterr().out
    assert {path.name for path in folder.iterdir()} == {JOB, LOCK}


def test_other_files_are_not_removed(tmp_path, marks):
    folder = tmp_path / "s.unfinished"
    (folder / "train").mkdir(parents=True)
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match=r"thesis\.tex"):
        build_survey([marked_source(marks)], tmp_path / "s", run=in_turn)
    assert (folder / "thesis.tex").read_text() == "years of work" and (folder / "train").is_dir()


def test_second_build_into_one_folder_is_refused(tmp_path, marks, uninterrupted):
    folder = killed_build(tmp_path / "s", marks, range(4))
    before = content(folder)
    with folder_lock(folder, "busy"):
        with pytest.raises(InputError, match="s.unfinished"):
            build_survey([marked_source(marks)], tmp_path / "s", run=in_turn)
        assert content(folder) == before
    survey = build_survey([marked_source(marks)], tmp_path / "s", run=in_turn)  # the lock is released
    assert content(survey.path) == content(uninterrupted)
