"""The main job: survey -> training -> test scores -> MLflow."""

from __future__ import annotations

import contextlib
import dataclasses
import shlex
import shutil
import time
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import ray
import ray.train
from mlflow.exceptions import MlflowException
from ray.train import CheckpointConfig, FailureConfig, LoggingConfig, ScalingConfig
from ray.train import RunConfig as TrainRunConfig
from rich.console import Console

from mmae.bundle.files import BUNDLE
from mmae.config import RunConfig, modalities_of
from mmae.core.command_line import command
from mmae.core.errors import InputError
from mmae.core.files import folder_lock, partial_path
from mmae.core.interrupts import end_status, interrupted_status, raise_on_sigterm
from mmae.core.provenance import provenance, provenance_tags
from mmae.core.ray_setup import WORKER_ENV, start_ray
from mmae.core.resources import require_resources
from mmae.core.settings import flat, to_dict, to_yaml
from mmae.core.terminal import terminal
from mmae.inference.checkpoint import BEST
from mmae.inference.stored_scores import read_scores, write_scores
from mmae.ingest.embedded import embedded_folder, open_or_simulate, survey_line
from mmae.loader.collate import input_spec
from mmae.loader.stream import make_sampler, read_split
from mmae.metrics.redshift import ScoreTable
from mmae.model.build import build_model
from mmae.report.score_table import print_scores
from mmae.survey.columns import split_hash
from mmae.survey.store import MANIFEST, Survey, open_survey
from mmae.tracking.offline_buffer import UNSENT, OfflineBuffer
from mmae.tracking.runs import Tracker, open_named_run, tracking_uri
from mmae.training.run_folder import (
    ENDED,
    SELECTION,
    interrupted_line,
    is_trained,
    require_same_run,
    require_same_survey,
    save_start,
    saved_lanes,
    was_started_otherwise,
)
from mmae.training.trainer import InterruptibleTrainer, backend, start_coordinator, train_worker

if TYPE_CHECKING:
    from mmae.training.final_scores import RunScores

COUNTED = {"image": "images", "spectrum": "spectra", "magnitudes": "magnitudes"}
"""Modality -> its galaxies in the counts of a survey; surveys of mmae 0.2.0 did not count magnitudes."""
BUSY = "another process is training this run. Wait until it ends, or use another --name."


@dataclass(frozen=True)
class RunResult:
    """Folder, MLflow run and test scores of a finished run."""

    run_dir: Path
    checkpoint: Path
    tracker: Tracker
    table: ScoreTable


@dataclass(frozen=True)
class RunSize:
    """Size of a run.

    Attributes:
        parameters: of the model.
        epoch: galaxies of an epoch, with repetitions.
    """

    parameters: int
    epoch: int


def pretrain(config: RunConfig, console: Console | None = None) -> RunResult:
    """Train, test and record one run; an interrupted run of the same name continues, a finished one prints its scores.

    Raises:
        InputError: the survey, the configuration or the tracking server is wrong, or another process runs this run.
        SystemExit: Ctrl-C or SIGTERM; the printed command continues the run.
    """
    console = console or terminal()
    config = _with_name_and_lanes(config)
    run_dir = config.home_path / "runs" / config.name
    try:
        return _pretrain(config, run_dir, console)
    except KeyboardInterrupt as error:
        # On a line of its own, below the progress bar.
        console.print(f"\n{interrupted_line(config, run_dir)}", highlight=False, markup=False, soft_wrap=True)
        raise SystemExit(interrupted_status(error)) from None


def _pretrain(config: RunConfig, run_dir: Path, console: Console) -> RunResult:
    require_same_run(config, run_dir)
    finished = _finished(config, run_dir, console)
    if finished:
        return finished
    start_ray()
    start_coordinator()
    _require_workers(config)
    raise_on_sigterm()
    survey = open_or_simulate(config.survey, config.home_path, config.simulated_galaxies, console)
    size = require_usable(config, survey)
    if config.init:
        from mmae.training.start import require_fitting_start

        console.print(require_fitting_start(config, survey), highlight=False, markup=False, soft_wrap=True)
    require_same_survey(survey, run_dir)
    with folder_lock(run_dir, BUSY):
        # Again, because another process may have run it since.
        require_same_run(config, run_dir)
        require_same_survey(survey, run_dir)
        finished = _finished(config, run_dir, console)
        return finished or _run(config, survey, size, run_dir, console)


def _finished(config: RunConfig, run_dir: Path, console: Console) -> RunResult | None:
    """Print the scores of a finished run; None if the run is not finished."""
    stored = read_scores(run_dir)
    if stored is None:
        return None
    folder = Path(config.survey) if config.survey else embedded_folder(config.home_path, config.simulated_galaxies)
    if (folder / MANIFEST).exists():
        require_same_survey(open_survey(folder), run_dir)
    tracker, checkpoint = Tracker(tracking_uri(config.home_path), stored.run_id).located(), run_dir / BEST
    console.print(f"run     {run_dir}\nfinished before; its scores:", highlight=False, markup=False, soft_wrap=True)
    print_scores(stored.table, console)
    console.print(_next_steps(tracker, checkpoint, config), highlight=False, soft_wrap=True)
    return RunResult(run_dir, checkpoint, tracker, stored.table)


def _run(config: RunConfig, survey: Survey, size: RunSize, run_dir: Path, console: Console) -> RunResult:
    """Train and score a run in its folder, which this process has locked."""
    console.print(survey_line(survey), highlight=False, soft_wrap=True)
    anew = was_started_otherwise(config, run_dir)
    tracker = open_tracker(config, run_dir, replace=anew)
    if anew:
        (run_dir / UNSENT).unlink(missing_ok=True)
    save_start(config, survey, run_dir)
    console.print(f"run     {run_dir}\nMLflow  {tracker.shown}  run {tracker.run_id}", highlight=False, soft_wrap=True)
    console.print(_training_line(config, size), highlight=False, soft_wrap=True)
    tracker.tags(
        {"mmae.survey": str(survey.path), "mmae.survey_hash": survey.content_hash, "mmae.recipe": config.recipe}
        | provenance_tags(seed=config.seed, data=survey.content_hash)
    )
    tracker.dataset(survey.path.name, survey.path, survey.content_hash, survey.rows_per_split()["train"])
    try:
        checkpoint = run_dir / BEST if is_trained(run_dir) else _train(config, survey, tracker, run_dir)
        _send_buffered(OfflineBuffer(tracker, run_dir / UNSENT))
        tracker.metrics({"cost/parameters": size.parameters}, config.optim.steps)
        result = score_checkpoint(config, survey, checkpoint, tracker)
        bundle_checkpoint(checkpoint, result.table, tracker)
    except BaseException as error:
        with contextlib.suppress(MlflowException):  # an unreachable server must not hide the error
            tracker.finish(end_status(error))
        raise
    tracker.finish()
    found = provenance(seed=config.seed, data=survey.content_hash)
    write_scores(run_dir, tracker.run_id, result.table, provenance=found)
    print_scores(result.table, console)
    console.print(_next_steps(tracker, checkpoint, config), highlight=False, soft_wrap=True)
    return RunResult(run_dir, checkpoint, tracker, result.table)


def _training_line(config: RunConfig, size: RunSize) -> str:
    """Length of the training, for the terminal."""
    steps, batch = config.optim.steps, config.stream.batch_size
    compute = f"{config.compute.workers} worker{'s' * (config.compute.workers > 1)}"
    epochs = f"{steps * batch / size.epoch:.1f} epochs of {size.epoch:,}"
    device = "GPU" if uses_gpu(config) else "CPU"
    return f"train   {steps:,} steps of {batch:,} galaxies: {epochs}, on {compute} with {device}"


def open_tracker(config: RunConfig, run_dir: Path, *, replace: bool = False) -> Tracker:
    """The MLflow run of a training run; a new one, with all parameters, if it does not exist.

    Args:
        replace: as in `open_named_run`.

    Raises:
        InputError: the tracking server or database cannot be used.
    """
    params = {key: str(value) for key, value in flat(config).items()}
    tracker, is_new = open_named_run(
        tracking_uri(config.home_path), config.experiment, config.name, run_dir, params, replace=replace
    )
    if is_new:
        tracker.text(to_yaml(config), "config.yaml")
    return tracker


def _with_name_and_lanes(config: RunConfig) -> RunConfig:
    """The configuration with the defaults of name and lanes; a resumed run keeps its lanes on any number of workers."""
    if not config.name:
        config = replace(config, name=f"{config.recipe}-{datetime.now():%Y%m%d-%H%M%S}")
    if not config.stream.lanes:
        lanes = saved_lanes(config.home_path / "runs" / config.name) or config.compute.workers
        config = replace(config, stream=replace(config.stream, lanes=lanes))
    return config


def require_usable(config: RunConfig, survey: Survey) -> RunSize:
    """Check survey and model before any worker starts.

    Raises:
        InputError: an empty split, no training galaxy with an input of the model, fewer galaxies in an epoch than
            lanes or than one batch, or an impossible model.
    """
    _require_training_galaxies(config, survey)
    for split in ("train", "val", "test"):
        survey.files(split)
    rows = make_sampler(survey, config.stream, config.seed).n_rows
    if rows < config.stream.batch_size:
        raise InputError(
            f"{survey.path}: an epoch has {rows} training galaxies, fewer than one batch. "
            f"Use --stream.batch-size {2 ** (rows.bit_length() - 1)} or less."
        )
    try:
        model = build_model(config.model, input_spec(survey.spec))
    except ValueError as error:
        raise InputError(str(error)) from error
    return RunSize(sum(p.numel() for p in model.parameters()), rows)


def _require_training_galaxies(config: RunConfig, survey: Survey) -> None:
    """Raise InputError if the survey has no training galaxy, none with a measurement that the model reads, or no
    columns of a modality of the model."""
    if not survey.rows_per_split()["train"]:
        raise InputError(
            f"{survey.path}: there is no training galaxy, the survey is for tests only. Train on another survey, or "
            f"build this one with a train fraction (--split.fractions)."
        )
    counts, modalities = survey.counts.get("train", {}), modalities_of(config.model)
    absent = [COUNTED[name] for name in modalities if counts.get(COUNTED.get(name, ""), 1) == 0]
    sizes = {"image": survey.spec.image_size, "spectrum": survey.spec.n_wavelengths}
    if len(absent) == len(modalities) or any(sizes.get(name) == 0 for name in modalities):
        has = [name for name in COUNTED.values() if counts.get(name)]
        raise InputError(
            f"{survey.path}: no training galaxy has {' or '.join(absent)}, which recipe {config.recipe} reads; the "
            f"survey has {' and '.join(has) or 'none of them'}. Use another --recipe: magnitudes for catalogues alone."
        )


def uses_gpu(config: RunConfig) -> bool:
    """Whether every worker requests a GPU."""
    if config.compute.device == "auto":
        return ray.cluster_resources().get("GPU", 0) >= config.compute.workers
    return config.compute.device == "gpu"


def _require_workers(config: RunConfig) -> None:
    """Check that the cluster has the resources of the workers, or wait for them with a message.

    Raises:
        InputError: it has not.
    """
    n, kind = config.compute.min_workers or config.compute.workers, "GPU" if uses_gpu(config) else "CPU"
    remedy = "Use --compute.device cpu, fewer --compute.workers, or a cluster with GPUs."
    if kind == "CPU":
        remedy = "Use fewer --compute.workers, or a larger cluster."
    require_resources(n, {kind: 1.0}, f"--compute.workers {n} --compute.device {config.compute.device}", remedy)


def _workers(config: RunConfig) -> int | tuple[int, int]:
    """The number of workers for Ray Train; a range for elastic training."""
    compute = config.compute
    return (compute.min_workers, compute.workers) if compute.min_workers else compute.workers


def _train(config: RunConfig, survey: Survey, tracker: Tracker, run_dir: Path) -> Path:
    """Run the Ray Train workers to the last step; returns the folder of the best checkpoint."""
    trainer = InterruptibleTrainer(
        train_worker,
        train_loop_config={
            "config": to_dict(config),
            "survey": survey,
            "tracker": dataclasses.asdict(tracker),
            "folder": str(run_dir),
            # Every rank reads the validation split and takes its share of the batches. Ranks read training galaxies
            # themselves, in the order of the sampler (mmae/loader/sampler.py).
            "val": read_split(survey, "val", config.stream),
        },
        backend_config=backend(config.compute, uses_gpu(config)),
        scaling_config=ScalingConfig(num_workers=_workers(config), use_gpu=uses_gpu(config)),
        run_config=TrainRunConfig(
            name=run_dir.name,
            storage_path=str(run_dir.parent),
            checkpoint_config=CheckpointConfig(
                num_to_keep=2, checkpoint_score_attribute=SELECTION, checkpoint_score_order="min"
            ),
            failure_config=FailureConfig(max_failures=config.compute.max_failures),
            worker_runtime_env={"env_vars": WORKER_ENV},
            logging_config=LoggingConfig(log_level="WARNING"),  # otherwise resources and processes of every start
        ),
    )
    ended = run_dir / ENDED
    ended.unlink(missing_ok=True)
    result = trainer.fit()
    if ended.exists():
        raise InputError(f"run {config.name}: {ended.read_text()} Checkpoints of earlier steps are in {run_dir}.")
    best = result.get_best_checkpoint(SELECTION, "min") or result.checkpoint
    target = run_dir / BEST
    copied = partial_path(target)
    with best.as_directory() as folder:
        shutil.copytree(folder, copied)
    shutil.rmtree(target, ignore_errors=True)
    copied.rename(target)
    return target


def _send_buffered(buffer: OfflineBuffer) -> None:
    """Send metrics that were buffered while MLflow was unreachable.

    Raises:
        InputError: MLflow is still unreachable. The run is trained; the same command continues with the scores.
    """
    if not buffer.send():
        raise InputError(
            f"MLflow at {buffer.tracker.shown} does not answer: the run is trained but not scored. Start "
            f"the server and run the same command again; unsent metrics are in {buffer.file}."
        )


def score_checkpoint(
    config: RunConfig, survey: Survey, checkpoint: Path, tracker: Tracker, curves: Tracker | None = None
) -> RunScores:
    """Score a checkpoint on the test split, on a GPU if the run uses one, and log the scores.

    The rows of the training are stored next to it, so that a later evaluation can refuse them.

    Args:
        curves: the MLflow run with the losses, if not `tracker`.
    """
    # Imported here: needed after the training only.
    from mmae.inference.fit_flags import save_flags
    from mmae.survey.leaks import write_training_rows
    from mmae.training.final_scores import keep_recalibration, score_run
    from mmae.training.log_scores import log_scores

    tracker.tags({"mmae.split_hash": split_hash(survey)})
    write_training_rows(survey, checkpoint, Path(config.init) if config.init else None)
    # num_cpus=0: on a small machine the tasks that read the split need the CPUs.
    task = ray.remote(score_run).options(num_cpus=0, num_gpus=1 if uses_gpu(config) else 0)
    started = time.perf_counter()
    scores: RunScores = ray.get(task.remote(survey, checkpoint, config.stream))
    keep_recalibration(checkpoint, scores.recalibration)
    if scores.flags is not None:
        save_flags(scores.flags, checkpoint)
    tracker.metrics({"cost/test_seconds": time.perf_counter() - started}, config.optim.steps)
    terminal().print("scores  writing figures and the model to MLflow")
    log_scores(scores, tracker, checkpoint, curves or tracker)
    return scores


def bundle_checkpoint(checkpoint: Path, table: ScoreTable, tracker: Tracker) -> Path:
    """Write the bundle of a scored run into its folder, and store it in MLflow as a model."""
    from mmae.bundle.mlflow_model import log_bundle  # imported here: needed after training only
    from mmae.bundle.write import write_bundle

    run_dir = checkpoint.parent
    bundle = write_bundle(checkpoint, run_dir / BUNDLE, run_dir.name, table)
    log_bundle(bundle, tracker)
    return bundle


def _next_steps(tracker: Tracker, checkpoint: Path, config: RunConfig) -> str:
    return (
        f"bundle  {checkpoint.parent / BUNDLE}\n"
        f"MLflow  {tracker.how_to_look}\n"
        f"again   {command('pretrain')} --config {shlex.quote(str(checkpoint / 'config.yaml'))} --name another"
    )
