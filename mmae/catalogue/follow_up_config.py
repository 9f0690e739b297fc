"""Options of ray_jobs/follow_up.py; apart from its code, so that `--help` loads none of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class FollowUpConfig:
    """A catalogue, and how many of its galaxies can be observed."""

    catalogue: Path
    """A catalogue of ray_jobs/predict.py. Best with --use image, so that the embeddings of all galaxies are alike."""
    survey: str = ""
    """The input of the catalogue, which says which galaxies have a redshift or a spectrum, and has their images. Empty:
    galaxies without a spectrum are those with the flag NO_SPECTRUM."""
    n: int = 500
    """Number of targets."""
    out: Path = Path("targets")
    """Folder of the results: targets.fits, targets.vot, targets.parquet and report/report.html."""

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ValueError(f"n is {self.n}: it must be at least 1.")
