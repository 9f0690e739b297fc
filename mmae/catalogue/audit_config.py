"""Options of ray_jobs/audit.py; apart from its code, so that `--help` loads none of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mmae.survey.schema import SPLITS


@dataclass(frozen=True)
class AuditConfig:
    """A catalogue, and the survey whose redshifts are checked."""

    catalogue: Path
    """A catalogue of ray_jobs/predict.py; the test is best if it was predicted from image and spectrum."""
    survey: str
    """The input of the catalogue, with the redshifts: survey folder, HATS catalogue, folder of Parquet files or
    pattern."""
    out: Path = Path("audit")
    """Folder of the results: audit.parquet, audit.fits, audit.vot and report/report.html."""
    wrong_rate: float = 0.002
    """Prior probability that a redshift is wrong. Visual inspections of DESI found 0.05 to
    0.5%, depending on the kind of target (Lan+2023, Alexander+2023)."""
    splits: tuple[str, ...] = SPLITS
    """Splits of a survey folder whose redshifts are checked."""
    rows: int = 10_000
    """Number of galaxies in the list, the most suspicious first."""
    shown: int = 10
    """Number of galaxies whose image, spectrum and p(z) are shown on the page."""

    def __post_init__(self) -> None:
        if not 0 < self.wrong_rate < 1:
            raise ValueError(f"wrong_rate is {self.wrong_rate}: it must be a fraction between 0 and 1.")
        if self.shown < 0 or self.rows < 1:
            raise ValueError(f"shown is {self.shown}, rows is {self.rows}: they must be at least 0 and 1.")
        unknown = set(self.splits) - set(SPLITS)
        if unknown or not self.splits:
            raise ValueError(f"splits is {' '.join(self.splits)}: choose from {', '.join(SPLITS)}.")
