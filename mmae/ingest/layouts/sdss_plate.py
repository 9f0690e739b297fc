"""SDSS and BOSS plates: spPlate-<plate>-<mjd>.fits, with the redshifts of spZbest-<plate>-<mjd>.fits beside it.

https://data.sdss.org/datamodel/files/BOSS_SPECTRO_REDUX/RUN2D/PLATE4/spPlate.html. HDU 0 flux, 1 ivar, 2 the pixels bad
in all exposures, 4 the dispersion in samples, 5 the targets. The wavelengths are COEFF0 + COEFF1 i, log10 of Angstrom.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from fsspec.core import url_to_fs

from mmae.ingest.files import FITS_ENDINGS, open_fits, require_whole
from mmae.ingest.layouts.layout import AIR, Piece, native, pieces_of

ENDINGS = FITS_ENDINGS
_PLANES = {"flux": 0, "ivar": 1, "and_mask": 2, "wdisp": 4}
_TARGETS = 5


def columns(path: str) -> dict[str, str]:
    with open_fits(path) as file:
        require_whole(file, path)
        if "COEFF0" not in file[0].header or len(file) <= _TARGETS or len(file[0].shape) != 2:
            raise ValueError("no plate of spectra: HDU 0 has no COEFF0, or there is no table of targets in HDU 5")
        found = {name: f"float32 {file[number].shape}" for name, number in _PLANES.items()}
        found |= {name: f"{file[_TARGETS].columns[name].format}" for name in file[_TARGETS].columns.names}
    redshifts = {"Z": "E", "Z_ERR": "E", "ZWARNING": "J"} if _redshift_file(path) else {}
    return found | {"loglam": "float64", "name": "A"} | redshifts


def count(path: str) -> int:
    with open_fits(path) as file:
        return int(file[0].shape[0])


def read(path: str, names: Sequence[str], rows: np.ndarray, centre: Mapping[str, int] | None = None) -> Iterator[Piece]:
    redshifts = _redshifts(path)
    with open_fits(path) as file:
        header, targets = file[0].header, file[_TARGETS].data
        loglam_A = header["COEFF0"] + header["COEFF1"] * np.arange(header["NAXIS1"])
        fiber_N = np.asarray(targets["FIBERID"], np.int64)
        for piece in pieces_of(rows):
            values: dict[str, Any] = {}
            for name in names:
                if name in _PLANES:
                    values[name] = native(np.asarray(file[_PLANES[name]].section[piece[0] : piece[-1] + 1]))[
                        piece - piece[0]
                    ]
                elif name in redshifts:
                    by_fiber = redshifts[name]
                    values[name] = [by_fiber.get(int(fiber)) for fiber in fiber_N[piece]]
                elif name in targets.names:
                    values[name] = native(np.asarray(targets[name][piece]))
            values["loglam"] = np.broadcast_to(loglam_A, (len(piece), len(loglam_A)))
            plate, mjd = header.get("PLATEID", 0), header.get("MJD", 0)
            values["name"] = [f"spec-{plate:04d}-{mjd}-{fiber:04d}" for fiber in fiber_N[piece]]
            values[AIR] = np.full(len(piece), not header.get("VACUUM", True))
            yield Piece(piece, values)


def _redshift_file(path: str) -> str | None:
    """The file of redshifts in the folder of a plate, or in a folder below it, named by the version of the fits."""
    folder, _, name = path.rpartition("/")
    wanted = name.replace("spPlate", "spZbest")
    system, here = url_to_fs(folder or ".")
    found = [*system.glob(f"{here}/{wanted}"), *system.glob(f"{here}/*/{wanted}")] if wanted != name else []
    return sorted(found)[-1] if found else None


def _redshifts(path: str) -> dict[str, dict[int, Any]]:
    """Z, Z_ERR and ZWARNING by fibre; empty without a file of redshifts."""
    found = _redshift_file(path)
    if found is None:
        return {}
    with open_fits(found) as file:
        table = file[1].data
        fiber_N = np.asarray(table["FIBERID"], np.int64).tolist()
        return {
            name: dict(zip(fiber_N, np.asarray(table[name]).tolist(), strict=True))
            for name in ("Z", "Z_ERR", "ZWARNING")
            if name in table.names
        }
