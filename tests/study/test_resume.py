"""A study with a killed or interrupted driver continues with the same command; every trial runs once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import ray
from optuna.trial import FrozenTrial, TrialState

from benchmarks.faults.cluster import processes_below
from mmae.core.settings import to_yaml
from mmae.study.config import StudyConfig
from mmae.study.storage import DATABASE, FINISHED, read_store, validations_of
from tests.study.test_study import runs_of

ROOT = Path(__file__).parents[2]
TRIALS = 3


@pytest.fixture
def long_study(study: StudyConfig) -> StudyConfig:
    """Trials of 12 steps, one after the other, so that a kill finds a finished and a running trial."""
    return replace(study, trials=TRIALS, galaxies_seen=384, looks=4, concurrent=1, scheduler="none")


def command(study: StudyConfig) -> list[str]:
    base = study.run.home_path / "base.yaml"
    base.write_text(to_yaml(study.run))
    space = study.space
    return [
        sys.executable,
        str(ROOT / "tune" / "sweep.py"),
        "--config",
        str(base),
        "--name",
        study.name,
        "--trials",
        str(study.trials),
        "--galaxies-seen",
        str(study.galaxies_seen),
        "--looks",
        str(study.looks),
        "--concurrent",
        str(study.concurrent),
        "--scheduler",
        study.scheduler,
        "--random-trials",
        "2",
        "--space.image-mask-ratio",
        *map(str, space.image_mask_ratio),
        "--space.spectrum-mask-ratio",
        "--space.image-patch",
        *map(str, space.image_patch),
        "--space.spectrum-patch",
        "--space.depth",
        *map(str, space.depth),
    ]


def start(study: StudyConfig, log: Path) -> subprocess.Popen:
    environment = os.environ | {"RAY_ADDRESS": ray.get_runtime_context().gcs_address}
    return subprocess.Popen(
        command(study),
        env=environment,
        cwd=study.run.home_path,
        stdout=log.open("w"),
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for_the_middle(study: StudyConfig, driver: subprocess.Popen, log: Path) -> None:
    """Wait until a trial is finished and a running one has been validated."""
    deadline = time.monotonic() + 600
    while True:
        assert driver.poll() is None, log.read_text()[-3000:]
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        if (study.folder / DATABASE).exists() and study.folder.joinpath("trials").exists():
            trials = read_store(study.folder).trials
            finished = [t for t in trials if t.state in FINISHED]
            running = [t for t in trials if t.state == TrialState.RUNNING and validations_of(t)]
            if finished and running:
                return
        time.sleep(0.3)


def trial_processes() -> set[psutil.Process]:
    """The processes of Ray Tune's actors, at work and between two results."""
    return {p for title in ("ray::ImplicitFunc", "ray::run_trial") for p in processes_below(psutil.Process(), title)}


@pytest.mark.long
def test_a_study_continues_after_its_driver_was_killed(long_study, ray_cluster, tmp_path):
    """kill -9 of the driver, then the same command."""
    finished, interrupted = kill_in_the_middle(long_study, tmp_path / "killed.log")
    restarted = now()
    finish(long_study, tmp_path / "last.log", finished, interrupted)
    _, children = runs_of(long_study)
    for number in range(TRIALS):
        assert (children[f"trial-{number:03d}"].info.end_time < restarted) == (number in finished)


@pytest.mark.slow
def test_a_study_continues_after_sigint(long_study, ray_cluster, tmp_path):
    """Ctrl-C gives exit status 130 and KILLED in MLflow; then the same command."""
    finished, interrupted = interrupt_in_the_middle(long_study, tmp_path / "stopped.log")
    finish(long_study, tmp_path / "last.log", finished, interrupted)


def finish(
    study: StudyConfig, log: Path, finished: dict[int, FrozenTrial], interrupted: dict[int, FrozenTrial]
) -> None:
    """Run the same command to its end; finished trials are unchanged, interrupted ones keep their parameters."""
    assert start(study, log).wait(timeout=600) == 0, log.read_text()[-3000:]
    trials = read_store(study.folder).trials
    assert [t.number for t in trials] == list(range(TRIALS))
    assert {t.state for t in trials} == {TrialState.COMPLETE}
    for number, trial in finished.items():
        assert trials[number] == trial
    for number, trial in interrupted.items():
        # The kill may come between two suggestions: the stored ones are kept.
        assert trial.params.items() <= trials[number].params.items()
    parent, children = runs_of(study)
    assert parent.info.status == "FINISHED" and len(children) == TRIALS
    assert {run.info.status for run in children.values()} == {"FINISHED"}


def kill_in_the_middle(study: StudyConfig, log: Path) -> tuple[dict[int, FrozenTrial], dict[int, FrozenTrial]]:
    """Finished and interrupted trials after kill -9 of the driver."""
    before = trial_processes()
    driver = start(study, log)
    wait_for_the_middle(study, driver, log)
    trials = trial_processes() - before
    driver.kill()
    driver.wait(timeout=120)
    assert trials and not psutil.wait_procs(trials, timeout=120)[1]  # the trials stop too
    return by_state(study)


def interrupt_in_the_middle(study: StudyConfig, log: Path) -> tuple[dict[int, FrozenTrial], dict[int, FrozenTrial]]:
    """Finished and interrupted trials after SIGINT to the driver."""
    driver = start(study, log)
    wait_for_the_middle(study, driver, log)
    driver.send_signal(signal.SIGINT)
    status = driver.wait(timeout=120)
    finished, interrupted = by_state(study)
    parent, children = runs_of(study)
    assert status == 130 and f"interrupted: {len(finished)} of {TRIALS} trials" in log.read_text()
    assert "Traceback" not in log.read_text()
    assert parent.info.status == "KILLED"
    assert {children[f"trial-{n:03d}"].info.status for n in interrupted} == {"KILLED"}
    return finished, interrupted


def by_state(study: StudyConfig) -> tuple[dict[int, FrozenTrial], dict[int, FrozenTrial]]:
    trials = read_store(study.folder).trials
    finished = {t.number: t for t in trials if t.state in FINISHED}
    interrupted = {t.number: t for t in trials if t.state == TrialState.RUNNING}
    assert finished and interrupted
    return finished, interrupted


def now() -> int:
    """Time in MLflow's unit, milliseconds."""
    return int(1000 * time.time())
