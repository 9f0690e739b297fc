"""Which planes of a FITS file are images of the sky, which are their weights and masks, and of which bands they are.

Survey archives store masks, weights and models beside the images, with the same shape, band and WCS. The kind is in
EXTTYPE (Rubin, HSC), IMTYPE (Legacy Surveys), PRODTYPE (NOIRLab), EXTNAME, or only in the file's name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from astropy.io import fits

T = TypeVar("T")

SKY_WORDS = {"image", "img", "sci", "science"}
WEIGHT_WORDS = {"invvar", "ivar", "weight", "wht", "wgt", "wt", "wtmap", "wei"}
# Parts of header values: EXTNAME is also "MASK_G", IMTYPE also "blobmodel", "galdepth" or "maskbits".
_OTHER_PARTS = re.compile(
    r"mask|variance|invvar|ivar|weight|psf|depth|model|chi2|resid|background|expmap|nexp|wtmap|maxmjd|minmjd|flags?$"
)
# Words of header values and file names.
OTHER_WORDS = {
    *WEIGHT_WORDS,
    *("mask", "msk", "maskbits", "dq", "dqmask", "flag", "flags"),
    *("variance", "var", "err", "error", "rms"),
    *("psf", "psfsize", "nexp", "expmap", "exptime", "depth", "psfdepth", "galdepth"),
    *("model", "blobmodel", "chi2", "resid", "residual", "bkg", "background", "minmjd", "maxmjd"),
}


@dataclass(frozen=True)
class Plane:
    """One image (H, W) in a FITS file.

    Attributes:
        number: of the HDU.
        plane: of a cube; None: the HDU is no cube.
        names: header values, and the file's name, in which its band may be found; the first one with a band decides.
        shape: pixels (H, W).
        header: of the HDU.
        kind: as in `other_kind`.
    """

    number: int
    plane: int | None
    names: tuple[Any, ...]
    shape: tuple[int, int]
    header: fits.Header
    kind: str | None

    def of(self, hdu: Any) -> np.ndarray:
        """The pixels (H, W) of this plane."""
        return hdu.data if self.plane is None else hdu.data[self.plane]


@dataclass
class FilePlanes:
    """The planes of a file: images of the sky, their weights (or inverse variances), masks with known bits, and the
    kinds of the others."""

    images: list[Plane] = field(default_factory=list)
    weights: list[Plane] = field(default_factory=list)
    masks: list[Plane] = field(default_factory=list)
    others: list[str] = field(default_factory=list)


def sort_planes(file: fits.HDUList, file_name: str, file_stem: str) -> FilePlanes:
    """The planes of a file by their kind.

    Raises:
        ValueError: a cube of images does not name its bands.
    """
    primary, found = file[0].header, FilePlanes()
    for number, hdu in enumerate(file):
        if not hdu.is_image or len(hdu.shape) not in (2, 3):
            continue
        kind = other_kind(hdu.header, primary, file_stem)
        if kind is None:
            found.images += _planes(hdu, number, primary, file_name, file_stem, kind)
        elif is_weight(kind):
            found.weights += _planes(hdu, number, primary, file_name, file_stem, kind)
        elif "mask" in kind and any(key.startswith("MP_") for key in hdu.header):
            found.masks += _planes(hdu, number, primary, file_name, file_stem, kind)
        else:
            found.others.append(kind)
    return found


def _planes(
    hdu: Any, number: int, primary: fits.Header, file_name: str, file_stem: str, kind: str | None
) -> list[Plane]:
    shape, of_file = hdu.shape[-2:], (primary.get("FILTER"), file_stem)
    if len(hdu.shape) == 2:
        names = (hdu.header.get("FILTER"), hdu.name) + (of_file if kind is None else ())
        return [Plane(number, None, names, shape, hdu.header, kind)]
    bands = cube_bands(hdu.header, primary, hdu.shape[0])
    if bands is None and kind is None:
        raise ValueError(
            f"{file_name}: a cube of {hdu.shape[0]} images without the names of their bands; write them to BANDS "
            f"in its header, such as BANDS = 'grz'"
        )
    names_of = [()] * hdu.shape[0] if bands is None else [(band,) for band in bands]
    return [Plane(number, plane, names, shape, hdu.header, kind) for plane, names in enumerate(names_of)]


def by_band(bands: Sequence[str], planes: Sequence[tuple[str | None, T]], what: str) -> dict[str, list[T]]:
    """The weights or masks of each band.

    Planes without a band (None) belong to all images if there is one such plane or one image; if there are as many as
    images, they are in the order of the images.

    Args:
        bands: of the images, in the order of their file.

    Raises:
        ValueError: it is not clear to which images planes without a band belong.
    """
    found: dict[str, list[T]] = {}
    unnamed = [plane for band, plane in planes if band is None]
    for band, plane in planes:
        if band is not None:
            found.setdefault(band, []).append(plane)
    if len(unnamed) > 1 and len(bands) > 1 and len(unnamed) != len(bands):
        raise ValueError(
            f"{len(unnamed)} {what} without a band and {len(bands)} images; name their bands in FILTER or EXTNAME"
        )
    in_order = len(unnamed) == len(bands)
    for i, band in enumerate(bands):
        found.setdefault(band, []).extend(unnamed[i : i + 1] if in_order else unnamed)
    return found


def require_shape(part: Plane, image: Plane) -> None:
    """Check that a weight or mask has the pixels of its image.

    Raises:
        ValueError: it has another shape.
    """
    if part.shape != image.shape:
        raise ValueError(f"the plane of kind {part.kind} has {part.shape} pixels, its image {image.shape}")


def is_weight(kind: str) -> bool:
    """Whether planes of a kind (`other_kind`) are weights or inverse variances: 0 where there is no data."""
    return bool(set(re.split(r"[^a-z0-9]+", kind)) & WEIGHT_WORDS) or bool(re.search(r"invvar|ivar|weight|wtmap", kind))


def other_kind(header: fits.Header, primary: fits.Header, file_stem: str) -> str | None:
    """The kind of a plane that is not an image of the sky, such as "invvar" or "blobmodel"; None for an image.

    The first of EXTTYPE, IMTYPE, PRODTYPE, EXTNAME, those of the primary header and the file's name that contains a
    kind decides; a plane without any is an image.
    """
    keys = ("EXTTYPE", "IMTYPE", "PRODTYPE")
    values = [header.get(key) for key in (*keys, "EXTNAME")] + [primary.get(key) for key in keys]
    for value in values:
        text = str(value or "").strip().lower()
        if text == "compressed_image":  # fpack's default EXTNAME
            continue
        words = set(re.split(r"[^a-z0-9]+", text))
        if words & OTHER_WORDS or _OTHER_PARTS.search(text):
            return text
        if words & SKY_WORDS:
            return None
    words = re.split(r"[^a-z0-9]+", file_stem.lower())
    return next((word for word in words if word in OTHER_WORDS), None)


def cube_bands(header: fits.Header, primary: fits.Header, planes: int) -> list[str] | None:
    """The band of each plane of an image cube (planes, H, W), from BANDS or FILTER ("grz" or "g,r,z") or BAND0, BAND1,
    ...; None if they are not given."""
    for some in (header, primary):
        for key in ("BANDS", "FILTER", "FILTERS"):
            text = str(some.get(key, "")).strip()
            words = [word for word in re.split(r"[\s,;]+", text) if word]
            if len(words) == 1 and planes > 1 and len(text) == planes:
                words = list(text)
            if len(words) == planes:
                return words
        for first in (0, 1):
            numbered = [some.get(f"BAND{number}") for number in range(first, first + planes)]
            if all(numbered):
                return [str(band).strip() for band in numbered]
    return None
