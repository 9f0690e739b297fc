"""Optuna's database: queue, resume, lock, and the state of schedulers restored from it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from optuna.trial import TrialState
from ray.tune.schedulers import TrialScheduler

from mmae.core.errors import InputError
from mmae.core.files import folder_lock
from mmae.study.config import StudyConfig
from mmae.study.search import PastTrial, make_scheduler, make_search
from mmae.study.storage import StudyStore, open_store, read_store, validations_of
from mmae.study.trial import NUMBER, VALIDATION
from mmae.survey.schema import SurveySpec


@pytest.fixture
def config(tiny_study: StudyConfig, tmp_path: Path) -> StudyConfig:
    config = replace(tiny_study, run=replace(tiny_study.run, home=str(tmp_path)))
    config.folder.mkdir(parents=True)
    return config


def job(config: StudyConfig) -> SimpleNamespace:
    return SimpleNamespace(config=config, survey=SimpleNamespace(spec=SurveySpec()))


def suggested(config: StudyConfig, store: StudyStore, n: int) -> list[dict]:
    search = make_search(job(config), store)
    return [search.suggest(f"tune-{i}") for i in range(n)]


def test_queued_points_are_tried_first_and_once(config):
    points = [
        {"image_patch": 16, "depth": 2, "image_mask_ratio": 0.25},
        {"image_patch": 32, "depth": 1, "image_mask_ratio": 0.5},
    ]
    store = open_store(config)
    store.queue(points[:1])  # the process was killed after the first
    store = open_store(config)
    store.queue(points)
    store.queue(points)
    drawn = suggested(config, store, 3)
    assert drawn[:2] == [{**points[0], NUMBER: 0}, {**points[1], NUMBER: 1}]
    assert drawn[2][NUMBER] == 2 and len(store.trials) == 3


def test_interrupted_trials_keep_number_and_parameters(config):
    store = open_store(config)
    before = suggested(config, store, 3)
    store.set_validation(1, 1, 0.5)
    store.finish(1, TrialState.PRUNED)
    store = open_store(config)  # another process
    assert store.requeue_interrupted() == [0, 2]
    again = suggested(config, store, 3)
    assert again[:2] == [before[0], before[2]]
    assert again[2][NUMBER] == 3 and store.trials[1].state == TrialState.PRUNED


def test_a_continued_study_draws_new_points(config):
    config = replace(config, random_trials=10)
    store = open_store(config)
    first = suggested(config, store, 2)
    for number in (0, 1):
        store.finish(number, TrialState.FAIL)
    second = suggested(config, open_store(config), 2)
    assert {p["image_mask_ratio"] for p in first}.isdisjoint(p["image_mask_ratio"] for p in second)


def test_a_repeated_validation_replaces_the_first(config):
    store = open_store(config)
    suggested(config, store, 1)
    for value in (0.5, 0.4):
        store.set_validation(0, 1, value)
        store.note(0, {"looks": {1: value, 10: 0.2, 9: 0.3}})
    store.finish(0, TrialState.PRUNED)
    (trial,) = store.trials
    assert trial.intermediate_values == {1: 0.4} and trial.value == 0.4
    assert list(validations_of(trial).items()) == [(1, 0.4), (9, 0.3), (10, 0.2)]


@pytest.mark.parametrize(("scheduler", "objective"), [("asha", "scatter"), ("median", "reconstruction")])
def test_a_scheduler_compares_with_trials_of_an_earlier_process(config, scheduler, objective):
    config = replace(config, scheduler=scheduler, trials=10, objective=objective)
    store = open_store(config)
    suggested(config, store, 4)
    for number, end in enumerate((0.1, 0.2, 0.3)):
        store.note(number, {"looks": {1: end + 0.2, 2: end + 0.1, 3: end}})
        store.finish(number, TrialState.COMPLETE, [end])

    def decision(store: StudyStore, value: float) -> str:
        rule, trial = make_scheduler(job(config), store), PastTrial("new")
        rule.on_trial_add(None, trial)
        return rule.on_trial_result(None, trial, {VALIDATION: 1, config.criterion.key: value})

    assert decision(store, 0.6) == TrialScheduler.STOP
    assert decision(store, 0.25) == TrialScheduler.CONTINUE
    new = replace(config, name="new")
    new.folder.mkdir(parents=True)
    assert decision(open_store(new), 0.6) == TrialScheduler.CONTINUE


def test_one_process_at_a_time_holds_the_lock_of_a_study(tmp_path):
    code = f"""
from pathlib import Path
from mmae.core.files import folder_lock
with folder_lock(Path({str(tmp_path)!r}), "busy"):
    print("held", flush=True)
    input()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(InputError, match="busy"), folder_lock(tmp_path, "busy"):
            pass
        other.kill()
    with folder_lock(tmp_path, "busy"):
        pass


def test_reading_a_folder_without_a_study_names_the_missing_database(tmp_path):
    with pytest.raises(InputError, match=r"optuna\.db"):
        read_store(tmp_path)
