"""Small synthetic files in the exact layouts of the surveys, for the tests of the readers.

Shape suffixes: N galaxies, C bands, H and W pixels, L wavelength samples, A samples of one arm.
"""

from __future__ import annotations

import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest
from astropy.io import fits

from mmae.survey.schema import Galaxy, Rejection, check_galaxy
from mmae.survey.source import Source

BANDS = "grizy"
SHARED_GALAXIES = Path(__file__).parents[2].parent / "shared" / "data" / "galaxies"
needs_shared = pytest.mark.skipif(
    not SHARED_GALAXIES.is_dir(), reason=f"no real survey files: {SHARED_GALAXIES} does not exist"
)

GALAXIESML_WAVE_L = 3599.2 + 0.8 * np.arange(7783)  # DESI grid and one more sample at each end
ARM_WAVES = {
    "B": 3600.0 + 0.8 * np.arange(2751),
    "R": 5760.0 + 0.8 * np.arange(2326),
    "Z": 7520.0 + 0.8 * np.arange(2881),
}
FLUXMAG0_27 = 10 ** (0.4 * 27.0)


def read_all(source: Source) -> tuple[list[Galaxy], list[str], list[Rejection]]:
    """Galaxies, the origin of each, and rejections of all chunks. Each chunk is read by an
    unpickled copy of `read`, as in a Ray worker."""
    read = pickle.loads(pickle.dumps(source.read))
    parts = [read(chunk) for chunk in source.chunks]
    assert all(len(part.galaxies) == len(part.where) for part in parts)
    return (
        [g for part in parts for g in part.galaxies],
        [w for part in parts for w in part.where],
        [r for part in parts for r in part.rejections],
    )


def read_checked(source: Source) -> tuple[list[Galaxy], list[Rejection]]:
    """The galaxies that check_galaxy keeps, and all rejections."""
    galaxies, where, rejections = read_all(source)
    checked = [check_galaxy(g, source.spec, w) for g, w in zip(galaxies, where, strict=True)]
    return ([c.galaxy for c in checked if c.galaxy], rejections + [r for c in checked for r in c.rejections])


def synthetic_images(n: int, size: int, seed: int = 0) -> np.ndarray:
    """(N, 5, size, size) float32: a round Gaussian galaxy, redder bands brighter, and noise."""
    rng = np.random.default_rng(seed)
    y_HW, x_HW = np.mgrid[:size, :size] - (size - 1) / 2
    galaxy_HW = np.exp(-(x_HW**2 + y_HW**2) / (2 * 4.0**2))
    flux_C = np.arange(1, 6)[:, None, None]
    noise = rng.normal(0, 0.05, (n, 5, size, size))
    return (flux_C * galaxy_HW + noise).astype(np.float32)


def write_galaxiesml(
    path: Path,
    n: int = 6,
    *,
    size: int = 64,
    wave: np.ndarray | None = None,
    seed: int = 0,
    **datasets: np.ndarray | None,
) -> Path:
    """A file in the layout of GalaxiesML-Spectra. A keyword such as `image=` replaces a dataset,
    None omits it; slashes in the names are written as two underscores."""
    rng = np.random.default_rng(seed)
    flux = rng.normal(1.0, 0.3, (n, 7783)).astype(np.float32)
    content = {
        "image": synthetic_images(n, size, seed),
        "spectrum/flux": flux,
        "spectrum/ivar": np.full((n, 7783), 10.0, np.float32),
        "spectrum/wave": np.tile(GALAXIESML_WAVE_L, (n, 1)) if wave is None else wave,
        "DESI_fibermap/DESI_redshift": np.linspace(0.1, 1.5, n),
        "DESI_fibermap/DESI_redshift_err": np.full(n, 1e-5),
        "DESI_fibermap/MORPHTYPE": np.array([b"PSF", b"REX", b"EXP", b"DEV", b"SER"])[np.arange(n) % 5],
        "DESI_fibermap/FLUX_R": np.ones(n, np.float32),
        **{f"HSC_metadata/{b}_cmodel_mag": np.full(n, 20.0 + i, np.float32) for i, b in enumerate(BANDS)},
        "HSC_metadata/specz_flag_homogeneous": np.ones(n, bool),
        "object_id": 42_000_000_000_000_000 + np.arange(n, dtype=np.int64),
        "targetid": np.array([str(39_633_000_000_000_000 + i).encode() for i in range(n)]),
    }
    content |= {name.replace("__", "/"): values for name, values in datasets.items()}
    with h5py.File(path, "w") as file:
        for name, values in content.items():
            if values is not None:
                # One compressed chunk per row, so that a test can corrupt one row.
                options = {"chunks": (1, *values.shape[1:]), "compression": "gzip"} if values.ndim > 1 else {}
                file.create_dataset(name, data=values, **options)
    return path


def corrupt_hdf5_row(path: Path, dataset: str, row: int) -> None:
    """Overwrite the compressed bytes of one row of a file of `write_galaxiesml`."""
    with h5py.File(path, "r") as file:
        data = file[dataset]
        location = data.id.get_chunk_info_by_coord((row, *[0] * (data.ndim - 1)))
    with path.open("r+b") as file:
        file.seek(location.byte_offset)
        file.write(b"\xff" * min(64, location.size))


def write_coadd(
    path: Path,
    targetid: np.ndarray,
    *,
    flux: float = 1.0,
    ivar: float = 4.0,
    waves: dict[str, np.ndarray] | None = None,
    leave_out: tuple[str, ...] = (),
    compress_masks: bool = False,
    **columns: np.ndarray,
) -> Path:
    """A DESI coadd of constant flux and ivar. `columns` are further FIBERMAP columns."""
    n = len(targetid)
    fibermap = {
        "TARGETID": np.asarray(targetid, np.int64),
        "TARGET_RA": 150.0 + np.arange(n),
        "TARGET_DEC": np.full(n, 2.0),
        **columns,
    }
    hdus = [fits.PrimaryHDU(), _table("FIBERMAP", fibermap)]
    for arm, wave_A in (waves or ARM_WAVES).items():
        mask_NA = np.zeros((n, len(wave_A)), np.int32)
        mask_hdu = (
            fits.CompImageHDU(mask_NA, name=f"{arm}_MASK")
            if compress_masks
            else fits.ImageHDU(mask_NA, name=f"{arm}_MASK")
        )
        hdus += [
            fits.ImageHDU(wave_A, name=f"{arm}_WAVELENGTH"),
            fits.ImageHDU(np.full((n, len(wave_A)), flux, np.float32), name=f"{arm}_FLUX"),
            fits.ImageHDU(np.full((n, len(wave_A)), ivar, np.float32), name=f"{arm}_IVAR"),
            mask_hdu,
        ]
    fits.HDUList([h for h in hdus if h.name not in leave_out]).writeto(path, overwrite=True)
    return path


def write_redrock(
    path: Path, targetid: np.ndarray, z: np.ndarray, name: str = "REDSHIFTS", **columns: np.ndarray
) -> Path:
    """A redrock file, or a catalogue with another `name` and no further columns."""
    content = {"TARGETID": np.asarray(targetid, np.int64), "Z": np.asarray(z, float), **columns}
    fits.HDUList([fits.PrimaryHDU(), _table(name, content)]).writeto(path, overwrite=True)
    return path


def write_hsc_band(
    path: Path,
    band: str,
    image: np.ndarray,
    *,
    fluxmag0: float | None = FLUXMAG0_27,
    ra: float = 150.1,
    dec: float = 2.2,
    scale: float = 0.168,
) -> Path:
    """One band in the format of the HSC cutout service: keywords in the primary HDU, then the image,
    mask and variance planes."""
    primary = fits.PrimaryHDU()
    primary.header["FILTER"] = f"HSC-{band.upper()}"
    if fluxmag0 is not None:
        primary.header["FLUXMAG0"] = fluxmag0
    planes = [
        fits.ImageHDU(image.astype(np.float32), _wcs(image, ra, dec, scale), name="IMAGE"),
        fits.ImageHDU(np.zeros(image.shape, np.int32), name="MASK"),
        fits.ImageHDU(np.ones(image.shape, np.float32), name="VARIANCE"),
    ]
    fits.HDUList([primary, *planes]).writeto(path, overwrite=True)
    return path


def write_hsc_object(
    path: Path,
    image_CHW: np.ndarray,
    bands: str = BANDS,
    *,
    by_filter: bool = False,
    ra: float = 150.1,
    dec: float = 2.2,
) -> Path:
    """All bands of one object in one file, named by EXTNAME or by FILTER."""
    hdus = [fits.PrimaryHDU()]
    for band, image in zip(bands, image_CHW, strict=True):
        hdu = fits.ImageHDU(image.astype(np.float32), _wcs(image, ra, dec, 0.168))
        if by_filter:
            hdu.header["FILTER"] = f"HSC-{band.upper()}"
        else:
            hdu.name = band.upper()
        hdu.header["FLUXMAG0"] = FLUXMAG0_27
        hdus.append(hdu)
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path


def _wcs(image: np.ndarray, ra: float, dec: float, scale: float) -> fits.Header:
    """A tangent projection with its reference at the image centre."""
    height, width = image.shape
    return fits.Header(
        {
            "CTYPE1": "RA---TAN",
            "CTYPE2": "DEC--TAN",
            "CRVAL1": ra,
            "CRVAL2": dec,
            "CRPIX1": (width + 1) / 2,
            "CRPIX2": (height + 1) / 2,
            "RADESYS": "ICRS",
            "CD1_1": -scale / 3600,
            "CD1_2": 0.0,
            "CD2_1": 0.0,
            "CD2_2": scale / 3600,
        }
    )


def _table(name: str, columns: dict[str, np.ndarray]) -> fits.BinTableHDU:
    formats = {"i": "K", "f": "D"}
    return fits.BinTableHDU.from_columns(
        [fits.Column(key, formats.get(v.dtype.kind, f"{v.dtype.itemsize}A"), array=v) for key, v in columns.items()],
        name=name,
    )
