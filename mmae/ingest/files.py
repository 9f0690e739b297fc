"""Input files wherever they lie: paths, folders and patterns, local or of any file system that fsspec knows."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import fsspec
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem
from fsspec.utils import get_protocol

from mmae.core.errors import InputError

FITS_ENDINGS = (".fits", ".fits.gz", ".fits.fz", ".fit")


def expand(patterns: Sequence[str], endings: tuple[str, ...], what: str) -> list[str]:
    """The files that paths, folders and patterns name, each once, sorted within each of them.

    Args:
        patterns: a file, a folder (all files below it with one of the endings count), or a pattern such as
            `spectra/**/coadd-*.fits`; local, or with a protocol: `s3://bucket/coadd-*.fits`.
        what: the files are, for the message.

    Returns:
        Absolute paths; URLs where a protocol was given.

    Raises:
        InputError: one of them names no file.
    """
    files: dict[str, None] = {}
    for pattern in patterns:
        if "://" not in pattern:
            pattern = str(Path(pattern).expanduser().absolute())  # Ray workers run in another folder
        try:
            system, path = url_to_fs(pattern)
            if system.isdir(path):
                found = [file for file in system.find(path) if file.endswith(endings)]
            elif any(c in path for c in "*?["):
                found = [file for file in system.glob(path) if not system.isdir(file)]
            else:
                found = [path] if system.exists(path) else []
        except (OSError, ValueError, ImportError) as error:
            raise InputError(f"{pattern}: cannot be listed ({error}). Check the address and your access.") from error
        if not found:
            raise InputError(f"{pattern}: no {what} there. Check the path, or the pattern.")
        local = isinstance(system, LocalFileSystem)
        files |= dict.fromkeys(file if local else system.unstrip_protocol(file) for file in sorted(found))
    return list(files)


def open_fits(path: str | Path) -> fits.HDUList:
    """Open a FITS file of any file system; image sections are read when they are asked for."""
    return fits.open(path, use_fsspec=get_protocol(str(path)) != "file")


def require_whole(file: fits.HDUList, path: str) -> None:
    """A truncated file opens well and fails on its last rows: look now.

    Raises:
        OSError: it is shorter than its headers say.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)  # of the truncation that is told below
        places = [(hdu.name, hdu.fileinfo() or {}) for hdu in file]
    if path.endswith((".gz", ".fz")):
        return  # offsets are of the decompressed file
    size = file_size(path)
    for name, place in places:
        end = place.get("datLoc", 0) + place.get("datSpan", 0)
        if end > size:
            raise OSError(f"truncated: {name or 'PRIMARY'} ends at byte {end}, the file at byte {size}")


def file_size(path: str | Path) -> int:
    """Bytes."""
    return int(fsspec.core.url_to_fs(str(path))[0].info(str(path))["size"])


def name_of(path: str | Path) -> str:
    return str(path).rpartition("/")[2]
