"""Spectral energy distributions: templates, dust, lines, and magnitudes in any band.

Shape suffixes: K templates, W rest-frame samples, L observed wavelength samples,
C bands, J emission lines.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files

import numpy as np
import speclite.filters
from astropy.io import fits
from astropy.table import Table
from scipy.integrate import cumulative_trapezoid
from scipy.ndimage import gaussian_filter1d, median_filter

from mmae.astro.lines import LIGHT_SPEED_KMS
from mmae.core.errors import InputError
from mmae.simulation.dust import transmission

LIGHT_SPEED = 2.99792458e18  # Angstrom / s
RADIATION_CONSTANT = 1.43878e8  # h c / k, Angstrom K
FLUX_UNIT = 1e-17  # erg/s/cm2/A
MIXTURE_WAVELENGTH = 5500.0  # Angstrom, where template fractions and bulge fractions are defined
REST_WAVELENGTH_MAX = 12000.0  # Angstrom: the y band ends at 10950 and z >= 0

# HSC response (atmosphere, telescope and CCD): Kawanomoto+2018, from speclite.
HSC_FILTERS = {"g": "hsc2017-g", "r": "hsc2017-r2", "i": "hsc2017-i2", "z": "hsc2017-z", "y": "hsc2017-y"}
# Suprime-Cam in COSMOS (Capak+2007), from kcorrect: for comparison with zCOSMOS.
# Names in speclite, for comparison with SDSS (Doi+2010) and the Legacy Surveys (Dey+2019).
OTHER_FILTERS, U_BAND = ("sdss2010-", "decam2014-"), "sdss2010-u"
SUBARU_FILTERS = {f"subaru_{band}": f"capak_subaru_suprimecam_{band}.dat" for band in "griz"}


@dataclass(frozen=True)
class Sed:
    """Rest-frame spectrum of arbitrary scale; narrow lines are stored separately as exact Gaussians."""

    wavelength_W: np.ndarray  # Angstrom, vacuum
    continuum_W: np.ndarray  # per Angstrom; includes broad quasar lines
    line_wavelength_J: np.ndarray  # Angstrom, vacuum
    line_flux_J: np.ndarray  # integrated flux, same scale x Angstrom
    line_sigma: float  # km/s


@lru_cache(maxsize=1)
def load_templates() -> tuple[np.ndarray, np.ndarray]:
    """The kcorrect default templates without their emission lines (Blanton & Roweis 2007).

    Their sampling of 257 km/s is too coarse for DESI: lines are clipped here and added as exact Gaussians
    (`lines`).

    Returns:
        wavelength_W in Angstrom (vacuum); flux_KW per Angstrom, 1 at 5500 A.
    """
    path = files("kcorrect") / "data/templates/kcorrect-default-v4.fits"
    with path.open("rb") as stream, fits.open(stream) as hdus:
        wavelength_W = hdus["FLUX"].data["wave"].ravel().astype(float)
        flux_KW = hdus["FLUX"].data["flux"].reshape(-1, wavelength_W.size).astype(float)
    keep_W = wavelength_W <= REST_WAVELENGTH_MAX
    wavelength_W, flux_KW = wavelength_W[keep_W], flux_KW[:, keep_W]
    for template_W in flux_KW[:3]:  # the other two have no emission lines
        np.minimum(template_W, 1.02 * median_filter(template_W, 51), out=template_W)
    at_5500_K = [np.interp(MIXTURE_WAVELENGTH, wavelength_W, f) for f in flux_KW]
    return wavelength_W, flux_KW / np.array(at_5500_K)[:, None]


def stellar_sed(mixture_K: tuple[float, ...], attenuation_v: float, velocity_dispersion: float) -> Sed:
    """Stellar continuum without lines: template mixture, dust and velocity dispersion; 1 at 5500 A.

    Args:
        mixture_K: fractions of the light at 5500 A before dust.
        attenuation_v: A_V in mag.
        velocity_dispersion: km/s. The templates have no structure below their sampling of 257 km/s.
    """
    wavelength_W, flux_KW = load_templates()
    continuum_W = np.asarray(mixture_K) @ flux_KW * transmission(wavelength_W, attenuation_v)
    sampling = LIGHT_SPEED_KMS * np.log(wavelength_W[1] / wavelength_W[0])
    continuum_W = gaussian_filter1d(continuum_W, velocity_dispersion / sampling, mode="nearest")
    return normalised(Sed(wavelength_W, continuum_W, np.empty(0), np.empty(0), velocity_dispersion))


def normalised(sed: Sed) -> Sed:
    """The SED with a continuum of 1 at 5500 A, rest frame."""
    return scaled(sed, 1 / np.interp(MIXTURE_WAVELENGTH, sed.wavelength_W, sed.continuum_W))


def scaled(sed: Sed, factor: float) -> Sed:
    """The SED times a factor."""
    return replace(sed, continuum_W=sed.continuum_W * factor, line_flux_J=sed.line_flux_J * factor)


def observed_flux(sed: Sed, redshift: float, wavelength_L: np.ndarray, instrument_sigma: float = 0.0) -> np.ndarray:
    """Flux density (L,) per observed Angstrom on `wavelength_L`, at the scale of the SED.

    Args:
        instrument_sigma: sigma of the Gaussian line-spread function, Angstrom.
    """
    stretch = 1 + redshift
    flux_L = np.interp(wavelength_L / stretch, sed.wavelength_W, sed.continuum_W) / stretch
    for line, flux in zip(sed.line_wavelength_J, sed.line_flux_J, strict=True):
        centre = line * stretch
        sigma = np.hypot(centre * sed.line_sigma / LIGHT_SPEED_KMS, instrument_sigma)
        low, high = np.searchsorted(wavelength_L, (centre - 6 * sigma, centre + 6 * sigma))
        offset = (wavelength_L[low:high] - centre) / sigma
        flux_L[low:high] += flux / (sigma * np.sqrt(2 * np.pi)) * np.exp(-0.5 * offset**2)
    return flux_L


@lru_cache(maxsize=4)
def _filter_curves(bands: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """wavelength_L (Angstrom), weights (L,C) whose product with f_lambda is f_nu, and response (L,C)."""
    start = 2900.0 if U_BAND in bands else 3500.0
    wavelength_L = np.arange(start, 11000.0, 4.0)
    response_LC = np.stack([np.interp(wavelength_L, *_curve(band), 0, 0) for band in bands], axis=1)
    weight_LC = response_LC * wavelength_L[:, None]
    reference_C = LIGHT_SPEED * (response_LC / wavelength_L[:, None]).sum(axis=0)
    return wavelength_L, weight_LC / reference_C, response_LC


def _curve(band: str) -> tuple[np.ndarray, np.ndarray]:
    """Wavelength (Angstrom) and response of a filter."""
    if band in HSC_FILTERS:
        curve = speclite.filters.load_filter(HSC_FILTERS[band])
        return curve.wavelength, curve.response
    if band in SUBARU_FILTERS:
        path = files("kcorrect") / "data/responses" / SUBARU_FILTERS[band]
        table = Table.read(path.read_text(), format="ascii.fixed_width", comment="#")
        return table["lambda"], table["pass"]
    if band.startswith(OTHER_FILTERS):
        curve = speclite.filters.load_filter(band)
        return curve.wavelength, curve.response
    raise InputError(f"bands: the simulation has no filter curve for {band}; available: {', '.join(HSC_FILTERS)}.")


def ab_magnitude(sed: Sed, redshift: float, bands: tuple[str, ...]) -> np.ndarray:
    """Photon-counting AB magnitudes (C,) of an observed flux in units of 1e-17 erg/s/cm2/A.

    f_nu = sum(lambda f R) / sum(c R / lambda), Blanton & Roweis 2007. The flux of narrow lines is exact,
    independent of their position on the grid.
    """
    wavelength_L, weight_LC, _ = _filter_curves(bands)
    stretch = 1 + redshift
    step = wavelength_L[1] - wavelength_L[0]
    # Mean over each step of the filter grid from the integral: the Lyman-alpha forest is sampled more finely.
    edge = np.append(wavelength_L - step / 2, wavelength_L[-1] + step / 2) / stretch
    integral_W = cumulative_trapezoid(sed.continuum_W, sed.wavelength_W, initial=0)
    continuum_L = np.diff(np.interp(edge, sed.wavelength_W, integral_W)) / step
    f_nu_C = continuum_L @ weight_LC
    for c in range(len(bands)):
        at_line_J = np.interp(sed.line_wavelength_J * stretch, wavelength_L, weight_LC[:, c])
        f_nu_C[c] += sed.line_flux_J @ at_line_J / step
    with np.errstate(divide="ignore"):  # zero flux gives magnitude infinity
        return -2.5 * np.log10(f_nu_C * FLUX_UNIT) - 48.6


def planck(wavelength: np.ndarray | float, temperature: float) -> np.ndarray | float:
    """Shape of B_lambda(T) at arbitrary scale; wavelength in Angstrom, temperature in K."""
    return wavelength**-5.0 / np.expm1(RADIATION_CONSTANT / (wavelength * temperature))


@lru_cache(maxsize=4)
def electrons_per_second(bands: tuple[str, ...], collecting_area: float) -> np.ndarray:
    """Detected electrons per second (C,) from a source of flat f_nu and AB magnitude 0.

    Args:
        collecting_area: cm2.
    """
    wavelength_L, _, response_LC = _filter_curves(bands)
    planck_constant = 6.62607015e-27  # erg s
    photons_C = (response_LC / wavelength_L[:, None]).sum(axis=0) * (wavelength_L[1] - wavelength_L[0])
    return 10 ** (-0.4 * 48.6) / planck_constant * photons_C * collecting_area
