"""Cells of the sky: HEALPix pixels, all of one area, numbered along rings from north to south.

Shape suffix: N positions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def on_sky(ra: ArrayLike, dec: ArrayLike) -> np.ndarray:
    """Which positions are on the sky: RA -180 to 360, declination -90 to 90 degrees; NaN is not."""
    ra_N, dec_N = np.asarray(ra, np.float64), np.asarray(dec, np.float64)
    return (ra_N >= -180) & (ra_N <= 360) & (dec_N >= -90) & (dec_N <= 90)


def sky_cell(ra: ArrayLike, dec: ArrayLike, nside: int) -> np.ndarray:
    """The HEALPix pixel of each position, in the RING numbering.

    The equations of Gorski et al. 2005 (ApJ 622, 759), section 5.2; none of our libraries has
    HEALPix. A pixel measures 58.6 degrees / nside along a side.

    Args:
        ra, dec: (N,) or () degrees, on the sky.
        nside: 1 or more; the sphere has 12 nside^2 pixels.

    Returns:
        (N,) or () int64, 0 to 12 nside^2 - 1.
    """
    z_N = np.sin(np.radians(np.asarray(dec, np.float64)))
    turn_N = np.asarray(ra, np.float64) % 360 / 90 % 4  # quarter turns, 0 to 4; the last % is for rounding
    return np.where(np.abs(z_N) <= 2 / 3, _equatorial(z_N, turn_N, nside), _polar(z_N, turn_N, nside))


def _equatorial(z_N: np.ndarray, turn_N: np.ndarray, nside: int) -> np.ndarray:
    # Edges are straight lines of z and longitude: how many of either slope lie below the position.
    rising_N = np.floor(nside * (0.5 + turn_N - 0.75 * z_N)).astype(np.int64)
    falling_N = np.floor(nside * (0.5 + turn_N + 0.75 * z_N)).astype(np.int64)
    ring_N = nside + 1 + rising_N - falling_N  # from 1 at z = 2/3
    shifted_N = 1 - ring_N % 2  # every other ring begins half a pixel further
    along_N = (rising_N + falling_N - nside + shifted_N + 1) // 2 % (4 * nside)
    return 2 * nside * (nside - 1) + (ring_N - 1) * 4 * nside + along_N


def _polar(z_N: np.ndarray, turn_N: np.ndarray, nside: int) -> np.ndarray:
    part_N = turn_N % 1  # of the quarter
    distance_N = nside * np.sqrt(3 * (1 - np.abs(z_N)))  # rings from the pole
    rising_N = np.floor(part_N * distance_N).astype(np.int64)
    falling_N = np.floor((1 - part_N) * distance_N).astype(np.int64)
    ring_N = rising_N + falling_N + 1  # from 1 at the pole
    along_N = np.floor(turn_N * ring_N).astype(np.int64)
    return np.where(z_N > 0, 2 * ring_N * (ring_N - 1), 12 * nside**2 - 2 * ring_N * (ring_N + 1)) + along_N
