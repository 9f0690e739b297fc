"""Input files given as paths, folders or patterns, local or on any file system supported by fsspec."""

from __future__ import annotations

import glob
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import fsspec
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning
from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem
from fsspec.utils import get_protocol

from mmae.core.errors import InputError

FITS_ENDINGS = (".fits", ".fits.gz", ".fits.fz", ".fit")


def expand(
    patterns: Sequence[str],
    endings: tuple[str, ...],
    what: str,
    chosen: Callable[[Sequence[str], AbstractFileSystem], list[str]] | None = None,
) -> list[str]:
    """The files matched by paths, folders and patterns, without repetition, sorted within each of them.

    Args:
        patterns: a file, a folder (all files below it with one of the endings), or a pattern such as
            `spectra/**/coadd-*.fits`; local, or with a protocol: `s3://bucket/coadd-*.fits`. Files and folders
            that exist are taken literally, also with brackets in their names.
        what: kind of file, for the message.
        chosen: those of the files that are wanted, such as `hats.catalogue_files`.

    Returns:
        Absolute paths; URLs if a protocol was given.

    Raises:
        InputError: one of them matches no file.
    """
    files: dict[str, None] = {}
    for pattern in patterns:
        if "://" not in pattern:
            pattern = str(Path(pattern).expanduser().absolute())  # Ray workers run in another folder
        try:
            system, path = url_to_fs(pattern)
            if system.isdir(path):
                found = [file for file in system.find(path) if file.lower().endswith(endings)]
            elif system.exists(path):
                found = [path]
            else:
                found = [file for file in system.glob(_pattern(system, path)) if not system.isdir(file)]
        except (OSError, ValueError, ImportError) as error:
            raise InputError(f"{pattern}: cannot be listed ({error}). Check the address and your access.") from error
        if not found:
            raise InputError(f"{pattern}: no {what} found. Check the path or the pattern.")
        found = chosen(found, system) if chosen else found
        local = isinstance(system, LocalFileSystem)
        files |= dict.fromkeys(file if local else system.unstrip_protocol(file) for file in sorted(found))
    return list(files)


def _pattern(system: AbstractFileSystem, path: str) -> str:
    """The pattern, in which characters such as [ are literal in the leading folders that exist."""
    folder = path.rpartition("/")[0]
    while folder and not system.isdir(folder):
        folder = folder.rpartition("/")[0]
    return glob.escape(folder) + path.removeprefix(folder)


def open_fits(path: str | Path) -> fits.HDUList:
    """Open a FITS file on any file system; image sections are read on access."""
    return fits.open(path, use_fsspec=get_protocol(str(path)) != "file")


def require_whole(file: fits.HDUList, path: str) -> None:
    """Check that a FITS file is not truncated; astropy opens such a file and fails on its last rows.

    Raises:
        OSError: the file is shorter than its headers require.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)  # astropy warns of the truncation
        locations = [(hdu.name, hdu.fileinfo() or {}) for hdu in file]
    if path.endswith((".gz", ".fz")):
        return  # offsets refer to the decompressed file
    size = file_size(path)
    for name, location in locations:
        end = location.get("datLoc", 0) + location.get("datSpan", 0)
        if end > size:
            raise OSError(f"truncated: {name or 'PRIMARY'} ends at byte {end}, the file at byte {size}")


def file_size(path: str | Path) -> int:
    """Bytes."""
    return int(fsspec.core.url_to_fs(str(path))[0].info(str(path))["size"])


def name_of(path: str | Path) -> str:
    """The last part of a path or URL."""
    return str(path).rpartition("/")[2]
