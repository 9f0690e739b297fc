"""Options of ray_jobs/predict.py; apart from its code, so that `--help` loads none of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mmae.core.folders import home_folder
from mmae.survey.schema import SPLITS

MARGIN_MOST = 120  # arcsec: the smallest partitions have a side of 206 arcsec


@dataclass(frozen=True)
class PredictConfig:
    """A trained model, the galaxies to which it is applied, and the catalogue of the results."""

    model: str
    """A bundle, or a run: name, MLflow run id or checkpoint folder."""
    survey: str
    """A survey folder, a HATS catalogue, a folder of Parquet files, or a quoted pattern. HATS and Parquet files need
    the columns of a survey and its metadata (docs/catalogue.md)."""
    out: Path
    """Folder of the catalogue; must not exist. A killed job continues from OUT.unfinished when the same command is run
    again."""
    use: tuple[str, ...] = ()
    """Modalities to use, such as image. Empty: all that the model and the survey have."""
    splits: tuple[str, ...] = SPLITS
    """Splits of a survey folder to which the model is applied. Galaxies of its training set have too narrow p(z)."""
    anomaly: bool = True
    """Compute the anomaly score, which takes most of the time."""
    batch_size: int = 128
    """Galaxies per batch."""
    piece_rows: int = 2048
    """Galaxies per unit of work, in whole row groups. A continued job repeats unfinished units. With GPUs: 65536."""
    partition_rows: int = 100_000
    """Galaxies per partition (file) of the catalogue, at most."""
    margin_arcsec: float = 10.0
    """Arcsec up to which cross-matches of lsdb with the catalogue are complete: rows that are so near the border of
    another partition are also in the margin cache, in OUT_collection. 10 as in the HATS collections of the Multimodal
    Universe; 0: no margin cache."""
    device: Literal["auto", "cpu", "gpu"] = "auto"
    """auto: GPUs if the cluster has any."""
    actors: int = 0
    """Number of processes, each with a copy of the model. 0: one per GPU, or as many as the CPUs allow."""
    threads: int = 1
    """Torch threads (and CPUs of the cluster) per process without a GPU."""
    home: str = ""
    """Folder of runs and the MLflow database. Empty: $MMAE_HOME, else ~/mmae."""

    def __post_init__(self) -> None:
        for name in ("batch_size", "piece_rows", "partition_rows", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be at least 1.")
        if self.actors < 0:
            raise ValueError(f"actors is {self.actors}: it must be 0 or more.")
        if not 0 <= self.margin_arcsec <= MARGIN_MOST:
            raise ValueError(f"margin_arcsec is {self.margin_arcsec}: it must be from 0 to {MARGIN_MOST}.")
        unknown = set(self.splits) - set(SPLITS)
        if unknown or not self.splits:
            raise ValueError(f"splits is {' '.join(self.splits)}: choose from {', '.join(SPLITS)}.")

    @property
    def home_path(self) -> Path:
        return home_folder(self.home)
