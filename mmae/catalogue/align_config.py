"""Options of ray_jobs/align.py; apart from its code, so that `--help` loads none of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mmae.core.folders import home_folder


@dataclass(frozen=True)
class AlignConfig:
    """A trained model, and a survey with images and spectra of the same galaxies."""

    model: str
    """A bundle, or a run: name, MLflow run id or checkpoint folder. The alignment is written into its folder."""
    survey: Path
    """The survey on which the model was trained, or another one on the same grids, with images and spectra."""
    train: int = 20_000
    """Maximum number of galaxies of the training split for the fit of the projections."""
    validation: int = 2_000
    """Maximum number of galaxies of the validation split for the fit of the match probability."""
    home: str = ""
    """Folder of runs and the MLflow database. Empty: $MMAE_HOME, else ~/mmae."""

    def __post_init__(self) -> None:
        for name in ("train", "validation"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be at least 1.")

    @property
    def home_path(self) -> Path:
        return home_folder(self.home)
