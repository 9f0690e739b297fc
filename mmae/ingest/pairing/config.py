"""Options of pairing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class PairConfig:
    """Spectra, images and catalogues of the same area in the formats of the archives, or catalogues alone.

    Each path may be a file, a folder or a quoted pattern, local or with a protocol supported by fsspec (s3://...).
    """

    spectra: tuple[str, ...] = ()
    """DESI coadds (per tile or healpix)."""
    redshifts: tuple[str, ...] = ()
    """Redrock files, or FITS tables with TARGETID and Z."""
    patches: tuple[str, ...] = ()
    """Large FITS images with a WCS, from which cutouts are made; one file per band, or one extension per band."""
    stamps: tuple[str, ...] = ()
    """FITS cutouts with a WCS, one galaxy each; files as for patches."""
    catalogues: tuple[str, ...] = ()
    """Tables of objects: FITS, Parquet, VOTable, CSV or other text, or HATS catalogues and collections. Column names
    are given in the description."""
    sources: tuple[str, ...] = ()
    """Known sources with positions as NAME=PATTERN: mmu-desi='desi/**/*.hdf5' mmu-hsc='hsc/**/*.hdf5'. Their names are
    in docs/surveys.md."""
    description: Path | None = None
    """YAML file that describes a survey other than HSC and DESI: docs/pairing.md."""
    radius: float = 1.0
    """Arcsec within which rows of two tables are one galaxy."""
    match: Literal["one-to-one", "nearest"] = "one-to-one"
    """One-to-one: closest pairs first, each row used once. Nearest: each spectrum is matched to the nearest object, so
    that spectra of one galaxy share its image."""
    epoch: float = 2016.0
    """Julian year at which positions are matched; applied to tables with proper motions and an epoch."""
    max_outside: float = 0.5
    """An image is rejected if more than this fraction of the pixels in the bands that have data is missing. Bands
    without any data do not count."""
    mask_bits: tuple[str, ...] = ("NO_DATA",)
    """Bits of mask planes (MP_<bit> in the header) whose pixels are missing, such as NO_DATA SAT BAD."""
    missing_bands: bool = False
    """Accept patches and stamps without files of some of the bands, which are then missing. By default such images are
    rejected, with the name of the band."""
    rows_per_cell: int = 512
    """Maximum number of rows per sky cell; one cell is one task and one shard per split."""
    engine: Literal["auto", "memory", "ray"] = "auto"
    """Where the sky match runs: in memory, in Ray, or chosen by the number of rows."""

    @property
    def has_images(self) -> bool:
        return bool(self.patches or self.stamps)

    @property
    def tables_alone(self) -> bool:
        """Neither images nor spectra are given: every catalogue row is a galaxy of the survey."""
        return not (self.has_images or self.spectra or self.sources)

    def __post_init__(self) -> None:
        if not 0 < self.radius <= 648000:
            raise ValueError(f"pair.radius is {self.radius}; give arcsec, more than 0.")
        if not 0 <= self.max_outside <= 1:
            raise ValueError(f"pair.max_outside is {self.max_outside}; give a fraction from 0 to 1.")
        if self.rows_per_cell < 1:
            raise ValueError(f"pair.rows_per_cell is {self.rows_per_cell}; give 1 or more.")
        if not 1800 <= self.epoch <= 2200:
            raise ValueError(f"pair.epoch is {self.epoch}; give a Julian year such as 2016.0.")
