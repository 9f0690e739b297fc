"""Spectra with known lines; the formulas are independent of the tested code."""

from __future__ import annotations

import numpy as np

from mmae.astro.desi import ARMS
from mmae.simulation.spectrograph import blank_variance

WAVELENGTH = 3600.0 + 0.8 * np.arange(7781)
C = 299792.458  # km/s


def dark_ivar() -> np.ndarray:
    """Inverse variance of a 1000 s DESI spectrum of blank sky (L,)."""
    ivar = np.zeros(WAVELENGTH.size)
    for arm in ARMS:
        inside = (WAVELENGTH >= arm.start) & (WAVELENGTH <= arm.stop)
        ivar[inside] += 1 / blank_variance(arm, WAVELENGTH[inside])
    return ivar


IVAR = dark_ivar()


def continuum(level: float = 2.0, slope: float = -0.7) -> np.ndarray:
    """A power law (L,); deviations from a straight line within a window are far below the noise."""
    return level * (WAVELENGTH / 6000.0) ** slope


def gaussian(centre: float, sigma: float, flux: float, near: slice = slice(None)) -> np.ndarray:
    """A line of this integrated flux (L,); Angstrom."""
    return flux / sigma / np.sqrt(2 * np.pi) * np.exp(-0.5 * ((WAVELENGTH[near] - centre) / sigma) ** 2)


def line(
    rest: float, redshift: float, speed: float, flux: float, shift: float = 0.0, near: slice = slice(None)
) -> np.ndarray:
    """A line at a rest wavelength (Angstrom); speed (standard deviation) and shift in km/s."""
    centre = rest * (1 + redshift) * (1 + shift / C)
    return gaussian(centre, rest * (1 + redshift) * speed / C, flux, near)


def noisy(flux: np.ndarray, ivar: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Flux with Gaussian noise; samples with ivar 0 have large errors, as from cosmic rays."""
    sigma = np.where(ivar > 0, 1 / np.sqrt(np.where(ivar > 0, ivar, 1)), 1e4)
    return flux + sigma * rng.standard_normal(flux.shape)


def flux_for(signal: float, rest: float, redshift: float, speed: float, near: slice = slice(None)) -> float:
    """Flux of a line with this S/N for a free amplitude only: signal / sqrt(sum ivar profile^2)."""
    return signal / np.sqrt((IVAR[near] * line(rest, redshift, speed, 1.0, 0.0, near) ** 2).sum())


def smooth_galaxy(
    redshift: float, halpha: float, *, speed: float = 130.0, nii: float = 0.4, level: float = 2.0, lines: bool = True
) -> np.ndarray:
    """A star-forming galaxy without noise (L,): flux of H-alpha in 1e-17 erg/s/cm2, [N II] relative to it."""
    flux = continuum(level)
    if lines:
        for rest, share in (
            (3727.09, 0.43),
            (3729.88, 0.57),
            (4862.69, 0.35),
            (4960.30, 0.5 / 2.98),
            (5008.24, 0.5),
            (6549.86, nii / 3.05),
            (6564.61, 1.0),
            (6585.27, nii),
            (6718.29, 0.25),
            (6732.67, 0.18),
        ):
            flux = flux + line(rest, redshift, speed, share * halpha)
    return flux


def smooth_quasar(redshift: float, strength: float = 1.0, *, lines: bool = True) -> np.ndarray:
    """A quasar without noise (L,), with Ly-alpha, C IV, C III] and Mg II."""
    flux = continuum(3.0, -1.5)
    if lines:
        for rest, ew in ((1215.67, 80.0), (1549.06, 30.0), (1908.73, 22.0), (2798.75, 35.0)):
            flux = flux + line(rest, redshift, 2500.0, strength * ew * 4.0 * (1 + redshift))
    return flux
