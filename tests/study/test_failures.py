"""A failed trial is recorded with its reason, and the others continue."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from optuna.trial import TrialState
from ray.air.execution import FixedResourceManager, ResourceRequest
from ray.air.execution._internal import RayActorManager
from ray.air.execution._internal.tracked_actor_task import TrackedActorTask
from ray.exceptions import OutOfMemoryError

import mmae.study.study
from mmae.core.errors import InputError
from mmae.study.record import reason_of
from mmae.study.storage import read_store
from mmae.study.study import run_study
from mmae.study.trial import NUMBER, run_trial
from tests.study.test_study import files, quiet, runs_of

DIES, DIVERGES = 0, 1


def run_with_failures(config, job, val):
    """Replaces `run_trial`: the first two trials fail, the last one runs normally."""
    if config[NUMBER] == DIES:
        os.kill(os.getpid(), signal.SIGKILL)
    if config[NUMBER] == DIVERGES:
        optim = replace(job.config.run.optim, learning_rate=1e30, clip=1e30, warmup_steps=0)
        job = replace(job, config=replace(job.config, run=replace(job.config.run, optim=optim)))
    run_trial(config, job, val)


@pytest.mark.long
def test_failed_trials_are_recorded_with_their_reasons(study, ray_cluster, monkeypatch):
    monkeypatch.setattr(mmae.study.study, "run_trial", run_with_failures)
    result = run_study(replace(study, scheduler="none"), quiet())
    trials = read_store(study.folder).trials
    assert [t.state for t in trials] == 2 * [TrialState.FAIL] + [TrialState.COMPLETE]
    _, children = runs_of(study)
    reasons = {DIES: "worker died", DIVERGES: "NonFiniteLoss"}
    for number, start in reasons.items():
        run = children[f"trial-{number:03d}"]
        assert run.info.status == "FAILED" and run.info.end_time
        assert trials[number].user_attrs["reason"].startswith(start)
        assert run.data.tags["mmae.reason"] == trials[number].user_attrs["reason"]
        assert "Traceback" not in run.data.tags["mmae.reason"]
    assert children["trial-002"].info.status == "FINISHED" and "reason" not in trials[2].user_attrs
    assert result.winner.number == 2
    parent, _ = runs_of(study)
    assert parent.data.metrics["trials/failed"] == 2 and "report/report.html" in files(study, parent)
    page = (study.folder / "report" / "report.html").read_text()
    assert "NonFiniteLoss" in page and "worker died" in page


class TunerOfFailures:
    """Replaces `ray.tune.Tuner`: this number of trials fails, then `fit` returns."""

    def __init__(self, failures: int):
        self.failures = failures

    def __call__(self, trainable, *, run_config, **_):
        self.store = read_store(Path(run_config.storage_path).parent)
        return self

    def fit(self) -> None:
        for _ in range(self.failures):
            trial = self.store.study.ask()
            self.store.note(trial.number, {"reason": f"reason {trial.number}"})
            self.store.finish(trial.number, TrialState.FAIL)


@pytest.mark.parametrize(
    ("failures", "named"), [(1, "1 of 3 trials.*Trial 0: reason 0"), (3, "trial 0: reason 0; trial 1: reason 1; ")]
)
def test_a_study_without_a_full_trial_ends_as_failed(study, ray_cluster, monkeypatch, failures, named):
    """Ray Tune ends before the last trial, or all trials fail."""
    monkeypatch.setattr(mmae.study.study.tune, "Tuner", TunerOfFailures(failures))
    with pytest.raises(InputError, match=named):
        run_study(study, quiet())
    parent, _ = runs_of(study)
    assert parent.info.status == "FAILED"
    assert not (study.folder / "best.yaml").exists()


def test_reasons_are_one_line():
    error = RuntimeError("first line\nsecond line")
    assert reason_of(error) == "RuntimeError: first line second line"
    assert len(reason_of(RuntimeError("x" * 10_000))) <= 400


def test_the_reason_of_a_trial_killed_for_memory_is_out_of_memory():
    text = "2 worker(s) were killed due to the node running low on memory. Memory was 22 GB"
    for error in (OutOfMemoryError(text), f"Failure # 1 (occurred at noon)\n{text}\n"):
        assert reason_of(error).startswith("out of memory") and reason_of(error).endswith("Memory was 22 GB")


class Idle:
    """Actor in place of a trial."""


def test_ray_tune_reports_a_trial_killed_for_memory_as_failed(ray_cluster):
    """Its actor manager calls on_error; an exception there would end the study."""
    error, reported = OutOfMemoryError("low"), []
    manager = RayActorManager(FixedResourceManager())
    trial = manager.add_actor(
        Idle, {}, ResourceRequest([{"CPU": 1}]), on_error=lambda actor, exception: reported.append(exception)
    )
    while not manager.is_actor_started(trial):
        assert manager.next(timeout=60)
    manager._actor_task_failed(TrackedActorTask(trial), error)
    assert reported == [error]
