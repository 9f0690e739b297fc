"""Options of the evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mmae.core.folders import absolute, home_folder, require_folder_name
from mmae.survey.schema import SPLITS


@dataclass(frozen=True)
class EvaluateConfig:
    """A trained model and a survey, several evaluated models, or a file of predictions."""

    run: str = ""
    """The model: name of a run or study, MLflow run id, or checkpoint folder."""
    survey: str = ""
    """Survey folder. Empty: the survey that the run was trained on; with --compare: the one on which all were
    evaluated."""
    compare: tuple[str, ...] = ()
    """Instead of --run: two or more models, given like --run, whose stored evaluations are compared on one page."""
    predictions: Path | None = None
    """Instead of --run: a table of true and predicted redshifts (CSV or other text, FITS, VOTable, Parquet)."""
    truth_column: str | None = None
    """Column of true redshifts in that file. None: detected (z_true, z_spec, redshift, ...)."""
    predicted_column: tuple[str, ...] = ()
    """Columns of predictions in that file. Empty: all detected (z_pred, z_phot, z_image, ...)."""
    name: str = ""
    """Name of the output folder; each survey and split has a folder of its own in it. Empty: name of the run or the
    file; with --compare: the names of the runs."""
    home: str = ""
    """Folder for reports and the MLflow database. Empty: $MMAE_HOME, else ~/mmae."""
    split: str = "test"
    """Split of the survey to evaluate."""
    galaxies: int = 4000
    """Number of galaxies of the split, taken from its start; 0: all."""
    training_galaxies: int = 4000
    """Number of training galaxies for the probes of the embedding; 0: all."""
    surface_galaxies: int = 2000
    """Number of galaxies for the scatter by masked fraction (section surface); 0: all evaluated galaxies."""
    line_galaxies: int = 1000
    """Maximum number of galaxies for line fits; 0: all evaluated galaxies."""
    hidden_galaxies: int = 500
    """Number of galaxies for hidden parts of images and spectra, taken from the start; 0: all evaluated galaxies."""
    baseline_run: str = ""
    """Another trained model (name of a run, MLflow run id, or checkpoint folder) as a baseline for hidden pixels,
    usually one of the recipe `paper`."""
    surface_ratios: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    """Masked fractions of image and spectrum in the section surface; 1: the modality is absent."""
    mask_ratio: float = 0.75
    """Masked fraction of image and spectrum for reconstructions."""
    bootstrap: int = 500
    """Number of bootstrap resamples for errors."""
    seed: int = 0
    """Random seed for masks, resamples and selections of galaxies."""
    allow_unknown_training: bool = False
    """Allow a checkpoint without a list of its training rows."""
    batch_size: int = 128
    """Galaxies per batch."""

    def __post_init__(self) -> None:
        for path in ("survey", "home"):
            object.__setattr__(self, path, absolute(getattr(self, path)))
        if self.predictions:
            object.__setattr__(self, "predictions", self.predictions.expanduser().resolve())
        if sum(map(bool, (self.run, self.compare, self.predictions))) != 1:
            raise ValueError("give one of --run (a model), --compare (several models) or --predictions (a file).")
        if self.compare and (len(self.compare) < 2 or len(set(self.compare)) < len(self.compare)):
            raise ValueError(f"compare is {', '.join(self.compare)}: give two or more different runs.")
        if self.split not in SPLITS:
            raise ValueError(f"split is {self.split!r}: choose one of {', '.join(SPLITS)}.")
        for field in ("galaxies", "training_galaxies", "surface_galaxies", "line_galaxies", "hidden_galaxies"):
            if getattr(self, field) < 0:
                raise ValueError(f"{field} is {getattr(self, field)}: give 0 (all) or more.")
        if self.batch_size < 1:
            raise ValueError(f"batch_size is {self.batch_size}: it must be at least 1.")
        if self.bootstrap < 2:
            raise ValueError(f"bootstrap is {self.bootstrap}: give at least 2 resamples.")
        if not 0 < self.mask_ratio < 1:
            raise ValueError(f"mask_ratio is {self.mask_ratio}: it must be between 0 and 1, exclusive.")
        ratios = self.surface_ratios
        if len(ratios) < 2 or list(ratios) != sorted(set(ratios)) or not (ratios[0] >= 0 and ratios[-1] <= 1):
            raise ValueError(f"surface_ratios is {ratios}: give two or more ascending numbers from 0 to 1.")
        require_folder_name(self.name, "name")

    @property
    def home_path(self) -> Path:
        return home_folder(self.home)
