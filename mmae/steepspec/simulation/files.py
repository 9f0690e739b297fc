"""Writing of the simulated sky to files in the formats of the real catalogues.

Suffix: N objects or pulsars.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.coordinates import Angle
from astropy.io import fits
from astropy.table import Table

from mmae.steepspec.regions import HDU
from mmae.steepspec.simulation.detections import OPTICAL_SCATTER_ARCSEC
from mmae.steepspec.simulation.sky import Sky
from mmae.steepspec.tables import write_parquet

R_MINUS_I = 0.3
PSF_MINUS_KRON = 0.3  # of a galaxy: resolved from 0.05 on (surveys/panstarrs.yaml)
GAIA_ERROR = 0.1  # mas and mas/yr: about the error of a star with G = 18 (Lindegren+2021, A&A 649, A2)
_GOLDEN_ANGLE = 2.399963  # radians; evenly distributed directions of motion without a random draw


def write_sky(sky: Sky, folder: str | Path) -> dict[str, Path]:
    """Write one file per catalogue of the sky; the same sky gives the same bytes.

    mals.fits has the columns of MALS, regions.fits those of a 4FGL release, known_pulsars.db is in the
    format of psrcat, panstarrs, allwise and gaia (.parquet) have the columns of those surveys; the
    companions tgss, racs_low and nvss (.parquet) have the standard columns. All are read by the readers
    of the real catalogues: `read_catalogue`, `read_4fgl`, `read_psrcat`. pointings.parquet and
    truth.parquet are written by astropy.

    Returns:
        File stem -> path: mals, regions, tgss, racs_low, nvss, panstarrs, allwise, gaia, known_pulsars,
        pointings, truth.

    Raises:
        OSError: the folder cannot be written to.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = {"mals": folder / "mals.fits", "regions": folder / "regions.fits"}
    sky.mals.write(paths["mals"], overwrite=True)
    regions = fits.HDUList([fits.PrimaryHDU(), fits.table_to_hdu(sky.regions, name=HDU)])
    regions.writeto(paths["regions"], overwrite=True)
    catalogues = {
        **sky.companions,
        "panstarrs": panstarrs(sky.optical),
        "allwise": allwise(sky.optical),
        "gaia": gaia(sky.optical),
    }
    for name, table in catalogues.items():
        paths[name] = folder / f"{name}.parquet"
        write_parquet(table, paths[name])
    paths["known_pulsars"] = folder / "known_pulsars.db"
    paths["known_pulsars"].write_text(psrcat(sky.known_pulsars))
    for name in ("pointings", "truth"):
        paths[name] = folder / f"{name}.parquet"
        getattr(sky, name).write(paths[name], overwrite=True)
    return paths


def panstarrs(optical: Table) -> Table:
    """All objects (N), columns of VizieR II/349/ps1; galaxies are brighter in the Kron aperture."""
    i_mag = optical["r_mag"] - R_MINUS_I
    return _catalogue(
        optical,
        "objID",
        ("RAJ2000", "DEJ2000", "e_RAJ2000", "e_DEJ2000"),
        u.arcsec,
        optical["object_id"],
        rmag=optical["r_mag"] * u.mag,
        imag=i_mag * u.mag,
        iKmag=(i_mag - np.where(optical["is_galaxy"], PSF_MINUS_KRON, 0.0)) * u.mag,
    )


def allwise(optical: Table) -> Table:
    """The objects detected in W1 (N), columns of VizieR II/328/allwise."""
    detected = optical[np.isfinite(optical["w1_mag"])]
    return _catalogue(
        detected,
        "AllWISE",
        ("RAJ2000", "DEJ2000", "eeMaj", "eeMin"),
        u.arcsec,
        [f"SIM{number:08d}" for number in detected["object_id"]],
        W1mag=detected["w1_mag"] * u.mag,
        W2mag=detected["w2_mag"] * u.mag,
    )


def gaia(optical: Table) -> Table:
    """The objects with an astrometric solution (N), columns of gaiadr3.gaia_source; G is r."""
    detected = optical[np.isfinite(optical["parallax_over_error"])]
    motion = GAIA_ERROR * np.asarray(detected["pm_over_error"])
    direction = _GOLDEN_ANGLE * np.asarray(detected["object_id"])
    error = np.full(len(detected), GAIA_ERROR)
    return _catalogue(
        detected,
        "source_id",
        ("ra", "dec", "ra_error", "dec_error"),
        u.mas,
        detected["object_id"],
        phot_g_mean_mag=detected["r_mag"] * u.mag,
        parallax=GAIA_ERROR * detected["parallax_over_error"] * u.mas,
        parallax_error=error * u.mas,
        pmra=motion * np.sin(direction) * u.mas / u.yr,
        pmra_error=error * u.mas / u.yr,
        pmdec=motion * np.cos(direction) * u.mas / u.yr,
        pmdec_error=error * u.mas / u.yr,
    )


def psrcat(pulsars: Table) -> str:
    """Pulsars (N) in psrcat's text format: positions to 0.0001 s and 0.001 arcsec, S1400 in mJy."""
    # Rounded before formatting, so that 23:59:59.99999 becomes 0 hours and not 24.
    hours = np.round(np.asarray(pulsars["RAJD"]) * 240, 4) % 86400 / 3600
    ra_N = Angle(hours, u.hour).to_string(sep=":", pad=True, precision=4)
    dec_N = Angle(pulsars["DECJD"], u.deg).to_string(sep=":", pad=True, precision=3, alwayssign=True)
    records = [
        f"PSRJ     {name}\nRAJ      {ra}\nDECJ     {dec}\nS1400    {flux:.9g}\n@{'-' * 65}\n"
        for name, ra, dec, flux in zip(pulsars["PSRJ"], ra_N, dec_N, pulsars["S1400"], strict=True)
    ]
    return "".join(["#CATALOGUE simulated\n", *records])


def _catalogue(
    objects: Table,
    name: str,
    position_names: tuple[str, str, str, str],
    error_unit: u.UnitBase,
    identifier: object,
    **measured: u.Quantity,
) -> Table:
    """Identifier, position and position error under the given names, and the measured columns."""
    ra, dec, ra_error, dec_error = position_names
    error = (np.full(len(objects), OPTICAL_SCATTER_ARCSEC) * u.arcsec).to(error_unit)
    ra_N, dec_N = (np.asarray(objects[axis]) * u.deg for axis in ("ra", "dec"))
    return Table({name: identifier, ra: ra_N, dec: dec_N, ra_error: error, dec_error: error, **measured})
