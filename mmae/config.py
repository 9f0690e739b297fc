"""The configuration of a run: nested dataclasses, read from YAML and the command line.

The string below a field is its help text on the command line.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from mmae.core.folders import absolute, home_folder, require_folder_name
from mmae.loader.config import StreamConfig
from mmae.model.config import DECLARED, CNNConfig, MaskConfig, MMAEConfig, ModelConfig


@dataclass(frozen=True)
class OptimConfig:
    """AdamW, or AdamW and Muon, with warm-up, cosine decay and an exponential moving average of the weights."""

    steps: int = 2000
    """Optimiser steps (batches) of the run. E epochs of N training galaxies are E x N / stream.batch-size
    steps, more with stream.repeat-rare; a run prints its epochs when it starts."""
    learning_rate: float = 1e-3
    """Peak learning rate of AdamW, reached after the warm-up."""
    muon_learning_rate: float = 0.0
    """Peak learning rate of Muon, the optimiser of the matrices of transformer blocks, convolutions and the redshift
    head's inner layers. 0: AdamW for all weights."""
    muon_decoder_factor: float = 1.0
    """Factor on Muon's learning rate for the blocks of the decoder."""
    final_learning_rate: float = 1e-5
    """Learning rate at the end of the cosine decay; equal to learning_rate for a constant rate."""
    warmup_steps: int = 100
    """Steps of linear warm-up of the learning rate, from 0."""
    weight_decay: float = 0.05
    """AdamW weight decay of weight matrices; biases, norms, positions and queries are not decayed."""
    clip: float = 1.0
    """Maximum norm of the gradient; larger gradients are scaled down."""
    ema_decay: float = 0.995
    """Decay per step of the moving average of the weights, which is validated and saved; smaller at the start of a
    run. 0: no average."""
    augment: bool = True
    """Augment training data: images flipped, turned by 90 degrees or with parts removed, spectra replaced by noise
    (docs/modalities.md)."""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.warmup_steps < 0:
            raise ValueError(f"optim.steps is {self.steps} and warmup_steps {self.warmup_steps}: need >= 1 and >= 0.")
        if not (self.learning_rate > 0 and self.final_learning_rate > 0 and self.clip > 0):
            raise ValueError("optim.learning_rate, final_learning_rate and clip must be positive.")
        if self.muon_learning_rate < 0 or self.muon_decoder_factor <= 0:
            raise ValueError("optim.muon_learning_rate must not be negative, and muon_decoder_factor positive.")
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"optim.ema_decay is {self.ema_decay}: it must be in [0, 1).")


@dataclass(frozen=True)
class ValidationConfig:
    """Validations during training; each writes a checkpoint."""

    every: int = 200
    """Steps between validations and checkpoints: the largest number of steps that are repeated after a crash."""
    galaxies: int = 1024
    """Number of validation galaxies, taken from the start of the split."""

    def __post_init__(self) -> None:
        if self.every < 1 or self.galaxies < 1:
            raise ValueError("validation.every and validation.galaxies must be at least 1.")


@dataclass(frozen=True)
class ScoreConfig:
    """Scores of the finished run on the test split."""

    bootstrap: int = 1000
    """Number of bootstrap resamples for each error."""
    examples: int = 6
    """Number of galaxies in the reconstruction figures."""
    mask_ratio: float = 0.75
    """Masked fraction of image and spectrum in the reconstruction figures (0.75 as in arXiv:2510.22527)."""
    recalibration: int = 10_000
    """Number of validation galaxies on which p(z) is recalibrated before the test split is scored; 0: none."""

    def __post_init__(self) -> None:
        if self.bootstrap < 1 or self.examples < 1:
            raise ValueError("score.bootstrap and score.examples must be at least 1.")
        if self.recalibration < 0:
            raise ValueError(f"score.recalibration is {self.recalibration}: it must be 0 or more.")
        if not 0 <= self.mask_ratio < 1:
            raise ValueError(f"score.mask_ratio is {self.mask_ratio}: it must be in [0, 1).")


@dataclass(frozen=True)
class ComputeConfig:
    """Workers, devices and precision."""

    workers: int = 1
    """Ray Train workers, each with a GPU or a share of the CPU cores."""
    min_workers: int = 0
    """Elastic training: the number of workers may change between this and `workers` as nodes are lost or added. 0:
    always `workers`."""
    strategy: Literal["ddp", "fsdp"] = "ddp"
    """ddp: a replica of the model on each worker. fsdp: the model sharded over the workers, for large models."""
    device: Literal["auto", "cpu", "gpu"] = "auto"
    """auto: one GPU per worker if the cluster has GPUs, else CPUs."""
    threads: int = 0
    """Torch threads per CPU worker; 0: cores of the machine divided by the number of workers."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """auto: bfloat16 autocast on a GPU, float32 on a CPU."""
    max_failures: int = 3
    """How many times the run restarts from its last checkpoint after the failure of a worker."""

    def __post_init__(self) -> None:
        if self.workers < 1 or self.threads < 0 or self.max_failures < 0:
            raise ValueError("compute.workers must be >= 1, threads and max_failures >= 0.")
        if not 0 <= self.min_workers <= self.workers:
            raise ValueError(
                f"compute.min_workers is {self.min_workers}: it must be from 0 to compute.workers {self.workers}."
            )


def _rename_old_masks(values: Any) -> Any:
    """Rename mask fields of mmae 0.1, so that its configurations can be read, and refuse those of 0.2."""
    if not isinstance(values, dict):
        return values
    if "whole_image" in values:
        raise ValueError(
            "whole_image is of mmae 0.2, whose models this version does not have. Use mmae 0.2, or train again with "
            "another --name."
        )
    renamed = {"other_ratio": "magnitudes_ratio", "drop_other": "drop_magnitudes"}
    return {renamed.get(name, name): value for name, value in values.items()}


def _refuse_old_model(values: Any) -> Any:
    """Refuse the model of mmae 0.3."""
    if isinstance(values, dict) and "reconstructed" in values:
        raise ValueError(
            "model.reconstructed is of mmae 0.3, whose models this version does not have. Use mmae 0.3, or train again "
            "with another --name."
        )
    return values


@dataclass(frozen=True)
class RunConfig:
    """Configuration of a training run."""

    recipe: str = "small"
    """Named set of options to start from; other options change single values of it."""
    name: str = ""
    """Name of the run; an interrupted run of the same name is resumed. Empty: recipe and date."""
    survey: str = ""
    """Folder of the survey, kept as an absolute path. Empty: a simulated survey, built on first use."""
    simulated_galaxies: int = 6000
    """Number of galaxies of the simulated survey."""
    home: str = ""
    """Folder for surveys, runs and the MLflow database. Empty: $MMAE_HOME, else ~/mmae."""
    experiment: str = "mmae"
    """Name of the MLflow experiment."""
    seed: int = 0
    """Seed of weights, masks, augmentation and data order."""
    init: str = ""
    """Folder of a bundle whose weights the model starts from, kept as an absolute path. Empty: random weights."""
    freeze: Literal["none", "encoder"] = "none"
    """encoder: weights of the encoder that come from `init` stay as they are; only the others are trained."""
    model: Annotated[ModelConfig, Field(discriminator="kind"), BeforeValidator(_refuse_old_model)] = field(
        default_factory=MMAEConfig
    )
    masks: Annotated[MaskConfig, BeforeValidator(_rename_old_masks)] = field(default_factory=MaskConfig)
    """Masks in training: what is hidden is reconstructed, and the redshift is learned from what is visible."""
    redshift_masks: MaskConfig | None = None
    """Masks of a second view of every galaxy, from which only the redshift is learned. None: no second view."""
    masked_share: float = 1.0
    """Fraction of the galaxies of a batch that are shown masked and reconstructed, if there is a second view."""
    stream: StreamConfig = field(default_factory=StreamConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    score: ScoreConfig = field(default_factory=ScoreConfig)
    compute: ComputeConfig = field(default_factory=ComputeConfig)

    def __post_init__(self) -> None:
        for path in ("survey", "home", "init"):
            object.__setattr__(self, path, absolute(getattr(self, path)))
        if self.freeze != "none" and not self.init:
            raise ValueError(f"freeze {self.freeze}: random weights would stay as they are; give init, a bundle.")
        if self.stream.batch_size % self.compute.workers:
            raise ValueError(
                f"stream.batch_size {self.stream.batch_size} is the total over all workers: it must be a "
                f"multiple of compute.workers {self.compute.workers}."
            )
        if self.redshift_masks is not None and self.model.kind != "mmae":
            raise ValueError(f"redshift_masks: a model of kind {self.model.kind} has one view; remove it.")
        if not 0 < self.masked_share <= 1:
            raise ValueError(f"masked_share is {self.masked_share}: it must be a fraction in (0, 1].")
        if self.masked_share * self.stream.batch_size < self.compute.workers > 1:
            raise ValueError(
                f"masked_share {self.masked_share} of stream.batch_size {self.stream.batch_size} is less than one "
                f"galaxy for each of compute.workers {self.compute.workers}."
            )
        require_folder_name(self.name, "name")

    @property
    def home_path(self) -> Path:
        return home_folder(self.home)


def modalities_of(model: ModelConfig) -> tuple[str, ...]:
    """Names of the modalities that a model of this configuration reads."""
    if isinstance(model, MMAEConfig):
        return tuple(name for name in DECLARED if getattr(model.modalities, name).use)
    return ("image",) if isinstance(model, CNNConfig) else ("image", "spectrum")
