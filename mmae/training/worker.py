"""The Ray Train worker of a run: the training loop with a progress bar, checkpoints and MLflow."""

from __future__ import annotations

import os
import tempfile
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray.train
import ray.train.torch
import torch

from mmae.config import RunConfig
from mmae.core.errors import InputError, input_error_behind
from mmae.core.ray_setup import quiet_logs, set_data_context
from mmae.core.settings import from_dict
from mmae.core.worker_progress import WorkerBar
from mmae.inference.predict import Predictions
from mmae.loader.collate import input_spec
from mmae.model.batch import Batch
from mmae.model.build import Model
from mmae.survey.store import Survey
from mmae.training.checkpoint import restore_state, save_checkpoint
from mmae.training.loop import Loop, short_summary, summary
from mmae.training.parallel import DDP_OPTIONS
from mmae.training.run_folder import ENDED
from mmae.training.step import NonFiniteLoss, TrainState, create_state
from mmae.training.system import system_metrics

if TYPE_CHECKING:
    from mmae.tracking.offline_buffer import OfflineBuffer

BAR = "training"


def train(job: dict[str, Any]) -> None:
    """Train from the last checkpoint, or from scratch, to the last step.

    Args:
        job: `config` and `tracker` (plain values), `survey`, its split `val` and `folder` of the run.
    """
    quiet_logs()  # again: Ray Train configures its loggers after the process has started
    set_data_context()
    config = from_dict(job["config"], RunConfig)
    survey, folder = job["survey"], Path(job["folder"])
    if (folder / ENDED).exists():
        return
    device = ray.train.torch.get_device()
    if device.type == "cpu":
        local = ray.train.get_context().get_local_world_size()
        torch.set_num_threads(config.compute.threads or max(1, os.cpu_count() // local))

    state = resumed_state(config, survey, device)
    if config.compute.strategy == "ddp":
        state.trained = ray.train.torch.prepare_model(state.model, parallel_strategy_kwargs=DDP_OPTIONS)
    host = WorkerHost(config, job, state, device)
    try:
        Loop(config, survey, state, host).run()
    except NonFiniteLoss as error:
        # Recorded and not raised: Ray Train would restart from the checkpoint and reach the same NaN.
        (folder / ENDED).write_text(str(error))
    except Exception as error:
        cause = input_error_behind(error)
        if cause is not None:
            (folder / ENDED).write_text(str(cause).splitlines()[0])  # Ray appends further lines
        raise  # so that Ray Train ends the other ranks, which wait for this one
    finally:
        host.close()


def resumed_state(config: RunConfig, survey: Survey, device: torch.device) -> TrainState:
    """The state of the newest undamaged checkpoint, or a new one."""
    world = ray.train.get_context().get_world_size()
    sharded_over = world if config.compute.strategy == "fsdp" else 0
    newest = ray.train.get_checkpoint()
    saved = [] if newest is None else sorted(Path(newest.path).parent.glob("checkpoint_*/"), reverse=True)
    for folder in saved:
        state = create_state(config, input_spec(survey.spec), device, sharded_over)
        try:
            restore_state(folder, state)
        except InputError as error:
            print(f"skipped: {error}", flush=True)
            continue
        return state
    return create_state(config, input_spec(survey.spec), device, sharded_over)


class WorkerHost:
    """The host of one rank of a run; see `mmae.training.loop.Host`."""

    def __init__(self, config: RunConfig, job: dict[str, Any], state: TrainState, device: torch.device):
        context = ray.train.get_context()
        self.device, self.rank, self.world = device, context.get_world_rank(), context.get_world_size()
        self.config, self.job, self.state = config, job, state
        self.last_score = ""
        self.bar: WorkerBar | None = None
        if self.rank == 0:
            self.bar = WorkerBar(total=config.optim.steps, desc=BAR, unit="step")
            self.bar.update(state.step)
            if state.step:
                self.bar.write(f"resumed at step {state.step}")

    @cached_property
    def buffer(self) -> OfflineBuffer:
        # Imported here: MLflow takes a second to import, and the first steps do not need it.
        from mmae.tracking.offline_buffer import UNSENT, OfflineBuffer
        from mmae.tracking.runs import Tracker

        return OfflineBuffer(Tracker(**self.job["tracker"]), Path(self.job["folder"]) / UNSENT)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()

    def validation(self) -> ray.data.Dataset:
        return self.job["val"]

    def stepped(self) -> None:
        if self.bar is not None:
            self.bar.update(1)

    def logged(self, curves: dict[str, float], step: int) -> None:
        self.buffer.metrics(curves | system_metrics(self.device), step)
        assert self.bar is not None  # on rank 0
        rate, loss = curves["speed/galaxies_per_s"], curves["train/loss"]
        self.bar.note = f"{rate:.0f} galaxies/s, loss {loss:.2f}{self.last_score}"
        self.bar.refresh()

    def validated(self, metrics: dict[str, float], predictions: Predictions, model: Model) -> None:
        if self.rank != 0:
            save_checkpoint(None, self.state, model, self.config, metrics)
            ray.train.report(metrics)
            return
        self.buffer.metrics(metrics, self.state.step)
        self.last_score = f", {short_summary(metrics)}"
        assert self.bar is not None
        self.bar.write(f"step {self.state.step}/{self.config.optim.steps}: {summary(metrics)}")
        with tempfile.TemporaryDirectory() as folder:
            save_checkpoint(Path(folder), self.state, model, self.config, metrics)
            ray.train.report(metrics, checkpoint=ray.train.Checkpoint.from_directory(folder))

    def pictured(self, batch: Batch, model: Model) -> None:
        if self.buffer.is_down:
            return
        from mmae.training.pictures import log_pictures  # imported here: matplotlib takes a second to import

        log_pictures(
            self.buffer.tracker, batch, model, self.device, self.config, self.job["survey"].spec, self.state.step
        )
