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
    """The survey of its training, or another one on the same grids; galaxies with image and spectrum are used."""
    train: int = 20_000
    """Galaxies of the training split to which the projections are fitted, at most."""
    validation: int = 2_000
    """Galaxies of the validation split to which the match probability is fitted, at most."""
    home: str = ""
    """Folder of runs and the MLflow database. Empty: $MMAE_HOME, else ~/mmae."""

    def __post_init__(self) -> None:
        for name in ("train", "validation"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be at least 1.")

    @property
    def home_path(self) -> Path:
        return home_folder(self.home)
