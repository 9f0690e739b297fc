"""Target population: redshift, magnitude, type, stellar mix, dust, lines and structure of each object.

Target classes as in DESI, mixed so that redshifts and fluxes follow GalaxiesML-Spectra. That data set also
contains earlier redshift surveys of the HSC fields and therefore a larger fraction of bright galaxies than
a flux-limited sample. All random draws use the generator passed in; pixels, noise and instruments are
modelled elsewhere.

Shape suffixes: K templates of `seds.load_templates` (dusty, burst, dusty star-forming, old,
star-forming), E the widths of `lines.LINE_NAMES`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmae.astro.lines import HALPHA
from mmae.simulation.cosmology import distance_modulus
from mmae.simulation.lines import attenuation_from_lines, draw_passive_widths, draw_widths
from mmae.simulation.structure import Structure, draw_early, draw_late


@dataclass(frozen=True)
class TargetClass:
    """A target class: fraction of the survey, redshift distribution and magnitude limits."""

    name: str
    fraction: float
    redshift_centre: float  # median (log-normal) or mean (normal)
    redshift_width: float  # standard deviation, in ln z if log-normal
    redshift_range: tuple[float, float]
    log_normal: bool
    band: str  # of the magnitude
    magnitude_range: tuple[float, float]  # AB, selection limits


# Limits: SDSS main sample (Strauss+2002), DESI BGS (Hahn+2023), LRG (Zhou+2023), ELG (Raichoor+2023)
# and QSO (Chaussidon+2023). Fractions and redshift shapes: fitted by hand to the redshift percentiles
# (5/25/50/75/95%: 0.075 0.162 0.338 0.611 2.320) and the mean pixels of GalaxiesML-Spectra.
MAIN = TargetClass("MAIN", 0.16, 0.105, 0.50, (0.01, 0.30), True, "r", (13.5, 17.77))
BGS = TargetClass("BGS", 0.405, 0.215, 0.52, (0.01, 0.60), True, "r", (15.0, 19.5))
LRG = TargetClass("LRG", 0.240, 0.55, 0.14, (0.35, 1.00), False, "z", (16.5, 21.0))
ELG = TargetClass("ELG", 0.045, 1.05, 0.25, (0.60, 1.60), False, "g", (20.0, 23.2))
QSO = TargetClass("QSO", 0.150, 1.95, 0.75, (0.20, 4.00), False, "r", (17.0, 22.5))
# Not part of the calibrated survey: galaxies selected by magnitude only (`variety`), uniform in i magnitude.
FIELD = TargetClass("FIELD", 0.0, 0.0, 0.0, (0.01, 4.0), False, "i", (18.0, 24.0))
TARGET_CLASSES = (MAIN, BGS, LRG, ELG, QSO)

SCHECHTER_M_STAR, SCHECHTER_ALPHA = -21.2, -1.05  # r band, AB, h = 0.7: Blanton+2003
EVOLUTION_Q = 1.62  # mag of brightening per unit redshift, r band: Blanton+2003
LRG_ABSOLUTE_Z = (-23.3, 0.45)  # mean and scatter, z band; Zhou+2023 luminosity range
COUNT_SLOPE = 0.3  # log10 of the number of ELG and QSO per magnitude, near their limits

# Fraction of the light at 5500 A in each template, adjusted to the colours of zCOSMOS-bright.
OLD_K = np.array([0.05, 0.00, 0.05, 0.88, 0.02])  # spheroids and bulges
QUIET_DISK_K = np.array([0.05, 0.01, 0.27, 0.57, 0.10])  # blueness 0
YOUNG_DISK_K = np.array([0.02, 0.10, 0.38, 0.05, 0.45])  # blueness 1
OLD_CONCENTRATION, DISK_CONCENTRATION = 25.0, 12.0  # of the Dirichlet distribution about these fractions
# log10 H-alpha width (Angstrom) at blueness 0 and 1: retired to starburst (Cid Fernandes+2011; Lee+2009).
# The scatter accounts for H-alpha tracing only the last 10 Myr.
BLUENESS_WIDTH = (0.3, 1.9)
BLUENESS_SCATTER = 0.12
PASSIVE_ATTENUATION = 0.06  # mean A_V of passive galaxies, mag


@dataclass(frozen=True)
class Galaxy:
    """Stars, gas and structure of a galaxy."""

    galaxy_type: str  # passive, star_forming, starburst
    bulge_mixture_K: tuple[float, ...]
    disk_mixture_K: tuple[float, ...]
    attenuation_v: float  # stellar A_V of the disk, mag, Calzetti law; 0 for the bulge
    widths_E: tuple[float, ...]  # rest-frame equivalent widths, Angstrom
    velocity_dispersion: float  # km/s, of stars and gas
    structure: Structure


@dataclass(frozen=True)
class Target:
    """Intrinsic properties of one target. `galaxy` is None for a quasar."""

    target_class: TargetClass
    redshift: float
    magnitude: float  # AB, total, in target_class.band
    absolute_mag_r: float  # accurate to 0.2 mag: mean K corrections
    galaxy: Galaxy | None


def draw_target(rng: np.random.Generator) -> Target:
    """Random object of the survey."""
    fractions = [c.fraction for c in TARGET_CLASSES]
    return draw_class_member(rng, TARGET_CLASSES[rng.choice(len(fractions), p=fractions)])


def draw_class_member(rng: np.random.Generator, target: TargetClass) -> Target:
    """Random object of the given class."""
    redshift = draw_redshift(rng, target)
    magnitude = _draw_magnitude(rng, target, redshift)
    absolute = float(_absolute_r(target, redshift, magnitude))
    if target is QSO:
        return Target(target, redshift, magnitude, absolute, None)
    if rng.random() < _passive_fraction(target, absolute):
        galaxy = draw_passive(rng, absolute, redshift)
    else:
        galaxy = draw_star_forming(rng, absolute, redshift, starburst=target is ELG)
    return Target(target, redshift, magnitude, absolute, galaxy)


def draw_passive(rng: np.random.Generator, absolute_mag_r: float, redshift: float) -> Galaxy:
    """Random passive galaxy."""
    log_mass = _log_mass(absolute_mag_r, red=True)
    mixture_K = tuple(_dirichlet(rng, OLD_K, OLD_CONCENTRATION))
    return Galaxy(
        "passive",
        mixture_K,
        mixture_K,
        min(rng.exponential(PASSIVE_ATTENUATION), 0.5),
        tuple(draw_passive_widths(rng)),
        _velocity_dispersion(rng, absolute_mag_r, red=True),
        draw_early(rng, log_mass, redshift),
    )


def draw_star_forming(
    rng: np.random.Generator, absolute_mag_r: float, redshift: float, starburst: bool = False
) -> Galaxy:
    """Random galaxy with emission lines; the line widths set the age and attenuation of its disk."""
    widths_E = draw_widths(rng, redshift, starburst)
    low, high = BLUENESS_WIDTH
    blueness = (np.log10(widths_E[HALPHA]) - low) / (high - low) + BLUENESS_SCATTER * rng.standard_normal()
    blueness = float(np.clip(blueness, 0, 1))
    disk_K = (1 - blueness) * QUIET_DISK_K + blueness * YOUNG_DISK_K
    return Galaxy(
        "starburst" if starburst else "star_forming",
        tuple(_dirichlet(rng, OLD_K, OLD_CONCENTRATION)),
        tuple(_dirichlet(rng, disk_K, DISK_CONCENTRATION)),
        attenuation_from_lines(widths_E),
        tuple(widths_E),
        _velocity_dispersion(rng, absolute_mag_r, red=False),
        draw_late(rng, _log_mass(absolute_mag_r, red=False), redshift, blueness),
    )


def draw_redshift(rng: np.random.Generator, target: TargetClass) -> float:
    """Random redshift of the class (truncated normal or log-normal)."""
    low, high = target.redshift_range
    while True:
        unit = target.redshift_width * rng.standard_normal()
        centre = target.redshift_centre
        redshift = centre * np.exp(unit) if target.log_normal else centre + unit
        if low <= redshift <= high:
            return float(redshift)


def _draw_magnitude(rng: np.random.Generator, target: TargetClass, redshift: float) -> float:
    bright, faint = target.magnitude_range
    if target in (MAIN, BGS):
        grid = np.linspace(bright, faint, 256)
        luminosity = 10 ** (-0.4 * (_absolute_r(target, redshift, grid) - SCHECHTER_M_STAR))
        density = luminosity ** (SCHECHTER_ALPHA + 1) * np.exp(-luminosity)
        # The floor keeps the distribution defined where L* is fainter than the survey limit.
        cumulative = np.cumsum(density + 1e-12 * np.arange(1, grid.size + 1))
        return float(np.interp(rng.random() * cumulative[-1], cumulative, grid))
    if target is LRG:
        mean, scatter = LRG_ABSOLUTE_Z
        magnitude = mean + distance_modulus(redshift) + scatter * rng.standard_normal()
        return float(np.clip(magnitude, bright, faint - 0.3 * rng.random()))
    share = 10 ** (COUNT_SLOPE * (bright - faint))
    return float(faint + np.log10(share + (1 - share) * rng.random()) / COUNT_SLOPE)


def _absolute_r(target: TargetClass, redshift: float, magnitude: np.ndarray | float) -> np.ndarray | float:
    """Absolute r magnitude (shape of `magnitude`), K and evolution corrected to z = 0.1, accurate to 0.2 mag."""
    # Average galaxy in r: Chilingarian+2010. LRG: the z band is close to rest-frame r. Quasar: a power law
    # of slope -1.5 in lambda, correction 2.5 x 0.5 log10(1 + z).
    k_correction = {"LRG": 0.0, "ELG": 0.0, "QSO": -1.25 * np.log10(1 + redshift)}.get(target.name, redshift)
    return absolute_r(magnitude, redshift, k_correction, 0.0 if target is QSO else EVOLUTION_Q)


def absolute_r(
    magnitude: np.ndarray | float, redshift: float, k_correction: float, evolution: float = EVOLUTION_Q
) -> np.ndarray | float:
    """Absolute magnitude (shape of `magnitude`), K and evolution corrected to z = 0.1.

    Args:
        evolution: mag of brightening per unit redshift.
    """
    return magnitude - distance_modulus(redshift) - k_correction + evolution * (redshift - 0.1)


def _passive_fraction(target: TargetClass, absolute_mag_r: float) -> float:
    if target is LRG:
        return 0.9
    if target is ELG:
        return 0.0
    return passive_share(absolute_mag_r)


def passive_share(absolute_mag_r: float) -> float:
    """Fraction of passive galaxies in a flux-limited sample at an absolute r magnitude."""
    # Increases with luminosity: shape of Baldry+2004, parameters adjusted together with the template fractions.
    # Retired galaxies and LINERs, red but with lines (Cid Fernandes+2011), do not count as passive.
    return 0.08 + 0.72 / (1 + np.exp((absolute_mag_r + 20.9) / 0.55))


def _log_mass(absolute_mag_r: float, red: bool) -> float:
    return 10.5 - 0.4 * (absolute_mag_r + 21.2) + 0.2 * red  # M/L for red and for blue galaxies, Bell+2003


def _velocity_dispersion(rng: np.random.Generator, absolute_mag_r: float, red: bool) -> float:
    """Velocity dispersion in km/s.

    Red galaxies: Faber-Jackson, L ~ sigma^4 (zero point of Bernardi+2003, figure 4). Blue galaxies: about
    half of it, the spread of the gas rotation over a fibre.
    """
    speed = 200.0 * 10 ** (-0.1 * (absolute_mag_r + 22.5))
    return float(np.clip((1.0 if red else 0.55) * speed * rng.lognormal(0, 0.2), 40, 350))


def _dirichlet(rng: np.random.Generator, mean_K: np.ndarray, concentration: float) -> np.ndarray:
    # The Dirichlet distribution is undefined for a mean of 0, hence the minimum of 1e-3.
    return rng.dirichlet(np.maximum(mean_K, 1e-3) * concentration)
