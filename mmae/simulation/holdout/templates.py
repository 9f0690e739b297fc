"""Spectra of the hold-out simulation: measured SEDs from PyPI's desc-bpz, absorption and emission lines.

The six templates of BPZ (Benitez+2004): E, Sbc, Scd and Im of Coleman, Wu & Weedman 1980 and the starbursts SB3 and SB2
of Kinney+1996, recalibrated on galaxies with spectroscopic redshifts; and a population of 25 Myr of Bruzual &
Charlot 2003. They have a resolution of 10 to 40 A: emission lines are removed and lines are added as Gaussians.

Shape suffixes: T templates, W rest-frame samples, E the widths of `LINE_NAMES`, J single lines.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from importlib.resources import files

import numpy as np
from scipy.ndimage import gaussian_filter1d

from mmae.astro.lines import (
    CA_H,
    CA_K,
    HALPHA_WAVE,
    HBETA_WAVE,
    HDELTA,
    HGAMMA,
    LIGHT_SPEED_KMS,
    LINE_WAVELENGTH_J,
    MG_B,
    NA_D,
    WIDTH_WAVELENGTH_E,
)
from mmae.simulation.lines import CASE_B, line_fluxes
from mmae.simulation.seds import Sed

FILES = ("El_B2004a", "Sbc_B2004a", "Scd_B2004a", "SB3_B2004a", "Im_B2004a", "SB2_B2004a")  # by colour
YOUNG_FILE = "ssp_25Myr_z008"
LAST_TYPE = len(FILES) - 1.0
NOISY = ("SB3_B2004a", "SB2_B2004a")  # smoothed by NOISY_SIGMA
NOISY_SIGMA = 20.0  # Angstrom
SAMPLING = 70.0  # km/s: below the sigma of DESI's line-spread function
RANGE = (1000.0, 12500.0)  # Angstrom
PIVOT = 5500.0  # Angstrom, where spectra are normalised
# Emission lines of the templates, and half-width of the replaced interval, Angstrom.
EMISSION = ((3728.5, 70.0), (HGAMMA, 25.0), (4950.0, 180.0), (6600.0, 170.0))
# Absorption lines: vacuum wavelength, sigma (Angstrom), and equivalent width (Angstrom) in an old and in a young
# population. Old: Lick indices of giant ellipticals (Trager+1998), Ca H and K of old spheroids; young: Balmer lines
# of populations of 0.1 to 1 Gyr (Gonzalez Delgado+1999).
ABSORPTION = (
    (3799.0, 4.0, 0.5, 4.0),
    (3836.5, 4.5, 1.5, 5.0),
    (3890.2, 4.5, 1.5, 5.0),
    (CA_K, 5.0, 8.0, 1.0),
    (CA_H, 5.0, 7.0, 6.0),
    (HDELTA, 4.5, 0.5, 5.0),
    (4305.6, 11.0, 5.0, 0.5),  # CH, the G band
    (HGAMMA, 4.5, 0.5, 4.5),
    (HBETA_WAVE, 4.5, 1.6, 4.5),
    (MG_B, 11.0, 4.5, 1.0),
    (5271.0, 9.0, 3.0, 1.0),  # Fe
    (5336.9, 8.0, 2.7, 0.8),  # Fe
    (NA_D, 5.0, 4.5, 0.8),
    (HALPHA_WAVE, 4.5, 1.0, 3.0),
)
# log10 H-alpha width (Angstrom) of the types E to SB2, and scatter: Kennicutt 1992, figure 10.
HALPHA_WIDTH, HALPHA_SCATTER = (-0.5, 1.1, 1.45, 1.7, 1.9, 2.2), 0.25
OII_HBETA, OII_SCATTER = 0.45, 0.15  # log10 of the flux ratio before dust: Kewley, Geller & Jansen 2004
SII_HALPHA = 0.18  # 6716 line; Kennicutt 1992
DUST_EXPONENT = -0.7  # A(lambda) ~ lambda^-0.7: Charlot & Fall 2000
GAS_DUST = 2.0  # A_V of the gas / A_V of the stars


def wavelengths() -> np.ndarray:
    """Rest-frame vacuum wavelengths (W,) in Angstrom, every 70 km/s."""
    step = SAMPLING / LIGHT_SPEED_KMS
    return RANGE[0] * np.exp(step * np.arange(np.log(RANGE[1] / RANGE[0]) / step))


@lru_cache(maxsize=1)
def _continua() -> tuple[np.ndarray, np.ndarray]:
    """Continua without lines, 1 at 5500 A: ln of the six types (T,W), and the young population (W,)."""
    return np.log(np.stack([_continuum(name) for name in FILES])), _continuum(YOUNG_FILE)


def _continuum(name: str) -> np.ndarray:
    path = files("desc_bpz") / "data_files/SED" / f"{name}.sed"
    with path.open() as stream:
        air, flux = np.loadtxt(stream, unpack=True, usecols=(0, 1))
    wavelength = air * (1 + 2.7763e-4)  # vacuum; accurate to 0.1 A from 3800 to 9000 A (Morton 1991)
    flux_W = np.interp(wavelengths(), wavelength, flux)
    for centre, half in EMISSION:
        inside_W = np.abs(wavelengths() - centre) < half
        flux_W[inside_W] = np.interp(wavelengths()[inside_W], wavelengths()[~inside_W], flux_W[~inside_W])
    if name in NOISY:
        flux_W = gaussian_filter1d(flux_W, NOISY_SIGMA / PIVOT * LIGHT_SPEED_KMS / SAMPLING)
    flux_W = np.maximum(flux_W, 1e-4 * flux_W.max())
    return flux_W / np.interp(PIVOT, wavelengths(), flux_W)


def dust(wavelength: np.ndarray | float, attenuation_v: float) -> np.ndarray:
    """Transmission of dust with A_V = attenuation_v mag."""
    return 10 ** (-0.4 * attenuation_v * (wavelength / PIVOT) ** DUST_EXPONENT)


def stellar(spectral_type: float, young_share: float, attenuation_v: float, dispersion: float) -> Sed:
    """Spectrum of the stars, 1 at 5500 A.

    Args:
        spectral_type: 0 (E) to 5 (SB2); between two types ln flux is interpolated.
        young_share: fraction of the light at 5500 A in a population of 25 Myr, before dust.
        attenuation_v: A_V, mag.
        dispersion: km/s.
    """
    log_TW, young_W = _continua()
    low = min(int(spectral_type), len(FILES) - 2)
    share = spectral_type - low
    wavelength_W = wavelengths()
    flux_W = np.exp((1 - share) * log_TW[low] + share * log_TW[low + 1])
    flux_W = (1 - young_share) * flux_W + young_share * young_W
    flux_W *= _absorption(spectral_type, young_share, dispersion) * dust(wavelength_W, attenuation_v)
    flux_W /= np.interp(PIVOT, wavelength_W, flux_W)
    return Sed(wavelength_W, flux_W, np.empty(0), np.empty(0), dispersion)


def _absorption(spectral_type: float, young_share: float, dispersion: float) -> np.ndarray:
    """Factor (W,) of the absorption lines; the age of the stars follows the type."""
    age = np.clip(spectral_type / 3 + 2 * young_share, 0, 1)
    wavelength_W, depth_W = wavelengths(), np.zeros(wavelengths().size)
    for centre, sigma, old, young in ABSORPTION:
        width = old + age * (young - old)
        sigma = np.hypot(sigma, centre * dispersion / LIGHT_SPEED_KMS)
        low, high = np.searchsorted(wavelength_W, (centre - 5 * sigma, centre + 5 * sigma))
        offset = (wavelength_W[low:high] - centre) / sigma
        depth_W[low:high] += width / (sigma * np.sqrt(2 * np.pi)) * np.exp(-0.5 * offset**2)
    return np.exp(-np.minimum(depth_W, 3))


def emission_widths(
    rng: np.random.Generator, sed: Sed, spectral_type: float, log_mass: float, attenuation_v: float
) -> np.ndarray:
    """Rest-frame equivalent widths (E,) in Angstrom of a galaxy with the stars `sed`.

    H-alpha from the type, metallicity from the mass (slope of Tremonti+2004), [N II] and [O III] from the metallicity
    (Pettini & Pagel 2004, equations 1 and 3), Balmer decrement from dust.
    """
    mean = np.interp(spectral_type, np.arange(len(FILES)), HALPHA_WIDTH)
    halpha = 10 ** (mean + HALPHA_SCATTER * rng.standard_normal())
    oxygen = np.clip(8.85 + 0.25 * (log_mass - 10.5) + 0.1 * rng.standard_normal(), 7.8, 9.0)
    nii = (oxygen - 8.90) / 0.57
    oiii = np.clip((8.73 - oxygen) / 0.32 + nii, -1.0, 0.8)
    if spectral_type < 0.5:  # retired: [N II] / H-alpha of 1 (Cid Fernandes+2011)
        nii, oiii = 0.1 * rng.standard_normal(), 0.2
    oii = OII_HBETA + OII_SCATTER * rng.standard_normal()
    # Fluxes before dust, relative to H-alpha.
    hbeta = 1 / CASE_B["halpha"]
    flux_E = np.array([hbeta * 10**oii, hbeta, hbeta * 10**oiii, 1.0, 10**nii, SII_HALPHA])
    flux_E *= dust(WIDTH_WAVELENGTH_E, GAS_DUST * attenuation_v)
    continuum_E = np.interp(WIDTH_WAVELENGTH_E, sed.wavelength_W, sed.continuum_W)
    flux_E *= halpha * np.interp(HALPHA_WAVE, sed.wavelength_W, sed.continuum_W) / flux_E[3]
    return flux_E / continuum_E


def with_lines(sed: Sed, widths_E: np.ndarray) -> tuple[Sed, np.ndarray]:
    """The spectrum with emission lines, and the line fluxes (E,)."""
    continuum_E = np.interp(WIDTH_WAVELENGTH_E, sed.wavelength_W, sed.continuum_W)
    flux_E, flux_J = line_fluxes(widths_E, continuum_E)
    return replace(sed, line_wavelength_J=LINE_WAVELENGTH_J, line_flux_J=flux_J), flux_E
