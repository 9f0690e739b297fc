"""What is paired, and how."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mmae.astro.crossmatch_tables import Engine


@dataclass(frozen=True)
class PairConfig:
    """Spectra, images and catalogues of one sky, as the archives serve them.

    Everything may be a file, a folder or a quoted pattern, local or with a protocol that fsspec knows (s3://...).
    """

    spectra: tuple[str, ...] = ()
    """DESI coadds (per tile or healpix)."""
    redshifts: tuple[str, ...] = ()
    """Redrock files, or FITS tables with TARGETID and Z."""
    patches: tuple[str, ...] = ()
    """Large FITS images with a WCS, of which cutouts are made; a file per band, or an extension per band."""
    stamps: tuple[str, ...] = ()
    """FITS cutouts with a WCS, one galaxy each; files as for patches."""
    catalogues: tuple[str, ...] = ()
    """Tables of objects: FITS, Parquet, CSV or VOTable. Column names stand in the description."""
    description: Path | None = None
    """YAML file that describes another survey than HSC and DESI: docs/pairing.md."""
    radius: float = 1.0
    """Arcsec within which rows of two tables are one galaxy."""
    match: Literal["one-to-one", "nearest"] = "one-to-one"
    """One-to-one: closest pairs first, each used once. Nearest: each spectrum takes the nearest object, so that
    spectra of one galaxy share its image."""
    epoch: float = 2016.0
    """Julian year at which positions are matched: tables with proper motions and an epoch are moved to it."""
    max_outside: float = 0.5
    """A cutout is set aside if more than this fraction of one of its bands has no data."""
    rows_per_cell: int = 512
    """The sky is divided until no cell has more rows; one cell is one piece of work and one shard per split."""
    engine: Engine = "auto"
    """Where the sky match runs: in memory, in Ray, or as the number of rows demands."""

    def __post_init__(self) -> None:
        if not 0 < self.radius <= 648000:
            raise ValueError(f"pair.radius is {self.radius}; give arcsec, more than 0.")
        if not 0 <= self.max_outside <= 1:
            raise ValueError(f"pair.max_outside is {self.max_outside}; give a fraction from 0 to 1.")
        if self.rows_per_cell < 1:
            raise ValueError(f"pair.rows_per_cell is {self.rows_per_cell}; give 1 or more.")
        if not 1800 <= self.epoch <= 2200:
            raise ValueError(f"pair.epoch is {self.epoch}; give a Julian year such as 2016.0.")
