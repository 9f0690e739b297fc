"""Prediction jobs on Ray that are killed: the driver twice, then an actor."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from mmae.catalogue.read import read_catalogue
from mmae.catalogue.state import PIECES
from tests.catalogue.small import content, galaxy, options, predict_here, write_small_bundle, write_survey

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 300.0
N, N_PIECES = 240, 12


class Job:
    """A prediction job in another process, which waits for the gate when `free` pieces are finished."""

    def __init__(self, bundle: Path, survey: Path, out: Path, free: int):
        self.out, self.gate, self.log = out, out.with_name("gate"), out.with_name("log")
        command = [sys.executable, "-m", "tests.catalogue.slow_job", bundle, survey, out, self.gate, free]
        with self.log.open("w") as file:
            self.process = subprocess.Popen(
                [str(part) for part in command],
                cwd=ROOT,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={name: v for name, v in os.environ.items() if name != "RAY_ADDRESS"} | {"PYTHONPATH": str(ROOT)},
            )

    def finished(self) -> set[int]:
        return {int(path.stem) for path in self.out.with_name(self.out.name + ".unfinished").glob(f"{PIECES}/*.json")}

    def wait_for(self, pieces: int) -> set[int]:
        end = time.monotonic() + TIMEOUT_S
        while len(self.finished()) < pieces:
            assert self.process.poll() is None and time.monotonic() < end, self.log.read_text()
            time.sleep(0.05)
        return self.finished()

    def actors(self) -> list[psutil.Process]:
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [p for p in children if "ray::" in " ".join(p.cmdline()) and "Map" in " ".join(p.cmdline())]

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        assert self.process.wait() == -signal.SIGKILL

    def end(self) -> str:
        self.gate.touch()
        assert self.process.wait(TIMEOUT_S) == 0, self.log.read_text()
        return self.log.read_text()


@pytest.fixture
def start():
    """Starts jobs, and ends those that a failed test leaves."""
    jobs: list[Job] = []

    def start_job(*arguments, **options) -> Job:
        jobs.append(Job(*arguments, **options))
        return jobs[-1]

    yield start_job
    for job in jobs:
        if job.process.poll() is None:
            job.kill()


@pytest.mark.slow
def test_killed_jobs_continue_with_the_same_bytes(tmp_path, start):
    bundle = write_small_bundle(tmp_path / "b")
    survey = write_survey(tmp_path / "s", [galaxy(i) for i in range(N)])
    whole = predict_here(options(bundle, survey, tmp_path / "whole" / "c")).path
    out = tmp_path / "jobs" / "c"
    out.parent.mkdir()

    first = start(bundle, survey, out, free=3)
    first.wait_for(3)
    first.kill()
    n_first = len(first.finished())
    assert 3 <= n_first < N_PIECES and not out.exists()

    second = start(bundle, survey, out, free=6)
    second.wait_for(6)
    second.kill()
    n_second = len(second.finished())
    assert n_first < n_second < N_PIECES

    third = start(bundle, survey, out, free=8)
    third.wait_for(8)
    actors = third.actors()
    assert actors, "no actor found"
    actors[0].kill()  # Ray starts another, which repeats its pieces
    printed = third.end()
    assert f"{n_second} of {N_PIECES} pieces are done" in printed
    assert content(out) == content(whole)
    ids = read_catalogue(out)["object_id"].to_pylist()
    assert len(ids) == len(set(ids)) and not out.with_name("c.unfinished").exists()


@pytest.mark.slow
def test_a_job_survives_the_loss_of_a_node(tmp_path):
    bundle = write_small_bundle(tmp_path / "b")
    survey = write_survey(tmp_path / "s", [galaxy(i) for i in range(N)])
    whole = predict_here(options(bundle, survey, tmp_path / "whole" / "c")).path
    out = tmp_path / "jobs" / "c"
    out.parent.mkdir()
    command = [sys.executable, "-m", "tests.catalogue.lost_node", bundle, survey, out, tmp_path / "gate"]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=2 * TIMEOUT_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the node is killed" in done.stdout and content(out) == content(whole)
