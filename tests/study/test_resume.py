"""A study whose driver is killed goes on with the same command, and every trial is there once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import ray
from mlflow import MlflowClient
from optuna.trial import FrozenTrial, TrialState

from mmae.core.settings import to_yaml
from mmae.study.config import StudyConfig
from mmae.study.storage import DATABASE, FINISHED, looks_of, read_store
from tests.study.test_study import runs_of

ROOT = Path(__file__).parents[2]
TRIALS = 3


@pytest.fixture
def long_study(study: StudyConfig) -> StudyConfig:
    """Trials of 12 steps, two at a time, so that a kill finds some over and some in the middle."""
    return replace(study, trials=TRIALS, galaxies_seen=384, looks=4, concurrent=2, scheduler="none")


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


def wait_for_the_middle(study: StudyConfig, driver: subprocess.Popen, log: Path, over_before: int) -> None:
    """Until another trial is over, and one has been looked at and is not over."""
    deadline = time.monotonic() + 300
    while True:
        assert driver.poll() is None, log.read_text()[-3000:]
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        if (study.folder / DATABASE).exists() and study.folder.joinpath("trials").exists():
            trials = read_store(study.folder).trials
            over = [t for t in trials if t.state in FINISHED]
            running = [t for t in trials if t.state == TrialState.RUNNING and looks_of(t)]
            if len(over) > over_before and running:
                return
        time.sleep(0.1)


def points(study: StudyConfig) -> int:
    """Metric values in MLflow over all trials."""
    client = MlflowClient(f"sqlite:///{study.run.home_path}/mlflow/mlflow.db")
    _, children = runs_of(study)
    return sum(
        len(client.get_metric_history(r.info.run_id, "train/loss"))
        + len(client.get_metric_history(r.info.run_id, "val/loss"))
        for r in children.values()
    )


def test_a_killed_study_goes_on(long_study, ray_cluster, tmp_path):
    """kill -9 of the driver, then the same command."""
    over, torn = killed(long_study, tmp_path / "killed.log")
    restarted = now()
    require_whole(long_study, tmp_path / "last.log", over, torn)
    _, children = runs_of(long_study)
    for number in range(TRIALS):
        assert (children[f"trial-{number:03d}"].info.end_time < restarted) == (number in over)


@pytest.mark.slow
def test_a_study_stopped_by_hand_goes_on(long_study, ray_cluster, tmp_path):
    """Ctrl-C, then the same command."""
    over, torn = stopped(long_study, tmp_path / "stopped.log", {})
    require_whole(long_study, tmp_path / "last.log", over, torn)


def require_whole(study: StudyConfig, log: Path, over: dict[int, FrozenTrial], torn: dict[int, FrozenTrial]) -> None:
    """Run the same command to its end: each trial once, finished ones untouched, torn ones with their parameters."""
    assert start(study, log).wait(timeout=400) == 0, log.read_text()[-3000:]
    trials = read_store(study.folder).trials
    assert [t.number for t in trials] == list(range(TRIALS))
    assert {t.state for t in trials} == {TrialState.COMPLETE}
    for number, trial in over.items():
        assert trials[number] == trial
    for number, trial in torn.items():
        # The kill may fall between two questions to the sampler: what it had answered stays.
        assert trial.params.items() <= trials[number].params.items()
    parent, children = runs_of(study)
    assert parent.info.status == "FINISHED" and len(children) == TRIALS
    assert {run.info.status for run in children.values()} == {"FINISHED"}


def killed(study: StudyConfig, log: Path) -> tuple[dict[int, FrozenTrial], dict[int, FrozenTrial]]:
    """Trials that are over and trials in the middle, after a kill -9."""
    driver = start(study, log)
    wait_for_the_middle(study, driver, log, over_before=0)
    driver.kill()
    driver.wait(timeout=120)
    time.sleep(8)  # Ray needs a moment to notice that a driver is dead
    logged = points(study)
    time.sleep(3)
    assert points(study) == logged  # nobody goes on without the study
    return by_state(study)


def stopped(study: StudyConfig, log: Path, before: dict) -> tuple[dict[int, FrozenTrial], dict[int, FrozenTrial]]:
    """The same after Ctrl-C, which also tidies up."""
    driver = start(study, log)
    wait_for_the_middle(study, driver, log, over_before=len(before))
    driver.send_signal(signal.SIGINT)
    status = driver.wait(timeout=120)
    over, torn = by_state(study)
    parent, children = runs_of(study)
    assert status == 130 and f"interrupted: {len(over)} of {TRIALS} trials have ended" in log.read_text()
    assert "Traceback" not in log.read_text()
    assert parent.info.status == "KILLED"
    assert {children[f"trial-{n:03d}"].info.status for n in torn} == {"KILLED"}
    return over, torn


def by_state(study: StudyConfig) -> tuple[dict[int, FrozenTrial], dict[int, FrozenTrial]]:
    trials = read_store(study.folder).trials
    over = {t.number: t for t in trials if t.state in FINISHED}
    torn = {t.number: t for t in trials if t.state == TrialState.RUNNING}
    assert over and torn
    return over, torn


def now() -> int:
    """As MLflow writes times: milliseconds."""
    return int(1000 * time.time())
