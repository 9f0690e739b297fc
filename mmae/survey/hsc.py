"""Reader of Hyper Suprime-Cam cutouts: .npz archives, and FITS as the HSC cutout service gives.

FITS layout and FLUXMAG0: HSC-SSP data release, https://hsc-release.mtk.nao.ac.jp (images in
counts, mag = -2.5 log10(counts / FLUXMAG0); public coadds have a zero point of 27.0 mag).

Shape suffixes: N cutouts, C bands, H and W pixels, S pixels of a cutout before cropping.
"""

from __future__ import annotations

import re
import warnings
import zipfile
import zlib
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning
from astropy.wcs.utils import proj_plane_pixel_scales

from mmae.errors import InputError
from mmae.survey.schema import Galaxy, Rejection, SurveySpec
from mmae.survey.source import Chunk, ChunkRead, Source

NPZ_CHUNK_ROWS = 512
FITS_CHUNK_OBJECTS = 64
MAX_OUTSIDE = 0.5
FITS_SUFFIXES = (".fits", ".fits.gz", ".fits.fz", ".fit")

# What numpy, zipfile and astropy raise on files that are cut short or garbled.
_UNREADABLE = (OSError, EOFError, LookupError, TypeError, ValueError, zlib.error,
               zipfile.BadZipFile, fits.VerifyError)

# "HSC-G" (R2 and I2 are HSC's second r and i filters), or a letter between separators.
_HSC_BAND = re.compile(r"[-_.]?HSC[-_]?([GRIZY])2?(?![A-Za-z0-9])", re.IGNORECASE)
_LETTER_BAND = re.compile(r"[-_.]([GRIZY])(?=[-_.]|$)", re.IGNORECASE)


def hsc_source(paths: list[Path], max_outside: float = MAX_OUTSIDE) -> Source:
    """Galaxy images (5, 64, 64), grizy counts at zero point 27.0 mag, from HSC cutouts.

    Archives `.npz`: `image` (N, 5, S, S) counts at 27.0 mag, and where present `weight` of
    that shape (0 outside the footprint), `parent` (N,) (cutouts of one parent overlap and
    share a split), `bands` (5,), `object_id`, `ra`, `dec` (N,).

    FITS: one file per object with an image HDU per band, or one file per object and band,
    `<object>_g.fits` or `<n>-cutout-HSC-G-<tract>.fits`, brought together by what is left
    of the name. The band comes from FILTER or EXTNAME of the HDU, else FILTER of the
    primary header, else the file name. Folders stand for the cutouts in them.

    Larger cutouts are cropped about the centre. Pixels outside the footprint are set to 0,
    the sky level; a cutout is set aside if more than `max_outside` of one of its bands is
    outside. The default of a half is a choice: below it most of the galaxy at the centre
    is real in all bands.

    Raises:
        InputError: a path does not exist or is no cutout file; an .npz archive cannot be
            read or lacks `image`, has another band order or count, too small cutouts, or
            keys of different lengths.
    """
    if not 0 <= max_outside <= 1:
        raise InputError(f"hsc: max_outside is {max_outside}; give a fraction from 0 to 1.")
    spec = SurveySpec()
    files = _expand(paths)
    archives = [path for path in files if path.suffix == ".npz"]
    objects = _group_by_object([path for path in files if path.suffix != ".npz"])
    chunks: list[Chunk] = []
    for path in archives:
        n_rows = _check_archive(path, spec)
        chunks += [{"path": str(path), "start": start, "stop": min(start + NPZ_CHUNK_ROWS, n_rows)}
                   for start in range(0, n_rows, NPZ_CHUNK_ROWS)]
    chunks += [{"objects": objects[i : i + FITS_CHUNK_OBJECTS]}
               for i in range(0, len(objects), FITS_CHUNK_OBJECTS)]
    return Source(
        name="hsc",
        spec=spec,
        provenance={
            "reader": "hsc",
            "files": [path.name for path in files],
            "bytes": sum(path.stat().st_size for path in files),
            "max_outside": max_outside,
        },
        chunks=chunks,
        read=partial(read_chunk, spec=spec, max_outside=max_outside),
    )


def read_chunk(chunk: Chunk, spec: SurveySpec, max_outside: float) -> ChunkRead:
    """The cutouts of a range of rows of an .npz archive, or of a list of FITS objects."""
    if "objects" in chunk:
        return _read_objects(chunk["objects"], spec)
    return _read_archive(Path(chunk["path"]), chunk["start"], chunk["stop"], spec, max_outside)


def crop_centre(image: np.ndarray, size: int) -> np.ndarray:
    """The middle (..., size, size) pixels of (..., S, S); half a pixel low if S is odd."""
    top, left = (image.shape[-2] - size) // 2, (image.shape[-1] - size) // 2
    return image[..., top : top + size, left : left + size]


def mask_outside(image_CHW: np.ndarray, weight_CHW: np.ndarray) -> tuple[np.ndarray, float]:
    """The image with 0, the sky level, where weight is 0, and how much of it that is.

    The fraction is that of the band with the most pixels outside: a galaxy that is whole
    in four bands and missing in one has no colour.
    """
    outside_CHW = ~(weight_CHW > 0)
    return np.where(outside_CHW, 0.0, image_CHW), float(outside_CHW.mean(axis=(1, 2)).max())


def _expand(paths: list[Path]) -> list[Path]:
    """Absolute paths of cutout files, folders replaced by what is in them."""
    files: list[Path] = []
    for path in [Path(path).absolute() for path in paths]:  # Ray workers run in another folder
        inside = path.iterdir() if path.is_dir() else []
        found = [path] if path.is_file() else sorted(f for f in inside if _is_cutout(f))
        if not path.exists():
            raise InputError(f"{path}: no such file or folder of HSC cutouts. Check the path.")
        if not found or not all(_is_cutout(f) for f in found):
            raise InputError(f"{path}: no HSC cutouts. Give .npz or FITS files "
                             f"({', '.join(FITS_SUFFIXES)}), or a folder of them.")
        files += found
    if not files:
        raise InputError("hsc: no cutouts given; name .npz or FITS files, or a folder of them.")
    return files


def _is_cutout(path: Path) -> bool:
    return path.is_file() and path.name.endswith((".npz", *FITS_SUFFIXES))


# --- .npz archives ---------------------------------------------------------------------------


def _check_archive(path: Path, spec: SurveySpec) -> int:
    """The number of cutouts of an archive whose layout has been checked."""
    try:
        shapes = _npz_shapes(path)
        bands = _npz_rows(path, "bands", None, None) if "bands" in shapes else None
    except _UNREADABLE as error:
        raise InputError(f"{path}: not a readable .npz archive ({error or type(error).__name__}). "
                         f"Write it again with numpy.savez.") from error
    n_bands, size = len(spec.bands), spec.image_size
    order = f"the bands {','.join(spec.bands)}, in this order"
    if "image" not in shapes:
        raise InputError(f"{path}: key image is missing, found {', '.join(shapes) or 'none'}. Save "
                         f"the cutouts as image, (N, {n_bands}, S, S), with {order}.")
    shape = shapes["image"]
    if len(shape) != 4 or shape[0] == 0 or shape[1] != n_bands:
        raise InputError(f"{path}: image has shape {shape}, expected (N, {n_bands}, S, S) with "
                         f"N > 0: {order}.")
    if min(shape[2:]) < size:
        raise InputError(f"{path}: cutouts are {shape[2]} x {shape[3]} pixels, at least {size} x "
                         f"{size} are needed. Cut them out again, {size} pixels wide.")
    if bands is not None and (names := tuple(_band_name(b) for b in bands.tolist())) != spec.bands:
        found = ",".join(map(str, bands.tolist()))
        raise InputError(f"{path}: bands is {found}, expected {order}. Reorder the second "
                         f"axis of image (and of weight).")
    for key in ("weight", "parent", "object_id", "ra", "dec"):
        expected = shape if key == "weight" else shape[:1]
        if key in shapes and shapes[key] != expected:
            raise InputError(f"{path}: {key} has shape {shapes[key]}, expected {expected} to go "
                             f"with image of shape {shape}.")
    return shape[0]


def _read_archive(path: Path, start: int, stop: int, spec: SurveySpec,
                  max_outside: float) -> ChunkRead:
    result = ChunkRead()
    try:
        keys = set(_npz_shapes(path)) & {"image", "weight", "parent", "object_id", "ra", "dec"}
        columns = {key: _npz_rows(path, key, start, stop) for key in keys}
    except _UNREADABLE as error:
        if stop - start > 1:  # a corrupt place somewhere: save the rows before and after it
            for row in range(start, stop):
                part = _read_archive(path, row, row + 1, spec, max_outside)
                result.galaxies += part.galaxies
                result.where += part.where
                result.rejections += part.rejections
            return result
        reason = f"the archive cannot be read here ({error or type(error).__name__})"
        return ChunkRead(rejections=[
            Rejection(f"{path.stem}-{start}", f"{path}, row {start}", "row", reason)])
    for i in range(stop - start):
        row = {key: values[i] for key, values in columns.items()}
        where = f"{path}, row {start + i}"
        object_id = str(row.get("object_id", f"{path.stem}-{start + i}"))
        image_CHW = crop_centre(row["image"], spec.image_size).astype(np.float32)
        if "weight" in row:
            weight_CHW = crop_centre(row["weight"], spec.image_size)
            image_CHW, outside = mask_outside(image_CHW, weight_CHW)
            if outside > max_outside:
                reason = (f"{outside:.0%} of a band is outside the footprint, more than the "
                          f"{max_outside:.0%} allowed")
                result.rejections.append(Rejection(object_id, where, "row", reason))
                continue
        result.where.append(where)
        result.galaxies.append(Galaxy(
            object_id=object_id,
            ra=_number(row.get("ra")),
            dec=_number(row.get("dec")),
            image_CHW=image_CHW,
            group_id=str(row["parent"]) if "parent" in row else None,
        ))
    return result


def _npz_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shape of each array of an archive, without reading the arrays."""
    with zipfile.ZipFile(path) as archive:
        shapes = {}
        for name in archive.namelist():
            with archive.open(name) as member:
                shapes[name.removesuffix(".npy")] = _npy_header(member)[0]
        return shapes


def _npz_rows(path: Path, key: str, start: int | None, stop: int | None) -> np.ndarray:
    """Rows `start` to `stop` of one array of an archive.

    numpy.load reads an array of an archive whole, for every chunk again; seeking to the
    rows keeps memory bounded by the chunk.
    """
    with zipfile.ZipFile(path) as archive, archive.open(f"{key}.npy") as member:
        shape, fortran, dtype = _npy_header(member)
        if fortran and len(shape) > 1 or dtype.hasobject:
            raise ValueError(f"{key} must be a plain array in C order, not {dtype}")
        first, last, _ = slice(start, stop).indices(shape[0])
        row_bytes = int(np.prod(shape[1:], dtype=np.int64)) * dtype.itemsize
        member.seek(member.tell() + first * row_bytes)
        content = member.read((last - first) * row_bytes)
        return np.frombuffer(content, dtype).reshape(last - first, *shape[1:])


def _npy_header(member: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(member)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(member)
    return np.lib.format.read_array_header_2_0(member)


# --- FITS ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Band:
    """One band of one object as it lies in a file."""

    name: str | None
    image_SS: np.ndarray
    header: fits.Header  # of the HDU, completed from the primary header
    file: str


class _Unusable(Exception):
    """Why one object is set aside; never leaves this module."""


def _group_by_object(paths: list[Path]) -> list[dict[str, Any]]:
    """FITS files brought together by folder and by their name without its band."""
    groups: dict[tuple[Path, str], list[str]] = {}
    for path in paths:
        groups.setdefault((path.parent, _object_name(path)), []).append(str(path))
    uses = Counter(name for _, name in groups)
    return [{"object_id": name if uses[name] == 1 else f"{folder.name}/{name}", "paths": files}
            for (folder, name), files in groups.items()]


def _read_objects(objects: list[dict[str, Any]], spec: SurveySpec) -> ChunkRead:
    result = ChunkRead()
    for item in objects:
        object_id, where = item["object_id"], ", ".join(item["paths"])
        try:
            galaxy = _read_object(object_id, item["paths"], spec)
        except _Unusable as error:
            result.rejections.append(Rejection(object_id, where, "row", str(error)))
            continue
        result.galaxies.append(galaxy)
        result.where.append(where)
    return result


def _read_object(object_id: str, paths: list[str], spec: SurveySpec) -> Galaxy:
    bands: dict[str, _Band] = {}
    for path in paths:
        for band in _read_bands(Path(path)):
            if band.name not in spec.bands:
                raise _Unusable(f"{band.file}: an image of no known band; FILTER or EXTNAME must "
                                f"be one of {','.join(spec.bands)}, alone or as in HSC-G")
            if band.name in bands:
                raise _Unusable(f"band {band.name} is there twice: in {bands[band.name].file} and "
                                f"in {band.file}")
            bands[band.name] = band
    missing = [name for name in spec.bands if name not in bands]
    if missing:
        raise _Unusable(f"band {','.join(missing)} is missing, found {','.join(bands) or 'none'}")
    shapes = {name: band.image_SS.shape for name, band in bands.items()}
    if len(set(shapes.values())) > 1:
        raise _Unusable(f"the bands differ in shape: {shapes}")
    if min(shapes[spec.bands[0]]) < spec.image_size:
        raise _Unusable(f"the cutout has {shapes[spec.bands[0]]} pixels, at least "
                        f"{spec.image_size} x {spec.image_size} are needed")
    centres = [c for c in (_centre(bands[name], spec) for name in spec.bands) if c is not None]
    apart = max((centres[0].separation(c).arcsec for c in centres), default=0.0)
    if apart > spec.pixel_scale:
        raise _Unusable(f"the bands are centred up to {apart:.2f} arcsec from each other")
    image_CHW = np.stack([
        crop_centre(bands[name].image_SS, spec.image_size) * _counts_scale(bands[name], spec)
        for name in spec.bands])
    return Galaxy(
        object_id=object_id,
        ra=float(centres[0].ra.deg) if centres else None,
        dec=float(centres[0].dec.deg) if centres else None,
        image_CHW=image_CHW.astype(np.float32),
    )


def _read_bands(path: Path) -> list[_Band]:
    """The images of a file; its mask and variance planes are left out."""
    try:
        with fits.open(path, memmap=False) as file:
            primary, bands = file[0].header, []
            for hdu in file:
                kind = str(hdu.header.get("EXTTYPE", hdu.name)).upper()
                if not hdu.is_image or hdu.data is None or hdu.data.ndim != 2:
                    continue
                if any(word in kind for word in ("MASK", "VARIANCE", "WEIGHT", "PSF")):
                    continue
                names = (hdu.header.get("FILTER"), hdu.name, primary.get("FILTER"),
                         _band_in_name(path))
                name = next((b for b in map(_band_name, names) if b), None)
                header = hdu.header.copy()
                if "FLUXMAG0" not in header and "FLUXMAG0" in primary:
                    header["FLUXMAG0"] = primary["FLUXMAG0"]
                bands.append(_Band(name, np.asarray(hdu.data, np.float64), header, path.name))
            return bands
    except _UNREADABLE as error:
        raise _Unusable(f"{path.name} cannot be read: {error or type(error).__name__}") from error


def _counts_scale(band: _Band, spec: SurveySpec) -> float:
    """What turns counts of this image into counts at the survey's zero point."""
    fluxmag0 = band.header.get("FLUXMAG0")
    if not isinstance(fluxmag0, int | float) or not fluxmag0 > 0:
        raise _Unusable(f"{band.file}: band {band.name} has no zero point (FLUXMAG0 is {fluxmag0}; "
                        f"it is 10**(0.4*27) for images at 27.0 mag)")
    return 10 ** (0.4 * spec.zero_point) / fluxmag0


def _centre(band: _Band, spec: SurveySpec) -> SkyCoord | None:
    """Where the centre of the cropped image is on the sky, ICRS; None without a WCS."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FITSFixedWarning)  # old date cards; nothing is wrong
            wcs = WCS(band.header)
    except _UNREADABLE as error:
        raise _Unusable(f"{band.file}: band {band.name} has a broken WCS: {error}") from error
    if not wcs.has_celestial:
        return None
    scales = proj_plane_pixel_scales(wcs.celestial) * 3600
    if np.abs(scales / spec.pixel_scale - 1).max() > 0.01:
        raise _Unusable(f"{band.file}: band {band.name} has {scales.mean():.4f} arcsec per pixel, "
                        f"not {spec.pixel_scale}")
    height, width = band.image_SS.shape
    middle = (spec.image_size - 1) / 2
    x, y = (width - spec.image_size) // 2 + middle, (height - spec.image_size) // 2 + middle
    return wcs.celestial.pixel_to_world(x, y).icrs


def _band_name(value: Any) -> str | None:
    """The band that "G", "g", "HSC-G", "HSC-R2" and the like mean."""
    match = re.fullmatch(r"(?:HSC[-_]?)?([GRIZY])2?", str(value).strip(), re.IGNORECASE)
    return match.group(1).lower() if match else None


def _band_in_name(path: Path) -> str | None:
    """The band a file's name tells: after HSC if it is there, else its last lone letter."""
    found = [*_LETTER_BAND.finditer(_stem(path)), *_HSC_BAND.finditer(_stem(path))]
    return found[-1].group(1).lower() if found else None


def _object_name(path: Path) -> str:
    """A file's name without its ending and its band."""
    stem = _stem(path)
    found = [*_LETTER_BAND.finditer(stem), *_HSC_BAND.finditer(stem)]
    return stem[: found[-1].start()] + stem[found[-1].end() :] if found else stem


def _stem(path: Path) -> str:
    return next(path.name.removesuffix(s) for s in FITS_SUFFIXES if path.name.endswith(s))


def _number(value: Any) -> float | None:
    """A float; None for a value that is absent or NaN, which both mean: not measured."""
    return None if value is None or np.isnan(value) else float(value)
