"""The configuration of a run: one tree of dataclasses, to and from YAML and the command line."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from mmae.core.folders import home_folder, require_folder_name
from mmae.loader.config import StreamConfig
from mmae.model.build import ModelConfig
from mmae.model.masking import MaskConfig
from mmae.model.mmae import MMAEConfig


@dataclass(frozen=True)
class OptimConfig:
    """AdamW with warm-up, cosine decay and an exponential moving average of the weights."""

    steps: int = 2000
    """Optimiser steps of the whole run."""
    learning_rate: float = 1e-3
    final_learning_rate: float = 1e-5
    """Where the cosine ends; equal to learning_rate for a constant rate."""
    warmup_steps: int = 100
    weight_decay: float = 0.05
    clip: float = 1.0
    """Largest norm of the gradient."""
    ema_decay: float = 0.995
    """Of the averaged weights that are validated and kept, less in a run's beginning; 0 keeps the raw weights."""
    augment: bool = True
    """Flip and turn images: a galaxy has no up."""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.warmup_steps < 0:
            raise ValueError(f"optim.steps is {self.steps} and warmup_steps {self.warmup_steps}: need >= 1 and >= 0.")
        if not (self.learning_rate > 0 and self.final_learning_rate > 0 and self.clip > 0):
            raise ValueError("optim.learning_rate, final_learning_rate and clip must be positive.")
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"optim.ema_decay is {self.ema_decay}: it lies in [0, 1).")


@dataclass(frozen=True)
class ValidationConfig:
    """When to look at the validation split. Every look writes a checkpoint."""

    every: int = 200
    """Steps between two validations and checkpoints: the most work a crash can cost."""
    galaxies: int = 1024
    """Validation galaxies used at each look (the first ones of the split)."""

    def __post_init__(self) -> None:
        if self.every < 1 or self.galaxies < 1:
            raise ValueError("validation.every and validation.galaxies must be at least 1.")


@dataclass(frozen=True)
class ScoreConfig:
    """The scores of the finished run, on the test split."""

    bootstrap: int = 1000
    """Resamples behind every error bar."""
    examples: int = 6
    """Galaxies drawn in the reconstruction figures."""
    mask_ratio: float = 0.75
    """Masked fraction of image and spectrum in the reconstruction figures (the paper's)."""
    recalibration: int = 10_000
    """Validation galaxies on which p(z) is recalibrated before the test split is looked at; 0: p(z) as it was learned."""

    def __post_init__(self) -> None:
        if self.bootstrap < 1 or self.examples < 1:
            raise ValueError("score.bootstrap and score.examples must be at least 1.")
        if self.recalibration < 0:
            raise ValueError(f"score.recalibration is {self.recalibration}: it must be 0 or more.")
        if not 0 <= self.mask_ratio < 1:
            raise ValueError(f"score.mask_ratio is {self.mask_ratio}: it must lie in [0, 1).")


@dataclass(frozen=True)
class ComputeConfig:
    """What the run may use."""

    workers: int = 1
    """Ray Train workers."""
    min_workers: int = 0
    """Train on any number of workers from this to `workers`, as nodes come and go; 0: always on `workers`."""
    strategy: Literal["ddp", "fsdp"] = "ddp"
    """ddp: the whole model on each worker. fsdp: a part of it on each, for models that fill a GPU."""
    device: Literal["auto", "cpu", "gpu"] = "auto"
    """auto: a GPU per worker when the cluster has any."""
    threads: int = 0
    """Torch threads per CPU worker; 0: the machine's cores divided by the workers."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """auto: bfloat16 autocast on a GPU, float32 on a CPU."""
    max_failures: int = 3
    """Worker crashes that the run survives by restarting from the last checkpoint."""

    def __post_init__(self) -> None:
        if self.workers < 1 or self.threads < 0 or self.max_failures < 0:
            raise ValueError("compute.workers must be >= 1, threads and max_failures >= 0.")
        if not 0 <= self.min_workers <= self.workers:
            raise ValueError(
                f"compute.min_workers is {self.min_workers}: it must lie between 0 and compute.workers {self.workers}."
            )


def _renamed_masks(values: Any) -> Any:
    """Mask fields of mmae 0.1 under their present names, so that its runs and studies still open."""
    if not isinstance(values, dict):
        return values
    renamed = {"other_ratio": "magnitudes_ratio", "drop_other": "drop_magnitudes"}
    return {renamed.get(name, name): value for name, value in values.items()}


@dataclass(frozen=True)
class RunConfig:
    """Everything that a run depends on."""

    recipe: str = "small"
    """The recipe this started from (see --recipe)."""
    name: str = ""
    """Name of the run; an interrupted run of the same name continues. Empty: recipe and date."""
    survey: str = ""
    """Folder of the survey. Empty: the embedded simulated survey, built on first use."""
    simulated_galaxies: int = 6000
    """Size of the embedded survey."""
    home: str = ""
    """Folder for surveys, runs and the MLflow database. Empty: $MMAE_HOME, else ~/mmae."""
    experiment: str = "mmae"
    """MLflow experiment."""
    seed: int = 0
    model: Annotated[ModelConfig, Field(discriminator="kind")] = field(default_factory=MMAEConfig)
    masks: Annotated[MaskConfig, BeforeValidator(_renamed_masks)] = field(default_factory=MaskConfig)
    stream: StreamConfig = field(default_factory=StreamConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    score: ScoreConfig = field(default_factory=ScoreConfig)
    compute: ComputeConfig = field(default_factory=ComputeConfig)

    def __post_init__(self) -> None:
        if self.stream.batch_size % self.compute.workers:
            raise ValueError(
                f"stream.batch_size {self.stream.batch_size} is the batch of all workers together and must be a "
                f"multiple of compute.workers {self.compute.workers}."
            )
        require_folder_name(self.name, "name")

    @property
    def home_path(self) -> Path:
        return home_folder(self.home)
