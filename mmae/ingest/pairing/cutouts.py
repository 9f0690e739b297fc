"""Cutouts from the images of the index (`images.py`).

Shape suffixes: C bands, H and W pixels of a cutout, N positions.
"""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import NoOverlapError, overlap_slices
from astropy.wcs import WCS, FITSFixedWarning

from mmae.ingest.files import open_fits
from mmae.ingest.readers.observed import keep_observed
from mmae.survey.schema import SurveySpec


class OpenPatch:
    """Context manager with the open files of the bands of one patch or stamp, to make cutouts.

    Args:
        planes, wcs: columns of the index.
    """

    def __init__(self, planes: str, wcs: str, spec: SurveySpec):
        self._planes, self._wcs, self._spec = json.loads(planes), read_wcs(wcs), spec
        self._files: dict[str, fits.HDUList] = {}

    def __enter__(self) -> OpenPatch:
        try:
            for plane in filter(None, self._planes):
                for part in (plane, *plane["weights"], *plane["masks"]):
                    if part["path"] not in self._files:
                        self._files[part["path"]] = open_fits(part["path"])
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()

    def positions(self, ra_N: np.ndarray, dec_N: np.ndarray) -> np.ndarray:
        """Zero-based pixels x, y (N, 2) of ra, dec in degrees; NaN behind the tangent plane."""
        return np.stack(sky_to_pixels(self._wcs, ra_N, dec_N), axis=-1)

    def cutout(self, position: tuple[float, float] | None) -> np.ndarray:
        """The image (C, H, W) float32 centred on pixel x, y (None: the centre of the file's image); NaN at pixels
        that were not observed or are beyond the edge, and in bands that the files do not have.

        Counts are scaled to the survey's zero point. The position is at most half a pixel from the centre.

        Raises:
            OSError, LookupError, TypeError, ValueError: a band cannot be read here.
        """
        size = self._spec.image_size
        image_CHW = np.full((len(self._planes), size, size), np.nan)
        for c, plane in enumerate(self._planes):
            if plane is None:
                continue
            if position is None:
                height, width = self._files[plane["path"]][plane["hdu"]].shape[-2:]
                position = (width - size) // 2 + (size - 1) / 2, (height - size) // 2 + (size - 1) / 2
            weights = [self._cut(weight, position) for weight in plane["weights"]]
            masks = [(self._cut(mask, position), mask["bits"]) for mask in plane["masks"]]
            image_CHW[c] = keep_observed(self._cut(plane, position), weights, masks) * plane["scale"]
        return image_CHW.astype(np.float32)

    def _cut(self, plane: dict[str, Any], position: tuple[float, float]) -> np.ndarray:
        data = _image_data(self._files[plane["path"]][plane["hdu"]], plane.get("plane"))
        return _cut(data, position, self._spec.image_size)


def read_wcs(text: str) -> WCS:
    """The WCS of an image, from the index."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        return WCS(fits.Header.fromstring(text))


def sky_to_pixels(wcs: WCS, ra: Any, dec: Any) -> tuple[Any, Any]:
    """Zero-based x, y of ICRS degrees, for a WCS in any frame."""
    return wcs.world_to_pixel(SkyCoord(ra, dec, unit="deg"))


def _cut(data: Any, position: tuple[float, float], size: int) -> np.ndarray:
    """The pixels (size, size) around x, y as float64; NaN beyond the edge."""
    if not np.isfinite(position).all():  # behind the tangent plane
        raise ValueError("the position is outside the image")
    try:
        there, here = overlap_slices(data.shape, (size, size), position[::-1], mode="partial")
    except NoOverlapError:
        raise ValueError("the position is outside the image") from None
    cut = np.full((size, size), np.nan)
    cut[here] = data[there]
    return cut


class _CubePlane(fits.Section):
    """A plane of a cube: as a section, of which a slice reads only a part, with two dimensions."""

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
