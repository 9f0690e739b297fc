"""One trial: the training loop inside Ray Tune, on one device or on several Ray Train workers."""

from __future__ import annotations

import math
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import ray
import ray.train
import ray.train.torch
import torch
from ray import tune
from ray.data import Dataset
from ray.train import LoggingConfig, ScalingConfig
from ray.train import RunConfig as TrainRunConfig
from ray.train.torch import TorchConfig, TorchTrainer
from ray.tune.integration.ray_train import TuneReportCallback

from mmae.core.provenance import provenance_tags
from mmae.core.ray_setup import WORKER_ENV, quiet_logs, set_data_context
from mmae.core.settings import to_yaml
from mmae.inference.predict import Predictions
from mmae.loader.collate import input_spec
from mmae.model.batch import Batch
from mmae.model.build import Model
from mmae.model.masking import fixed_visible, modes_of
from mmae.study.budget import Plan, noise_batch, plan_trial, validation_number
from mmae.study.config import StudyConfig
from mmae.study.objective import HIDDEN, SCATTER, reconstructed
from mmae.study.space import Parameters, input_mode, parameters_of
from mmae.survey.store import Survey
from mmae.tracking.runs import Tracker, open_named_run
from mmae.training.checkpoint import save_model
from mmae.training.final_scores import predictions_table
from mmae.training.loop import Loop
from mmae.training.parallel import DDP_OPTIONS
from mmae.training.step import NonFiniteLoss, TrainState, create_state
from mmae.training.trainer import GPU_BACKEND

NUMBER = "number"  # key of the Optuna trial number, next to the parameters in Tune's configuration
VALIDATION = "validation"  # key of the number of the validation, 1 ... StudyConfig.looks
PLACEMENT = "placement_group"  # key of the placement group of a trial with several workers
CHECKPOINT, PREDICTIONS = "checkpoint", "predictions.parquet"
TIMED_BATCHES = 2  # for the inference throughput, after one batch of warm-up


@dataclass(frozen=True)
class StudyJob:
    """What all trials of a study share; plain values that are sent to the workers."""

    config: StudyConfig
    survey: Survey
    folder: Path
    parent: Tracker
    gpus: float
    """GPUs of each worker of a trial."""

    @property
    def mode(self) -> str:
        """The input mode whose scatter is measured."""
        return input_mode(self.config.run, input_spec(self.survey.spec))

    def trial_folder(self, number: int) -> Path:
        return self.folder / "trials" / f"{number:03d}"


def trial_name(number: int) -> str:
    return f"trial-{number:03d}"


def open_trial(job: StudyJob, number: int) -> Tracker:
    """The MLflow run of a trial, a child of the study's run; created if it does not exist."""
    tracker, _ = open_named_run(
        job.parent.uri, job.config.run.experiment, trial_name(number), job.trial_folder(number), {}, job.parent
    )
    return tracker


def run_trial(config: dict[str, Any], job: StudyJob, val: Dataset) -> None:
    """The trainable of Ray Tune.

    Args:
        config: the trial's number and parameters.
        job: the study.
        val: validation split, read once for all trials.
    """
    if job.config.workers_per_trial == 1:
        set_data_context()
        device = torch.device("cuda" if ray.get_gpu_ids() else "cpu")
        TrialHost(config, job, device, lambda: val, tune.report).train()
        return
    TorchTrainer(
        train_trial_worker,
        train_loop_config={"config": config, "job": job},
        scaling_config=ScalingConfig(
            num_workers=job.config.workers_per_trial,
            use_gpu=job.gpus > 0,
            resources_per_worker={"CPU": job.config.cpus_per_trial} | ({"GPU": job.gpus} if job.gpus else {}),
        ),
        torch_config=TorchConfig(backend=GPU_BACKEND if job.gpus else None),
        run_config=TrainRunConfig(
            name=trial_name(config[NUMBER]),
            storage_path=str(job.folder / "train"),
            callbacks=[TuneReportCallback()],
            worker_runtime_env={"env_vars": WORKER_ENV},
            logging_config=LoggingConfig(log_level="WARNING"),
        ),
        datasets={"val": val},
        dataset_config=ray.train.DataConfig(datasets_to_split=[]),
    ).fit()


def train_trial_worker(loop: dict[str, Any]) -> None:
    """One Ray Train worker of a trial with several workers."""
    quiet_logs()
    set_data_context()
    context = ray.train.get_context()
    placement = {PLACEMENT: ray.util.get_current_placement_group().id.hex()}
    TrialHost(
        loop["config"],
        loop["job"],
        ray.train.torch.get_device(),
        lambda: ray.train.get_dataset_shard("val"),
        lambda metrics: ray.train.report(metrics | placement),
        context.get_world_rank(),
        context.get_world_size(),
    ).train()


class TrialHost:
    """The host of one rank of a trial; see `mmae.training.loop.Host`.

    Args:
        config: the trial's number and parameters.
        validation: returns the rows of the validation split.
        report: reports a result to the scheduler. It does not return if the scheduler stops the trial,
            so everything must be stored before the call.
    """

    def __init__(
        self,
        config: dict[str, Any],
        job: StudyJob,
        device: torch.device,
        validation,
        report,
        rank: int = 0,
        world: int = 1,
    ):
        self.number: int = config[NUMBER]
        self.parameters: Parameters = {k: v for k, v in config.items() if k != NUMBER}
        self.job, self.device, self.rank, self.world = job, device, rank, world
        self.validation, self.report = validation, report
        self.folder = job.trial_folder(self.number)

    def train(self) -> None:
        """Run the trial from its first step; an interrupted trial restarts from there too."""
        if self.device.type == "cpu":
            torch.set_num_threads(max(1, int(self.job.config.cpus_per_trial)))
        self.plan: Plan = plan_trial(self.job.config, self.parameters, input_spec(self.job.survey.spec))
        self.state: TrainState = create_state(self.plan.run, input_spec(self.job.survey.spec), self.device)
        if self.rank == 0:
            self._open()
        if self.world > 1:
            self.state.trained = ray.train.torch.prepare_model(self.state.model, parallel_strategy_kwargs=DDP_OPTIONS)
        self.started = time.perf_counter()
        Loop(self.plan.run, self.job.survey, self.state, self).run()

    def _open(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)  # files of an interrupted trial
        self.folder.mkdir(parents=True)
        self.tracker = open_trial(self.job, self.number)
        described = parameters_of(self.plan.run) | {"steps": self.plan.run.optim.steps}
        self.tracker.params({name: f"{value:g}" for name, value in described.items()})
        found = provenance_tags(seed=self.plan.run.seed, data=self.job.survey.content_hash)
        self.tracker.tags({"mmae.node": ray.get_runtime_context().get_node_id()} | found)
        self.tracker.text(to_yaml(self.plan.run), "config.yaml")
        self.costs = {
            "parameters": sum(p.numel() for p in self.state.model.parameters()),
            "flops_per_galaxy": self.plan.flops_per_galaxy,
            "full_flops": self.plan.flops,
            "throughput": inference_throughput(self.state, self.plan, self.device),
        }

    def stepped(self) -> None:
        pass

    def logged(self, curves: dict[str, float], step: int) -> None:
        self.tracker.metrics(curves, step)

    def pictured(self, batch: Batch, model: Model) -> None:
        pass

    def validated(self, metrics: dict[str, float], predictions: Predictions, model: Model) -> None:
        if self.rank != 0:
            self.report({})
            return
        step, steps = self.state.step, self.plan.run.optim.steps
        mode = next(iter(predictions.predicted))
        measured = {SCATTER.key: metrics[f"val/{mode}/sigma_nmad"]}
        modality = reconstructed(self.plan.run)
        if modality:
            measured[HIDDEN.key] = metrics[f"val/{modality}_loss"]
        missing = [name for name, value in measured.items() if math.isnan(value)]
        if missing:
            raise NonFiniteLoss(f"{' and '.join(missing)} ({mode}): NaN at step {step}, no finite prediction.")
        self.tracker.metrics(metrics, step)
        pq.write_table(predictions_table(predictions), self.folder / PREDICTIONS)
        if step == steps:
            checkpoint = self.folder / CHECKPOINT
            checkpoint.mkdir(exist_ok=True)
            save_model(checkpoint, self.state, model, self.plan.run, metrics)
        galaxies, seconds = step * self.plan.run.stream.batch_size, time.perf_counter() - self.started
        self.report(
            {
                VALIDATION: validation_number(step, steps, self.job.config.looks),
                **measured,
                "finished": step == steps,
                "progress": step / steps,
                "galaxies_seen": galaxies,
                "seconds": seconds,
                "galaxies_per_s": galaxies / seconds,
                "flops": galaxies * self.plan.flops_per_galaxy,
                **self.costs,
            }
        )


@torch.no_grad()
def inference_throughput(state: TrainState, plan: Plan, device: torch.device) -> float:
    """Galaxies per second of redshift inference in the model's first input mode: from the image, if it reads one."""
    model, n = state.model.eval(), plan.run.stream.batch_size
    batch = noise_batch(n, model.spec).to(device)
    visible = fixed_visible(batch, model.n_tokens, next(iter(modes_of(model.n_tokens).values())))
    for turn in range(1 + TIMED_BATCHES):
        if turn == 1:
            started = time.perf_counter()
        redshift_B, _, _ = model.redshift(batch, visible)
        redshift_B.cpu()  # waits for a GPU, which computes asynchronously
    return TIMED_BATCHES * n / (time.perf_counter() - started)


def trial_resources(job: StudyJob) -> dict[str, float]:
    """The resources that Ray Tune reserves for a trial.

    Several workers request their CPUs and GPUs themselves; because Ray Tune accepts no empty request, it then
    reserves one byte of memory.
    """
    if job.config.workers_per_trial > 1:
        return {"memory": 1.0}
    return {"cpu": job.config.cpus_per_trial, "gpu": job.gpus}
