"""Options of ray_jobs/search.py; apart from its code, so that `--help` loads none of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mmae.core.folders import home_folder


@dataclass(frozen=True)
class SearchConfig:
    """A catalogue, and the galaxies to which similar ones are searched."""

    catalogue: Path
    """A catalogue of ray_jobs/predict.py."""
    like: tuple[str, ...]
    """One or more galaxies: object_id of the catalogue, FITS cutout, or FITS spectrum (of a file with several,
    FILE:TARGETID)."""
    find: Literal["similar", "spectra", "images"] = "similar"
    """similar: galaxies with a similar embedding. spectra: spectra that may belong to an image. images: images that may
    belong to a spectrum."""
    neighbours: int = 15
    """Number of galaxies to find for each of --like."""
    model: str = ""
    """The model of the catalogue, a bundle or a run. Needed for FITS files, and with --find spectra or images."""
    expected: float = 0.5
    """With --find spectra or images: prior probability that the catalogue has the galaxy, at most 1."""
    survey: str = ""
    """The input of the catalogue, for pictures: survey folder, HATS catalogue, folder of Parquet files or pattern."""
    out: Path = Path("neighbours")
    """Folder of the results: neighbours.parquet or matches.parquet, and with a survey one picture for each galaxy."""
    home: str = ""
    """Folder of runs and the MLflow database. Empty: $MMAE_HOME, else ~/mmae."""

    def __post_init__(self) -> None:
        if self.neighbours < 1:
            raise ValueError(f"neighbours is {self.neighbours}: it must be at least 1.")
        if not self.like:
            raise ValueError("like: give at least one galaxy: object_id, FITS cutout or FITS spectrum.")
        if not 0 < self.expected <= 1:
            raise ValueError(f"expected is {self.expected}: it must be a probability above 0.")
        if self.find != "similar" and not self.model:
            raise ValueError(f"find {self.find} needs the model of the catalogue: give --model.")

    @property
    def home_path(self) -> Path:
        return home_folder(self.home)
