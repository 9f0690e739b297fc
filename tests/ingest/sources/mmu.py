"""Files in the layouts of the Multimodal Universe, with the names, shapes and types of its writers.

Shape suffixes: N galaxies, A samples, C bands, H and W pixels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from mmae.astro.healpix import nested_cell

DESI_WAVE = np.float32(3600 + 0.8 * np.arange(7781))
SDSS_WAVE = np.float32(10 ** (3.58 + 1e-4 * np.arange(3800)))


def scalars(n: int, first: int, ra: np.ndarray | None = None, dec: np.ndarray | None = None) -> dict[str, np.ndarray]:
    ra = 150.0 + 0.01 * np.arange(first, first + n) if ra is None else ra
    dec = 2.0 + 0.001 * np.arange(first, first + n) if dec is None else dec
    return {
        "object_id": 39_628_000_000_000_000 + np.arange(first, first + n),
        "ra": ra,
        "dec": dec,
        "healpix": nested_cell(ra, dec, 4),  # nside 16
    }


def desi_columns(n: int, first: int = 0, **changed: Any) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(first)
    columns = scalars(n, first) | {
        "spectrum_flux": rng.normal(5, 1, (n, 7781)).astype("f4"),
        "spectrum_ivar": np.full((n, 7781), 2.0, "f4"),
        "spectrum_lambda": np.tile(DESI_WAVE, (n, 1)),
        "spectrum_lsf_sigma": np.full((n, 7781), 0.9, "f4"),
        "spectrum_mask": np.zeros((n, 7781), bool),
        "Z": np.linspace(0.1, 1.5, n),
        "ZERR": np.full(n, 1e-5),
        "ZWARN": np.zeros(n, np.int64),
        "EBV": np.full(n, 0.02, "f4"),
        "FLUX_G": np.full(n, 10.0, "f4"),
        "FLUX_R": np.full(n, 20.0, "f4"),
        "FLUX_Z": np.full(n, -99.0, "f4"),
    }
    return columns | changed


def sdss_columns(n: int, first: int = 0, padded: int = 100, **changed: Any) -> dict[str, np.ndarray]:
    """Padded at the end; big-endian, as in the FITS files, and ids as bytes."""
    rng = np.random.default_rng(first)
    length = len(SDSS_WAVE)

    def pad(values: np.ndarray, last: Any) -> np.ndarray:
        return np.concatenate([values, np.full((n, padded), last, values.dtype)], axis=1)

    columns = scalars(n, first) | {
        "object_id": np.array([f"{4_000 + first + i:19d}".encode() for i in range(n)]),
        "spectrum_flux": pad(rng.normal(5, 1, (n, length)).astype(">f4"), 5.0),
        "spectrum_ivar": pad(np.full((n, length), 2.0, ">f4"), 0.0),
        "spectrum_lambda": pad(np.tile(SDSS_WAVE, (n, 1)), -1.0),
        "spectrum_lsf_sigma": pad(np.full((n, length), 1.0, ">f4"), 1.0),
        "spectrum_mask": pad(np.zeros((n, length), bool), True),
        "Z": np.linspace(0.05, 0.7, n).astype(">f4"),
        "Z_ERR": np.full(n, 1e-5, ">f4"),
        "ZWARNING": np.zeros(n, ">i4"),
        "VDISP": np.full(n, 200.0, ">f4"),
    }
    return columns | changed


def star(magnitude: float, zero_point: float, size: int, sigma: float = 2.5) -> np.ndarray:
    """(size, size) counts of a star of known magnitude at the centre."""
    y_HW, x_HW = np.mgrid[:size, :size] - (size - 1) / 2
    profile_HW = np.exp(-(x_HW**2 + y_HW**2) / (2 * sigma**2))
    return 10 ** (0.4 * (zero_point - magnitude)) * profile_HW / profile_HW.sum()


def hsc_columns(n: int, first: int = 0, bands: str = "grizy", **changed: Any) -> dict[str, np.ndarray]:
    """Stars of 20 mag in g, 20.5 in r, ..., with noise."""
    rng = np.random.default_rng(first)
    magnitude = {band: 20 + 0.5 * "grizy".index(band) for band in bands}
    image = np.stack([star(magnitude[band], 27.0, 160) for band in bands])
    columns = scalars(n, first) | {
        "image_band": np.tile(np.array([f"hsc-{band}".encode() for band in bands], "S5"), (n, 1)),
        "image_array": (image + rng.normal(0, 0.03, (n, len(bands), 160, 160))).astype("f4"),
        "image_ivar": np.full((n, len(bands), 160, 160), 900.0, "f4"),
        "image_mask": np.ones((n, len(bands), 160, 160), bool),
        "image_psf_fwhm": np.full((n, len(bands)), 0.7, "f4"),
        "image_scale": np.full((n, len(bands)), 0.168, "f4"),
        **{f"{band}_cmodel_mag": np.full(n, magnitude[band], "f4") for band in bands},
    }
    return columns | changed


def legacy_columns(n: int, first: int = 0, **changed: Any) -> dict[str, np.ndarray]:
    """Stars of 19 mag in all bands, in nanomaggies."""
    rng = np.random.default_rng(first)
    image = star(19.0, 22.5, 160)
    columns = scalars(n, first) | {
        "object_id": np.array([f"1500p020-{first + i}".encode() for i in range(n)]),
        "image_band": np.tile(np.array([b"des-g", b"des-r", b"des-i", b"des-z"], "S5"), (n, 1)),
        "image_array": (image + rng.normal(0, 0.003, (n, 4, 160, 160))).astype("f4"),
        "image_ivar": np.full((n, 4, 160, 160), 1e5, "f4"),
        "image_mask": np.ones((n, 160, 160), bool),
        "image_psf_fwhm": np.full((n, 4), 1.3),
        "image_scale": np.full((n, 4), 0.262, "f4"),
        "TYPE": np.array([b"REX"] * n),
        **{f"FLUX_{band}": np.full(n, 10 ** (0.4 * 3.5), "f4") for band in "GRIZ"},
    }
    return columns | changed


def ssl_legacy_columns(n: int, first: int = 0, **changed: Any) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(first)
    columns = scalars(n, first) | {
        "object_id": np.arange(first, first + n),
        "image_band": np.tile(np.array([b"des-g", b"des-r", b"des-z"], "S5"), (n, 1)),
        "image_array": (star(19.0, 22.5, 152) + rng.normal(0, 0.003, (n, 3, 152, 152))).astype("f4"),
        "image_psf_fwhm": np.full((n, 3), 1.3, "f4"),
        "image_scale": np.full((n, 3), 0.262, "f4"),
        "z_spec": np.where(np.arange(n) % 2, 0.25, -99.0).astype("f4"),
        **{f"flux_{band}": np.full(n, 10 ** (0.4 * 3.5), "f4") for band in "grz"},
    }
    return columns | changed


def provabgs_columns(n: int, first: int = 0, **changed: Any) -> dict[str, np.ndarray]:
    columns = scalars(n, first)
    columns |= {
        "TARGETID": columns["object_id"],
        "Z_HP": np.linspace(0.1, 0.3, n),
        "PROVABGS_LOGMSTAR_BF": np.linspace(9, 11, n),
        "AVG_SFR": np.linspace(0.1, 5, n)[:, None],
        "Z_MW": np.full(n, 0.02),
        "TAGE_MW": np.full(n, 6.0),
    }
    return columns | changed


def write_hdf5(path: Path, columns: dict[str, np.ndarray]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, values in columns.items():
            file.create_dataset(name, data=values)
    return path


def partition(root: Path, columns: dict[str, np.ndarray], config: str = "edr_sv3") -> Path:
    """<survey>/<config>/healpix=N/001-of-001.hdf5 of the first row's pixel."""
    pixel = int(columns["healpix"][0]) if len(columns["healpix"]) else 0
    return write_hdf5(root / config / f"healpix={pixel}" / "001-of-001.hdf5", columns)
