"""HEALPix pixels of sky positions (Gorski et al. 2005, ApJ 622, 759).

Shape suffixes: N positions, P pixels.
astropy is imported where it is used: it takes a second, and whoever opens a survey needs only `on_sky`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

FINEST = 29  # highest order whose pixel numbers fit into 64 bits; pixels of 0.4 milliarcsec
PIXEL_SIDE_DEG = float(np.degrees(np.sqrt(np.pi / 3)))  # side of a square with the area of an order-0 pixel


def on_sky(ra: ArrayLike, dec: ArrayLike) -> np.ndarray:
    """Mask of valid positions: RA -180 to 360, declination -90 to 90 degrees, not NaN."""
    ra_N, dec_N = np.asarray(ra, np.float64), np.asarray(dec, np.float64)
    return (ra_N >= -180) & (ra_N <= 360) & (dec_N >= -90) & (dec_N <= 90)


def sky_cell(ra: ArrayLike, dec: ArrayLike, nside: int) -> np.ndarray:
    """The HEALPix pixel of each position, in the RING numbering.

    Args:
        ra, dec: (N,) or () degrees; see `on_sky`.
        nside: 1 or more; the sphere has 12 nside^2 pixels with a side of 58.6 degrees / nside.

    Returns:
        (N,) or () int64, 0 to 12 nside^2 - 1.
    """
    return _pixel(ra, dec, nside, "ring")


def nested_cell(ra: ArrayLike, dec: ArrayLike, order: int = FINEST) -> np.ndarray:
    """The HEALPix pixel of each position in the NESTED numbering, nside 2^order.

    The number of the parent pixel is obtained by dropping two bits per order. Arguments and result as `sky_cell`.
    """
    return _pixel(ra, dec, 1 << order, "nested")


def cell_centre(cell_P: ArrayLike, order: int) -> tuple[np.ndarray, np.ndarray]:
    """RA and declination (P,) of the centres of NESTED pixels, in degrees."""
    from astropy_healpix.core import healpix_to_lonlat

    ra_P, dec_P = healpix_to_lonlat(np.asarray(cell_P, np.int64), 1 << order, order="nested")
    return ra_P.to_value("deg"), dec_P.to_value("deg")


def cell_corners(cell_P: ArrayLike, order: int) -> tuple[np.ndarray, np.ndarray]:
    """RA and declination (P, 4) of the corners of NESTED pixels, in degrees."""
    from astropy_healpix.core import boundaries_lonlat

    ra_P4, dec_P4 = boundaries_lonlat(np.asarray(cell_P, np.int64), 1, 1 << order, order="nested")
    return ra_P4.to_value("deg"), dec_P4.to_value("deg")


def with_neighbours(cell: np.ndarray, order: int) -> np.ndarray:
    """NESTED pixels (P, 9): each pixel and its neighbours; pixels with seven neighbours are repeated once."""
    from astropy_healpix.core import neighbours

    with np.errstate(invalid="ignore"):  # the missing eighth neighbour
        around_P8 = neighbours(cell, 1 << order, order="nested").T
    return np.concatenate([cell[:, None], np.where(around_P8 < 0, cell[:, None], around_P8)], axis=1)


def _pixel(ra: ArrayLike, dec: ArrayLike, nside: int, order: str) -> np.ndarray:
    from astropy import units as u
    from astropy_healpix.core import lonlat_to_healpix

    ra_N, dec_N = np.asarray(ra, np.float64), np.asarray(dec, np.float64)
    return np.asarray(lonlat_to_healpix((ra_N % 360) * u.deg, dec_N * u.deg, nside, order=order), np.int64)
