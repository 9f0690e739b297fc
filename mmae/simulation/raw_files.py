"""Raw files of a simulated survey: HSC-like patches, DESI-like coadds, redrock files, catalogue.

    RAW/patches/patch-0003-HSC-G.fits ...   galaxies on a regular grid, tangent plane, one file per band
    RAW/spectra/coadd-0003.fits             arms B, R, Z that overlap as in DESI, FIBERMAP
    RAW/spectra/redrock-0003.fits           REDSHIFTS
    RAW/catalogue/catalogue-0003.parquet    object ids, positions, magnitudes

Input for `--source paired` and its tests: the expected result is known exactly.

Shape suffixes: N galaxies of a field, C bands, H and W pixels of a patch, L wavelength samples, A of an arm.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits
from astropy.wcs import WCS

from mmae.core.progress import ProgressBar
from mmae.core.tasks import Job, in_ray
from mmae.simulation.config import SimulationConfig
from mmae.simulation.source import simulate_galaxy
from mmae.survey.schema import Galaxy, SurveySpec

FIELD_SIDE = 10  # galaxies along a side of a patch
SPACING = 72  # pixels between them
CENTRE = (150.0, 2.2)  # degrees: HSC COSMOS
FIBRE_OFFSET = 0.1  # arcsec, standard deviation between catalogue and fibre positions per axis
ARM_SAMPLES = {"B": (0, 2751), "R": (2700, 5026), "Z": (4900, 7781)}  # range on the DESI grid
NO_DATA_BIT = 8  # MP_NO_DATA of HSC


def write_raw_files(config: SimulationConfig, folder: Path, workers: int | None = None) -> None:
    """Write the raw files of a simulated survey on Ray, one task per field of 100 galaxies."""
    spec = SurveySpec()
    for name in ("patches", "spectra", "catalogue"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    size = FIELD_SIDE**2
    jobs = [
        {"field": f, "start": f * size, "stop": min((f + 1) * size, config.galaxies)}
        for f in range(-(-config.galaxies // size))
    ]

    def write(job: Job) -> Job:
        write_field(job["field"], range(job["start"], job["stop"]), config, spec, folder)
        return job

    for _ in ProgressBar(in_ray(jobs, write, workers), total=len(jobs), desc="raw files", unit="field"):
        pass


def write_field(field: int, rows: range, config: SimulationConfig, spec: SurveySpec, folder: Path) -> list[Galaxy]:
    """Write one field (patch, spectra, catalogue) and return its galaxies with their positions on the patch."""
    wcs = field_wcs(field, spec)
    rng = np.random.default_rng([config.seed, field, 1])
    side = FIELD_SIDE * SPACING
    patch_CHW = rng.normal(0, np.array(spec.band_noise)[:, None, None], (len(spec.bands), side, side)).astype(
        np.float32
    )
    galaxies, zwarn_N = [], []
    for n, row in enumerate(rows):
        galaxy, truth = simulate_galaxy(row, config, spec)
        y, x = (SPACING * v + (SPACING - spec.image_size) // 2 for v in divmod(n, FIELD_SIDE))
        patch_CHW[:, y : y + spec.image_size, x : x + spec.image_size] = galaxy.image_CHW
        middle = (spec.image_size - 1) / 2
        galaxy.ra, galaxy.dec = (float(v) for v in wcs.pixel_to_world_values(x + middle, y + middle))
        galaxies.append(galaxy)
        zwarn_N.append(truth.label.zwarn)
    for band, patch_HW in zip(spec.bands, patch_CHW, strict=True):
        write_patch(folder / "patches" / f"patch-{field:04d}-HSC-{band.upper()}.fits", band, patch_HW, wcs, spec)
    observed = [(g, zwarn) for g, zwarn in zip(galaxies, zwarn_N, strict=True) if g.flux_L is not None]
    if observed:
        _write_coadd(folder / "spectra" / f"coadd-{field:04d}.fits", [g for g, _ in observed], rng, spec)
        _write_redrock(folder / "spectra" / f"redrock-{field:04d}.fits", observed)
    pq.write_table(
        pa.table(
            {
                "object_id": [g.object_id for g in galaxies],
                "ra": [g.ra for g in galaxies],
                "dec": [g.dec for g in galaxies],
                **{
                    f"{band}_cmodel_mag": np.array([g.cmodel_mag_C[c] for g in galaxies], np.float32)
                    for c, band in enumerate(spec.bands)
                },
            }
        ),
        folder / "catalogue" / f"catalogue-{field:04d}.parquet",
    )
    return galaxies


def field_wcs(field: int, spec: SurveySpec) -> WCS:
    """WCS of a field; fields are side by side in rows of 32."""
    row, column = divmod(field, 32)
    apart = 1.1 * FIELD_SIDE * SPACING * spec.pixel_scale / 3600
    dec = CENTRE[1] + apart * row
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.radesys = ["RA---TAN", "DEC--TAN"], "ICRS"
    wcs.wcs.crval = [CENTRE[0] + apart * column / np.cos(np.radians(dec)), dec]
    wcs.wcs.crpix = [(FIELD_SIDE * SPACING + 1) / 2] * 2
    wcs.wcs.cd = np.diag([-spec.pixel_scale / 3600, spec.pixel_scale / 3600])
    return wcs


def write_patch(path: Path, band: str, patch_HW: np.ndarray, wcs: WCS, spec: SurveySpec) -> None:
    """Write one band of a patch with an empty mask."""
    primary = fits.PrimaryHDU()
    primary.header["FILTER"], primary.header["FLUXMAG0"] = f"HSC-{band.upper()}", 10 ** (0.4 * spec.zero_point)
    mask = fits.ImageHDU(np.zeros(patch_HW.shape, np.int16), name="MASK")
    mask.header["HIERARCH MP_NO_DATA"] = NO_DATA_BIT
    fits.HDUList([primary, fits.ImageHDU(patch_HW, wcs.to_header(), name="IMAGE"), mask]).writeto(path, overwrite=True)


def _write_coadd(path: Path, galaxies: list[Galaxy], rng: np.random.Generator, spec: SurveySpec) -> None:
    n = len(galaxies)
    offset_2N = rng.normal(0, FIBRE_OFFSET / 3600, (2, n))
    dec_N = np.array([g.dec for g in galaxies])
    columns = [
        fits.Column("TARGETID", "K", array=np.array([g.targetid for g in galaxies])),
        fits.Column(
            "TARGET_RA", "D", array=np.array([g.ra for g in galaxies]) + offset_2N[0] / np.cos(np.radians(dec_N))
        ),
        fits.Column("TARGET_DEC", "D", array=dec_N + offset_2N[1]),
        fits.Column("MORPHTYPE", "4A", array=[g.morphtype or "" for g in galaxies]),
        fits.Column("OBJTYPE", "3A", array=["TGT"] * n),
        fits.Column("COADD_FIBERSTATUS", "J", array=np.zeros(n, np.int32)),
    ]
    hdus = [fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns, name="FIBERMAP")]
    flux_NL, ivar_NL = (np.stack([getattr(g, name) for g in galaxies]) for name in ("flux_L", "ivar_L"))
    in_arms_L = sum(np.bincount(np.arange(*span), minlength=spec.n_wavelengths) for span in ARM_SAMPLES.values())
    for arm, (start, stop) in ARM_SAMPLES.items():
        hdus += [
            fits.ImageHDU(spec.wavelength_L()[start:stop], name=f"{arm}_WAVELENGTH"),
            fits.ImageHDU(flux_NL[:, start:stop].astype(np.float32), name=f"{arm}_FLUX"),
            # Where two arms overlap each gets half of the ivar.
            fits.ImageHDU((ivar_NL / in_arms_L)[:, start:stop].astype(np.float32), name=f"{arm}_IVAR"),
            fits.ImageHDU(np.zeros((n, stop - start), np.int32), name=f"{arm}_MASK"),
        ]
    fits.HDUList(hdus).writeto(path, overwrite=True)


def _write_redrock(path: Path, observed: list[tuple[Galaxy, int]]) -> None:
    labelled = [(g, zwarn) for g, zwarn in observed if g.redshift is not None]
    columns = [
        fits.Column("TARGETID", "K", array=np.array([g.targetid for g, _ in labelled], np.int64)),
        fits.Column("Z", "D", array=np.array([g.redshift for g, _ in labelled])),
        fits.Column("ZERR", "D", array=np.array([g.redshift_err for g, _ in labelled])),
        fits.Column("ZWARN", "K", array=np.array([zwarn for _, zwarn in labelled], np.int64)),
        fits.Column("DELTACHI2", "D", array=np.full(len(labelled), 100.0)),
    ]
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns, name="REDSHIFTS")]).writeto(
        path, overwrite=True
    )
