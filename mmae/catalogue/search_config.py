"""Options of ray_jobs/search.py; apart from its code, so that `--help` loads none of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class SearchConfig:
    """A catalogue, and the galaxies whose like is wanted."""

    catalogue: Path
    """A catalogue of ray_jobs/predict.py."""
    like: tuple[str, ...]
    """object_id of one or more galaxies of the catalogue."""
    neighbours: int = 15
    """Most similar galaxies of each."""
    survey: str = ""
    """The input of the catalogue, for pictures: survey folder, HATS catalogue, folder of Parquet files or pattern."""
    out: Path = Path("neighbours")
    """Folder of the results: neighbours.parquet and, with a survey, one picture for each galaxy."""

    def __post_init__(self) -> None:
        if self.neighbours < 1:
            raise ValueError(f"neighbours is {self.neighbours}: it must be at least 1.")
        if not self.like:
            raise ValueError("like: give the object_id of at least one galaxy.")
