"""Readers of real tables of magnitudes and redshifts: SDSS, DESI DR1 with Legacy Surveys fluxes, zCOSMOS.

Files and their sources: shared/data/README.md. Magnitudes are as observed, not corrected for Galactic extinction.

Shape suffixes: N objects, C bands.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmae.core.errors import InputError
from mmae.core.untrusted import require_plain_columns
from mmae.realism.reference import SUBARU_BANDS, read_zcosmos

SDSS_FILE = "sdss_colours_redshifts.npy"
DESI_FILE = "desi_dr1_1000.parquet"
DESI_FOLDER = "catalogues"  # beside the folder of galaxies
SDSS_BANDS = tuple(f"sdss2010-{b}" for b in "ugriz")
DESI_BANDS = tuple(f"decam2014-{b}" for b in "grz")
ZCOSMOS_BANDS = tuple(f"subaru_{b}" for b in SUBARU_BANDS)
# Magnitude at 5 sigma of point sources in SDSS (York+2000); galaxies have about twice the error.
SDSS_DEPTH, EXTENDED = np.array([22.0, 22.2, 22.2, 21.3, 20.5]), 2.0
ERROR_FLOOR = 0.02  # mag, calibration
ZCOSMOS_ERROR = 0.05  # mag: zero points, and apertures instead of total magnitudes
# The file contains objects with u < 20 only: at higher redshift these are active galaxies and wrong redshifts
# (r = 16 at z = 0.7).
SDSS_GALAXY_REDSHIFT = 0.3
BRIGHT_SDSS, BRIGHT_DESI = 14.0, 15.0  # mag: brighter objects are deblended or saturated


@dataclass(frozen=True)
class RealTable:
    """A table of magnitudes and redshifts."""

    name: str
    quasars: bool
    bands: tuple[str, ...]  # names of `seds.ab_magnitude`, by wavelength
    redshift_N: np.ndarray
    mag_NC: np.ndarray  # AB
    error_NC: np.ndarray  # mag


def real_tables(folder: Path) -> list[RealTable]:
    """All real tables of a folder.

    Raises:
        InputError: a file is missing or cannot be read.
    """
    zcosmos = read_zcosmos(folder)
    found_N = np.isfinite(zcosmos.mag_NC).all(axis=1)
    mag_NC = zcosmos.mag_NC[found_N]
    return [
        *_sdss(_existing(folder / SDSS_FILE)),
        *_desi(_existing(folder.parent / DESI_FOLDER / DESI_FILE)),
        RealTable(
            "zCOSMOS", False, ZCOSMOS_BANDS, zcosmos.redshift_N[found_N], mag_NC, np.full(mag_NC.shape, ZCOSMOS_ERROR)
        ),
    ]


def _sdss(path: Path) -> list[RealTable]:
    try:
        table = np.load(path, allow_pickle=False)
        mag_NC = np.stack([table[b] for b in "ugriz"], axis=1)
        redshift_N, kind_N = table["redshift"], table["spec_class"]
    except (OSError, ValueError, IndexError) as error:
        raise InputError(f"{path}: not the table of SDSS colours ({error}). Copy it again.") from error
    use_N = (mag_NC > BRIGHT_SDSS).all(axis=1)
    tables = []
    for name, kind, factor in (("SDSS galaxies", b"GALAXY", EXTENDED), ("SDSS quasars", b"QSO", 1.0)):
        chosen_N = use_N & (kind_N == kind)
        if kind == b"GALAXY":
            chosen_N &= redshift_N < SDSS_GALAXY_REDSHIFT
        chosen_NC = mag_NC[chosen_N]
        noise_NC = 0.2 * factor * 10 ** (0.4 * (chosen_NC - SDSS_DEPTH))
        tables.append(
            RealTable(
                name, kind == b"QSO", SDSS_BANDS, redshift_N[chosen_N], chosen_NC, np.hypot(ERROR_FLOOR, noise_NC)
            )
        )
    return tables


def _desi(path: Path) -> list[RealTable]:
    fluxes, ivars = ([f"{what}_{b}" for b in "GRZ"] for what in ("FLUX", "FLUX_IVAR"))
    columns = ["Z", "ZWARN", "SPECTYPE", "OBJTYPE", *fluxes, *ivars]
    try:
        table = pq.read_table(path, columns=columns)
        require_plain_columns(table.schema, path)
    except (pa.ArrowException, OSError, KeyError) as error:
        raise InputError(f"{path}: not DESI's redshift catalogue ({error}). Copy it again.") from error
    flux_NC, ivar_NC = (
        np.stack([table[c].to_numpy() for c in names], axis=1).astype(float) for names in (fluxes, ivars)
    )
    kind_N, object_N = (np.array(table[c].to_pylist()) for c in ("SPECTYPE", "OBJTYPE"))
    use_N = (flux_NC > 0).all(axis=1) & (ivar_NC > 0).all(axis=1) & (table["ZWARN"].to_numpy() == 0)
    use_N &= object_N == "TGT"
    with np.errstate(invalid="ignore", divide="ignore"):
        mag_NC = 22.5 - 2.5 * np.log10(flux_NC)  # nanomaggies
        error_NC = np.hypot(ERROR_FLOOR, 2.5 / np.log(10) / (flux_NC * np.sqrt(ivar_NC)))
    use_N &= (error_NC < 0.5).all(axis=1) & (mag_NC > BRIGHT_DESI).all(axis=1)
    return [
        RealTable(name, kind == "QSO", DESI_BANDS, table["Z"].to_numpy()[at_N], mag_NC[at_N], error_NC[at_N])
        for name, kind in (("DESI galaxies", "GALAXY"), ("DESI quasars", "QSO"))
        for at_N in (use_N & (kind_N == kind),)
    ]


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise InputError(f"{path}: no such file. Copy it there, or use another folder with --reference.")
    return path
