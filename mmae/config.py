"""The configuration of a run: one tree of dataclasses, to and from YAML and the command line."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import Field, TypeAdapter, ValidationError

from mmae.errors import InputError
from mmae.model.build import ModelConfig
from mmae.model.masking import MaskConfig
from mmae.model.mmae import MMAEConfig


def home() -> Path:
    """Where surveys, runs and the MLflow database go unless told otherwise: $MMAE_HOME or ~/mmae.

    Not the current folder: a Ray job runs in a copy of the working directory that is
    removed with the job.
    """
    return Path(os.environ.get("MMAE_HOME", "~/mmae")).expanduser().resolve()


@dataclass(frozen=True)
class StreamConfig:
    """How rows reach the workers."""

    batch_size: int = 128
    """Galaxies in one optimiser step, over all workers together."""
    shuffle_rows: int = 1024
    """Galaxies that each worker reads and shuffles together; where they are read from is shuffled as well."""
    lanes: int = 0
    """Parts of an epoch that every batch draws from equally, so that each worker reads its own. 0: compute.workers
    at the run's start. Batches stay the same when the number of workers changes."""
    unlabelled: float = 1.0
    """Share of the training galaxies without a redshift that an epoch draws, others each time. With few redshifts, 1
    would spend most of a run on galaxies that say nothing of them."""
    readers: int = 2
    """Tasks of each worker that read galaxies ahead."""
    cache_gb: float = 4.0
    """A validation or test split up to this size is read once and kept in Ray's object store."""

    def __post_init__(self) -> None:
        for name in ("batch_size", "shuffle_rows", "readers"):
            if getattr(self, name) < 1:
                raise ValueError(f"stream.{name} is {getattr(self, name)}: it must be at least 1.")
        if not 0 <= self.unlabelled <= 1:
            raise ValueError(f"stream.unlabelled is {self.unlabelled}: a share lies in [0, 1].")
        if self.lanes < 0 or (self.lanes and self.batch_size % self.lanes):
            raise ValueError(
                f"stream.lanes is {self.lanes}: it must divide stream.batch_size {self.batch_size}, or be 0."
            )


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
    masks: MaskConfig = field(default_factory=MaskConfig)
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
        if any(c in self.name for c in "/\\\0") or self.name in (".", ".."):
            raise ValueError(f"name is {self.name!r}: it names a folder and must have no slash in it.")

    @property
    def home_path(self) -> Path:
        return Path(self.home).expanduser().resolve() if self.home else home()


Config = TypeVar("Config")


@cache
def _adapter(kind: type) -> TypeAdapter:
    return TypeAdapter(kind)


def to_dict(config: Any) -> dict[str, Any]:
    """Plain values (lists for tuples), as they stand in YAML and JSON."""
    return _adapter(type(config)).dump_python(config, mode="json")


def from_dict(values: dict[str, Any], where: str = "configuration", kind: type[Config] = RunConfig) -> Config:
    """A checked configuration of the given dataclass.

    Raises:
        InputError: naming every unknown or ill-typed field.
    """
    try:
        config = _adapter(kind).validate_python(values)
    except ValidationError as error:
        faults = [
            f"{'.'.join(str(part) for part in e['loc'])}: {e['msg']}".lstrip(": ") for e in error.errors()
        ]
        raise InputError(f"{where}: " + "; ".join(faults)) from error
    unknown = flatten(values).keys() - flatten(to_dict(config)).keys()
    if unknown:
        raise InputError(f"{where}: unknown field {', '.join(sorted(unknown))}.")
    return config


def to_yaml(config: Any) -> str:
    return yaml.safe_dump(to_dict(config), sort_keys=False)


def from_yaml(path: Path, kind: type[Config] = RunConfig) -> Config:
    """Read a configuration file.

    Raises:
        InputError: the file is missing, is not YAML, or has a wrong field.
    """
    try:
        values = yaml.safe_load(path.read_text())
    except OSError as error:
        raise InputError(f"{path}: cannot read the configuration ({error.strerror}).") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not YAML ({error}).") from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected a mapping of configuration fields.")
    return from_dict(values, str(path), kind)


def flat(config: Any) -> dict[str, Any]:
    """The configuration as dotted names, for MLflow parameters and for comparison."""
    return flatten(to_dict(config))


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested plain values under dotted names."""
    result: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        result |= flatten(value, f"{name}.") if isinstance(value, dict) and value else {name: value}
    return result
