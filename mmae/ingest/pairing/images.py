"""FITS images of the sky: index of their bands, and cutouts.

A *patch* is a large image with many galaxies, one file per band or one file with an extension per band; cutouts are
made at the positions of galaxies. A *stamp* is such an image that was already cut out around one galaxy.

FLUXMAG0, planes and mask bits are as in HSC-SSP's data releases (https://hsc-release.mtk.nao.ac.jp).

Shape suffixes: C bands, H and W pixels of a cutout, N positions, P patches.
"""

from __future__ import annotations

import json
import re
import warnings
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import Cutout2D, NoOverlapError
from astropy.wcs import WCS, FITSFixedWarning
from astropy.wcs.utils import proj_plane_pixel_scales

from mmae.astro.crossmatch import match
from mmae.ingest.files import FITS_ENDINGS, name_of, open_fits, require_whole
from mmae.survey.schema import SurveySpec

IMAGES = pa.schema(
    [
        ("name", pa.string()),
        ("planes", pa.string()),
        ("wcs", pa.string()),
        ("height", pa.int64()),
        ("width", pa.int64()),
        ("ra", pa.float64()),
        ("dec", pa.float64()),  # ra, dec: of the centre
    ]
)
SCALE_TOLERANCE = 0.01  # of the pixel scale: 0.6 pixels over a cutout of 64
_OTHER_PLANES = ("MASK", "VARIANCE", "WEIGHT", "PSF")


def group_by_name(paths: list[str], bands: tuple[str, ...]) -> dict[str, list[str]]:
    """Files grouped by their path without the band; each group is one patch or stamp."""
    groups: dict[str, list[str]] = {}
    for path in paths:
        folder, name = path.rpartition("/")[::2]
        stem = next((name.removesuffix(e) for e in FITS_ENDINGS if name.endswith(e)), name)
        words = re.split(r"([-_.\s]+)", stem)  # words and separators
        of_band = [i for i in range(0, len(words), 2) if _band(words[i], bands)]
        if of_band:
            last = of_band[-1]
            before = last - 2 if last >= 2 and words[last - 2].upper() == "HSC" else last
            del words[max(before - 1, 0) : last + 1]
        groups.setdefault(f"{folder}/{''.join(words)}", []).append(path)
    return groups


def index_image(name: str, paths: list[str], spec: SurveySpec, at_zero_point: bool) -> pa.Table:
    """One row (IMAGES) for the bands of one patch or stamp, from the headers.

    Args:
        at_zero_point: whether images without FLUXMAG0 have the survey's zero point.

    Raises:
        OSError, LookupError, TypeError, ValueError: a band is missing, duplicated, unreadable, without zero point
            or WCS, has another pixel scale, or is not on the pixels of the other bands.
    """
    planes: dict[str, dict[str, Any]] = {}
    headers: dict[str, fits.Header] = {}
    for path in paths:
        for band, plane, header in _planes(path, spec, at_zero_point):
            if band in planes:
                raise ValueError(f"two images of band {band}: in {name_of(planes[band]['path'])} and {name_of(path)}")
            planes[band], headers[band] = plane, header
    missing = [band for band in spec.bands if band not in planes]
    if missing:
        raise ValueError(f"band {','.join(missing)} is missing, found {','.join(planes) or 'none'}")
    first = headers[spec.bands[0]]
    shape = first["NAXIS2"], first["NAXIS1"]
    if min(shape) < spec.image_size:
        raise ValueError(f"the image has {shape} pixels, at least {spec.image_size} x {spec.image_size} are needed")
    wcs = _wcs(first, spec)
    corners = np.array([(0, 0), (shape[1] - 1, 0), (0, shape[0] - 1), (shape[1] - 1, shape[0] - 1)], float)
    for band in spec.bands[1:]:
        if (headers[band]["NAXIS2"], headers[band]["NAXIS1"]) != shape:
            raise ValueError(f"band {band} has another shape than band {spec.bands[0]}")
        shift = wcs.all_world2pix(_wcs(headers[band], spec).all_pix2world(corners, 0), 0) - corners
        if not np.abs(shift).max() < 0.5:
            raise ValueError(
                f"band {band} is shifted by up to {np.abs(shift).max():.2f} pixels from band {spec.bands[0]}"
            )
    ra, dec = _degrees(wcs, (shape[1] - 1) / 2, (shape[0] - 1) / 2)
    return pa.table(
        {
            "name": [name_of(name)],
            "planes": [json.dumps([planes[band] for band in spec.bands])],
            "wcs": [wcs.to_header_string(relax=True)],
            "height": [shape[0]],
            "width": [shape[1]],
            "ra": [float(ra)],
            "dec": [float(dec)],
        },
        schema=IMAGES,
    )


def choose_patch(images: pa.Table, ra_N: np.ndarray, dec_N: np.ndarray, spec: SurveySpec) -> np.ndarray:
    """The patch (N,) in which each position is furthest from the edge; -1: no patch has a full cutout there."""
    best_N, room_N = np.full(len(ra_N), -1), np.full(len(ra_N), -np.inf)
    half = (spec.image_size - 1) / 2
    diagonal_P = np.hypot(images["height"].to_numpy(), images["width"].to_numpy()) / 2 * spec.pixel_scale * 1.1
    if not len(images):
        return best_N
    pairs = match(
        images["ra"].to_numpy(), images["dec"].to_numpy(), ra_N, dec_N, min(float(diagonal_P.max()), 648000.0)
    )
    starts = np.searchsorted(pairs.index1, np.arange(len(images) + 1))
    for patch in range(len(images)):
        near = pairs.index2[starts[patch] : starts[patch + 1]]
        if not len(near):
            continue
        row = images.slice(patch, 1).to_pylist()[0]
        x, y = _pixels(read_wcs(row["wcs"]), ra_N[near], dec_N[near])
        room = np.minimum(np.minimum(x, row["width"] - 1 - x), np.minimum(y, row["height"] - 1 - y)) - half
        better = (room > room_N[near]) & (room >= -0.5)
        best_N[near[better]], room_N[near[better]] = patch, room[better]
    return best_N


class OpenPatch:
    """Context manager with the open files of the bands of one patch or stamp, to make cutouts."""

    def __init__(self, planes: str, wcs: str, spec: SurveySpec):
        self._planes, self._wcs, self._spec = json.loads(planes), read_wcs(wcs), spec
        self._files: dict[str, fits.HDUList] = {}

    def __enter__(self) -> OpenPatch:
        try:
            for plane in self._planes:
                if plane["path"] not in self._files:
                    self._files[plane["path"]] = open_fits(plane["path"])
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()

    def positions(self, ra_N: np.ndarray, dec_N: np.ndarray) -> np.ndarray:
        """Zero-based pixels x, y (N, 2) of ra, dec in degrees; NaN behind the tangent plane."""
        return np.stack(_pixels(self._wcs, ra_N, dec_N), axis=-1)

    def cutout(self, position: tuple[float, float] | None) -> tuple[np.ndarray, float]:
        """The image (C, H, W) float32 centred on pixel x, y (None: the centre of the file's image), 0 without data;
        and the fraction of pixels without data in the worst band.

        Counts are scaled to the survey's zero point. The position is at most half a pixel from the centre.

        Raises:
            OSError, LookupError, TypeError, ValueError: a band cannot be read here.
        """
        size = self._spec.image_size
        image_CHW = np.empty((len(self._planes), size, size))
        for c, plane in enumerate(self._planes):
            hdu = self._files[plane["path"]][plane["hdu"]]
            if position is None:
                height, width = hdu.shape
                position = (width - size) // 2 + (size - 1) / 2, (height - size) // 2 + (size - 1) / 2
            image_CHW[c] = _cut(hdu, position, size) * plane["scale"]
            if plane["no_data"] is not None:
                mask = _cut(self._files[plane["path"]][plane["mask_hdu"]], position, size)
                bits = np.where(np.isfinite(mask), mask, 0).astype(np.int64)
                image_CHW[c][(bits >> plane["no_data"]) & 1 == 1] = np.nan
        without_CHW = ~np.isfinite(image_CHW)
        fraction = float(without_CHW.mean(axis=(1, 2)).max())
        return np.where(without_CHW, 0.0, image_CHW).astype(np.float32), fraction


def read_wcs(text: str) -> WCS:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        return WCS(fits.Header.fromstring(text))


def _cut(hdu: Any, position: tuple[float, float], size: int) -> np.ndarray:
    if not np.isfinite(position).all():  # behind the tangent plane
        raise ValueError("the position is outside the image")
    try:
        cut = Cutout2D(_image_data(hdu), position, size, mode="partial", fill_value=np.nan).data
    except NoOverlapError:
        raise ValueError("the position is outside the image") from None
    return np.asarray(cut, np.float64)


def _image_data(hdu: Any) -> Any:
    """An array-like from which only the sliced part is read: a section, or the memory map, which is ten times faster.
    astropy maps plain images of local files only; it would read scaled and compressed ones completely."""
    plain = isinstance(hdu, fits.ImageHDU | fits.PrimaryHDU) and not {"BSCALE", "BZERO", "BLANK"} & set(hdu.header)
    file = (hdu.fileinfo() or {}).get("file")
    return hdu.data if plain and file is not None and file.memmap else hdu.section


def _planes(path: str, spec: SurveySpec, at_zero_point: bool):
    """(band, location of its data and mask, header) for each image of a file."""
    with open_fits(path) as file:
        require_whole(file, path)
        primary, found, masks = file[0].header, [], []
        for number, hdu in enumerate(file):
            kind = str(hdu.header.get("EXTTYPE", hdu.name)).upper()
            if not hdu.is_image or len(hdu.shape) != 2:
                continue
            if any(word in kind for word in _OTHER_PLANES):
                if "MASK" in kind and "MP_NO_DATA" in hdu.header:
                    masks.append((number, int(hdu.header["MP_NO_DATA"])))
                continue
            header = hdu.header.copy()
            names = (header.get("FILTER"), hdu.name, primary.get("FILTER"), _stem(path))
            band = next((b for b in (_band(name, spec.bands) for name in names) if b), None)
            if band is None:
                raise ValueError(
                    f"{name_of(path)}: unknown band; FILTER, EXTNAME or the file's name must "
                    f"contain one of {','.join(spec.bands)}, alone or as in HSC-G"
                )
            fluxmag0 = header.get("FLUXMAG0", primary.get("FLUXMAG0"))
            if fluxmag0 is None and at_zero_point:
                fluxmag0 = 10 ** (0.4 * spec.zero_point)
            if not isinstance(fluxmag0, int | float) or not fluxmag0 > 0:
                raise ValueError(
                    f"{name_of(path)}: band {band} has no zero point (FLUXMAG0 is {fluxmag0}); add it, or "
                    f"set images_have_zero_point in the survey's description"
                )
            scale = 10 ** (0.4 * spec.zero_point) / fluxmag0
            found.append(
                (band, {"path": path, "hdu": number, "scale": scale, "no_data": None, "mask_hdu": None}, header)
            )
    if len(found) == 1 and len(masks) == 1:
        found[0][1].update(mask_hdu=masks[0][0], no_data=masks[0][1])
    return found


def _wcs(header: fits.Header, spec: SurveySpec) -> WCS:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)  # for old date cards, which are harmless
        try:
            wcs = WCS(header)
        except Exception as error:  # wcslib's errors have no other common class
            raise ValueError(f"invalid WCS: {error}") from error
    if not wcs.has_celestial:
        raise ValueError("no WCS: CTYPE, CRVAL, CRPIX and CD are needed")
    scales = proj_plane_pixel_scales(wcs.celestial) * 3600
    if not np.abs(scales / spec.pixel_scale - 1).max() <= SCALE_TOLERANCE:
        raise ValueError(f"{scales.mean():.4f} arcsec per pixel, not {spec.pixel_scale}")
    return wcs.celestial


def _degrees(wcs: WCS, x: float, y: float) -> tuple[float, float]:
    sky = wcs.pixel_to_world(x, y).icrs
    return sky.ra.deg, sky.dec.deg


def _pixels(wcs: WCS, ra: Any, dec: Any) -> tuple[Any, Any]:
    """Zero-based x, y of ICRS degrees, for a WCS in any frame."""
    return wcs.world_to_pixel(SkyCoord(ra, dec, unit="deg"))


def _band(text: Any, bands: tuple[str, ...]) -> str | None:
    """The last word that is a band in "G", "g", "HSC-G", "HSC-R2" or "calexp-HSC-G-9813". R2 and I2 are HSC's
    second r and i filters."""
    by_name = {band.lower(): band for band in bands}
    for word in reversed(re.split(r"[-_.\s]+", str(text or "").lower())):
        band = by_name.get(word) or by_name.get(re.sub(r"^(?:hsc)?([ri])2$", r"\1", word))
        if band:
            return band
    return None


def _stem(path: str) -> str:
    return PurePosixPath(name_of(path)).name.partition(".fit")[0]
