"""Spectral energy distributions: from a galaxy's properties to its light in any band.

Shape suffixes: K templates, W rest-frame samples, L observed wavelength samples,
C bands, J emission lines.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import numpy as np
import speclite.filters
from astropy.io import fits
from scipy.ndimage import median_filter

from mmae.errors import InputError
from mmae.survey.simulation.population import EmissionLines, Properties, Quasar

LIGHT_SPEED = 2.99792458e18  # Angstrom / s
LIGHT_SPEED_KMS = 299792.458
FLUX_UNIT = 1e-17  # erg/s/cm2/A
MIXTURE_WAVELENGTH = 5500.0  # Angstrom, where template shares are counted
REST_WAVELENGTH_MAX = 12000.0  # Angstrom: the y band ends at 10950 and z >= 0

# HSC response (atmosphere, telescope and CCD): Kawanomoto+2018, as shipped by speclite.
HSC_FILTERS = {"g": "hsc2017-g", "r": "hsc2017-r2", "i": "hsc2017-i2",
               "z": "hsc2017-z", "y": "hsc2017-y"}

# Vacuum wavelengths, Angstrom (NIST).
OII_BLUE, OII_RED = 3727.09, 3729.88
HGAMMA, HBETA, OIII_BLUE, OIII_RED = 4341.69, 4862.69, 4960.30, 5008.24
NII_BLUE, HALPHA, NII_RED = 6549.86, 6564.61, 6585.27
SII_BLUE, SII_RED = 6718.29, 6732.67
LINE_WAVELENGTH_J = (OII_BLUE, OII_RED, HGAMMA, HBETA, OIII_BLUE, OIII_RED,
                     NII_BLUE, HALPHA, NII_RED, SII_BLUE, SII_RED)

# Quasar lines: wavelength, rest equivalent width, Gaussian sigma, all Angstrom
# (Vanden Berk+2001, table 2).
QUASAR_BROAD_LINES = (
    (1033.0, 9.8, 7.8), (1216.25, 92.9, 19.5), (1396.8, 8.1, 14.1), (1546.2, 23.8, 14.3),
    (1905.97, 21.2, 23.6), (2800.26, 32.3, 34.95), (4346.4, 12.6, 20.3), (4853.1, 46.2, 40.4),
    (6564.9, 194.5, 47.4),
)
QUASAR_NARROW_LINES = ((OIII_BLUE, 3.5), (OIII_RED, 13.2))  # wavelength, equivalent width
QUASAR_BREAK, QUASAR_RED_SLOPE = 5000.0, 0.45  # Vanden Berk+2001, section 4

LYMAN_ALPHA, LYMAN_LIMIT = 1215.67, 911.75
# Higher Lyman lines: wavelength and optical depth at 1 + z = 1 (Madau 1995).
LYMAN_SERIES = ((1025.72, 1.7e-3), (972.54, 1.2e-3), (949.74, 9.3e-4))


@dataclass(frozen=True)
class Sed:
    """A rest-frame spectrum at arbitrary scale; narrow lines are kept apart as exact Gaussians."""

    wavelength_W: np.ndarray  # Angstrom, vacuum
    continuum_W: np.ndarray  # per Angstrom; broad quasar lines included
    line_wavelength_J: np.ndarray  # Angstrom, vacuum
    line_flux_J: np.ndarray  # integrated, same scale x Angstrom
    line_sigma: float  # km/s


@lru_cache(maxsize=1)
def load_templates() -> tuple[np.ndarray, np.ndarray]:
    """The kcorrect default templates without their emission lines (Blanton & Roweis 2007).

    Their sampling of 257 km/s is too coarse for DESI, so lines are clipped off here
    and added back as Gaussians of the right width in `galaxy_sed`.

    Returns:
        wavelength_W in Angstrom (vacuum), flux_KW per Angstrom, 1 at 5500 A.
    """
    path = files("kcorrect") / "data/templates/kcorrect-default-v4.fits"
    with path.open("rb") as stream, fits.open(stream) as hdus:
        wavelength_W = hdus["FLUX"].data["wave"].ravel().astype(float)
        flux_KW = hdus["FLUX"].data["flux"].reshape(-1, wavelength_W.size).astype(float)
    keep_W = wavelength_W <= REST_WAVELENGTH_MAX
    wavelength_W, flux_KW = wavelength_W[keep_W], flux_KW[:, keep_W]
    for template_W in flux_KW[:3]:  # the other two carry no emission lines
        np.minimum(template_W, 1.02 * median_filter(template_W, 51), out=template_W)
    at_5500_K = [np.interp(MIXTURE_WAVELENGTH, wavelength_W, f) for f in flux_KW]
    return wavelength_W, flux_KW / np.array(at_5500_K)[:, None]


@lru_cache(maxsize=1)
def _calzetti_W() -> np.ndarray:
    """A(lambda) / A_V on the template grid: Calzetti+2000, equation 4, R_V = 4.05."""
    micron_W = load_templates()[0] / 1e4
    # Below 0.12 micron the law is not defined; its value there is kept.
    x_W = 1 / np.maximum(micron_W, 0.12)
    blue_W = 2.659 * (-2.156 + 1.509 * x_W - 0.198 * x_W**2 + 0.011 * x_W**3)
    red_W = 2.659 * (-1.857 + 1.040 * x_W)
    return (np.where(micron_W < 0.63, blue_W, red_W) + 4.05) / 4.05


def build_sed(properties: Properties) -> Sed:
    """The rest-frame spectrum of an object."""
    if properties.quasar is not None:
        return quasar_sed(properties.quasar, properties.redshift)
    return galaxy_sed(properties.mixture_K, properties.attenuation_v, properties.lines)


def galaxy_sed(mixture_K: tuple[float, ...], attenuation_v: float, lines: EmissionLines) -> Sed:
    """Template mixture, dust and nebular lines."""
    wavelength_W, flux_KW = load_templates()
    continuum_W = np.asarray(mixture_K) @ flux_KW * 10 ** (-0.4 * attenuation_v * _calzetti_W())
    halpha = lines.halpha_width * float(np.interp(HALPHA, wavelength_W, continuum_W))
    # Case B at 1e4 K: H-alpha : H-beta : H-gamma = 2.86 : 1 : 0.468 (Osterbrock & Ferland 2006).
    hbeta = halpha / 2.86 * 10 ** (-0.4 * lines.balmer_excess)
    # [O III]/H-beta from [N II]/H-alpha along the local sequence: Kewley+2013.
    # LINERs lie off it, near 2 (Kauffmann+2003).
    log_o3 = 1.1 + 0.61 / (lines.log_n2 + 0.08) if lines.log_n2 < -0.2 else 0.3
    oiii = hbeta * 10**log_o3
    nii = halpha * 10**lines.log_n2
    # [O II] is about as bright as H-alpha before dust: Kewley+2004. Between 3728 A
    # and H-alpha the Calzetti law falls twice as far as between H-beta and H-alpha.
    oii = halpha * 10 ** (-0.4 * 2.0 * lines.balmer_excess)
    sii = 0.35 * halpha
    # Doublets: [O II] low density 1:1.35; [O III] 1:2.98, [N II] 1:3.05 (Storey & Zeippen 2000).
    flux_J = np.array([oii / 2.35, oii * 1.35 / 2.35, 0.468 * hbeta, hbeta, oiii / 2.98, oiii,
                       nii / 3.05, halpha, nii, sii * 1.4 / 2.4, sii / 2.4])
    return Sed(wavelength_W, continuum_W, np.array(LINE_WAVELENGTH_J), flux_J,
               lines.velocity_dispersion)


def quasar_sed(quasar: Quasar, redshift: float) -> Sed:
    """Power law, broad and narrow lines, mean intergalactic absorption."""
    wavelength_W = load_templates()[0]
    ratio_W = wavelength_W / QUASAR_BREAK
    power_W = np.where(ratio_W < 1, ratio_W**quasar.slope, ratio_W**QUASAR_RED_SLOPE)
    continuum_W = power_W.copy()
    for centre, width, sigma in QUASAR_BROAD_LINES:
        sigma = sigma * quasar.line_width
        area = quasar.line_strength * width * np.interp(centre, wavelength_W, power_W)
        continuum_W += (area / (sigma * np.sqrt(2 * np.pi))
                        * np.exp(-0.5 * ((wavelength_W - centre) / sigma) ** 2))
    narrow_J = np.array([line for line, _ in QUASAR_NARROW_LINES])
    flux_J = np.array([w for _, w in QUASAR_NARROW_LINES]) * np.interp(narrow_J, wavelength_W, power_W)
    transmission_W = np.exp(-lyman_optical_depth(wavelength_W, redshift))
    return Sed(wavelength_W, continuum_W * transmission_W, narrow_J,
               quasar.line_strength * flux_J, line_sigma=300.0)


def lyman_optical_depth(rest_wavelength_W: np.ndarray, redshift: float) -> np.ndarray:
    """Mean effective optical depth of the intergalactic medium.

    Lyman-alpha: Becker+2013 (tau = 0.751 ((1+z)/4.5)^2.90 - 0.132, none below
    its zero at z = 1.5). Higher lines and photoelectric absorption: Madau 1995.
    """
    observed_W = rest_wavelength_W * (1 + redshift)
    x_W = observed_W / LYMAN_ALPHA  # 1 + z of the absorber
    alpha_W = np.maximum(0.751 * (x_W / 4.5) ** 2.90 - 0.132, 0)
    depth_W = np.where(rest_wavelength_W < LYMAN_ALPHA, alpha_W, 0.0)
    for line, strength in LYMAN_SERIES:
        depth_W += np.where(rest_wavelength_W < line, strength * (observed_W / line) ** 3.46, 0)
    c_W, e = observed_W / LYMAN_LIMIT, 1 + redshift
    limit_W = (0.25 * c_W**3 * (e**0.46 - c_W**0.46) + 9.4 * c_W**1.5 * (e**0.18 - c_W**0.18)
               - 0.7 * c_W**3 * (c_W**-1.32 - e**-1.32) - 0.023 * (e**1.68 - c_W**1.68))
    return depth_W + np.where((rest_wavelength_W < LYMAN_LIMIT) & (c_W > 1), np.maximum(limit_W, 0), 0)


def observed_flux(sed: Sed, redshift: float, wavelength_L: np.ndarray,
                  instrument_sigma: float = 0.0) -> np.ndarray:
    """Flux density per observed Angstrom on `wavelength_L` (at the scale of the sed).

    Args:
        instrument_sigma: Gaussian line-spread function of the spectrograph, Angstrom.
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
    unknown = [b for b in bands if b not in HSC_FILTERS]
    if unknown:
        raise InputError(f"bands: the simulation has no filter curve for {', '.join(unknown)}; "
                         f"choose from {', '.join(HSC_FILTERS)}.")
    wavelength_L = np.arange(3500.0, 11000.0, 4.0)
    curves = speclite.filters.load_filters(*[HSC_FILTERS[b] for b in bands])
    response_LC = np.stack([np.interp(wavelength_L, c.wavelength, c.response, 0, 0)
                            for c in curves], axis=1)
    weight_LC = response_LC * wavelength_L[:, None]
    reference_C = LIGHT_SPEED * (response_LC / wavelength_L[:, None]).sum(axis=0)
    return wavelength_L, weight_LC / reference_C, response_LC


def ab_magnitude(sed: Sed, redshift: float, bands: tuple[str, ...]) -> np.ndarray:
    """AB magnitudes (C,), photon-counting, of an observed flux in units of 1e-17 erg/s/cm2/A.

    f_nu = sum(lambda f R) / sum(c R / lambda), Blanton & Roweis 2007.
    Narrow lines enter exactly, whatever their place on the grid.
    """
    wavelength_L, weight_LC, _ = _filter_curves(bands)
    stretch = 1 + redshift
    continuum_L = np.interp(wavelength_L / stretch, sed.wavelength_W, sed.continuum_W) / stretch
    f_nu_C = continuum_L @ weight_LC
    step = wavelength_L[1] - wavelength_L[0]
    for c in range(len(bands)):
        at_line_J = np.interp(sed.line_wavelength_J * stretch, wavelength_L, weight_LC[:, c])
        f_nu_C[c] += sed.line_flux_J @ at_line_J / step
    with np.errstate(divide="ignore"):  # no light at all is magnitude infinity
        return -2.5 * np.log10(f_nu_C * FLUX_UNIT) - 48.6


def scale_to_magnitude(sed: Sed, redshift: float, band: str, magnitude: float) -> Sed:
    """The sed, scaled so that its observed flux (1e-17 erg/s/cm2/A) has this AB magnitude."""
    current = ab_magnitude(sed, redshift, (band,))[0]
    factor = 10 ** (0.4 * (current - magnitude))
    return Sed(sed.wavelength_W, sed.continuum_W * factor, sed.line_wavelength_J,
               sed.line_flux_J * factor, sed.line_sigma)


@lru_cache(maxsize=4)
def electrons_per_second(bands: tuple[str, ...], collecting_area: float) -> np.ndarray:
    """Detected electrons per second (C,) from a flat-f_nu source of AB magnitude 0.

    Args:
        collecting_area: cm2.
    """
    wavelength_L, _, response_LC = _filter_curves(bands)
    planck = 6.62607015e-27  # erg s
    photons_C = (response_LC / wavelength_L[:, None]).sum(axis=0) * (wavelength_L[1] - wavelength_L[0])
    return 10 ** (-0.4 * 48.6) / planck * photons_C * collecting_area
