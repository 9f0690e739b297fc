"""Where the pixels, weights and masks of each band of one image are in its files.

FLUXMAG0 is as in HSC-SSP's data releases (https://hsc-release.mtk.nao.ac.jp).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from astropy.io import fits

from mmae.ingest.files import name_of, open_fits, require_whole
from mmae.ingest.ids import distinct_names
from mmae.ingest.pairing.names import band_of, stem_of
from mmae.ingest.readers.observed import mask_bits
from mmae.ingest.readers.planes import FilePlanes, Plane, by_band, require_shape, sort_planes
from mmae.survey.schema import Rejection, SurveySpec


@dataclass
class Band:
    """The image of one band in a file, and the weights and masks of the same pixels.

    Attributes:
        header: of the image, with its WCS.
        scale: from counts of the file to counts at the survey's zero point.
        weights: path and plane of each.
        masks: path, plane and the bits that mean "not observed".
    """

    path: str
    plane: Plane
    header: fits.Header
    scale: float
    weights: list[tuple[str, Plane]] = field(default_factory=list)
    masks: list[tuple[str, Plane, int]] = field(default_factory=list)

    def location(self) -> dict[str, Any]:
        """What is needed to read the pixels, as plain values."""
        return _location(self.path, self.plane) | {
            "scale": self.scale,
            "weights": [_location(path, plane) for path, plane in self.weights],
            "masks": [_location(path, plane) | {"bits": bits} for path, plane, bits in self.masks],
        }


def find_bands(
    paths: list[str], spec: SurveySpec, at_zero_point: bool, kinds: Sequence[str], left_out: list[Rejection]
) -> dict[str, Band]:
    """The bands of the survey in the files of one image.

    Weights and masks belong to the image of their band in the same file, or to that of all files if their file has no
    image.

    Args:
        at_zero_point: whether images without FLUXMAG0 have the survey's zero point.
        kinds: bits of mask planes that mean "not observed".
        left_out: gets a rejection for each file without image, weight and mask of these bands, and for each image of
            another band.

    Raises:
        OSError, LookupError, TypeError, ValueError: a band is duplicated, unreadable or without zero point; a weight or
            mask has another shape than its image, or it is not clear to which image it belongs.
    """
    bands: dict[str, Band] = {}
    files = []
    for path in paths:
        with open_fits(path) as file:
            require_whole(file, path)
            primary, found = file[0].header.copy(), sort_planes(file, name_of(path), stem_of(path))
        of_file = [_add_image(path, plane, primary, spec, at_zero_point, bands, left_out) for plane in found.images]
        files.append((path, primary, found, of_file))
    for path, primary, found, of_file in files:
        used = _add_parts(path, primary, found, of_file or list(bands), bands, spec, kinds)
        if not of_file and not used:
            planes = [*found.others, *(plane.kind for plane in found.weights + found.masks)]
            reasons = [f"a plane of kind {kind}, not an image of the sky" for kind in planes[:1]]
            left_out += [Rejection(name_of(path), path, "image", reason) for reason in reasons]
    return bands


def _add_image(
    path: str,
    plane: Plane,
    primary: fits.Header,
    spec: SurveySpec,
    at_zero_point: bool,
    bands: dict[str, Band],
    left_out: list[Rejection],
) -> str:
    """Add an image to `bands`; returns the name of its band."""
    band, described = band_of(plane.names, spec.bands)
    if band is None:
        raise ValueError(
            f"{name_of(path)}: unknown band; FILTER, EXTNAME or the file's name must "
            f"contain one of {','.join(spec.bands)}, alone or as in HSC-G"
        )
    if band in bands:
        names = distinct_names([bands[band].path, path])
        raise ValueError(f"two images of band {band}: in {' and '.join(names.values())}")
    if described:
        scale = _scale(plane.header, primary, band, path, spec, at_zero_point)
        bands[band] = Band(path, plane, plane.header, scale)
    else:
        reason = f"band {band} is not in the survey's description"
        left_out.append(Rejection(name_of(path), path, "image", reason))
    return band


def _add_parts(
    path: str,
    primary: fits.Header,
    found: FilePlanes,
    of_images: list[str],
    bands: dict[str, Band],
    spec: SurveySpec,
    kinds: Sequence[str],
) -> bool:
    """Add the weights and masks of a file to their bands; returns whether there were any.

    Args:
        of_images: bands of the images to which they may belong.
    """
    of_file = () if found.images else (primary.get("FILTER"), stem_of(path))
    used = False
    for what, planes in (("weights", found.weights), ("masks", found.masks)):
        named = [(band_of(plane.names + of_file, spec.bands)[0], plane) for plane in planes]
        for name, some in by_band(of_images, named, f"{what} in {name_of(path)}").items():
            band = bands.get(name)
            for plane in some if band else ():
                require_shape(plane, band.plane)
                used = True
                if what == "weights":
                    band.weights.append((path, plane))
                elif bits := mask_bits(plane.header, kinds):
                    band.masks.append((path, plane, bits))
    return used


def _location(path: str, plane: Plane) -> dict[str, Any]:
    return {"path": path, "hdu": plane.number, "plane": plane.plane}


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
