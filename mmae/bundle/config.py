"""Options of the export of a bundle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mmae.core.folders import absolute, home_folder

OTHER = "other"
"""The licence of a model for which none has been chosen, as Hugging Face names it."""


@dataclass(frozen=True)
class ExportConfig:
    """A trained model and the folder of its bundle."""

    run: str = ""
    """The model: name of a run or study, MLflow run id, or checkpoint folder."""
    out: str = "bundle"
    """Folder to write; a bundle that is there is replaced."""
    name: str = ""
    """Name on the model card. Empty: name of the run."""
    license: str = OTHER
    """Licence of the model, as Hugging Face names it (cc-by-4.0, mit, ...); it depends on the data of the training."""
    register: str = ""
    """Also store the bundle in the run in MLflow, and register it there as a new version of the model of this name."""
    home: str = ""
    """Folder of the runs and the MLflow database. Empty: $MMAE_HOME, else ~/mmae."""

    def __post_init__(self) -> None:
        for path in ("out", "home"):
            object.__setattr__(self, path, absolute(getattr(self, path)))
        if not self.run:
            raise ValueError("give --run: name of a run or study, MLflow run id, or checkpoint folder.")

    @property
    def home_path(self) -> Path:
        return home_folder(self.home)
