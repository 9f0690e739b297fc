"""Distances in the Planck 2018 cosmology, interpolated from a table.

An astropy call per galaxy would take longer than drawing the galaxy.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from astropy.cosmology import Planck18

REDSHIFT_MIN, REDSHIFT_MAX = 1e-3, 5.0


@lru_cache(maxsize=1)
def _distance_table() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    z = np.geomspace(REDSHIFT_MIN, REDSHIFT_MAX, 2000)
    kpc = Planck18.angular_diameter_distance(z).value * 1e3 * np.pi / (180 * 3600)
    return z, Planck18.distmod(z).value, kpc


def distance_modulus(redshift: float) -> float:
    """m - M in mag, Planck18."""
    z, modulus, _ = _distance_table()
    return float(np.interp(redshift, z, modulus))


def kpc_per_arcsec(redshift: float) -> float:
    """Proper transverse kpc per arcsec, Planck18."""
    z, _, scale = _distance_table()
    return float(np.interp(redshift, z, scale))
