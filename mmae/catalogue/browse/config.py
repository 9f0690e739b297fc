"""Options of ray_jobs/browse.py; apart from its code, so that `--help` loads none of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

MOST = 1000  # galaxies on a page: about 20 kB each, with their neighbours


@dataclass(frozen=True)
class BrowseConfig:
    """A catalogue, and which of its galaxies are shown."""

    catalogue: Path
    """A catalogue of ray_jobs/predict.py."""
    survey: str = ""
    """The input of the catalogue, for images, spectra and known redshifts: survey folder, HATS catalogue, folder of
    Parquet files or pattern."""
    out: Path = Path("browse")
    """Folder of the page, index.html."""
    anomalous: int = 80
    """Number of galaxies with the largest anomaly scores."""
    uncertain: int = 80
    """Number of galaxies with the widest p(z)."""
    random: int = 80
    """Number of galaxies drawn at random."""
    neighbours: int = 6
    """Number of most similar galaxies (by their embeddings) shown with each. 0: none, without an index."""
    seed: int = 0
    """Seed of the random galaxies."""

    def __post_init__(self) -> None:
        for name in ("anomalous", "uncertain", "random", "neighbours", "seed"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be 0 or more.")
        shown = self.anomalous + self.uncertain + self.random
        if not 0 < shown <= MOST:
            raise ValueError(f"anomalous, uncertain and random are {shown} galaxies: it must be 1 to {MOST}.")
