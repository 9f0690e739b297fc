"""FITS files of HSC cutouts, grouped by object.

FITS layout and FLUXMAG0: HSC-SSP data release, https://hsc-release.mtk.nao.ac.jp (images in
counts, mag = -2.5 log10(counts / FLUXMAG0); public coadds have a zero point of 27.0 mag).

Shape suffixes: C bands, H and W pixels, S pixels of a cutout before cropping.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning
from astropy.wcs.utils import proj_plane_pixel_scales

from mmae.ingest.ids import distinct_names
from mmae.ingest.readers.observed import NO_DATA, crop_or_pad, keep_observed, mask_bits
from mmae.ingest.readers.planes import Plane, by_band, require_shape, sort_planes
from mmae.ingest.readers.values import UNREADABLE, band_name
from mmae.survey.missing import missing_fault
from mmae.survey.schema import Galaxy, Rejection, SurveySpec
from mmae.survey.source import ChunkRead

FITS_SUFFIXES = (".fits", ".fits.gz", ".fits.fz", ".fit")

# "HSC-G" (R2 and I2 are HSC's second r and i filters), or a letter between separators.
_HSC_BAND = re.compile(r"[-_.]?HSC[-_]?([GRIZY])2?(?![A-Za-z0-9])", re.IGNORECASE)
_LETTER_BAND = re.compile(r"[-_.]([GRIZY])(?=[-_.]|$)", re.IGNORECASE)


@dataclass(frozen=True)
class _Band:
    """The image of one band of one object, cropped; NaN where it was not observed."""

    name: str | None
    image_HW: np.ndarray
    shape: tuple[int, int]  # before it was cropped
    header: fits.Header  # of the HDU, completed from the primary header
    file: str


class _Unusable(Exception):
    """The reason why an object is rejected; used in this module only."""


def group_by_object(paths: list[Path]) -> list[dict[str, Any]]:
    """FITS files grouped by folder and by their name without the band.

    Two requests to an archive number their cutouts alike: then the ids contain the folder.
    """
    groups: dict[str, list[str]] = {}
    for path in paths:
        groups.setdefault(f"{path.parent}/{_object_name(path)}", []).append(str(path))
    names = distinct_names(list(groups))
    return [{"object_id": names[name], "paths": files} for name, files in groups.items()]


def read_objects(objects: list[dict[str, Any]], spec: SurveySpec, max_outside: float) -> ChunkRead:
    """The galaxies of a list of objects; an unusable object is rejected."""
    result = ChunkRead()
    for item in objects:
        object_id, where = item["object_id"], ", ".join(item["paths"])
        try:
            galaxy = _read_object(object_id, item["paths"], spec)
            fault = missing_fault(galaxy.image_CHW, max_outside)
            if fault:
                raise _Unusable(fault)
        except _Unusable as error:
            result.rejections.append(Rejection(object_id, where, "row", str(error)))
            continue
        result.galaxies.append(galaxy)
        result.where.append(where)
    return result


def _read_object(object_id: str, paths: list[str], spec: SurveySpec) -> Galaxy:
    bands: dict[str, _Band] = {}
    others: list[str] = []
    for path in paths:
        for band in _read_bands(Path(path), spec.image_size, others):
            if band.name not in spec.bands:
                raise _Unusable(
                    f"{band.file}: unknown band; FILTER or EXTNAME must "
                    f"be one of {','.join(spec.bands)}, alone or as in HSC-G"
                )
            if band.name in bands:
                raise _Unusable(f"two images of band {band.name}: in {bands[band.name].file} and in {band.file}")
            bands[band.name] = band
    missing = [name for name in spec.bands if name not in bands]
    if not bands and others:
        raise _Unusable(f"no image of the sky: {', '.join(others)}")
    if missing:
        raise _Unusable(f"band {','.join(missing)} is missing, found {','.join(bands) or 'none'}")
    shapes = {name: band.shape for name, band in bands.items()}
    if len(set(shapes.values())) > 1:
        raise _Unusable(f"the bands differ in shape: {shapes}")
    centres = [c for c in (_centre(bands[name], spec) for name in spec.bands) if c is not None]
    apart = max((centres[0].separation(c).arcsec for c in centres), default=0.0)
    if apart > spec.pixel_scale:
        raise _Unusable(f"the bands are centred up to {apart:.2f} arcsec from each other")
    image_CHW = np.stack([bands[name].image_HW * _counts_scale(bands[name], spec) for name in spec.bands])
    return Galaxy(
        object_id=object_id,
        ra=float(centres[0].ra.deg) if centres else None,
        dec=float(centres[0].dec.deg) if centres else None,
        image_CHW=image_CHW.astype(np.float32),
    )


def _read_bands(path: Path, size: int, others: list[str]) -> list[_Band]:
    """The images of a file; `others` gets the planes that are not of the sky, such as masks and models."""
    try:
        with fits.open(path, memmap=False) as file:
            primary, found = file[0].header, sort_planes(file, path.name, _stem(path))
            others += [f"{path.name} has a plane of kind {kind}" for kind in found.others]
            names = [_band_of(plane, primary, path) or "" for plane in found.images]
            weights, masks = (
                by_band(names, [(_band_in(p.names), p) for p in planes], f"{what} planes")
                for what, planes in (("weight", found.weights), ("mask", found.masks))
            )
            bands = []
            for name, plane in zip(names, found.images, strict=True):
                image_SS = plane.of(file[plane.number])

                def cut(part: Plane, of: Plane = plane) -> np.ndarray:
                    require_shape(part, of)
                    return crop_or_pad(part.of(file[part.number]), size)

                image_HW = keep_observed(
                    crop_or_pad(np.asarray(image_SS, np.float64), size),
                    [cut(part) for part in weights.get(name, ())],
                    [(cut(part), mask_bits(part.header, (NO_DATA,))) for part in masks.get(name, ())],
                )
                header = plane.header.copy()
                if "FLUXMAG0" not in header and "FLUXMAG0" in primary:
                    header["FLUXMAG0"] = primary["FLUXMAG0"]
                bands.append(_Band(name or None, image_HW, image_SS.shape, header, path.name))
            return bands
    except UNREADABLE as error:
        raise _Unusable(f"{path.name} cannot be read: {error or type(error).__name__}") from error


def _band_of(plane: Plane, primary: fits.Header, path: Path) -> str | None:
    of_file = () if plane.plane is not None else (primary.get("FILTER"), _band_in_name(path))
    return _band_in((*plane.names[:2], *of_file))


def _band_in(names: tuple[Any, ...]) -> str | None:
    return next(filter(None, map(band_name, names)), None)


def _counts_scale(band: _Band, spec: SurveySpec) -> float:
    """The factor from counts of this image to counts at the survey's zero point."""
    fluxmag0 = band.header.get("FLUXMAG0")
    if not isinstance(fluxmag0, int | float) or not fluxmag0 > 0:
        raise _Unusable(
            f"{band.file}: band {band.name} has no zero point (FLUXMAG0 is {fluxmag0}; "
            f"it is 10**(0.4*27) for images at 27.0 mag)"
        )
    return 10 ** (0.4 * spec.zero_point) / fluxmag0


def _centre(band: _Band, spec: SurveySpec) -> SkyCoord | None:
    """ICRS position of the centre of the cropped image; None without a WCS."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FITSFixedWarning)  # for old date cards, which are harmless
            wcs = WCS(band.header)
    except UNREADABLE as error:
        raise _Unusable(f"{band.file}: band {band.name} has an invalid WCS: {error}") from error
    if not wcs.has_celestial:
        return None
    scales = proj_plane_pixel_scales(wcs.celestial) * 3600
    if np.abs(scales / spec.pixel_scale - 1).max() > 0.01:
        raise _Unusable(
            f"{band.file}: band {band.name} has {scales.mean():.4f} arcsec per pixel, not {spec.pixel_scale}"
        )
    height, width = band.shape
    middle = (spec.image_size - 1) / 2
    x, y = (width - spec.image_size) // 2 + middle, (height - spec.image_size) // 2 + middle
    return wcs.celestial.pixel_to_world(x, y).icrs


def _band_in_name(path: Path) -> str | None:
    """The band in a file's name: after HSC if there is one, else the last single letter."""
    found = [*_LETTER_BAND.finditer(_stem(path)), *_HSC_BAND.finditer(_stem(path))]
    return found[-1].group(1).lower() if found else None


def _object_name(path: Path) -> str:
    """A file's name without suffix and band."""
    stem = _stem(path)
    found = [*_LETTER_BAND.finditer(stem), *_HSC_BAND.finditer(stem)]
    return stem[: found[-1].start()] + stem[found[-1].end() :] if found else stem


def _stem(path: Path) -> str:
    return next(path.name.removesuffix(s) for s in FITS_SUFFIXES if path.name.endswith(s))
