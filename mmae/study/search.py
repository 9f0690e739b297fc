"""Ray Tune's search algorithm (Optuna) and scheduler (ASHA or the median rule) for a study."""

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
from mmae.study.objective import OBJECTIVES
from mmae.study.space import suggest
from mmae.study.storage import FINISHED, StudyStore, validations_of
from mmae.study.trial import NUMBER, VALIDATION, StudyJob

MODES = {"minimize": "min", "maximize": "max"}


class AskOnlySearch(OptunaSearch):
    """Asks Optuna for parameters; results are stored by `Recorder`.

    OptunaSearch itself would store a stopped trial as complete, with the value of its partial
    training, and a failed one without the reason.
    """

    def on_trial_result(self, trial_id, result):
        pass

    def on_trial_complete(self, trial_id, result=None, error=False):
        pass


def make_search(job: StudyJob, store: StudyStore) -> OptunaSearch:
    """TPE over the study's space. Running trials count as bad ones (`constant_liar`), so that concurrent
    trials differ."""
    config = job.config
    measures = OBJECTIVES[config.objective]
    metrics, modes = [m.key for m in measures], [MODES[m.direction] for m in measures]
    sampler = TPESampler(
        # A continued study must not repeat the draws of its start.
        seed=config.run.seed + len(store.trials),
        n_startup_trials=config.random_trials,
        constant_liar=True,
    )
    return AskOnlySearch(
        partial(_define_by_run, config, input_spec(job.survey.spec)),
        metric=metrics if len(metrics) > 1 else metrics[0],
        mode=modes if len(modes) > 1 else modes[0],
        sampler=sampler,
        study_name=config.full_name,
        storage=store.storage,
    )


def _define_by_run(config: StudyConfig, spec: InputSpec, trial: optuna.Trial) -> dict[str, int]:
    """Suggest a point. Ray Tune collects the suggestions and adds the returned number to the trial's configuration."""
    suggest(trial, config.space, config.run, spec)
    return {NUMBER: trial.number}


@dataclass(frozen=True)
class PastTrial:
    """A trial of an earlier process, with the attributes that schedulers read."""

    trial_id: str


def make_scheduler(job: StudyJob, store: StudyStore) -> TrialScheduler:
    """The scheduler, initialised with the validations of finished trials."""
    config = job.config
    if config.scheduler == "none" or config.grace == config.looks:
        return FIFOScheduler()
    if config.scheduler == "median":
        scheduler = MedianStoppingRule(
            time_attr=VALIDATION,
            metric=config.criterion.key,
            mode="min",
            grace_period=config.grace,
            min_time_slice=math.inf,  # otherwise it pauses trials, and a paused trial restarts
        )
    else:
        scheduler = ASHAScheduler(
            time_attr=VALIDATION,
            metric=config.criterion.key,
            mode="min",
            grace_period=config.grace,
            reduction_factor=config.reduction,
            # No rung at the last validation, where a trial ends anyway.
            max_t=config.looks - 1,
            stop_last_trials=False,
        )
    for trial in store.study.get_trials(deepcopy=False, states=FINISHED):
        _replay(scheduler, trial, config.criterion.key)
    return scheduler


def _replay(scheduler: TrialScheduler, trial: FrozenTrial, key: str) -> None:
    """Report the validations of a finished trial to a scheduler again."""
    past = PastTrial(f"before-{trial.number}")
    scheduler.on_trial_add(None, past)
    # on_trial_result of the median rule ignores further results of a trial that it would stop.
    median = isinstance(scheduler, MedianStoppingRule)
    report = scheduler.on_trial_complete if median else scheduler.on_trial_result
    for validation, value in validations_of(trial).items():
        report(None, past, {VALIDATION: validation, key: value})
