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
from optuna.trial import TrialState

from mmae.config import to_yaml
from mmae.study.config import StudyConfig
from mmae.study.storage import DATABASE, FINISHED, looks_of, read_store
from tests.study.test_study import runs_of

ROOT = Path(__file__).parents[2]


@pytest.fixture
def long_study(study: StudyConfig) -> StudyConfig:
    """Trials of 24 steps, two at a time, so that a kill finds some over and some in the middle."""
    return replace(study, trials=4, galaxies_seen=768, looks=6, concurrent=2, scheduler="none")


def command(study: StudyConfig) -> list[str]:
    base = study.run.home_path / "base.yaml"
    base.write_text(to_yaml(study.run))
    space = study.space
    return [
        sys.executable, str(ROOT / "tune" / "sweep.py"), "--config", str(base), "--name", study.name,
        "--trials", str(study.trials), "--galaxies-seen", str(study.galaxies_seen), "--looks", str(study.looks),
        "--concurrent", str(study.concurrent), "--scheduler", study.scheduler, "--random-trials", "2",
        "--space.image-mask-ratio", *map(str, space.image_mask_ratio), "--space.spectrum-mask-ratio",
        "--space.image-patch", *map(str, space.image_patch), "--space.spectrum-patch",
        "--space.depth", *map(str, space.depth),
    ]


def start(study: StudyConfig, log: Path) -> subprocess.Popen:
    environment = os.environ | {"RAY_ADDRESS": ray.get_runtime_context().gcs_address}
    return subprocess.Popen(command(study), env=environment, cwd=study.run.home_path, stdout=log.open("w"),
                            stderr=subprocess.STDOUT, text=True)


def wait_for_the_middle(study: StudyConfig, driver: subprocess.Popen, log: Path) -> None:
    """Until a trial is over, and another has been looked at and is not over."""
    deadline = time.monotonic() + 300
    while True:
        assert driver.poll() is None, log.read_text()[-3000:]
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        if (study.folder / DATABASE).exists() and study.folder.joinpath("trials").exists():
            trials = read_store(study.folder).trials
            over = [t for t in trials if t.state in FINISHED]
            running = [t for t in trials if t.state == TrialState.RUNNING and looks_of(t)]
            if over and running:
                return
        time.sleep(0.1)


def points(study: StudyConfig) -> int:
    """Metric values in MLflow over all trials."""
    client = MlflowClient(f"sqlite:///{study.run.home_path}/mlflow/mlflow.db")
    _, children = runs_of(study)
    return sum(len(client.get_metric_history(r.info.run_id, "train/loss"))
               + len(client.get_metric_history(r.info.run_id, "val/loss")) for r in children.values())


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT], ids=["kill -9", "Ctrl-C"])
def test_an_interrupted_study_goes_on(long_study, ray_cluster, tmp_path, sign):
    log = tmp_path / "first.log"
    driver = start(long_study, log)
    wait_for_the_middle(long_study, driver, log)
    driver.send_signal(sign)
    status = driver.wait(timeout=120)
    before = read_store(long_study.folder).trials
    over = {t.number: t for t in before if t.state in FINISHED}
    torn = {t.number: t.params for t in before if t.state == TrialState.RUNNING}
    assert over and torn
    parent, children = runs_of(long_study)
    if sign == signal.SIGINT:
        assert status == 130 and f"interrupted: {len(over)} of 4 trials have ended" in log.read_text()
        assert "Traceback" not in log.read_text()
        assert parent.info.status == "KILLED"
        assert {children[f"trial-{n:03d}"].info.status for n in torn} == {"KILLED"}
    time.sleep(8)  # Ray needs a moment to notice that a driver is dead
    logged = points(long_study)
    time.sleep(3)
    assert points(long_study) == logged  # nobody goes on without the study

    restarted = int(1000 * time.time())
    second = tmp_path / "second.log"
    assert start(long_study, second).wait(timeout=400) == 0, second.read_text()[-3000:]
    after = read_store(long_study.folder).trials
    assert [t.number for t in after] == [0, 1, 2, 3]
    assert {t.state for t in after} == {TrialState.COMPLETE}
    for number, trial in over.items():  # untouched
        assert after[number] == trial
    for number, params in torn.items():
        assert after[number].params == params
    parent, children = runs_of(long_study)
    assert parent.info.status == "FINISHED" and len(children) == 4
    for number in range(4):
        run = children[f"trial-{number:03d}"]
        assert run.info.status == "FINISHED"
        assert (run.info.end_time < restarted) == (number in over)
