"""The parts of a DESI coadd, and what another file given as one is.

File layouts: https://desidatamodel.readthedocs.io, coadd-*.fits, spectra-*.fits and cframe-*.fits; SDSS's spec-*.fits
and spPlate-*.fits: https://data.sdss.org/datamodel.
"""

from __future__ import annotations

from collections.abc import Sequence

import fsspec
from astropy.io import fits

from mmae.ingest.files import file_size

_FIBERMAPS = ("COADD_FIBERMAP", "FIBERMAP")  # with both, the first has one row per spectrum


def fibermap(file: fits.HDUList) -> fits.BinTableHDU:
    """The table with one row per spectrum.

    Raises:
        ValueError: there is none; the message says what the file is.
    """
    for name in _FIBERMAPS:
        if name in file:
            return file[name]
    raise ValueError(what_it_is(file))


def present_arms(file: fits.HDUList, arms: Sequence[str]) -> tuple[str, ...]:
    """The arms that the file has; a spectrograph camera may have been off.

    Raises:
        ValueError: it has none of them; the message says what the file is.
    """
    found = tuple(arm for arm in arms if f"{arm}_FLUX" in file or f"{arm}_WAVELENGTH" in file)
    if not found:
        raise ValueError(what_it_is(file))
    return found


def absent_arms(file: fits.HDUList, path: str, arms: Sequence[str]) -> str:
    """The reason why arms have no data in this file; empty if it has all of them.

    Raises:
        OSError, EOFError: the file is truncated, so that they are missing for this reason.
        ValueError: as `present_arms`.
    """
    absent = [arm for arm in arms if arm not in present_arms(file, arms)]
    if not absent:
        return ""
    _require_end(file, path)
    return f"no {' and no '.join(absent)} arm in this file: ivar is 0 there"


def _require_end(file: fits.HDUList, path: str) -> None:
    """Check that no extension is missing because the file is truncated: astropy ignores an incomplete last header."""
    if path.endswith(".gz"):
        with fsspec.open(path, "rb", compression="gzip") as content:
            while content.read(1 << 24):  # raises EOFError at the end of a truncated file
                pass
        return
    location = file[-1].fileinfo() or {}
    end, size = location.get("datLoc", 0) + location.get("datSpan", 0), file_size(path)
    if end != size:
        raise OSError(f"truncated: {file[-1].name or 'PRIMARY'} ends at byte {end}, the file at byte {size}")


def what_it_is(file: fits.HDUList) -> str:
    """What a file is that is not a coadd with the expected arms, and what to do."""
    names = [hdu.name for hdu in file if hdu.name]
    columns = [{n.upper() for n in hdu.columns.names} for hdu in file if isinstance(hdu, fits.BinTableHDU)]
    arms = [name.removesuffix("_FLUX") for name in names if name.endswith("_FLUX")]
    if arms and any(name in names for name in _FIBERMAPS):
        return (
            f"its arms are {', '.join(arms)}; set `arms: [{', '.join(arms)}]` in the survey's description "
            f"(--source paired --pair.description)"
        )
    if {"FLUX", "IVAR", "WAVELENGTH"} <= set(names):
        cameras = [hdu.header["CAMERA"] for hdu in file if "CAMERA" in hdu.header]
        camera = f" ({str(cameras[0]).strip().lower()})" if cameras else ""
        return (
            f"a DESI frame, one exposure of one camera{camera}, not a coadd; give the coadd-*.fits of its tile or "
            f"healpix"
        )
    if any("LOGLAM" in some for some in columns) or "COEFF0" in file[0].header:
        return (
            "an SDSS or BOSS spectrum with logarithmic wavelengths, not a DESI coadd; give spec-*.fits as "
            "--source sdss-spec --inputs, spPlate-*.fits as --source sdss-plate --inputs (docs/surveys.md)"
        )
    if any({"TARGETID", "Z"} <= some for some in columns):
        return "a table of redshifts, not a coadd; give it as redshifts"
    return f"no FIBERMAP or no arms, so it is not a DESI coadd; it has {', '.join(names[:12]) or 'no named extension'}"
