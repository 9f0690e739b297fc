"""Ray Tune's searcher and scheduler for a study: Optuna proposes, ASHA or the median rule stops."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import optuna
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, MedianStoppingRule, TrialScheduler
from ray.tune.search.optuna import OptunaSearch

from mmae.loader.collate import input_spec
from mmae.model.batch import InputSpec
from mmae.study.config import StudyConfig
from mmae.study.record import OBJECTIVES
from mmae.study.space import suggest
from mmae.study.storage import DIRECTIONS, FINISHED, StudyStore, looks_of
from mmae.study.trial import LOOK, NUMBER, SCATTER, StudyJob

MODES = {"minimize": "min", "maximize": "max"}


class AskOnly(OptunaSearch):
    """Asks Optuna for trials; what became of them the Recorder tells.

    OptunaSearch itself would tell a stopped trial as complete, with the scatter of its short
    training, and a failed one without the reason.
    """

    def on_trial_result(self, trial_id, result):
        pass

    def on_trial_complete(self, trial_id, result=None, error=False):
        pass


def make_search(job: StudyJob, store: StudyStore) -> OptunaSearch:
    """TPE over the study's space. A trial in progress counts as a bad one, so that trials that
    run side by side are not alike."""
    config = job.config
    sampler = TPESampler(
        # A study that goes on must not draw what it drew at its start.
        seed=config.run.seed + len(store.trials),
        n_startup_trials=config.random_trials,
        constant_liar=True,
    )
    return AskOnly(
        partial(_define_by_run, config, input_spec(job.survey.spec)),
        metric=list(OBJECTIVES[config.objective]) if config.objective != "scatter" else SCATTER,
        mode=[MODES[d] for d in DIRECTIONS[config.objective]] if config.objective != "scatter" else "min",
        sampler=sampler,
        study_name=config.full_name,
        storage=store.storage,
    )


def _define_by_run(config: StudyConfig, spec: InputSpec, trial: optuna.Trial) -> dict[str, int]:
    """Suggest a point; Ray Tune collects it and adds the number to the trial's configuration."""
    suggest(trial, config.space, config.run, spec)
    return {NUMBER: trial.number}


@dataclass(frozen=True)
class Before:
    """A trial of an earlier process, as far as a scheduler must know it."""

    trial_id: str


def make_scheduler(job: StudyJob, store: StudyStore) -> TrialScheduler:
    """The scheduler, which remembers all looks of finished trials."""
    config = job.config
    if config.scheduler == "none" or config.grace == config.looks:
        return FIFOScheduler()
    if config.scheduler == "median":
        scheduler = MedianStoppingRule(
            time_attr=LOOK,
            metric=SCATTER,
            mode="min",
            grace_period=config.grace,
            min_time_slice=math.inf,  # else it pauses trials, and a paused one begins again
        )
    else:
        scheduler = ASHAScheduler(
            time_attr=LOOK,
            metric=SCATTER,
            mode="min",
            grace_period=config.grace,
            reduction_factor=config.reduction,
            # No rung at the end: a trial that has come so far ends by itself.
            max_t=config.looks - 1,
            stop_last_trials=False,
        )
    for trial in store.study.get_trials(deepcopy=False, states=FINISHED):
        _remember(scheduler, trial)
    return scheduler


def _remember(scheduler: TrialScheduler, trial: FrozenTrial) -> None:
    stand_in = Before(f"before-{trial.number}")
    scheduler.on_trial_add(None, stand_in)
    # The median rule would judge on_trial_result, and refuse to hear more of a trial it would stop.
    median = isinstance(scheduler, MedianStoppingRule)
    remind = scheduler.on_trial_complete if median else scheduler.on_trial_result
    for look, scatter in looks_of(trial).items():
        remind(None, stand_in, {LOOK: look, SCATTER: scatter})
