"""The configuration of a hyperparameter study: what is varied, how much is spent, where it runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mmae.config import RunConfig
from mmae.core.errors import InputError
from mmae.core.folders import require_folder_name
from mmae.core.settings import changed_fields, flat, from_yaml, require_unchanged, to_yaml

OPTIONS = "study.yaml"
MAY_CHANGE = ("trials", "concurrent", "cpus_per_trial", "gpus_per_trial", "dry_run", "run.compute.", "run.home")
"""Fields that a study may have otherwise when it goes on than when it began."""

Objective = Literal["scatter", "scatter-cost", "scatter-throughput"]


@dataclass(frozen=True)
class Space:
    """What a study varies; an empty field keeps the value of the base run."""

    image_mask_ratio: tuple[float, ...] = (0.2, 0.9)
    """Lowest and highest masked fraction of image tokens. It is the upper end of masks.image-ratio;
    the lower end stays where the base run has it, or comes along where it has one ratio."""
    spectrum_mask_ratio: tuple[float, ...] = (0.5, 0.95)
    """The same for spectrum tokens and masks.spectrum-ratio."""
    image_patch: tuple[int, ...] = (8, 16, 32)
    """Sides of an image patch, pixels."""
    spectrum_patch: tuple[int, ...] = (32, 64, 128)
    """Lengths of a spectrum patch, samples."""
    depth: tuple[int, ...] = (2, 3, 4)
    """Blocks of the encoder."""
    width: tuple[int, ...] = ()
    """Widths of a token."""
    learning_rate: tuple[float, ...] = ()
    """Lowest and highest peak of the learning rate, searched in its logarithm."""

    def __post_init__(self) -> None:
        for name in ("image_mask_ratio", "spectrum_mask_ratio", "learning_rate"):
            ends = getattr(self, name)
            if ends and not (len(ends) == 2 and 0 < ends[0] < ends[1]):
                raise ValueError(f"space.{name} is {ends}: give two ends 0 < low < high, or nothing.")
        for name in ("image_mask_ratio", "spectrum_mask_ratio"):
            if any(end >= 1 for end in getattr(self, name)):
                raise ValueError(f"space.{name} is {getattr(self, name)}: a mask ratio is below 1.")
        for name in ("image_patch", "spectrum_patch", "depth", "width"):
            choices = getattr(self, name)
            if len(set(choices)) < len(choices):
                raise ValueError(f"space.{name} is {choices}: a choice stands there twice.")


@dataclass(frozen=True)
class StudyConfig:
    """Everything that a study depends on."""

    name: str = ""
    """Name of the study; an interrupted study of the same name continues. Empty: recipe and survey."""
    trials: int = 16
    """Trials of the whole study; more than it has extend a finished study."""
    budget: Literal["galaxies", "flops"] = "galaxies"
    """What every full trial gets the same of: galaxies seen, or floating-point operations, those of
    the base run over --galaxies-seen galaxies."""
    galaxies_seen: int = 20_000
    """Training galaxies of a full trial, repeated ones counted again."""
    looks: int = 9
    """Validations of a full trial, evenly over its budget. At each the scheduler may stop it."""
    objective: Objective = "scatter"
    """What is searched for: validated sigma_NMAD, image only; or also less training cost (FLOPs of a
    full trial), or more inference throughput (galaxies/s)."""
    scheduler: Literal["asha", "median", "none"] = "asha"
    """Who stops trials: ASHA, the median rule, or nobody."""
    grace: int = 1
    """Looks that no trial is stopped before."""
    reduction: int = 3
    """ASHA keeps one in this many trials at each rung."""
    random_trials: int = 6
    """Trials drawn at random before TPE begins. The first of all is the base run itself."""
    repeat: str = ""
    """Name of another study, whose parameters are tried again in its order, for instance without
    a scheduler."""
    concurrent: int = 0
    """Trials at the same time; 0: as many as the cluster holds."""
    workers_per_trial: int = 1
    """Ray Train workers of one trial."""
    cpus_per_trial: float = 1.0
    """CPUs, and torch threads, of each worker of a trial."""
    gpus_per_trial: float | None = None
    """GPUs of each worker of a trial, fractions allowed; default: 1 where the cluster has any."""
    dry_run: bool = False
    """Print the space, the budget and an estimate of the time, and end."""
    space: Space = field(default_factory=Space)
    run: RunConfig = field(default_factory=RunConfig)
    """The base run: what the space does not vary."""

    def __post_init__(self) -> None:
        for name in ("trials", "galaxies_seen", "looks", "workers_per_trial"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be at least 1.")
        for name in ("random_trials", "concurrent"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}: it must not be negative.")
        if not 1 <= self.grace <= self.looks:
            raise ValueError(f"grace is {self.grace}: it lies between 1 and looks, {self.looks}.")
        if self.reduction < 2:
            raise ValueError(f"reduction is {self.reduction}: it must be at least 2.")
        if self.cpus_per_trial <= 0 or (self.gpus_per_trial or 0) < 0:
            raise ValueError("cpus_per_trial must be positive and gpus_per_trial must not be negative.")
        if self.galaxies_seen < self.looks * self.run.stream.batch_size:
            raise ValueError(
                f"galaxies_seen is {self.galaxies_seen}: {self.looks} looks need as many batches of "
                f"{self.run.stream.batch_size}. Raise it, or lower looks or run.stream.batch_size."
            )
        if self.run.stream.batch_size % self.workers_per_trial:
            raise ValueError(
                f"run.stream.batch_size {self.run.stream.batch_size} is the global batch and must be a "
                f"multiple of workers_per_trial {self.workers_per_trial}."
            )
        if self.objective == "scatter-cost" and self.budget == "flops":
            raise ValueError(
                "objective is scatter-cost, but with budget flops all trials cost the same: "
                "choose --budget galaxies or --objective scatter-throughput."
            )
        require_folder_name(self.full_name, "name")

    @property
    def full_name(self) -> str:
        """The name, or that of the recipe and the survey."""
        survey = Path(self.run.survey).name if self.run.survey else f"simulated-{self.run.simulated_galaxies}"
        return self.name or f"{self.run.recipe}-{survey}"

    @property
    def folder(self) -> Path:
        return studies_folder(self) / self.full_name


def studies_folder(config: StudyConfig) -> Path:
    return config.run.home_path / "studies"


def save_options(config: StudyConfig) -> None:
    (config.folder / OPTIONS).write_text(to_yaml(config))


def require_same_options(config: StudyConfig) -> None:
    """A study's folder holds its options; going on with other ones would mix two studies.

    Raises:
        InputError: naming every option that differs.
    """
    require_unchanged(config.folder / OPTIONS, config, f"study {config.full_name}", MAY_CHANGE)


def require_same_space(config: StudyConfig) -> None:
    """What is repeated must lie in the space.

    Raises:
        InputError: the study to repeat has another space.
    """
    saved = studies_folder(config) / config.repeat / OPTIONS
    if not saved.exists():
        return
    changed = changed_fields(flat(from_yaml(saved, StudyConfig).space), flat(config.space))
    if changed:
        raise InputError(f"--repeat {config.repeat}: it searched another space: {'; '.join(changed)}. Give the same.")
