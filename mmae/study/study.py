"""Run a study: survey -> trials -> the winner's score on the test split, once -> report."""

from __future__ import annotations

import logging
import os
import shutil
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

import ray
from optuna.trial import TrialState
from ray import tune
from ray.air.execution._internal import actor_manager
from ray.exceptions import OutOfMemoryError, RayActorError
from rich.console import Console

from mmae.core.errors import InputError
from mmae.core.files import folder_lock
from mmae.core.interrupts import FAILED, KILLED, interrupted_status, raise_on_sigterm
from mmae.core.provenance import provenance_tags
from mmae.core.ray_setup import start_ray
from mmae.core.resources import require_resources
from mmae.core.settings import flat
from mmae.core.terminal import terminal
from mmae.ingest.embedded import embedded_folder, open_or_simulate, survey_line
from mmae.loader.collate import input_spec
from mmae.loader.stream import read_split
from mmae.model.batch import InputSpec
from mmae.study.config import (
    StudyConfig,
    has_same_options,
    require_same_options,
    require_same_space,
    save_options,
    studies_folder,
)
from mmae.study.estimate import concurrency, print_estimate
from mmae.study.live import LiveTable
from mmae.study.objective import require_measured
from mmae.study.record import Recorder
from mmae.study.search import make_scheduler, make_search
from mmae.study.space import Parameters, applicable_space, base_parameters, require_possible
from mmae.study.storage import DATABASE, StudyStore, open_store, read_store
from mmae.study.trial import NUMBER, StudyJob, open_trial, run_trial, trial_name, trial_resources
from mmae.survey.schema import SurveySpec
from mmae.survey.store import MANIFEST, Survey, open_survey
from mmae.tracking.runs import Tracker, open_named_run, tracking_uri
from mmae.training.run import require_usable

if TYPE_CHECKING:
    from mmae.study.conclude import StudyResult

TUNE_ENV = {
    "RAY_AIR_NEW_OUTPUT": "0",  # the new output does not support a custom table
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # the Recorder stores the reasons
    # SIGINT then raises KeyboardInterrupt. With Ray Tune's own handler `fit` returns as after an early end for
    # another reason, and the two cannot be told apart.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
}
# Ray kills workers when a node runs out of memory. Ray Tune 2.60 handles RayActorError only and ends with an
# unexpected exception on OutOfMemoryError. With this, the trial fails and the others continue.
actor_manager.RayActorError = (RayActorError, OutOfMemoryError)

SURVEY_HASH = "survey_hash"


def run_study(config: StudyConfig, console: Console | None = None) -> StudyResult | None:
    """Run the missing trials of a study, then report it; None for a dry run.

    Raises:
        InputError: the survey, the options or the tracking server is wrong, the cluster is too small, Ray Tune ended
            before all trials, or no trial reached the full budget.
        SystemExit: Ctrl-C; the same call continues the study.
    """
    console = console or terminal()
    require_measured(config.objective, config.run)
    if config.dry_run:
        _dry_run(config, console)
        return None
    _require_same_options(config)
    start_ray(dashboard=config.workers_per_trial > 1)
    require_resources(
        config.workers_per_trial,
        {"CPU": config.cpus_per_trial, "GPU": _gpus_per_worker(config)},
        f"a trial with --workers-per-trial {config.workers_per_trial}",
        "Use fewer --workers-per-trial, --cpus-per-trial or --gpus-per-trial, or a larger cluster.",
    )
    raise_on_sigterm()
    survey = open_or_simulate(config.run.survey, config.run.home_path, config.run.simulated_galaxies, console)
    require_usable(config.run, survey)
    spec = input_spec(survey.spec)
    options, config = config, _with_applicable_space(config, spec, console)
    require_possible(config.space, config.run, spec)
    base = base_parameters(config.space, config.run, spec)
    queue = _points_to_repeat(config) if config.repeat else [base] if base else []
    with folder_lock(
        config.folder, "another process is running this study. Wait until it ends, or use another --name."
    ):
        _require_same_options(options)
        if not _has_trials(config):  # a start that failed
            (config.folder / DATABASE).unlink(missing_ok=True)
        store = open_store(config)
        _require_same_survey(store, survey)
        parent = _open_parent(options, survey)
        save_options(options, survey.content_hash)
        store.queue(queue[: config.trials])
        job = StudyJob(config, survey, config.folder, parent, _gpus_per_worker(config))
        console.print(survey_line(survey), highlight=False, soft_wrap=True)
        console.print(
            f"study   {config.folder}\nMLflow  {parent.shown}  run {parent.run_id}", highlight=False, soft_wrap=True
        )
        try:
            _run_missing_trials(job, store, survey, console)
            if store.n_finished < config.trials:
                raise InputError(
                    f"study {config.full_name}: Ray Tune ended early with {store.n_finished} of {config.trials} trials "
                    f"finished. {_first_reason(store)}Run the same command again to continue."
                )
            from mmae.study.conclude import conclude  # imported here: the report is written last

            result = conclude(job, store, survey, base, console)
        except KeyboardInterrupt as error:
            _record_interruption(job, store, console)
            raise SystemExit(interrupted_status(error)) from None
        except BaseException:
            parent.finish(FAILED)
            raise
        parent.finish()
    return result


def _with_applicable_space(config: StudyConfig, spec: InputSpec, console: Console) -> StudyConfig:
    """The study with the fields of the space that the base run's model has; prints what is left out."""
    space, lines = applicable_space(config.space, config.run, spec)
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    return replace(config, space=space)


def _has_trials(config: StudyConfig) -> bool:
    """Whether a trial of the study has started; until then its options may change."""
    if not (config.folder / DATABASE).exists():
        return False
    try:
        trials = read_store(config.folder).trials
    except KeyError:  # killed before the study was created in the database
        return False
    return any(trial.state != TrialState.WAITING for trial in trials)


def _require_same_options(config: StudyConfig) -> None:
    """Refuse to continue a study with options other than those of its trials.

    Raises:
        InputError: names every option that differs.
    """
    if _has_trials(config):
        require_same_options(config)


def _dry_run(config: StudyConfig, console: Console) -> None:
    """Print the estimate of a study; starts no Ray and writes no file."""
    folder = embedded_folder(config.run.home_path, config.run.simulated_galaxies)
    if config.run.survey or (folder / MANIFEST).exists():
        survey = open_survey(config.run.survey or folder)
        spec, galaxies = survey.spec, survey.rows_per_split()["val"]
    else:
        spec, galaxies = SurveySpec(), config.run.validation.galaxies
    config = _with_applicable_space(config, input_spec(spec), console)
    require_possible(config.space, config.run, input_spec(spec))
    print_estimate(config, input_spec(spec), galaxies, console)


def _points_to_repeat(config: StudyConfig) -> list[Parameters]:
    require_same_space(config)
    other = studies_folder(config) / config.repeat
    points = [dict(trial.params) for trial in read_store(other).trials]
    return [point for point in points if point]


def _require_same_survey(store: StudyStore, survey: Survey) -> None:
    before = store.study.user_attrs.get(SURVEY_HASH, survey.content_hash)
    if before != survey.content_hash:
        raise InputError(
            f"study {store.study.study_name} was started on a survey with content hash {before}; {survey.path} has "
            f"{survey.content_hash}. Use another --name."
        )
    store.study.set_user_attr(SURVEY_HASH, survey.content_hash)


def _open_parent(config: StudyConfig, survey: Survey) -> Tracker:
    params = {key: str(value) for key, value in flat(config).items()}
    uri = tracking_uri(config.run.home_path)
    # With other options than those of a start that failed, a new run: MLflow does not change parameters.
    anew = not _has_trials(config) and not has_same_options(config)
    parent, _ = open_named_run(uri, config.run.experiment, config.full_name, config.folder, params, replace=anew)
    parent.dataset(survey.path.name, survey.path, survey.content_hash, survey.rows_per_split()["train"])
    parent.tags(
        {
            "mmae.survey": str(survey.path),
            "mmae.survey_hash": survey.content_hash,
            "mmae.recipe": config.run.recipe,
            "mmae.study": config.full_name,
        }
        | provenance_tags(seed=config.run.seed, data=survey.content_hash)
    )
    return parent


def _gpus_per_worker(config: StudyConfig) -> float:
    if config.gpus_per_trial is not None:
        return config.gpus_per_trial
    if config.run.compute.device != "auto":
        return 1.0 if config.run.compute.device == "gpu" else 0.0
    return 1.0 if ray.cluster_resources().get("GPU", 0) >= config.workers_per_trial else 0.0


def _run_missing_trials(job: StudyJob, store: StudyStore, survey: Survey, console: Console) -> None:
    """Run Ray Tune until the study has all its trials; Ctrl-C raises KeyboardInterrupt."""
    config = job.config
    again = store.requeue_interrupted()
    if again:
        console.print(f"interrupted trials run again: {', '.join(map(str, again))}", highlight=False)
    n_before = store.n_finished
    if n_before >= config.trials:
        return
    os.environ.update(TUNE_ENV)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    trainable = tune.with_parameters(run_trial, job=job, val=read_split(survey, "val", config.run.stream))
    cluster = ray.cluster_resources()
    with LiveTable(console, config.trials, n_before, config.criterion) as table:
        tune.Tuner(
            tune.with_resources(trainable, trial_resources(job)),
            tune_config=tune.TuneConfig(
                search_alg=make_search(job, store),
                scheduler=make_scheduler(job, store),
                num_samples=config.trials - n_before,
                reuse_actors=config.workers_per_trial == 1,  # imports in a new process take seconds
                max_concurrent_trials=concurrency(config, cluster.get("CPU", 1), cluster.get("GPU", 0), job.gpus),
                trial_name_creator=lambda trial: trial_name(trial.config[NUMBER]),
                trial_dirname_creator=lambda trial: trial_name(trial.config[NUMBER]),
            ),
            run_config=tune.RunConfig(
                name=f"{datetime.now():%Y%m%d-%H%M%S}",
                storage_path=str(job.folder / "tune"),
                failure_config=tune.FailureConfig(max_failures=0),
                callbacks=[Recorder(job, store)],
                progress_reporter=table,
                verbose=1,
            ),
        ).fit()
    for leftover in ("tune", "train"):  # results are in Optuna and MLflow
        shutil.rmtree(job.folder / leftover, ignore_errors=True)


def _first_reason(store: StudyStore) -> str:
    """The recorded reason of the first failed trial, as a sentence; empty if there is none."""
    reasons = [f"Trial {t.number}: {t.user_attrs['reason']}. " for t in store.trials if "reason" in t.user_attrs]
    return reasons[0] if reasons else ""


def _record_interruption(job: StudyJob, store: StudyStore, console: Console) -> None:
    """After Ctrl-C: mark running trials as killed in MLflow. In Optuna they stay running and are requeued next time."""
    for trial in store.trials:
        if trial.state.name == "RUNNING":
            open_trial(job, trial.number).finish(KILLED)
    job.parent.finish(KILLED)
    console.print(
        f"interrupted: {store.n_finished} of {job.config.trials} trials finished. "
        "Run the same command again to continue.",
        highlight=False,
    )
