"""FITS images of the sky: index of their bands, and cutouts.

A *patch* is a large image with many galaxies, one file per band, or one file with an extension per band or a cube of
bands; cutouts are made at the positions of galaxies. A *stamp* is such an image that was already cut out around one
galaxy.

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
import pyarrow.compute as pc
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import Cutout2D, NoOverlapError
from astropy.wcs import WCS, FITSFixedWarning
from astropy.wcs.utils import proj_plane_pixel_scales

from mmae.astro.crossmatch import match
from mmae.core.errors import InputError
from mmae.ingest.files import FITS_ENDINGS, name_of, open_fits, require_whole
from mmae.ingest.ids import distinct_names
from mmae.ingest.readers.planes import cube_bands, other_kind
from mmae.survey.schema import Rejection, SurveySpec

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
SAME_PLACE = 0.1  # of the side: two patches with closer centres are two images of one patch of sky
KNOWN_BANDS = (*"ugrizyjhk", "ks", "w1", "w2", "w3", "w4", "nuv", "fuv")  # of which a survey uses some


def group_by_name(paths: list[str], bands: tuple[str, ...]) -> dict[str, list[str]]:
    """Files grouped by their path without the band; each group is one patch or stamp.

    The names of the groups are as short as they can be and distinct.
    """
    groups: dict[str, list[str]] = {}
    for path in paths:
        folder, name = path.rpartition("/")[::2]
        stem = next((name.removesuffix(e) for e in FITS_ENDINGS if name.endswith(e)), name)
        words = re.split(r"([-_.\s]+)", stem)  # words and separators
        of_band = [i for i in range(0, len(words), 2) if _band(words[i], bands)]
        of_band = of_band or [i for i in range(0, len(words), 2) if _band(words[i], KNOWN_BANDS)]
        if of_band:
            last = of_band[-1]
            before = last - 2 if last >= 2 and words[last - 2].upper() == "HSC" else last
            del words[max(before - 1, 0) : last + 1]
        groups.setdefault(f"{folder}/{''.join(words)}", []).append(path)
    names = distinct_names(list(groups))
    return {names[name]: files for name, files in groups.items()}


def index_image(
    name: str, paths: list[str], spec: SurveySpec, at_zero_point: bool, left_out: list[Rejection] | None = None
) -> pa.Table:
    """One row (IMAGES) for the bands of one patch or stamp, from the headers; no row if no file is an image of the sky.

    Args:
        at_zero_point: whether images without FLUXMAG0 have the survey's zero point.
        left_out: gets a rejection for each other plane (a mask, a model) that is in a file of its own, and each
            band that the survey does not have.

    Raises:
        OSError, LookupError, TypeError, ValueError: a band is missing, duplicated, unreadable, without zero point
            or WCS, has another pixel scale, or is not on the pixels of the other bands.
    """
    planes: dict[str, dict[str, Any]] = {}
    headers: dict[str, fits.Header] = {}
    left_out = [] if left_out is None else left_out
    for path in paths:
        for band, plane, header in _planes(path, spec, at_zero_point, left_out):
            if band in planes:
                names = distinct_names([planes[band]["path"], path])
                raise ValueError(f"two images of band {band}: in {' and '.join(names.values())}")
            planes[band], headers[band] = plane, header
    if not planes and left_out:
        return IMAGES.empty_table()
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
            "name": [name],
            "planes": [json.dumps([planes[band] for band in spec.bands])],
            "wcs": [wcs.to_header_string(relax=True)],
            "height": [shape[0]],
            "width": [shape[1]],
            "ra": [float(ra)],
            "dec": [float(dec)],
        },
        schema=IMAGES,
    )


def require_one_image(images: pa.Table, what: str, spec: SurveySpec) -> None:
    """Check that no two images are of the same place: for a patch within a tenth of its side, for a stamp a pixel.

    Raises:
        InputError: two are; one of them is a model or another processing, and the choice is the user's.
    """
    if len(images) < 2:
        return
    side_P = pc.min_element_wise(images["height"], images["width"]).to_numpy()
    radius_P = np.where(what == "patches", SAME_PLACE * side_P, 1.0) * spec.pixel_scale
    ra_P, dec_P = images["ra"].to_numpy(), images["dec"].to_numpy()
    pairs = match(ra_P, dec_P, ra_P, dec_P, float(min(radius_P.max(), 648000)))
    near = np.minimum(radius_P[pairs.index1], radius_P[pairs.index2])
    pairs = pairs.select((pairs.index1 < pairs.index2) & (pairs.separation_arcsec <= near))
    if len(pairs):
        one, other = (json.loads(images["planes"][int(i[0])].as_py())[0]["path"] for i in (pairs.index1, pairs.index2))
        raise InputError(
            f"two images of band {spec.bands[0]} at RA {ra_P[pairs.index1[0]]:.5f}, declination "
            f"{dec_P[pairs.index1[0]]:.5f}: {one} and {other} ({len(pairs)} such pairs of {what}). Give one "
            f"of them; if one is not an image of the sky, write its kind to IMTYPE in its header (model, invvar, mask)."
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
                height, width = hdu.shape[-2:]
                position = (width - size) // 2 + (size - 1) / 2, (height - size) // 2 + (size - 1) / 2
            image_CHW[c] = _cut(_image_data(hdu, plane.get("plane")), position, size) * plane["scale"]
            if plane["no_data"] is not None:
                mask = _cut(_image_data(self._files[plane["path"]][plane["mask_hdu"]]), position, size)
                bits = np.where(np.isfinite(mask), mask, 0).astype(np.int64)
                image_CHW[c][(bits >> plane["no_data"]) & 1 == 1] = np.nan
        without_CHW = ~np.isfinite(image_CHW)
        fraction = float(without_CHW.mean(axis=(1, 2)).max())
        return np.where(without_CHW, 0.0, image_CHW).astype(np.float32), fraction


def read_wcs(text: str) -> WCS:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        return WCS(fits.Header.fromstring(text))


def _cut(data: Any, position: tuple[float, float], size: int) -> np.ndarray:
    if not np.isfinite(position).all():  # behind the tangent plane
        raise ValueError("the position is outside the image")
    try:
        cut = Cutout2D(data, position, size, mode="partial", fill_value=np.nan).data
    except NoOverlapError:
        raise ValueError("the position is outside the image") from None
    return np.asarray(cut, np.float64)


class _CubePlane(fits.Section):
    """A plane of a cube: as a section, of which `Cutout2D` reads only a part, with two dimensions."""

    def __init__(self, hdu: Any, plane: int):
        super().__init__(hdu)
        self._cube, self._plane = hdu.section, plane

    @property
    def shape(self) -> tuple[int, ...]:
        return self._cube.shape[1:]

    @property
    def dtype(self) -> np.dtype:
        return self._cube.dtype

    def __getitem__(self, slices: tuple[slice, slice]) -> np.ndarray:
        return self._cube[(self._plane, *slices)]


def _image_data(hdu: Any, plane: int | None = None) -> Any:
    """An array-like from which only the sliced part is read: a section, or the memory map, which is ten times faster.
    astropy maps plain images of local files only; it would read scaled and compressed ones completely.

    Args:
        plane: of a cube.
    """
    plain = isinstance(hdu, fits.ImageHDU | fits.PrimaryHDU) and not {"BSCALE", "BZERO", "BLANK"} & set(hdu.header)
    file = (hdu.fileinfo() or {}).get("file")
    if plain and file is not None and file.memmap:
        return hdu.data if plane is None else hdu.data[plane]
    return hdu.section if plane is None else _CubePlane(hdu, plane)


def _planes(path: str, spec: SurveySpec, at_zero_point: bool, left_out: list[Rejection]):
    """(band, location of its data and mask, header) for each image of a file."""
    with open_fits(path) as file:
        require_whole(file, path)
        primary, found, masks, others = file[0].header, [], [], []
        for number, hdu in enumerate(file):
            if not hdu.is_image or len(hdu.shape) not in (2, 3):
                continue
            kind = other_kind(hdu.header, primary, _stem(path))
            if kind:
                others.append(f"a plane of kind {kind}, not an image of the sky")
                if "mask" in kind and "MP_NO_DATA" in hdu.header:
                    masks.append((number, int(hdu.header["MP_NO_DATA"])))
                continue
            header = hdu.header.copy()
            for plane, names in _band_names(hdu, primary, path):
                band, described = _band_of(names, spec.bands)
                if band is None:
                    raise ValueError(
                        f"{name_of(path)}: unknown band; FILTER, EXTNAME or the file's name must "
                        f"contain one of {','.join(spec.bands)}, alone or as in HSC-G"
                    )
                if not described:
                    reason = f"band {band} is not in the survey's description"
                    left_out.append(Rejection(name_of(path), path, "image", reason))
                    continue
                scale = _scale(header, primary, band, path, spec, at_zero_point)
                location = {"path": path, "hdu": number, "scale": scale, "no_data": None, "mask_hdu": None}
                found.append((band, location | ({} if plane is None else {"plane": plane}), header))
    if not found:
        left_out += [Rejection(name_of(path), path, "image", reason) for reason in others[:1]]
    if len(found) == 1 and len(masks) == 1:
        found[0][1].update(mask_hdu=masks[0][0], no_data=masks[0][1])
    return found


def _band_names(hdu: Any, primary: fits.Header, path: str) -> list[tuple[int | None, tuple[Any, ...]]]:
    """For each plane of an image or cube, its number (None if it is the only one) and where its band may be named."""
    if len(hdu.shape) == 2:
        return [(None, (hdu.header.get("FILTER"), hdu.name, primary.get("FILTER"), _stem(path)))]
    bands = cube_bands(hdu.header, primary, hdu.shape[0])
    if bands is None:
        raise ValueError(
            f"{name_of(path)}: a cube of {hdu.shape[0]} images without the names of their bands; write them to BANDS "
            f"in its header, such as BANDS = 'grz'"
        )
    return [(plane, (band,)) for plane, band in enumerate(bands)]


def _scale(
    header: fits.Header, primary: fits.Header, band: str, path: str, spec: SurveySpec, at_zero_point: bool
) -> float:
    """The factor from the counts of an image to counts at the survey's zero point."""
    fluxmag0 = header.get("FLUXMAG0", primary.get("FLUXMAG0"))
    if fluxmag0 is None and at_zero_point:
        fluxmag0 = 10 ** (0.4 * spec.zero_point)
    if not isinstance(fluxmag0, int | float) or not fluxmag0 > 0:
        raise ValueError(
            f"{name_of(path)}: band {band} has no zero point (FLUXMAG0 is {fluxmag0}); add it, or "
            f"set images_have_zero_point in the survey's description"
        )
    return 10 ** (0.4 * spec.zero_point) / fluxmag0


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


def _band_of(names: tuple[Any, ...], bands: tuple[str, ...]) -> tuple[str | None, bool]:
    """The band in the first name that has one, and whether it is one of the survey's `bands`."""
    for name in names:
        for some in (bands, KNOWN_BANDS):
            band = _band(name, some)
            if band:
                return band, some is bands
    return None, False


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
