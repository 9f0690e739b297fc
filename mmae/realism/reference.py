"""Readers of the real data for the realism report.

Files and their sources: shared/data/README.md. Readers raise InputError for a missing or invalid file; `load`
converts the error into a reason, so that a bad file leaves out its sections and not the whole report.

Shape suffixes: N objects, C bands, H and W pixels, J emission lines, K columns of a file,
L wavelength samples, A samples of one spectrograph arm.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from astropy.io import fits

from mmae.astro.lines import LINE_NAMES
from mmae.core.errors import InputError
from mmae.core.untrusted import require_plain_columns
from mmae.ingest.readers.desi import desi_source
from mmae.survey.schema import SurveySpec

HSC_FILE = "hsc_cosmos_grizy_64_shared.npz"
ZCOSMOS_FILE = "zcosmos_bright.csv"
LINES_FILE = "desi_bgs_line_ews.parquet"
# Coadd file -> file with its redshifts.
COADD_FILES = {
    "desi_coadd-1-80693-thru20210204.fits": "desi_qso_cat_fuji_dark_tile.fits.gz",
    "desi_coadd-4-80613-thru20210324.fits": "desi_redrock-4-80613-thru20210324.fits",
}
SUBARU_BANDS = ("g", "r", "i", "z")
# Suprime-Cam g+ r+ z+ and CFHT i*: Suprime-Cam i+ is saturated in bright galaxies. In the file i+ is fainter
# than i* by 0.15 mag at I = 17.5 and 0.09 at 19.25, and agrees to 0.005 fainter than 21.
ZCOSMOS_COLUMNS = ("g_photzi25", "r_photzi25", "ic_photzi25", "z_photzi25")

T = TypeVar("T")


@dataclass(frozen=True)
class Loaded(Generic[T]):
    """Content of a file, or None and the reason."""

    value: T | None
    reason: str = ""


def load(reader: Callable[[Path], T], folder: Path | None) -> Loaded[T]:
    """Read real data from a folder; no folder, a missing or an invalid file gives a reason."""
    if folder is None:
        return Loaded(
            None, "Left out: no folder of real data. Use --reference FOLDER, for example ../shared/data/galaxies."
        )
    try:
        return Loaded(reader(folder))
    except InputError as error:
        return Loaded(None, f"Left out: {error}")


@dataclass(frozen=True)
class RealImages:
    """HSC-COSMOS cutouts, g r i z y, counts at zero point 27."""

    image_NCHW: np.ndarray
    weight_NCHW: np.ndarray  # 1 / variance inside the footprint of the parent, 0 outside
    parent_N: np.ndarray  # parent image; cutouts of a parent overlap


def read_hsc(folder: Path) -> RealImages:
    """Read the real cutouts. Pixels outside a footprint are observed sky (docs/realism.md).

    Raises:
        InputError: the file is missing or invalid.
    """
    path = _existing(folder, HSC_FILE)
    try:
        with np.load(path) as archive:
            real = RealImages(
                archive["image"].astype(np.float32), archive["weight"].astype(np.float32), archive["parent"]
            )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: cannot be read as an archive of cutouts ({error}). Copy it again.") from error
    if real.image_NCHW.ndim != 4 or real.image_NCHW.shape != real.weight_NCHW.shape:
        raise InputError(
            f"{path}: image has shape {real.image_NCHW.shape} and weight {real.weight_NCHW.shape}, expected the same "
            f"(N, bands, H, W). Copy it again."
        )
    return real


@dataclass(frozen=True)
class RealGalaxies:
    """Galaxies of zCOSMOS-bright with a secure redshift."""

    redshift_N: np.ndarray
    selection_mag_N: np.ndarray  # I_AB, total; zCOSMOS selects I < 22.5
    mag_NC: np.ndarray  # g+ r+ (Suprime-Cam), i* (CFHT), z+, AB, 3 arcsec apertures; NaN = missing


def read_zcosmos(folder: Path) -> RealGalaxies:
    """Read galaxies of zCOSMOS-bright DR3 with a secure spectroscopic redshift.

    Confidence classes (Lilly+2007, 2009; CDS J/ApJS/172/70). Integer: confidence from the spectrum (4 very secure,
    3 secure, 2 likely, 1 guess, 9 single line; + 10 broad-line AGN). Decimal: agreement with a photometric redshift
    (.5 agrees, .1 differs, .4 none available, .3 agrees after revision). Used: 3.x and 4.x. Other classes of the
    file (1.5, 2.4, 2.5, 9.3, 9.5) are included there because of their photometric redshift and would bias a test of
    photometric redshifts. Broad-line AGN (1x.x) and stars (z < 0.01; nearly all of class x.4) are excluded.

    Raises:
        InputError: the file or a column is missing.
    """
    path = _existing(folder, ZCOSMOS_FILE)
    names = ["zpec", "cc", "mag_sel", *ZCOSMOS_COLUMNS]
    options = pyarrow.csv.ConvertOptions(include_columns=names, column_types=dict.fromkeys(names, pa.float64()))
    try:
        table = pyarrow.csv.read_csv(path, convert_options=options)
    except (pa.ArrowException, OSError, KeyError) as error:
        raise InputError(
            f"{path}: not a zCOSMOS table ({str(error).splitlines()[0]}); required columns: "
            f"{', '.join(names)}. Copy it again."
        ) from error
    values_NK = np.stack([table[name].fill_null(np.nan).to_numpy() for name in names], axis=1)
    values_NK = values_NK[secure_galaxy(values_NK[:, names.index("cc")], values_NK[:, names.index("zpec")])]
    if not len(values_NK):
        raise InputError(f"{path}: no galaxy with a secure redshift. Copy it again.")
    magnitude_NK = np.where(values_NK > 0, values_NK, np.nan)  # -99 and -99.9: no measurement
    return RealGalaxies(
        redshift_N=values_NK[:, names.index("zpec")],
        selection_mag_N=magnitude_NK[:, names.index("mag_sel")],
        mag_NC=magnitude_NK[:, -len(SUBARU_BANDS) :],
    )


def secure_galaxy(confidence_N: np.ndarray, redshift_N: np.ndarray) -> np.ndarray:
    """True for zCOSMOS classes 3.x and 4.x at z > 0.01."""
    return np.isin(np.floor(confidence_N), [3, 4]) & (redshift_N > 0.01)


@dataclass(frozen=True)
class RealLines:
    """Rest-frame equivalent widths of DESI bright galaxies (FastSpecFit), Angstrom."""

    redshift_N: np.ndarray
    width_NJ: np.ndarray  # in the order of LINE_NAMES; all positive
    ivar_NJ: np.ndarray


def read_lines(folder: Path) -> RealLines:
    """Read rows with six positive widths and ivar. The published table contains positive widths only.

    Raises:
        InputError: the file or a column is missing.
    """
    path = _existing(folder, LINES_FILE)
    names = [f"ew_{name}" for name in LINE_NAMES], [f"ew_ivar_{name}" for name in LINE_NAMES]
    try:
        table = pq.read_table(path, columns=["z", *names[0], *names[1]])
        require_plain_columns(table.schema, path)
        columns = {name: table[name].to_numpy().astype(np.float64) for name in table.column_names}
        width_NJ, ivar_NJ = (np.stack([columns[n] for n in group], axis=1) for group in names)
    except (pa.ArrowException, OSError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: not a table of line widths ({reason}). Copy it again.") from error
    use_N = (width_NJ > 0).all(axis=1) & (ivar_NJ > 0).all(axis=1)
    if not use_N.any():
        raise InputError(f"{path}: no row with six positive widths. Copy it again.")
    return RealLines(columns["z"][use_N], width_NJ[use_N], ivar_NJ[use_N])


@dataclass(frozen=True)
class RealSpectra:
    """DESI coadds on the common grid, 1e-17 erg/s/cm2/A."""

    name_N: tuple[str, ...]
    kind_N: tuple[str, ...]  # "quasar" or "galaxy"
    redshift_N: np.ndarray  # NaN where unknown
    flux_NL: np.ndarray
    ivar_NL: np.ndarray
    line_spread: tuple[tuple[np.ndarray, np.ndarray], ...]  # per file and arm: wavelength_A and sigma_A, Angstrom


def read_coadds(folder: Path) -> RealSpectra:
    """Read the spectra of the coadds, with the line spread from RESOLUTION.

    Raises:
        InputError: a file is missing or cannot be read.
    """
    names, kinds, redshifts, fluxes, ivars, spreads = [], [], [], [], [], []
    for coadd, labels in COADD_FILES.items():
        path = _existing(folder, coadd)
        source = desi_source([path], [_existing(folder, labels)])
        for chunk in source.chunks:
            read = source.read(chunk)
            if not read.galaxies:
                reasons = {r.reason for r in read.rejections}
                raise InputError(f"{path}: no spectrum could be read ({'; '.join(sorted(reasons))}). Copy it again.")
            for galaxy in read.galaxies:
                names.append(galaxy.object_id)
                kinds.append("quasar" if "qso" in labels else "galaxy")
                redshifts.append(np.nan if galaxy.redshift is None else galaxy.redshift)
                fluxes.append(galaxy.flux_L)
                ivars.append(galaxy.ivar_L)
        spreads += _line_spreads(path)
    return RealSpectra(
        tuple(names), tuple(kinds), np.array(redshifts), np.stack(fluxes), np.stack(ivars), tuple(spreads)
    )


def resolution_sigma(resolution: np.ndarray, step: float) -> np.ndarray:
    """Sigma (N, A) of the line-spread function in resolution matrices.

    Args:
        resolution: (N, diagonals, A); the value on diagonal k of column j belongs to sample j - offset_k, with
            offsets decreasing by one and symmetric about 0.
        step: Angstrom per sample.

    Returns:
        Standard deviation in Angstrom; NaN for a column of zeros.
    """
    n = resolution.shape[1]
    offset_D1 = (n // 2 - np.arange(n))[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        total = resolution.sum(axis=1)
        mean = (resolution * offset_D1).sum(axis=1) / total
        square = (resolution * offset_D1**2).sum(axis=1) / total
        return step * np.sqrt(square - mean**2)


def _line_spreads(path: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    found = []
    with fits.open(path) as file:
        for arm in ("B", "R", "Z"):
            if f"{arm}_RESOLUTION" in file:
                sigma_NA = resolution_sigma(
                    file[f"{arm}_RESOLUTION"].data.astype(np.float64), SurveySpec().wavelength_step
                )
                found.append((np.asarray(file[f"{arm}_WAVELENGTH"].data, np.float64), np.nanmedian(sigma_NA, axis=0)))
    return found


def _existing(folder: Path, name: str) -> Path:
    path = Path(folder) / name
    if not path.is_file():
        raise InputError(f"{path}: no such file. Copy it there, or use another folder with --reference.")
    return path
