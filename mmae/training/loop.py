"""The Ray Train worker: stream batches, step, validate, checkpoint, log."""

from __future__ import annotations

import itertools
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray.train
import ray.train.torch
import torch
import torch.distributed
from ray.experimental import tqdm_ray

from mmae.config import RunConfig, from_dict
from mmae.evaluation.predict import MODES, Predictions, predict_redshifts
from mmae.evaluation.redshift import score_redshift
from mmae.model.batch import Batch
from mmae.model.masking import draw_visible
from mmae.ray_setup import quiet_logs
from mmae.survey.schema import SurveySpec
from mmae.survey.stream import batches, input_spec
from mmae.training.checkpoint import Place, restore_state, save_checkpoint
from mmae.training.step import (
    TrainState, autocast, create_state, require_finite, step_generator, training_step,
)
from mmae.tracking import Tracker

LOG_EVERY = 10  # steps between two points of the loss curve
MIN_LABELS = 20  # fewer validation redshifts say nothing: then the reconstruction chooses
SELECTION = "val/selection"  # the metric by which the best checkpoint is kept; lower is better


def train_worker(job: dict[str, Any]) -> None:
    """Train from the last checkpoint, or from scratch, to the last step.

    Args:
        job: plain values: `config`, `spec` (JSON of the SurveySpec) and `tracker`.
    """
    quiet_logs()  # again: Ray Train set its loggers up after the process started
    config = from_dict(job["config"])
    spec = SurveySpec.from_json(job["spec"])
    tracker = Tracker(**job["tracker"])
    context = ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    device = ray.train.torch.get_device()
    if device.type == "cpu":
        torch.set_num_threads(config.compute.threads or max(1, os.cpu_count() // context.get_local_world_size()))

    state = create_state(config, input_spec(spec), device)
    place = Place()
    checkpoint = ray.train.get_checkpoint()
    if checkpoint is not None:
        with checkpoint.as_directory() as folder:
            place = restore_state(Path(folder), state)
    state.trained = ray.train.torch.prepare_model(state.model)

    worker = Worker(config, spec, tracker, state, rank, world, device)
    for epoch in itertools.count(place.epoch):
        done = place.batch if epoch == place.epoch else 0
        if state.step >= config.optim.steps:
            break
        worker.epoch(epoch, done)
    worker.close()


@dataclass
class Meter:
    """What happened since the last log line."""

    started: float
    galaxies: int = 0
    waited: float = 0.0


class Worker:
    """One rank of a run."""

    def __init__(
        self, config: RunConfig, spec: SurveySpec, tracker: Tracker, state: TrainState,
        rank: int, world: int, device: torch.device,
    ):
        self.config, self.spec, self.tracker, self.state = config, spec, tracker, state
        self.rank, self.world, self.device = rank, world, device
        self.last_score = "-"
        self.meter = Meter(time.perf_counter())
        self.bar = None
        if rank == 0:
            self.bar = tqdm_ray.tqdm(total=config.optim.steps, desc=config.name, unit="step")
            self.bar.update(state.step)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()

    def epoch(self, epoch: int, done: int) -> None:
        """All batches of one epoch after the first `done`, which a resumed run has seen."""
        stream = self._stream("train", shuffle_seed=self.config.seed + epoch, drop_last=True)
        n_batches = 0
        for index, batch in enumerate(self._timed(stream)):
            n_batches += 1
            if index < done:
                continue
            self._step(batch.to(self.device), Place(epoch, index + 1))
            if self.state.step >= self.config.optim.steps:
                return
        if n_batches == 0:
            raise ValueError(
                f"the train split has fewer galaxies than one batch: lower stream.batch_size "
                f"(now {self.config.stream.batch_size}) or build a larger survey."
            )

    def _stream(self, split: str, shuffle_seed: int | None = None, drop_last: bool = False) -> Iterator[Batch]:
        shard = ray.train.get_dataset_shard(split)
        return batches(
            shard, self.spec, self.config.stream.batch_size // self.world,
            shuffle_rows=None if shuffle_seed is None else self.config.stream.shuffle_rows,
            seed=shuffle_seed, drop_last=drop_last,
        )

    def _timed(self, stream: Iterator[Batch]) -> Iterator[Batch]:
        while True:
            start = time.perf_counter()
            batch = next(stream, None)
            self.meter.waited += time.perf_counter() - start
            if batch is None:
                return
            yield batch

    def _step(self, batch: Batch, place: Place) -> None:
        self.state.model.train()
        losses, norm = training_step(self.state, batch, self.config, self.rank)
        self.meter.galaxies += len(batch) * self.world
        step, last = self.state.step, self.state.step == self.config.optim.steps
        if step % LOG_EVERY == 0 or last:
            require_finite(losses.total.item(), step)
            self._log(losses, norm)
        if self.bar is not None:
            self.bar.update(1)
        if step % self.config.validation.every == 0 or last:
            self._validate_and_checkpoint(place, losses)

    def _log(self, losses, norm: torch.Tensor) -> None:
        if self.rank != 0:
            return
        elapsed = time.perf_counter() - self.meter.started
        speed = self.meter.galaxies / elapsed
        self.tracker.metrics(
            {
                "train/loss": losses.total.item(),
                "train/image": losses.image.item(),
                "train/spectrum": losses.spectrum.item(),
                "train/redshift": losses.redshift.item(),
                "train/gradient_norm": norm.item(),
                "train/learning_rate": self.state.optimiser.param_groups[0]["lr"],
                "speed/galaxies_per_s": speed,
                "speed/waiting_for_data": self.meter.waited / elapsed,
            },
            self.state.step,
        )
        self.bar.set_description(
            f"{self.config.name} {speed:.0f} galaxies/s, loss {losses.total.item():.3f}, "
            f"val {self.last_score}"
        )
        self.meter = Meter(time.perf_counter())

    def _validate_and_checkpoint(self, place: Place, losses) -> None:
        require_finite(losses.total.item(), self.state.step)  # never keep a checkpoint of NaN weights
        metrics = self.validate()
        if self.rank != 0:
            ray.train.report(metrics)
            return
        self.tracker.metrics(metrics, self.state.step)
        self.last_score = _summary(metrics)
        # Ray's bar owns the last line of the terminal; a plain line keeps the story in a log file.
        print(f"step {self.state.step}/{self.config.optim.steps}  val {self.last_score}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            save_checkpoint(Path(folder), self.state, self.config, place, metrics)
            ray.train.report(metrics, checkpoint=ray.train.Checkpoint.from_directory(folder))
        self.meter = Meter(time.perf_counter())

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Loss at the training masks and scatter of the first validation galaxies, over all ranks."""
        model = self.state.best_weights
        model.eval()
        generator = step_generator(self.config.seed, 0, 0)
        mine: list[Batch] = []
        sums = torch.zeros(5, dtype=torch.float64)
        seen = 0
        for index, batch in enumerate(self._stream("val")):
            if index % self.world == self.rank:
                mine.append(batch)
            seen += len(batch)
            if seen >= self.config.validation.galaxies:
                break
        for batch in mine:
            batch = batch.to(self.device)
            visible = draw_visible(batch, model.n_image, model.n_spectrum, self.config.masks, generator)
            with autocast(self.device, self.config.compute.precision):
                losses = model(batch, visible)
            parts = (losses.total, losses.image, losses.spectrum, losses.redshift)
            sums += torch.tensor([*(len(batch) * part.item() for part in parts), len(batch)])
        predictions = predict_redshifts(model, mine, self.device)
        return self._gathered(predictions, sums)

    def _gathered(self, predictions: Predictions, sums: torch.Tensor) -> dict[str, float]:
        parts: list[Any] = [(predictions, sums)]
        if self.world > 1:
            parts = [None] * self.world
            torch.distributed.all_gather_object(parts, (predictions, sums))
        *totals, n = sum(p[1] for p in parts).tolist()
        total, image, spectrum, redshift = (value / max(n, 1) for value in totals)
        metrics = {
            "val/loss": total, "val/image_loss": image, "val/spectrum_loss": spectrum,
            "val/redshift_loss": redshift, "step": float(self.state.step),
        }
        merged = Predictions.joined([p[0] for p in parts])
        for mode, z_pred_N in merged.predicted.items():
            chosen_N = merged.usable[mode].astype(bool)
            scores = score_redshift(
                merged.redshift_N[chosen_N], z_pred_N[chosen_N], seed=self.config.seed, resamples=1
            )
            metrics[f"val/{mode}/n"] = float(scores["sigma_nmad"].n)
            for name in ("sigma_nmad", "bias", "outlier_rate"):
                metrics[f"val/{mode}/{name}"] = scores[name].value
            if mode == "image":
                enough = metrics["val/image/n"] >= MIN_LABELS
                reconstruction = total - self.config.model.redshift_weight * redshift
                metrics[SELECTION] = scores["sigma_nmad"].value if enough else reconstruction
        return metrics


def _summary(metrics: dict[str, float]) -> str:
    """`loss 2.71, sigma_NMAD image 0.0312  both 0.0240`: what there is."""
    known = "  ".join(
        f"{mode} {metrics[f'val/{mode}/sigma_nmad']:.4f}"
        for mode in MODES
        if metrics[f"val/{mode}/n"] >= MIN_LABELS
    )
    return f"loss {metrics['val/loss']:.3f}" + (f", sigma_NMAD {known}" if known else "")
