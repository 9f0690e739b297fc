"""Dust attenuation of starlight (Calzetti+2000)."""

from __future__ import annotations

import numpy as np

R_V = 4.05
STELLAR_SHARE = 0.44  # E(B-V) of the stars over that of the gas: Calzetti+2000, equation 3
# The law is given from 0.12 to 2.2 micron; its ends are kept beyond.
LAW_RANGE = (1200.0, 22000.0)  # Angstrom


def calzetti_k(wavelength: np.ndarray | float) -> np.ndarray:
    """k(lambda) = A(lambda) / E(B-V), equation 4; wavelength in rest-frame Angstrom, any shape."""
    micron = np.clip(wavelength, *LAW_RANGE) / 1e4
    x = 1 / micron
    blue = 2.659 * (-2.156 + 1.509 * x - 0.198 * x**2 + 0.011 * x**3)
    red = 2.659 * (-1.857 + 1.040 * x)
    return np.where(micron < 0.63, blue, red) + R_V


def transmission(wavelength: np.ndarray | float, attenuation_v: float) -> np.ndarray:
    """Share of the light that passes dust of A_V = attenuation_v mag."""
    return 10 ** (-0.4 * attenuation_v * calzetti_k(wavelength) / R_V)
