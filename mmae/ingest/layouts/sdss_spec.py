"""SDSS, BOSS and eBOSS spectra, one per file: spec-<plate>-<mjd>-<fiber>.fits, also the "lite" form.

https://data.sdss.org/datamodel/files/BOSS_SPECTRO_REDUX/RUN2D/spectra/PLATE4/spec.html. HDU 1 (COADD) has the samples,
HDU 2 (SPALL or SPECOBJ) one row of the catalogue. Columns that HDU 2 does not have are those of the header (PLUG_RA).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from astropy.io import fits

from mmae.ingest.files import FITS_ENDINGS, open_fits, require_whole
from mmae.ingest.layouts.layout import AIR, Piece, native

ENDINGS = FITS_ENDINGS
_FORMAT = re.compile(r"(\d*)([LBIJKEDA])")
_NUMPY = {"L": "S1", "B": "u1", "I": ">i2", "J": ">i4", "K": ">i8", "E": ">f4", "D": ">f8"}


def columns(path: str) -> dict[str, str]:
    with open_fits(path) as file:
        require_whole(file, path)
        coadd, catalogue = _tables(file)
        names, rows = _names(coadd), coadd.header["NAXIS2"]
        samples = {name.lower(): f"{coadd.header[f'TFORM{i}']} ({rows},)" for i, name in names.items()}
        row = {name.upper(): str(catalogue.header[f"TFORM{i}"]) for i, name in _names(catalogue).items()}
        return samples | row | {"name": "A"}


def count(path: str) -> int:
    return 1


def read(path: str, names: Sequence[str], rows: np.ndarray, centre: Mapping[str, int] | None = None) -> Iterator[Piece]:
    with open_fits(path) as file:
        coadd, catalogue = _tables(file)
        header, values = file[0].header, dict[str, Any]()
        sampled = {name.lower(): name for name in _names(coadd).values()}
        single = _first_row(catalogue)
        for name in names:
            if name in sampled:
                values[name] = native(np.asarray(coadd.data[sampled[name]]))[None]
            elif name in single:
                values[name] = single[name][None]
            elif name in header:
                values[name] = np.array([header[name]])
        values["name"] = np.array([PurePosixPath(path).name.partition(".")[0]])
        values[AIR] = np.array([not header.get("VACUUM", True)])
        yield Piece(rows, values)


def _tables(file: fits.HDUList) -> tuple[fits.BinTableHDU, fits.BinTableHDU]:
    """The samples and the row of the catalogue.

    Raises:
        ValueError: the file has no such tables.
    """
    tables = [hdu for hdu in file if isinstance(hdu, fits.BinTableHDU)][:2]
    names = [{name.lower() for name in _names(hdu).values()} for hdu in tables]
    if len(names) < 2 or not {"flux", "loglam", "ivar"} <= names[0] or "z" not in names[1]:
        raise ValueError("no table with FLUX, LOGLAM and IVAR followed by one with Z")
    return tables[0], tables[1]


def _names(hdu: fits.BinTableHDU) -> dict[int, str]:
    """Number and name of each column, from the header: astropy's columns take a second for the 236 of a catalogue."""
    return {i: str(hdu.header[f"TTYPE{i}"]) for i in range(1, hdu.header["TFIELDS"] + 1) if f"TTYPE{i}" in hdu.header}


def _first_row(hdu: fits.BinTableHDU) -> dict[str, np.ndarray]:
    """The values of the first row of a table by names in capitals.

    Raises:
        ValueError: the table has no row, or a column of variable length.
    """
    names, kinds = [], []
    for i, name in _names(hdu).items():
        match = _FORMAT.fullmatch(str(hdu.header[f"TFORM{i}"]).strip())
        if match is None:
            raise ValueError(f"column {name} of HDU 2 has the format {hdu.header[f'TFORM{i}']}")
        repeat = int(match.group(1) or 1)
        names.append(name.upper())
        kinds.append(
            f"S{repeat}" if match.group(2) == "A" else (_NUMPY[match.group(2)], (repeat,) if repeat > 1 else ())
        )
    if not hdu.header["NAXIS2"]:
        raise ValueError("HDU 2 has no row")
    location = hdu.fileinfo()
    location["file"].seek(location["datLoc"])
    row = np.frombuffer(location["file"].read(hdu.header["NAXIS1"]), np.dtype({"names": names, "formats": kinds}))[0]
    return {name: native(np.asarray(row[name])) for name in names}
