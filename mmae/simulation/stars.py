"""Field stars of the Milky Way: counts, magnitudes and colours.

Spectra are the solar spectrum (Kurucz, in the BaSeL library: Lejeune+1997) times a ratio of Planck functions
and a smooth factor that reproduces the median colours of the stellar locus, u to J (Covey+2007). Broad-band
colours are those of real dwarfs; lines and bands are solar, at 10-20 A resolution, without TiO: suitable for
images, not for spectra. Not included: giants, white dwarfs, brown dwarfs, binaries, metallicity dependence
of the colours.

Shape suffixes: W rest-frame samples, T points of the locus, B bands u g r i z J, P populations,
D distances, M magnitudes.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files

import numpy as np
import speclite.filters
from scipy.interpolate import CubicSpline

from mmae.simulation.seds import HSC_FILTERS, Sed, planck

SUN_TEMPERATURE = 5777.0  # K, of the model spectrum
LIBRARY_SIZE = 1221  # number of wavelengths in the BaSeL library
REST_RANGE = (3000.0, 14000.0)  # Angstrom: u to J

# Median locus of Covey+2007, every few rows: g-i, u-g, g-r, r-i, i-z (AB) and z-J (J Vega).
LOCUS = (
    (0.26, 1.05, 0.21, 0.06, -0.02, 0.77),
    (0.34, 1.08, 0.26, 0.09, 0.00, 0.80),
    (0.42, 1.09, 0.32, 0.11, 0.01, 0.82),
    (0.50, 1.14, 0.37, 0.13, 0.03, 0.84),
    (0.60, 1.25, 0.44, 0.16, 0.04, 0.87),
    (0.70, 1.40, 0.51, 0.19, 0.06, 0.91),
    (0.80, 1.56, 0.58, 0.21, 0.08, 0.95),
    (0.90, 1.73, 0.66, 0.24, 0.11, 0.98),
    (1.00, 1.90, 0.73, 0.27, 0.12, 1.01),
    (1.20, 2.17, 0.87, 0.32, 0.16, 1.07),
    (1.40, 2.38, 1.02, 0.38, 0.20, 1.10),
    (1.60, 2.53, 1.15, 0.45, 0.24, 1.14),
    (1.80, 2.61, 1.26, 0.54, 0.29, 1.18),
    (2.00, 2.61, 1.35, 0.65, 0.35, 1.21),
    (2.20, 2.61, 1.41, 0.79, 0.43, 1.25),
    (2.40, 2.59, 1.41, 0.98, 0.52, 1.30),
    (2.60, 2.58, 1.41, 1.18, 0.62, 1.35),
    (2.80, 2.62, 1.43, 1.36, 0.72, 1.41),
    (3.00, 2.61, 1.47, 1.52, 0.81, 1.48),
    (3.20, 2.64, 1.52, 1.68, 0.90, 1.54),
    (3.40, 2.60, 1.56, 1.83, 0.99, 1.60),
)
LOCUS_FILTERS = ("sdss2010-u", "sdss2010-g", "sdss2010-r", "sdss2010-i", "sdss2010-z", "twomass-J")
J_AB_OFFSET = 0.91  # J(AB) - J(Vega): Blanton & Roweis 2007
KNOTS = (3550.0, 4700.0, 6170.0, 7480.0, 8930.0, 12350.0)  # Angstrom, central wavelengths of LOCUS_FILTERS

# Galactic structure, Juric+2008, table 10 (lengths in pc): scale height, scale length and local density of the
# thick disk relative to the thin disk; relative density, flattening and power-law index of the halo.
THIN_HEIGHT, THIN_LENGTH = 300.0, 2600.0
THICK_HEIGHT, THICK_LENGTH, THICK_SHARE = 900.0, 3600.0, 0.12
HALO_SHARE, HALO_FLATTENING, HALO_POWER = 0.0051, 0.64, 2.77
SUN_RADIUS, SUN_HEIGHT = 8000.0, 25.0
METALLICITY_P = (-0.2, -0.7, -1.5)  # [Fe/H] of thin disk, thick disk, halo: Ivezic+2008
# Luminosity function of the solar neighbourhood, stars / pc3 / mag in V: Bahcall & Soneira 1980
# (Wielen's counts), constant beyond M_V = 15.
LF_NORM, LF_MAG, LF_BRIGHT, LF_FAINT, LF_SHARPNESS = 4.03e-3, 1.28, 0.74, 0.04, 1 / 3.40
TURN_OFF_P = (2.0, 3.8, 3.8)  # M_V of the main-sequence turn-off of each population
DIRECTION = (237.0, 42.0)  # galactic longitude and latitude: the HSC COSMOS field
MAG_RANGE = (14.0, 26.0)  # i
TYPICAL_RANGE = (17.0, 25.0)  # i, of the random magnitude in `draw_star` if none is given


def star_sed(temperature: float) -> Sed:
    """Spectrum of a dwarf star, 1 at 5500 A, vacuum wavelengths, no separate lines.

    Args:
        temperature: effective temperature in K, clipped to the range of the locus, 3000 to 6700 K.
    """
    log_temperature_T, wavelength_W, log_flux_TW = _spectra()
    place = np.interp(np.log(temperature), log_temperature_T[::-1], np.arange(log_temperature_T.size)[::-1])
    cool = min(int(place), log_temperature_T.size - 2)
    log_flux_W = log_flux_TW[cool] + (place - cool) * (log_flux_TW[cool + 1] - log_flux_TW[cool])
    return Sed(wavelength_W, np.exp(log_flux_W), np.empty(0), np.empty(0), 100.0)


def draw_star(rng: np.random.Generator, magnitude: float | None = None) -> float:
    """Random temperature in K of a star of an i magnitude (AB, HSC) at high galactic latitude.

    Bright stars are turn-off stars of disk and halo, faint stars K and M dwarfs. If no magnitude is given,
    one between 17 and 25 is drawn first.
    """
    if magnitude is None:
        magnitude = draw_star_magnitude(rng, *TYPICAL_RANGE)
    magnitude_M, counts_MT = _counts()
    share_T = np.cumsum(counts_MT[np.abs(magnitude_M - magnitude).argmin()])
    # Scatter by half a locus point: continuous temperatures.
    place = np.searchsorted(share_T, rng.random() * share_T[-1]) + rng.uniform(-0.5, 0.5)
    log_temperature_T = np.log(locus_temperature())
    return float(np.exp(np.interp(place, np.arange(share_T.size), log_temperature_T)))


def draw_star_magnitude(rng: np.random.Generator, bright: float, faint: float) -> float:
    """Random i magnitude (AB, HSC) between two limits, distributed as the counts."""
    magnitude_M, cumulative_M = _cumulative_counts()
    low, high = np.interp((bright, faint), magnitude_M, cumulative_M)
    return float(np.interp(rng.uniform(low, high), cumulative_M, magnitude_M))


def stars_per_square_arcmin(limit_i: float) -> float:
    """Number of stars with 14 < i < limit_i per square arcmin toward the COSMOS field (l = 237, b = 42)."""
    return float(np.interp(limit_i, *_cumulative_counts()))


def locus_temperature() -> np.ndarray:
    """Effective temperature (T,) in K along the locus, decreasing.

    From g-r where g-r < 1.1 (Ivezic+2008, equation 3), from r-z where g-r > 1.3 (M dwarfs, Mann+2015, table 2
    of the 2016 erratum), a weighted mean in between.
    """
    _, _, gr_T, ri_T, iz_T, _ = np.array(LOCUS).T
    warm_T = 10 ** (3.882 - 0.316 * gr_T + 0.0488 * gr_T**2 + 0.0283 * gr_T**3)
    rz_T = ri_T + iz_T
    cool_T = 3500 * (1.547 - 0.7053 * rz_T + 0.3656 * rz_T**2 - 0.1008 * rz_T**3 + 0.01046 * rz_T**4)
    cool_share_T = np.clip((gr_T - 1.1) / 0.2, 0, 1)
    return cool_share_T * cool_T + (1 - cool_share_T) * warm_T


@lru_cache(maxsize=1)
def solar_spectrum() -> tuple[np.ndarray, np.ndarray]:
    """Solar spectrum: wavelength_W (Angstrom) and flux_W (erg/s/cm2/A at the surface).

    BaSeL format (Lejeune+1997): wavelengths in nm, then the parameters of one model, then H_nu, in columns of
    fixed width; f_lambda = 0.4 H_nu c / lambda^2 with c and lambda in nm.
    """
    lines = (files("kcorrect") / "data/basel/lcbsun.ori").read_text().splitlines()
    n_rows = -(-LIBRARY_SIZE // 8)
    wavelength_nm = np.array(" ".join(lines[:n_rows]).split(), float)
    body = "".join(line.ljust(77)[:77] for line in lines[n_rows + 1 :])
    h_nu = np.array([float(body[i : i + 11]) for i in range(0, 11 * LIBRARY_SIZE, 11)])
    return wavelength_nm * 10, 0.4 * h_nu * 2.997925e17 / wavelength_nm**2


@lru_cache(maxsize=1)
def _spectra() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """ln temperature_T, wavelength_W and ln flux_TW (0 at 5500 A) along the locus."""
    sun_wavelength, sun_flux = solar_spectrum()
    wavelength_W = np.arange(*REST_RANGE, 5.0)
    sun_W = np.interp(wavelength_W, sun_wavelength, sun_flux)
    weight_WB = _photon_weights(wavelength_W, LOCUS_FILTERS)
    temperature_T, colour_T5 = locus_temperature(), np.array(LOCUS)[:, 1:] - (0, 0, 0, 0, J_AB_OFFSET)
    wanted_TB = -np.cumsum(np.insert(colour_T5, 0, 0.0, axis=1), axis=1)
    log_flux_TW = np.log(
        sun_W * np.stack([planck(wavelength_W, t) for t in temperature_T]) / planck(wavelength_W, SUN_TEMPERATURE)
    )
    # Natural spline in ln wavelength with one value per band, constant beyond the outer knots.
    spline = CubicSpline(np.log(KNOTS), np.eye(len(KNOTS)), bc_type="natural")
    spline_WB = spline(np.log(np.clip(wavelength_W, KNOTS[0], KNOTS[-1])))
    for _ in range(8):  # the residual decreases tenfold per iteration
        magnitude_TB = -2.5 * np.log10(np.exp(log_flux_TW) @ weight_WB)
        log_flux_TW += 0.4 * np.log(10) * (magnitude_TB - wanted_TB) @ spline_WB.T
    log_flux_TW -= log_flux_TW[:, [np.abs(wavelength_W - 5500.0).argmin()]]
    return np.log(temperature_T), wavelength_W, log_flux_TW


def _photon_weights(wavelength_W: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """Weights (W,B) whose product with f_lambda is f_nu in each band, up to one common constant."""
    curves = speclite.filters.load_filters(*names)
    response_WB = np.stack([np.interp(wavelength_W, c.wavelength, c.response, 0, 0) for c in curves], axis=1)
    weight_WB = response_WB * wavelength_W[:, None]
    return weight_WB / (response_WB / wavelength_W[:, None]).sum(axis=0)


# --- counts -----------------------------------------------------------------------------------


def absolute_r_magnitude(gi: np.ndarray, metallicity: float) -> np.ndarray:
    """M_r (SDSS) of a dwarf star from g-i and [Fe/H]; Ivezic+2008, equations A2 and A7."""
    at_zero = -5.06 + gi * (14.32 + gi * (-12.97 + gi * (6.127 + gi * (-1.267 + gi * 0.0967))))
    return at_zero + 4.50 - 1.11 * metallicity - 0.18 * metallicity**2


def luminosity_function(magnitude_v: np.ndarray) -> np.ndarray:
    """Stars / pc3 / mag near the Sun at M_V; Bahcall & Soneira 1980."""
    offset = np.minimum(magnitude_v, 15.0) - LF_MAG
    fall = (1 + 10 ** (-(LF_BRIGHT - LF_FAINT) * LF_SHARPNESS * offset)) ** (1 / LF_SHARPNESS)
    return LF_NORM * 10 ** (LF_FAINT * offset) / fall


def population_density(distance_D: np.ndarray) -> np.ndarray:
    """Density (P,D) of thin disk, thick disk and halo along DIRECTION, relative to the local thin disk."""
    longitude, latitude = np.radians(DIRECTION)
    in_plane_D = distance_D * np.cos(latitude)
    height_D = distance_D * np.sin(latitude) + SUN_HEIGHT
    radius_D = np.sqrt(SUN_RADIUS**2 + in_plane_D**2 - 2 * SUN_RADIUS * in_plane_D * np.cos(longitude))

    def disk(length: float, scale_height: float) -> np.ndarray:
        return np.exp(-(radius_D - SUN_RADIUS) / length - (np.abs(height_D) - SUN_HEIGHT) / scale_height)

    halo_D = (SUN_RADIUS / np.hypot(radius_D, height_D / HALO_FLATTENING)) ** HALO_POWER
    return np.stack(
        [disk(THIN_LENGTH, THIN_HEIGHT), THICK_SHARE * disk(THICK_LENGTH, THICK_HEIGHT), HALO_SHARE * halo_D]
    )


@lru_cache(maxsize=1)
def _counts() -> tuple[np.ndarray, np.ndarray]:
    """i magnitudes (M,) and stars / mag / arcmin2 at each point of the locus (M,T)."""
    gi_T, _, gr_T, *_ = np.array(LOCUS).T
    hsc_i_minus_r_T = _hsc_i_minus_r()
    magnitude_M = np.arange(MAG_RANGE[0], MAG_RANGE[1] + 0.05, 0.1)
    distance_D = np.geomspace(10.0, 1e5, 800)
    # Volume per step in ln(distance) and square arcmin.
    shell_D = distance_D**3 * np.log(distance_D[1] / distance_D[0]) * np.radians(1 / 60) ** 2
    local_share = 1 + THICK_SHARE + HALO_SHARE
    counts_MT = np.zeros((magnitude_M.size, gi_T.size))
    for density_D, metallicity, turn_off in zip(population_density(distance_D), METALLICITY_P, TURN_OFF_P, strict=True):
        absolute_r_T = absolute_r_magnitude(gi_T, metallicity)
        absolute_v_T = absolute_r_T + gr_T - 0.59 * gr_T - 0.01  # V = g - 0.59 (g - r) - 0.01: Jester+2005
        number_T = luminosity_function(absolute_v_T) * np.abs(np.gradient(absolute_v_T)) / local_share
        number_T[absolute_v_T < turn_off] = 0
        for t, absolute_i in enumerate(absolute_r_T + hsc_i_minus_r_T):
            # At fixed absolute magnitude each distance corresponds to an apparent magnitude.
            apparent_D = absolute_i + 5 * np.log10(distance_D / 10)
            per_mag_D = number_T[t] * density_D * shell_D / (apparent_D[1] - apparent_D[0])
            counts_MT[:, t] += np.interp(magnitude_M, apparent_D, per_mag_D, left=0, right=0)
    return magnitude_M, counts_MT


def _hsc_i_minus_r() -> np.ndarray:
    """i (HSC) - r (SDSS) along the locus (T,), AB."""
    _, wavelength_W, log_flux_TW = _spectra()
    flux = np.exp(log_flux_TW) @ _photon_weights(wavelength_W, (HSC_FILTERS["i"], "sdss2010-r"))
    return -2.5 * np.log10(flux[:, 0] / flux[:, 1])


@lru_cache(maxsize=1)
def _cumulative_counts() -> tuple[np.ndarray, np.ndarray]:
    """i magnitudes (M,) and stars per square arcmin brighter than each (M,)."""
    magnitude_M, counts_MT = _counts()
    density_M = counts_MT.sum(axis=1)
    steps = np.diff(magnitude_M) * (density_M[1:] + density_M[:-1]) / 2
    return magnitude_M, np.concatenate([[0.0], np.cumsum(steps)])
