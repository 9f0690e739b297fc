"""Options of a build; apart from its code, so that `--help` loads none of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from mmae.ingest.pairing.config import PairConfig
from mmae.ingest.sources.grid import GridConfig
from mmae.simulation.config import SimulationConfig

OWN_SOURCES = ("simulated", "holdout", "galaxiesml", "desi", "hsc", "paired")


@dataclass(frozen=True)
class SplitConfig:
    """Galaxies are divided by sky cell. Rows of one galaxy, or of one group (one parent image), share a split."""

    fractions: tuple[float, float, float] = (0.70, 0.15, 0.15)
    """Fractions of train, val and test; the default is that of arXiv:2510.22527. 0 0 1: a survey for tests only."""
    seed: int = 0
    """Seed of the assignment of cells to splits."""
    nside: int = 512
    """HEALPix nside of the sky cells; 512: 6.9 arcmin. 0: no cells, rows are divided by group, as are rows
    without position."""


DEFAULT_SPLIT = SplitConfig()


@dataclass(frozen=True)
class BuildConfig:
    """Input and output of a build."""

    out: Path
    """Folder of the new survey; must be empty or absent. A killed build continues from OUT.unfinished when the
    same command is run again."""
    source: tuple[str, ...] = ("simulated",)
    """One or more of simulated, holdout (another simulation, for tests), galaxiesml, desi, hsc, paired (spectra, images
    and catalogues matched on the sky) and the known sources of docs/surveys.md, or a YAML file that describes one. The
    rows of several are concatenated."""
    inputs: tuple[str, ...] = ()
    """Files, folders or quoted patterns of a known source; of several known sources as NAME=PATTERN."""
    grid: GridConfig = field(default_factory=GridConfig)
    """Pixels and wavelengths of the survey, if they are to differ from those of the known source."""
    galaxiesml: Path | None = None
    """GalaxiesML-Spectra HDF5 file (Zenodo 16989593)."""
    desi: tuple[Path, ...] = ()
    """DESI tile or healpix coadds."""
    redshifts: tuple[Path, ...] = ()
    """Redrock files, or any FITS table with TARGETID and Z, for DESI coadds and known sources with a TARGETID."""
    hsc: tuple[Path, ...] = ()
    """HSC cutouts: .npz archives, FITS files or folders of them."""
    pair: PairConfig = field(default_factory=PairConfig)
    """Input and options of --source paired."""
    # No prefix: --galaxies, not --simulation.galaxies.
    simulation: Annotated[SimulationConfig, tyro.conf.arg(name="")] = field(default_factory=SimulationConfig)
    image_size: int = 64
    """Pixels along a side of simulated images: 64 or 127."""
    split: SplitConfig = field(default_factory=SplitConfig)
    workers: int | None = None
    """Maximum number of chunks that are built at the same time; default: the number of CPUs of the cluster."""
    report: bool = False
    """Compare the simulated survey with published numbers and real data. If --out already holds
    the survey, only the report is written."""
    reference: Path | None = None
    """Folder with real data for the report: zcosmos_bright.csv, HSC cutouts, DESI coadds, line widths."""
