"""Quasar spectra: power law, broad and narrow lines, iron, dust and intergalactic absorption.

Shape suffixes: W rest-frame samples, J lines, H samples of the forest's velocity grid,
Z nodes in absorber redshift, Q quadrature points.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from mmae.astro.lines import LIGHT_SPEED_KMS, LYMAN_ALPHA, NEIII, OII_BLUE, OII_RATIO, OII_RED, OIII_BLUE, OIII_RED
from mmae.simulation.seds import Sed, planck


@dataclass(frozen=True)
class BroadLine:
    """Line of the composite spectrum of Vanden Berk+2001, table 2; rest frame, Angstrom."""

    wavelength: float  # measured in the composite, not the laboratory value
    width: float  # equivalent width
    sigma: float
    baldwin: float  # d ln(width) / d ln(luminosity)
    high_ionisation: bool = False  # shifted by Quasar.blueshift


# Baldwin slopes: C IV -0.17 and Ly-alpha -0.12 from Kinney+1990; none for N V (Vanden Berk+2004). Other
# ultraviolet lines use the Ly-alpha slope, Balmer lines none: both are within the published values.
BROAD_LINES = (
    BroadLine(1033.03, 9.77, 7.76, -0.12, True),  # O VI + Ly-beta
    BroadLine(1216.25, 92.91, 19.46, -0.12),  # Ly-alpha
    BroadLine(1239.85, 1.11, 2.71, 0.0, True),  # N V, in excess of the Ly-alpha wing
    BroadLine(1305.42, 1.66, 5.42, -0.12),  # O I + Si II
    BroadLine(1336.60, 0.69, 3.86, -0.12),  # C II
    BroadLine(1398.33, 8.13, 14.14, -0.12, True),  # Si IV + O IV]
    BroadLine(1546.15, 23.78, 14.33, -0.17, True),  # C IV
    BroadLine(1637.84, 0.51, 3.94, -0.17, True),  # He II
    BroadLine(1664.74, 0.43, 5.30, -0.12),  # O III] + Al II
    BroadLine(1905.97, 21.19, 23.58, -0.12),  # C III] + Si III] + Al III
    BroadLine(2800.26, 32.28, 34.95, -0.12),  # Mg II
    BroadLine(4102.73, 5.05, 18.62, 0.0),  # H-delta
    BroadLine(4346.42, 12.62, 20.32, 0.0),  # H-gamma
    BroadLine(4853.13, 46.21, 40.44, 0.0),  # H-beta
    BroadLine(6564.93, 194.52, 47.39, 0.0),  # H-alpha
)
# Narrow lines: vacuum wavelength (NIST) and equivalent width, Angstrom. Vanden Berk+2001, table 2;
# the [O II] width of 1.56 split as in galaxies.
NARROW_LINES = (
    (OII_BLUE, 1.56 / (1 + OII_RATIO)),
    (OII_RED, 1.56 * OII_RATIO / (1 + OII_RATIO)),
    (NEIII, 1.38),
    (OIII_BLUE, 3.50),
    (OIII_RED, 13.23),
)
FIRST_OXYGEN_LINE = 3  # index of the first [O III] line; [O III] anticorrelates with iron

BREAK_BLUE, BLUE_SLOPE = 1000.0, -0.59  # alpha_nu = -1.41 below 1000 A: Shull+2012
BREAK_RED, RED_SLOPE = 5000.0, 0.45  # includes host light: Vanden Berk+2001, section 4
MEAN_SLOPE, SLOPE_SCATTER = -1.56, 0.25  # Vanden Berk+2001; scatter of Richards+2003
# Absolute magnitude of the composite: median redshift 1.25 and i = 19.
REFERENCE_MAGNITUDE = -25.3
BROAD_SCATTER, NARROW_SCATTER = 0.25, 0.5  # in ln(width), at fixed luminosity (Shen+2011: 0.15-0.3 dex)
WIDTH_SCATTER = 0.2  # in ln(sigma)
BLUESHIFT_SCATTER = 450.0  # km/s about the composite's 560 km/s of C IV (Richards+2011: 0..2000)
NARROW_SIGMA, NARROW_SIGMA_SCATTER = 250.0, 0.25  # km/s, and in ln; 230-360 in Vanden Berk+2001
# Iron blends as Gaussians (centre, sigma, equivalent width): Fe II(2200-3090) / Mg II = 3 (2-6:
# Dietrich+2003), Fe II(4434-4684) / H-beta = 0.4 (Shen & Ho 2014), the 5250 A blend equally strong
# (Boroson & Green 1992). Real blends have structure on scales of 20-50 A.
IRON_BLENDS = ((2500.0, 200.0, 3 * 32.28), (4565.0, 55.0, 0.4 * 46.21), (5250.0, 65.0, 0.4 * 46.21))
IRON_SCATTER, OXYGEN_AGAINST_IRON = 0.4, -1.0  # in ln; eigenvector 1, sign from Boroson & Green 1992
# Balmer continuum of Grandi 1982: fraction of the power law at 3000 A, temperature (K), optical depth, edge (A).
BALMER_SHARE, BALMER_TEMPERATURE, BALMER_DEPTH, BALMER_EDGE = 0.08, 15000.0, 1.0, 3646.0
# Dust of the quasar host: A = 1.39 E(B-V) (lambda / micron)^-1.2, SMC (Prevot+1984), mostly below
# E(B-V) = 0.04 (Hopkins+2004).
DUST_SLOPE, MEAN_ATTENUATION, MAX_ATTENUATION = -1.2, 0.04, 0.4

LYMAN_LIMIT = 911.75
# Higher Lyman lines: wavelength, optical depth at 1 + z = 1 (Madau 1995).
LYMAN_SERIES = ((1025.72, 1.7e-3), (972.54, 1.2e-3), (949.74, 9.3e-4))

# Lognormal forest: tau = A(z) exp(contrast(z) g), with g a Gaussian field with the power spectrum of the
# mock spectra of McDonald+2006 and A(z) solved for the mean transmission. Contrast and smoothing (theirs:
# 2, 5 km/s) are fitted so that the one-dimensional power of the transmission matches BOSS
# (Palanque-Delabrouille+2013, fit) within 20% for 2.2 < z < 3.9, 0.002 < k < 0.02 s/km.
FOREST_STEP = 11.0  # km/s per sample of the random field; the spectrum uses means of FOREST_BINNING samples
FOREST_BINNING = 3
FIELD_AMPLITUDE, FIELD_TURNOVER, FIELD_INDEX = 58.6, 0.001, 0.7  # km/s at k = 0.01 s/km; s/km; dimensionless
FIELD_SMOOTHING = 25.0  # km/s: thermal motion and pressure
CONTRAST, CONTRAST_EVOLUTION = 2.45, -2.6  # at z = 3; exponent of (1 + z) / 4
FOREST_BLUE_END = 3500.0  # observed Angstrom: DESI and the g band have no response below
CONTINUUM_STEP = 200.0  # km/s, outside the forest
REST_RANGE = (600.0, 12000.0)  # Angstrom: g at z = 4 to y at z = 0


@dataclass(frozen=True)
class Quasar:
    """Parameters of a quasar spectrum; line strengths are relative to the composite."""

    slope: float  # f_lambda ~ lambda^slope between 1000 and 5000 A
    luminosity: float  # relative to the composite; sets the Baldwin effect
    line_strength: float  # all broad lines, at fixed luminosity
    line_width: float  # factor on sigma of all broad lines
    blueshift: float  # km/s of the high-ionisation lines, relative to the composite
    iron_strength: float
    narrow_strength: float  # [O II] and [Ne III]
    oxygen_strength: float  # [O III]
    narrow_sigma: float  # km/s
    attenuation_v: float  # A_V in mag, SMC dust


def draw_quasar(rng: np.random.Generator, absolute_magnitude: float) -> Quasar:
    """Random quasar of an absolute AB magnitude of the continuum (r or i: the difference is negligible here)."""
    iron = rng.normal(0, IRON_SCATTER)
    narrow = rng.lognormal(0, NARROW_SCATTER)
    return Quasar(
        slope=rng.normal(MEAN_SLOPE, SLOPE_SCATTER),
        luminosity=10 ** (-0.4 * (absolute_magnitude - REFERENCE_MAGNITUDE)),
        line_strength=rng.lognormal(0, BROAD_SCATTER),
        line_width=rng.lognormal(0, WIDTH_SCATTER),
        blueshift=rng.normal(0, BLUESHIFT_SCATTER),
        iron_strength=np.exp(iron),
        narrow_strength=narrow,
        oxygen_strength=narrow * np.exp(OXYGEN_AGAINST_IRON * iron),
        narrow_sigma=NARROW_SIGMA * rng.lognormal(0, NARROW_SIGMA_SCATTER),
        attenuation_v=min(rng.exponential(MEAN_ATTENUATION), MAX_ATTENUATION),
    )


def quasar_sed(rng: np.random.Generator, quasar: Quasar, redshift: float) -> Sed:
    """Rest-frame spectrum including intergalactic absorption; 1 at 5000 A before lines and dust.

    `rng` draws the Lyman-alpha forest.
    """
    wavelength_W, transmission_W = intergalactic_transmission(rng, redshift)
    continuum_W = emitted_continuum(quasar, wavelength_W)
    continuum_W *= transmission_W * _dust(wavelength_W, quasar)
    narrow_J, width_J = np.array(NARROW_LINES).T
    strength_J = np.where(np.arange(narrow_J.size) < FIRST_OXYGEN_LINE, quasar.narrow_strength, quasar.oxygen_strength)
    flux_J = strength_J * width_J * power_law(quasar, narrow_J) * _dust(narrow_J, quasar)
    return Sed(wavelength_W, continuum_W, narrow_J, flux_J, quasar.narrow_sigma)


def power_law(quasar: Quasar, wavelength: np.ndarray | float) -> np.ndarray:
    """Broken power law, 1 at 5000 A; wavelength in rest-frame Angstrom, any shape."""
    at_blue_break = (BREAK_BLUE / BREAK_RED) ** quasar.slope
    return np.where(
        wavelength < BREAK_BLUE,
        at_blue_break * (wavelength / BREAK_BLUE) ** BLUE_SLOPE,
        (wavelength / BREAK_RED) ** np.where(wavelength < BREAK_RED, quasar.slope, RED_SLOPE),
    )


def line_equivalent_width(quasar: Quasar, line: BroadLine) -> float:
    """Rest-frame equivalent width in Angstrom of a broad line."""
    return quasar.line_strength * line.width * quasar.luminosity**line.baldwin


def emitted_continuum(quasar: Quasar, wavelength_W: np.ndarray) -> np.ndarray:
    """Power law, Balmer continuum, iron and broad lines (W,), before dust and intergalactic absorption."""
    continuum_W = power_law(quasar, wavelength_W)
    continuum_W += quasar.iron_strength * BALMER_SHARE * power_law(quasar, 3000.0) * balmer_continuum(wavelength_W)
    for centre, sigma, width in IRON_BLENDS:
        _add_gaussian(
            continuum_W, wavelength_W, centre, sigma, quasar.iron_strength * width * power_law(quasar, centre)
        )
    for line in BROAD_LINES:
        shift = quasar.blueshift if line.high_ionisation else 0.0
        centre = line.wavelength * (1 - shift / LIGHT_SPEED_KMS)
        _add_gaussian(
            continuum_W,
            wavelength_W,
            centre,
            line.sigma * quasar.line_width,
            line_equivalent_width(quasar, line) * power_law(quasar, centre),
        )
    return continuum_W


def balmer_continuum(wavelength_W: np.ndarray) -> np.ndarray:
    """Shape (W,) of B_lambda(T) (1 - exp(-tau (lambda / 3646)^3)), 1 at 3000 A; Grandi 1982."""

    def shape(wavelength: np.ndarray | float) -> np.ndarray:
        return planck(wavelength, BALMER_TEMPERATURE) * -np.expm1(-BALMER_DEPTH * (wavelength / BALMER_EDGE) ** 3)

    # Redward of the edge the high-order Balmer lines blend into a smooth shoulder.
    shoulder_W = np.exp(-0.5 * np.square(np.maximum(wavelength_W - BALMER_EDGE, 0) / 100.0))
    edge_W = np.minimum(wavelength_W, BALMER_EDGE)
    return shape(edge_W) / shape(3000.0) * shoulder_W


def _add_gaussian(continuum_W: np.ndarray, wavelength_W: np.ndarray, centre: float, sigma: float, area: float) -> None:
    low, high = np.searchsorted(wavelength_W, (centre - 6 * sigma, centre + 6 * sigma))
    offset = (wavelength_W[low:high] - centre) / sigma
    continuum_W[low:high] += area / (sigma * np.sqrt(2 * np.pi)) * np.exp(-0.5 * offset**2)


def _dust(wavelength: np.ndarray, quasar: Quasar) -> np.ndarray:
    return 10 ** (-0.4 * quasar.attenuation_v * (wavelength / 5500.0) ** DUST_SLOPE)


# --- the intergalactic medium -----------------------------------------------------------------


def becker_depth(absorber_redshift: np.ndarray) -> np.ndarray:
    """Effective Lyman-alpha optical depth, -ln <F>: Becker+2013, equation 5 (0 where negative, below z = 1.5)."""
    return np.maximum(0.751 * ((1 + absorber_redshift) / 4.5) ** 2.90 - 0.132, 0)


def lyman_optical_depth(rest_wavelength_W: np.ndarray, redshift: float) -> np.ndarray:
    """Mean effective optical depth (W,) of the intergalactic medium.

    Lyman-alpha: Becker+2013. Higher lines and photoelectric absorption: Madau 1995.
    """
    absorber_W = rest_wavelength_W * (1 + redshift) / LYMAN_ALPHA - 1
    return np.where(rest_wavelength_W < LYMAN_ALPHA, becker_depth(absorber_W), 0) + higher_order_depth(
        rest_wavelength_W, redshift
    )


def higher_order_depth(rest_wavelength_W: np.ndarray, redshift: float) -> np.ndarray:
    """Mean optical depth (W,) of Lyman-beta and higher lines and of the Lyman continuum: Madau 1995."""
    observed_W = rest_wavelength_W * (1 + redshift)
    depth_W = np.zeros(rest_wavelength_W.shape)
    for line, strength in LYMAN_SERIES:
        depth_W += np.where(rest_wavelength_W < line, strength * (observed_W / line) ** 3.46, 0)
    c_W, e = observed_W / LYMAN_LIMIT, 1 + redshift
    limit_W = (
        0.25 * c_W**3 * (e**0.46 - c_W**0.46)
        + 9.4 * c_W**1.5 * (e**0.18 - c_W**0.18)
        - 0.7 * c_W**3 * (c_W**-1.32 - e**-1.32)
        - 0.023 * (e**1.68 - c_W**1.68)
    )
    return depth_W + np.where((rest_wavelength_W < LYMAN_LIMIT) & (c_W > 1), np.maximum(limit_W, 0), 0)


def intergalactic_transmission(rng: np.random.Generator, redshift: float) -> tuple[np.ndarray, np.ndarray]:
    """Transmission of the intergalactic medium along one random line of sight.

    The Lyman-alpha forest fluctuates where it is observable and redward of the Lyman limit; absorption by
    higher lines is the mean. No damped systems, metals or proximity zone.

    Returns:
        wavelength_W in rest-frame Angstrom, every 33 km/s in the forest and every 200 km/s elsewhere;
        transmission_W.
    """
    blue_end = max(LYMAN_LIMIT, FOREST_BLUE_END / (1 + redshift))
    cell = FOREST_BINNING * FOREST_STEP / LIGHT_SPEED_KMS
    # Outside the observable forest the mean is used. The red grid starts at the Lyman-alpha wavelength.
    red_W = _log_grid(LYMAN_ALPHA, REST_RANGE[1])
    if blue_end >= LYMAN_ALPHA:
        blue_W = _log_grid(REST_RANGE[0], LYMAN_ALPHA)
        wavelength_W = np.concatenate([blue_W, red_W])
        return wavelength_W, np.exp(-lyman_optical_depth(wavelength_W, redshift))
    forest_W = LYMAN_ALPHA * np.exp(-cell * np.arange(0.5, np.log(LYMAN_ALPHA / blue_end) / cell)[::-1])
    blue_W = _log_grid(REST_RANGE[0], forest_W[0])
    wavelength_W = np.concatenate([blue_W, forest_W, red_W])
    depth_W = higher_order_depth(wavelength_W, redshift)
    depth_W[: blue_W.size] = lyman_optical_depth(blue_W, redshift)
    transmission_W = np.exp(-depth_W)
    forest = slice(blue_W.size, blue_W.size + forest_W.size)
    transmission_W[forest] *= forest_transmission(rng, forest_W * (1 + redshift) / LYMAN_ALPHA - 1)
    return wavelength_W, transmission_W


def _log_grid(start: float, stop: float) -> np.ndarray:
    """Grid from start to below stop in steps of 200 km/s."""
    return start * np.exp(
        CONTINUUM_STEP / LIGHT_SPEED_KMS * np.arange(np.log(stop / start) * LIGHT_SPEED_KMS / CONTINUUM_STEP)
    )


def forest_transmission(rng: np.random.Generator, absorber_redshift_H: np.ndarray) -> np.ndarray:
    """Lyman-alpha transmission (H,) in cells of 33 km/s along one random line of sight.

    The mean over many lines of sight is exp(-becker_depth) at every redshift.
    """
    size = absorber_redshift_H.size * FOREST_BINNING
    box = 2 ** int(np.ceil(np.log2(size)))  # the field is periodic in the box; the forest uses part of it
    contrast_H = _contrast(absorber_redshift_H)
    depth_H = np.interp(absorber_redshift_H, *_log_depth(box))
    field_HB = _gaussian_field(rng, box)[:size].reshape(-1, FOREST_BINNING)
    return np.exp(-np.exp(depth_H[:, None] + contrast_H[:, None] * field_HB)).mean(axis=1)


def _contrast(absorber_redshift: np.ndarray) -> np.ndarray:
    return CONTRAST * ((1 + absorber_redshift) / 4) ** CONTRAST_EVOLUTION


@lru_cache(maxsize=8)
def _mode_sigma(box: int) -> np.ndarray:
    """Standard deviation of the real and of the imaginary part of each Fourier mode of the field."""
    k = 2 * np.pi * np.fft.rfftfreq(box, FOREST_STEP)  # s/km
    shape = (1 + (0.01 / FIELD_TURNOVER) ** FIELD_INDEX) / (1 + (k / FIELD_TURNOVER) ** FIELD_INDEX)
    power = FIELD_AMPLITUDE * shape * np.exp(-np.square(k * FIELD_SMOOTHING))
    power[0] = 0
    return np.sqrt(power * box / FOREST_STEP / 2)


def _gaussian_field(rng: np.random.Generator, box: int) -> np.ndarray:
    sigma = _mode_sigma(box)
    real, imaginary = rng.standard_normal((2, sigma.size)) * sigma
    return np.fft.irfft(real + 1j * imaginary, box)


@lru_cache(maxsize=8)
def _log_depth(box: int) -> tuple[np.ndarray, np.ndarray]:
    """Absorber redshifts (Z,) and ln A(z) that gives the mean transmission, by bisection."""
    redshift_Z = np.linspace(1.5, 4.5, 61)
    node_Q = np.linspace(-7, 7, 701)
    weight_Q = np.exp(-0.5 * node_Q**2)
    weight_Q /= weight_Q.sum()
    field_sigma = 2 * np.sqrt(np.square(_mode_sigma(box)).sum()) / box
    exponent_ZQ = np.outer(_contrast(redshift_Z) * field_sigma, node_Q)
    wanted_Z = np.exp(-becker_depth(redshift_Z))
    low_Z, high_Z = np.full(redshift_Z.size, -60.0), np.full(redshift_Z.size, 10.0)
    for _ in range(40):
        middle_Z = (low_Z + high_Z) / 2
        too_clear_Z = np.exp(-np.exp(middle_Z[:, None] + exponent_ZQ)) @ weight_Q > wanted_Z
        low_Z, high_Z = np.where(too_clear_Z, middle_Z, low_Z), np.where(too_clear_Z, high_Z, middle_Z)
    return redshift_Z, middle_Z
