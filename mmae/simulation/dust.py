"""Dust attenuation in galaxies (Calzetti+2000) and Galactic extinction (Fitzpatrick 1999)."""

from __future__ import annotations

from functools import lru_cache

import astropy.units as u
import numpy as np
from dust_extinction.parameter_averages import F99

R_V = 4.05
STELLAR_SHARE = 0.44  # E(B-V) of stars / E(B-V) of gas: Calzetti+2000, equation 3
GALACTIC_R_V = 3.1
# E(B-V) in the fields of the HSC wide layer: mostly 0.02 to 0.06 (Schlegel, Finkbeiner & Davis 1998 with
# the factor 0.86 of Schlafly & Finkbeiner 2011). Median, and standard deviation of the natural logarithm.
GALACTIC_REDDENING, REDDENING_SCATTER = 0.03, 0.45
# The law is defined from 0.12 to 2.2 micron; the end values are used outside.
LAW_RANGE = (1200.0, 22000.0)  # Angstrom


def calzetti_k(wavelength: np.ndarray | float) -> np.ndarray:
    """k(lambda) = A(lambda) / E(B-V), equation 4; wavelength in rest-frame Angstrom, any shape."""
    micron = np.clip(wavelength, *LAW_RANGE) / 1e4
    x = 1 / micron
    blue = 2.659 * (-2.156 + 1.509 * x - 0.198 * x**2 + 0.011 * x**3)
    red = 2.659 * (-1.857 + 1.040 * x)
    return np.where(micron < 0.63, blue, red) + R_V


def transmission(wavelength: np.ndarray | float, attenuation_v: float) -> np.ndarray:
    """Transmission of dust with A_V = attenuation_v mag; wavelength in rest-frame Angstrom, any shape."""
    return 10 ** (-0.4 * attenuation_v * calzetti_k(wavelength) / R_V)


def draw_galactic_reddening(rng: np.random.Generator) -> float:
    """Random Galactic E(B-V) of one line of sight, mag."""
    return float(GALACTIC_REDDENING * rng.lognormal(0, REDDENING_SCATTER))


@lru_cache(maxsize=1)
def _galactic_law() -> tuple[np.ndarray, np.ndarray]:
    """Observed wavelength (Angstrom) and A(lambda) / E(B-V)."""
    wavelength = np.geomspace(1.05e3, 3.2e4, 2000)  # range of the law
    return wavelength, GALACTIC_R_V * F99(Rv=GALACTIC_R_V)(wavelength * u.AA)


def galactic_transmission(wavelength: np.ndarray | float, reddening: float) -> np.ndarray:
    """Transmission of Galactic dust with E(B-V) = reddening; wavelength in observed Angstrom, any shape."""
    return 10 ** (-0.4 * reddening * np.interp(wavelength, *_galactic_law()))
