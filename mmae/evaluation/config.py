"""What to evaluate, on which galaxies, and how finely."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mmae.core.folders import home_folder, require_folder_name
from mmae.survey.schema import SPLITS


@dataclass(frozen=True)
class EvaluateConfig:
    """A trained model and a survey, or a file of predictions."""

    run: str = ""
    """The model: a run's or study's name, a run id in MLflow, or a checkpoint folder."""
    survey: str = ""
    """Folder of the survey. Empty: the one that the run was trained on."""
    predictions: Path | None = None
    """Instead of a model: a CSV or Parquet file of true and predicted redshifts."""
    truth_column: str | None = None
    """Its column of true redshifts. None: z_true, y_test, redshift, ... whichever it has."""
    predicted_column: tuple[str, ...] = ()
    """Its columns of predictions. None given: z_pred, y_pred, z_image, ... all it has."""
    name: str = ""
    """Name of the page's folder. Empty: that of the run or the file."""
    home: str = ""
    """Folder for pages and the MLflow database. Empty: $MMAE_HOME, else ~/mmae."""
    split: str = "test"
    """The split of the survey that is tested."""
    galaxies: int = 4000
    """The first so many galaxies of the split; 0: all."""
    training_galaxies: int = 4000
    """Training galaxies that probes learn from; 0: all."""
    surface_galaxies: int = 2000
    """Galaxies of the surface of image and spectrum masks; 0: all that are evaluated."""
    line_galaxies: int = 1000
    """Galaxies whose lines are fitted, at most; 0: all that are evaluated."""
    surface_ratios: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    """Masked fractions of image and spectrum in the surface; 1 hides a modality whole."""
    mask_ratio: float = 0.75
    """Masked fraction of image and spectrum where reconstructions are judged."""
    bootstrap: int = 500
    """Resamples behind every error."""
    seed: int = 0
    """Of masks, resamples and choices of galaxies."""
    allow_unknown_training: bool = False
    """Score a checkpoint that does not say which rows it was trained on."""
    batch_size: int = 128
    """Galaxies shown to the model at a time."""

    def __post_init__(self) -> None:
        if bool(self.run) == bool(self.predictions):
            raise ValueError("give either --run, a trained model, or --predictions, a file.")
        if self.split not in SPLITS:
            raise ValueError(f"split is {self.split!r}: choose one of {', '.join(SPLITS)}.")
        for field in ("galaxies", "training_galaxies", "surface_galaxies", "line_galaxies"):
            if getattr(self, field) < 0:
                raise ValueError(f"{field} is {getattr(self, field)}: give 0 (all) or more.")
        if self.batch_size < 1:
            raise ValueError(f"batch_size is {self.batch_size}: it must be at least 1.")
        if self.bootstrap < 2:
            raise ValueError(f"bootstrap is {self.bootstrap}: give at least 2 resamples.")
        if not 0 < self.mask_ratio < 1:
            raise ValueError(f"mask_ratio is {self.mask_ratio}: it lies between 0 and 1.")
        ratios = self.surface_ratios
        if len(ratios) < 2 or list(ratios) != sorted(set(ratios)) or not (ratios[0] >= 0 and ratios[-1] <= 1):
            raise ValueError(f"surface_ratios is {ratios}: give two or more rising numbers from 0 to 1.")
        require_folder_name(self.name, "name")

    @property
    def home_path(self) -> Path:
        return home_folder(self.home)
