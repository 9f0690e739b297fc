"""The configuration of a hyperparameter study: search space, budget, scheduler and resources."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mmae.cli import parse
from mmae.config import RunConfig
from mmae.core.errors import InputError
from mmae.core.folders import require_folder_name
from mmae.core.provenance import provenance
from mmae.core.settings import changed_fields, flat, from_yaml, require_unchanged, to_yaml
from mmae.core.short_help import Groups
from mmae.recipes import START_OF_RUN, require_same_recipe, starting_run
from mmae.study.objective import Measure, Objective, criterion

OPTIONS, PROVENANCE = "study.yaml", "provenance.json"
MAY_CHANGE = ("trials", "concurrent", "cpus_per_trial", "gpus_per_trial", "dry_run", "run.compute.", "run.home")
"""Fields that may differ when a study is continued."""
RUN_OPTIONS = {f"--{name}": f"--run.{name}" for name in ("survey", "home", "seed", "simulated-galaxies")}
"""Options that a study has under the name that they have for a run."""


@dataclass(frozen=True)
class Space:
    """The search space; an empty field keeps the value of the base run."""

    image_mask_ratio: tuple[float, ...] = (0.2, 0.95)
    """Lowest and highest masked fraction of image tokens. A trial sets the upper end of masks.image-ratio;
    the lower end keeps its value, or equals the upper end if the base run has a single ratio."""
    spectrum_mask_ratio: tuple[float, ...] = (0.25, 0.95)
    """Lowest and highest masked fraction of spectrum tokens, for masks.spectrum-ratio."""
    image_patch: tuple[int, ...] = (4, 8, 16)
    """Side lengths of an image patch, pixels."""
    spectrum_patch: tuple[int, ...] = (32, 64, 128)
    """Lengths of a spectrum patch, samples."""
    depth: tuple[int, ...] = (2, 4, 6)
    """Numbers of encoder blocks."""
    width: tuple[int, ...] = ()
    """Token widths."""
    learning_rate: tuple[float, ...] = ()
    """Lowest and highest peak learning rate, sampled in log."""

    def __post_init__(self) -> None:
        for name in ("image_mask_ratio", "spectrum_mask_ratio", "learning_rate"):
            ends = getattr(self, name)
            if ends and not (len(ends) == 2 and 0 < ends[0] < ends[1]):
                raise ValueError(f"space.{name} is {ends}: give two values 0 < low < high, or none.")
        for name in ("image_mask_ratio", "spectrum_mask_ratio"):
            if any(end >= 1 for end in getattr(self, name)):
                raise ValueError(f"space.{name} is {getattr(self, name)}: a mask ratio must be below 1.")
        for name in ("image_patch", "spectrum_patch", "depth", "width"):
            choices = getattr(self, name)
            if len(set(choices)) < len(choices):
                raise ValueError(f"space.{name} is {choices}: remove the duplicate.")


@dataclass(frozen=True)
class StudyConfig:
    """All options of a study."""

    name: str = ""
    """Name of the study; an interrupted study of the same name continues. Empty: recipe and survey."""
    trials: int = 16
    """Number of trials; a larger number extends a finished study."""
    budget: Literal["galaxies", "flops"] = "galaxies"
    """What is equal for all full trials: training galaxies, or floating-point operations (those of the
    base run over --galaxies-seen galaxies)."""
    galaxies_seen: int = 20_000
    """Training galaxies of a full trial, each counted once per epoch."""
    looks: int = 9
    """Number of validations of a full trial, evenly spaced over its budget. The scheduler may stop a
    trial at each of them."""
    objective: Objective = "scatter"
    """What is minimised on the validation split. scatter: sigma_NMAD of the first input mode, the image.
    reconstruction: loss of the first modality. Pairs have a second: that loss, the FLOPs of a full trial, or the
    time of inference."""
    scheduler: Literal["asha", "median", "none"] = "asha"
    """Early stopping of trials: ASHA, the median rule, or none."""
    grace: int = 1
    """First validation at which a trial may be stopped."""
    reduction: int = 3
    """ASHA keeps one in this many trials at each rung."""
    random_trials: int = 6
    """Trials drawn at random before TPE begins. The very first trial is the base run."""
    repeat: str = ""
    """Name of another study to repeat with the same parameters in the same order, for instance without
    a scheduler."""
    concurrent: int = 0
    """Trials that run at the same time; 0: as many as fit in the cluster."""
    workers_per_trial: int = 1
    """Ray Train workers of one trial."""
    cpus_per_trial: float = 1.0
    """CPUs and torch threads of each worker of a trial."""
    gpus_per_trial: float | None = None
    """GPUs of each worker of a trial, fractions allowed; default: 1 if the cluster has GPUs."""
    dry_run: bool = False
    """Print the space, the budget and a time estimate (about 20 s), then exit."""
    space: Space = field(default_factory=Space)
    run: RunConfig = field(default_factory=RunConfig)
    """The base run: all settings that the space does not vary."""

    def __post_init__(self) -> None:
        for name in ("trials", "galaxies_seen", "looks", "workers_per_trial"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be at least 1.")
        for name in ("random_trials", "concurrent"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}: it must not be negative.")
        if not 1 <= self.grace <= self.looks:
            raise ValueError(f"grace is {self.grace}: it must be from 1 to looks, {self.looks}.")
        if self.reduction < 2:
            raise ValueError(f"reduction is {self.reduction}: it must be at least 2.")
        if self.cpus_per_trial <= 0 or (self.gpus_per_trial or 0) < 0:
            raise ValueError("cpus_per_trial must be positive and gpus_per_trial must not be negative.")
        if self.galaxies_seen < self.looks * self.run.stream.batch_size:
            raise ValueError(
                f"galaxies_seen is {self.galaxies_seen}: looks {self.looks} needs at least as many batches of "
                f"{self.run.stream.batch_size}. Raise it, or lower looks or run.stream.batch_size."
            )
        if self.run.stream.batch_size % self.workers_per_trial:
            raise ValueError(
                f"run.stream.batch_size {self.run.stream.batch_size} is the global batch and must be a "
                f"multiple of workers_per_trial {self.workers_per_trial}."
            )
        if self.objective == "scatter-cost" and self.budget == "flops":
            raise ValueError(
                "objective scatter-cost needs --budget galaxies: with budget flops all trials have the same cost. "
                "Use --budget galaxies or --objective scatter-throughput."
            )
        require_folder_name(self.full_name, "name")

    @property
    def criterion(self) -> Measure:
        """The number by which trials are stopped early and the winner is chosen."""
        return criterion(self.objective, self.run)

    @property
    def full_name(self) -> str:
        """The name, by default made of the recipe and the survey."""
        survey = Path(self.run.survey).name if self.run.survey else f"simulated-{self.run.simulated_galaxies}"
        return self.name or f"{self.run.recipe}-{survey}"

    @property
    def folder(self) -> Path:
        return studies_folder(self) / self.full_name


def parse_study(description: str, argv: list[str] | None = None, common: Groups | None = None) -> StudyConfig:
    """The options of a study: a recipe or a configuration file for the base run, then single fields.

    Args:
        common: as in `mmae.cli.parse`.

    Raises:
        InputError: a wrong recipe, file or value.
        SystemExit: --help, or an option that does not exist.
    """
    run, rest = starting_run(argv)
    start = StudyConfig(run=run)
    config = parse(StudyConfig, f"{description}\n\n{START_OF_RUN}", start, rest, common, RUN_OPTIONS)
    require_same_recipe(run, config.run, "--run.recipe")
    return config


def studies_folder(config: StudyConfig) -> Path:
    return config.run.home_path / "studies"


def save_options(config: StudyConfig, content_hash: str) -> None:
    """Write the options, and beside them the provenance of the latest start.

    Args:
        content_hash: of the survey.
    """
    (config.folder / OPTIONS).write_text(to_yaml(config))
    found = provenance(seed=config.run.seed, data=content_hash)
    (config.folder / PROVENANCE).write_text(json.dumps(found, indent=1) + "\n")


def has_same_options(config: StudyConfig) -> bool:
    """Whether the study's folder has the same options, or none."""
    saved = config.folder / OPTIONS
    return not saved.exists() or not changed_fields(flat(from_yaml(saved, StudyConfig)), flat(config))


def require_same_options(config: StudyConfig) -> None:
    """Refuse to continue a study with options other than those saved in its folder.

    Raises:
        InputError: names every option that differs.
    """
    require_unchanged(config.folder / OPTIONS, config, f"study {config.full_name}", MAY_CHANGE)


def require_same_space(config: StudyConfig) -> None:
    """Refuse to repeat a study that has another search space.

    Raises:
        InputError: names every field of the space that differs.
    """
    saved = studies_folder(config) / config.repeat / OPTIONS
    if not saved.exists():
        return
    changed = changed_fields(flat(from_yaml(saved, StudyConfig).space), flat(config.space))
    if changed:
        raise InputError(
            f"--repeat {config.repeat}: its search space differs: {'; '.join(changed)}. Use the same --space."
        )
