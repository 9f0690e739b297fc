"""FITS images of the sky: index of their bands, and the choice of the image for a position.

A *patch* is a large image with many galaxies, one file per band, or one file with an extension per band or a cube of
bands; cutouts are made at the positions of galaxies. A *stamp* is such an image that was already cut out around one
galaxy.

Shape suffixes: N positions, P patches.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning
from astropy.wcs.utils import proj_plane_pixel_scales

from mmae.astro.crossmatch import match
from mmae.core.errors import InputError
from mmae.ingest.pairing.bands import find_bands
from mmae.ingest.pairing.cutouts import read_wcs, sky_to_pixels
from mmae.ingest.readers.observed import NO_DATA
from mmae.survey.schema import Rejection, SurveySpec

IMAGES = pa.schema(
    [
        ("name", pa.string()),
        ("planes", pa.string()),  # JSON: for each band of the survey its location, weights and masks; or null
        ("wcs", pa.string()),
        ("height", pa.int64()),
        ("width", pa.int64()),
        ("ra", pa.float64()),
        ("dec", pa.float64()),  # ra, dec: of the centre
    ]
)
SCALE_TOLERANCE = 0.01  # of the pixel scale: 0.6 pixels over a cutout of 64
SAME_PLACE = 0.1  # of the side: two patches with closer centres are two images of one patch of sky


def index_image(
    name: str,
    paths: list[str],
    spec: SurveySpec,
    at_zero_point: bool,
    left_out: list[Rejection] | None = None,
    *,
    kinds: Sequence[str] = (NO_DATA,),
    missing_bands: bool = False,
) -> pa.Table:
    """One row (IMAGES) for the bands of one patch or stamp, from the headers; no row if no file is an image of the sky.

    Args:
        at_zero_point: whether images without FLUXMAG0 have the survey's zero point.
        left_out: gets a rejection for each other plane (a mask, a model) that is in a file of its own, and each
            band that the survey does not have.
        kinds: bits of mask planes that mean "not observed".
        missing_bands: whether bands may be missing.

    Raises:
        OSError, LookupError, TypeError, ValueError: a band is missing, duplicated, unreadable, without zero point
            or WCS, has another pixel scale, or is not on the pixels of the other bands.
    """
    left_out = [] if left_out is None else left_out
    bands = find_bands(paths, spec, at_zero_point, kinds, left_out)
    if not bands and left_out:
        return IMAGES.empty_table()
    present = [band for band in spec.bands if band in bands]
    missing = ",".join(band for band in spec.bands if band not in bands)
    if missing and not (missing_bands and present):
        raise ValueError(
            f"band {missing} is missing, found {','.join(present) or 'none'}; --pair.missing-bands accepts such images"
        )
    first = bands[present[0]]
    shape, wcs = first.plane.shape, _wcs(first.header, spec)
    corners = np.array([(0, 0), (shape[1] - 1, 0), (0, shape[0] - 1), (shape[1] - 1, shape[0] - 1)], float)
    for band in present[1:]:
        if bands[band].plane.shape != shape:
            raise ValueError(f"band {band} has another shape than band {present[0]}")
        shift = wcs.all_world2pix(_wcs(bands[band].header, spec).all_pix2world(corners, 0), 0) - corners
        if not np.abs(shift).max() < 0.5:
            raise ValueError(f"band {band} is shifted by up to {np.abs(shift).max():.2f} pixels from band {present[0]}")
    ra, dec = _degrees(wcs, (shape[1] - 1) / 2, (shape[0] - 1) / 2)
    return pa.table(
        {
            "name": [name],
            "planes": [json.dumps([bands[band].location() if band in bands else None for band in spec.bands])],
            "wcs": [wcs.to_header_string(relax=True)],
            "height": [shape[0]],
            "width": [shape[1]],
            "ra": [float(ra)],
            "dec": [float(dec)],
        },
        schema=IMAGES,
    )


def bands_of(images: pa.Table, spec: SurveySpec) -> list[tuple[str, ...]]:
    """The bands that each image (IMAGES) has."""
    return [
        tuple(band for band, plane in zip(spec.bands, json.loads(planes), strict=True) if plane)
        for planes in images["planes"].to_pylist()
    ]


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
        both = [int(i[0]) for i in (pairs.index1, pairs.index2)]
        one, other = (next(filter(None, json.loads(images["planes"][i].as_py())))["path"] for i in both)
        raise InputError(
            f"two images of one place, at RA {ra_P[pairs.index1[0]]:.5f}, declination "
            f"{dec_P[pairs.index1[0]]:.5f}: {one} and {other} ({len(pairs)} such pairs of {what}). Give one "
            f"of them; if one is not an image of the sky, write its kind to IMTYPE in its header (model, invvar, mask)."
        )


def choose_patch(images: pa.Table, ra_N: np.ndarray, dec_N: np.ndarray, spec: SurveySpec) -> np.ndarray:
    """The patch (N,) for a cutout at each position; -1: the position is on no patch.

    Of patches with the whole cutout, that with the most bands, then that in which the position is furthest from the
    edge. If none has the whole cutout: that in which it is furthest from the edge.
    """
    best_N, room_N, n_bands_N = np.full(len(ra_N), -1), np.full(len(ra_N), -np.inf), np.zeros(len(ra_N), int)
    half = (spec.image_size - 1) / 2
    diagonal_P = np.hypot(images["height"].to_numpy(), images["width"].to_numpy()) / 2 * spec.pixel_scale * 1.1
    if not len(images):
        return best_N
    pairs = match(
        images["ra"].to_numpy(), images["dec"].to_numpy(), ra_N, dec_N, min(float(diagonal_P.max()), 648000.0)
    )
    starts = np.searchsorted(pairs.index1, np.arange(len(images) + 1))
    n_bands_P = [len(bands) for bands in bands_of(images, spec)]
    for patch in range(len(images)):
        near = pairs.index2[starts[patch] : starts[patch + 1]]
        if not len(near):
            continue
        row = images.slice(patch, 1).to_pylist()[0]
        x, y = sky_to_pixels(read_wcs(row["wcs"]), ra_N[near], dec_N[near])
        room = np.minimum(np.minimum(x, row["width"] - 1 - x), np.minimum(y, row["height"] - 1 - y)) - half
        whole, was_whole = room >= -0.5, room_N[near] >= -0.5
        more = np.where(whole & was_whole, np.sign(n_bands_P[patch] - n_bands_N[near]), 0)
        better = ((more > 0) | (more == 0) & (room > room_N[near])) & (room + half >= -0.5)
        best_N[near[better]], room_N[near[better]] = patch, room[better]
        n_bands_N[near[better]] = n_bands_P[patch]
    return best_N


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
