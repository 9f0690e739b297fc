"""The training loop of a Ray Train worker and of a trial: stream batches, step, validate."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
import torch.distributed
from ray.data import DataIterator, Dataset

from mmae.config import RunConfig
from mmae.inference.predict import Predictions, predict_redshifts
from mmae.loader.sampler import VALIDATION, Portion
from mmae.loader.stream import batches, training_batches
from mmae.metrics.redshift import score_redshift
from mmae.model.batch import Batch
from mmae.model.build import Model
from mmae.model.config import MaskConfig
from mmae.model.draws import Draws
from mmae.model.masking import draw_visible
from mmae.model.modalities import MODALITIES
from mmae.model.view import view_of
from mmae.survey.store import Survey
from mmae.training.baselines import FILLED_LOSS, MEDIAN_SCATTER, filled_loss, median_scatter
from mmae.training.parallel import mean_over_workers
from mmae.training.run_folder import SELECTION
from mmae.training.step import TrainState, autocast, require_finite, training_step

LOG_EVERY = 10  # steps between two points of the loss curve
MIN_LABELS = 20  # with fewer validation redshifts the checkpoint is selected by the reconstruction loss
VALIDATION_BATCH = 64  # fixed, so that scores depend neither on the number of workers nor on the training batch
# Masked fraction of the tokens of a modality in validation, as in arXiv:2510.22527. It does not depend on the ratios of
# the training, so that losses of runs with other ratios can be compared.
VALIDATION_RATIO = 0.75
SECONDS = "cost/train_seconds"  # over all starts of a run, without work lost in crashes


class Host(Protocol):
    """The environment of a loop, which receives its results; one for each rank.

    Attributes:
        device: of the model.
        rank, world: rank of this process, and number of processes.
    """

    device: torch.device
    rank: int
    world: int

    def validation(self) -> DataIterator | Dataset:
        """All rows of the validation split."""

    def stepped(self) -> None:
        """Called after each optimiser step."""

    def logged(self, curves: dict[str, float], step: int) -> None:
        """Called with a point of the training curves, on rank 0 only."""

    def validated(self, metrics: dict[str, float], predictions: Predictions, model: Model) -> None:
        """Called on every rank after a validation of these weights, with metrics and predictions of all ranks."""

    def pictured(self, batch: Batch, model: Model) -> None:
        """Called on rank 0 after a validation, with the first validation galaxies, which are always the same."""


@dataclass
class Meter:
    """Galaxies and waiting time since the last log entry."""

    started: float
    galaxies: int = 0
    waited: float = 0.0


class Loop:
    """One rank of a run."""

    def __init__(self, config: RunConfig, survey: Survey, state: TrainState, host: Host):
        self.config, self.survey, self.state, self.host = config, survey, state, host
        self.meter = Meter(time.perf_counter())
        self.counted = time.perf_counter()  # time up to here is included in state.seconds
        self.first: Batch | None = None  # validation galaxies of rank 0, for pictures
        self.levels: dict[str, float] | None = None  # of the baselines, from the first validation

    def run(self) -> None:
        """Train from the state's step to the last one."""
        config = self.config
        if self.state.step >= config.optim.steps:
            return
        stream = replace(config.stream, lanes=config.stream.lanes or config.compute.workers)
        portion = Portion(self.host.rank, self.host.world)
        order = training_batches(
            self.survey,
            stream,
            seed=config.seed,
            steps=config.optim.steps,
            step=self.state.step,
            portion=portion,
            pinned=self.host.device.type == "cuda",
        )
        for batch in self._timed(order):
            self._step(batch, portion)
            if self.state.step >= self.config.optim.steps:
                return

    def _timed(self, stream: Iterator[Batch]) -> Iterator[Batch]:
        while True:
            start = time.perf_counter()
            batch = next(stream, None)
            self.meter.waited += time.perf_counter() - start
            if batch is None:
                return
            yield batch

    def _step(self, batch: Batch, portion: Portion) -> None:
        self.state.model.train()
        losses, norm = training_step(self.state, batch, self.config, portion)
        self.meter.galaxies += len(batch) * self.host.world
        step, last = self.state.step, self.state.step == self.config.optim.steps
        if step % LOG_EVERY == 0 or last:
            require_finite(norm.item(), step)
            self._log(mean_over_workers(losses), norm)
        self.host.stepped()
        if step % self.config.validation.every == 0 or last:
            require_finite(norm.item(), step)  # never validate or save NaN weights
            model = self.state.whole_weights(self.config)
            metrics, predictions = self.validate(model)
            now = time.perf_counter()
            self.state.seconds += now - self.counted
            self.counted = now
            self.host.validated(metrics | {SECONDS: self.state.seconds}, predictions, model)
            if self.first is not None:
                self.host.pictured(self.first, model)
            self.meter = Meter(time.perf_counter())

    def _log(self, losses: dict[str, torch.Tensor], norm: torch.Tensor) -> None:
        if self.host.rank != 0:
            return
        elapsed = time.perf_counter() - self.meter.started
        self.host.logged(
            {
                **{f"train/{name or 'loss'}": part.item() for name, part in losses.items()},
                "train/gradient_norm": norm.item(),
                "train/learning_rate": self.state.optimisers[0].param_groups[0]["lr"],
                "speed/galaxies_per_s": self.meter.galaxies / elapsed,
                "speed/waiting_for_data": self.meter.waited / elapsed,
            },
            self.state.step,
        )
        self.meter = Meter(time.perf_counter())

    @torch.no_grad()
    def validate(self, model: Model) -> tuple[dict[str, float], Predictions]:
        """Losses under `validation_masks`, and scatter, of the first validation galaxies over all ranks."""
        device, masks = self.host.device, validation_masks(self.config.masks)
        model.eval()
        mine: dict[int, Batch] = {}
        sums: dict[str, float] = {}
        seen = 0
        for index, batch in enumerate(batches(self.host.validation(), self.survey.spec, VALIDATION_BATCH)):
            if index % self.host.world == self.host.rank:
                mine[index] = batch
            seen += len(batch)
            if seen >= self.config.validation.galaxies:
                break
        for index, batch in mine.items():
            draws = Draws(self.config.seed, VALIDATION, index, n=len(batch))
            view = view_of(draw_visible(batch, model.n_tokens, masks, draws))
            with autocast(device, self.config.compute.precision):
                losses = model(batch.to(device), view.to(device))
            for name, part in {"": losses.total, **losses.parts}.items():
                sums[name] = sums.get(name, 0.0) + len(batch) * part.item()
            if self.levels is None:
                filled = filled_loss(model, batch, view.visible)
                if filled is not None:
                    sums[FILLED_LOSS] = sums.get(FILLED_LOSS, 0.0) + len(batch) * filled
        if self.host.rank == 0 and self.first is None:
            self.first = mine.get(0)
        metrics, merged = self._gathered(predict_redshifts(model, list(mine.values()), device), sums)
        if self.levels is None:
            self.levels = {MEDIAN_SCATTER: median_scatter(self.survey, merged.redshift_N)}
            if FILLED_LOSS in metrics:
                self.levels[FILLED_LOSS] = metrics[FILLED_LOSS]
        return metrics | self.levels, merged

    def _gathered(self, predictions: Predictions, sums: dict[str, float]) -> tuple[dict[str, float], Predictions]:
        parts: list[Any] = [(predictions, sums)]
        if self.host.world > 1:
            parts = [None] * self.host.world
            torch.distributed.all_gather_object(parts, (predictions, sums))
        merged = Predictions.joined([p[0] for p in parts])
        means = {
            name: sum(p[1].get(name, 0.0) for p in parts) / max(len(merged.object_id), 1)
            for name in dict.fromkeys(name for p in parts for name in p[1])
        }
        names = {"": "val/loss", FILLED_LOSS: FILLED_LOSS}
        metrics = {names.get(name, f"val/{name}_loss"): mean for name, mean in means.items()}
        metrics["step"] = float(self.state.step)
        for mode, z_pred_N in merged.predicted.items():
            chosen_N = merged.usable[mode].astype(bool)
            scores = score_redshift(merged.redshift_N[chosen_N], z_pred_N[chosen_N], seed=self.config.seed, resamples=1)
            metrics[f"val/{mode}/n"] = float(scores["sigma_nmad"].n)
            for name in ("sigma_nmad", "bias", "outlier_rate"):
                metrics[f"val/{mode}/{name}"] = scores[name].value
            if mode == next(iter(merged.predicted)):  # the image, unless the model does not read it
                enough = metrics[f"val/{mode}/n"] >= MIN_LABELS
                reconstruction = means[""] - self.config.model.redshift_weight * means["redshift"]
                metrics[SELECTION] = scores["sigma_nmad"].value if enough else reconstruction
        return metrics, merged


def validation_masks(masks: MaskConfig) -> MaskConfig:
    """The training masks with the ratio VALIDATION_RATIO for every modality of which the training hides a part."""
    masked = [f"{name}_ratio" for name in MODALITIES if getattr(masks, f"{name}_ratio")[1] > 0]
    return replace(masks, **dict.fromkeys(masked, (VALIDATION_RATIO, VALIDATION_RATIO)))


def summary(metrics: dict[str, float]) -> str:
    """One line such as `sigma_NMAD 0.0394, outliers 4.2% (image only); loss 7.8 (image 0.51, spectrum 1.03)`.

    Scores are of the first input mode, the image unless the model does not read it; losses are of the whole and of the
    reconstructed modalities.
    """
    scores = ""
    mode = _scored_mode(metrics)
    if mode:
        scatter, outliers = metrics[f"val/{mode}/sigma_nmad"], metrics[f"val/{mode}/outlier_rate"]
        scores = f"sigma_NMAD {scatter:.4f}, outliers {outliers:.1%} ({mode} only); "
    parts = [f"{name} {metrics[key]:.3g}" for name in MODALITIES if (key := f"val/{name}_loss") in metrics]
    return f"{scores}loss {metrics['val/loss']:.3g}" + (f" ({', '.join(parts)})" if parts else "")


def short_summary(metrics: dict[str, float]) -> str:
    """The scatter of the first input mode, such as `val 0.0394`; the loss if there are few redshifts."""
    mode = _scored_mode(metrics)
    return f"val {metrics[f'val/{mode}/sigma_nmad']:.4f}" if mode else f"val loss {metrics['val/loss']:.3g}"


def _scored_mode(metrics: dict[str, float]) -> str | None:
    """The first input mode, if enough of its galaxies have a redshift."""
    mode = next(name.split("/")[1] for name in metrics if name.endswith("/sigma_nmad"))
    return mode if metrics[f"val/{mode}/n"] >= MIN_LABELS else None
