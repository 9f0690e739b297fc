"""Which objects there are: redshift, magnitude, spectral mixture, size and shape of each.

Four classes as DESI targets them, mixed so that the redshifts follow those of
GalaxiesML-Spectra. Everything is drawn from the generator that is passed in; nothing
here knows about pixels, noise or instruments.

Shape suffix: K templates of `seds.load_templates` (dusty, burst, dusty star-forming, old,
star-forming).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from astropy.cosmology import Planck18


@dataclass(frozen=True)
class TargetClass:
    """One kind of target: its share of the survey, where in redshift, and how bright."""

    name: str
    fraction: float
    redshift_centre: float  # median (log-normal) or mean (normal)
    redshift_width: float  # standard deviation, in ln z if log-normal
    redshift_range: tuple[float, float]
    log_normal: bool
    band: str  # in which the magnitude is drawn
    magnitude_range: tuple[float, float]  # AB, selection limits


# Magnitude limits: DESI target selection (BGS: Hahn+2023; LRG: Zhou+2023; ELG: Raichoor+2023;
# QSO: Chaussidon+2023). Fractions and redshift shapes: fitted by hand to the redshift
# percentiles of GalaxiesML-Spectra (5/25/50/75/95%: 0.075 0.162 0.338 0.611 2.320).
BGS = TargetClass("BGS", 0.565, 0.180, 0.58, (0.01, 0.60), True, "r", (14.0, 19.5))
LRG = TargetClass("LRG", 0.240, 0.55, 0.14, (0.35, 1.00), False, "z", (16.5, 21.0))
ELG = TargetClass("ELG", 0.045, 1.05, 0.25, (0.60, 1.60), False, "g", (20.0, 23.2))
QSO = TargetClass("QSO", 0.150, 1.95, 0.75, (0.20, 4.00), False, "r", (17.0, 22.5))
TARGET_CLASSES = (BGS, LRG, ELG, QSO)

# Share of each template in the light at 5500 A: Dirichlet concentrations.
RED_MIXTURE_K = (0.4, 0.02, 0.15, 14.0, 0.6)
BLUE_MIXTURE_K = (0.3, 0.25, 2.0, 2.0, 2.0)
STARBURST_MIXTURE_K = (0.1, 1.2, 1.5, 0.3, 4.0)

SCHECHTER_M_STAR, SCHECHTER_ALPHA = -21.2, -1.05  # r band, AB, h = 0.7: Blanton+2003
EVOLUTION_Q = 1.62  # mag of brightening per unit redshift, r band: Blanton+2003
LRG_ABSOLUTE_Z = (-23.3, 0.45)  # mean and scatter, z band; Zhou+2023 luminosity range


@dataclass(frozen=True)
class EmissionLines:
    """Nebular emission of one galaxy; all lines follow from these four numbers."""

    halpha_width: float  # rest-frame equivalent width, Angstrom
    log_n2: float  # log10([N II]6585 / H-alpha): metallicity, or a LINER when high
    balmer_excess: float  # attenuation of H-beta over that of H-alpha, mag
    velocity_dispersion: float  # km/s


@dataclass(frozen=True)
class Quasar:
    """Shape of one quasar's spectrum."""

    slope: float  # f_lambda ~ lambda^slope blueward of 5000 A
    line_strength: float  # all equivalent widths relative to Vanden Berk+2001
    line_width: float  # all line widths relative to Vanden Berk+2001


@dataclass(frozen=True)
class Profile:
    """A Sersic profile on the sky."""

    sersic_index: float
    half_light_radius: float  # arcsec, along the major axis; 0 = point source
    axis_ratio: float
    position_angle: float  # radians, from the x axis


@dataclass(frozen=True)
class Properties:
    """One simulated object as it is, before any instrument."""

    target_class: TargetClass
    redshift: float
    magnitude: float  # AB, total, in target_class.band
    mixture_K: tuple[float, ...]  # template shares in the light at 5500 A; unused for a quasar
    attenuation_v: float  # A_V, mag, Calzetti law
    lines: EmissionLines | None
    quasar: Quasar | None
    profile: Profile
    morphtype: str


@lru_cache(maxsize=1)
def _distance_table() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    # One astropy call per galaxy would cost more than rendering it.
    z = np.geomspace(1e-3, 4.5, 2000)
    kpc_per_arcsec = Planck18.angular_diameter_distance(z).value * 1e3 * np.pi / (180 * 3600)
    return z, Planck18.distmod(z).value, kpc_per_arcsec


def distance_modulus(redshift: float) -> float:
    """m - M in mag, Planck18."""
    z, modulus, _ = _distance_table()
    return float(np.interp(redshift, z, modulus))


def kpc_per_arcsec(redshift: float) -> float:
    """Proper transverse kpc per arcsec, Planck18."""
    z, _, scale = _distance_table()
    return float(np.interp(redshift, z, scale))


def draw_properties(rng: np.random.Generator) -> Properties:
    """One object of the survey."""
    fractions = [c.fraction for c in TARGET_CLASSES]
    return draw_class_member(rng, TARGET_CLASSES[rng.choice(len(fractions), p=fractions)])


def draw_class_member(rng: np.random.Generator, target: TargetClass) -> Properties:
    """One object of the given class."""
    redshift = draw_redshift(rng, target)
    magnitude = _draw_magnitude(rng, target, redshift)
    if target is QSO:
        quasar = Quasar(slope=rng.normal(-1.56, 0.25),  # Vanden Berk+2001, scatter of Richards+2003
                        line_strength=rng.lognormal(0.0, 0.3), line_width=rng.lognormal(0.0, 0.2))
        return Properties(target, redshift, magnitude, (0.0,) * 5, 0.0, None, quasar,
                          Profile(1.0, 0.0, 1.0, 0.0), "PSF")
    red = rng.random() < _red_fraction(target, redshift, magnitude)
    profile = _draw_profile(rng, target, redshift, magnitude, red)
    mixture_K = RED_MIXTURE_K if red else STARBURST_MIXTURE_K if target is ELG else BLUE_MIXTURE_K
    attenuation_v = min(rng.exponential(0.05 if red else 0.2), 1.5)
    return Properties(
        target, redshift, magnitude, tuple(rng.dirichlet(mixture_K)), attenuation_v,
        _draw_lines(rng, target, red, attenuation_v), None, profile,
        _tractor_type(rng, profile),
    )


def draw_redshift(rng: np.random.Generator, target: TargetClass) -> float:
    """A redshift of the class (truncated normal or log-normal)."""
    low, high = target.redshift_range
    while True:
        unit = target.redshift_width * rng.standard_normal()
        centre = target.redshift_centre
        redshift = centre * np.exp(unit) if target.log_normal else centre + unit
        if low <= redshift <= high:
            return float(redshift)


def _draw_magnitude(rng: np.random.Generator, target: TargetClass, redshift: float) -> float:
    bright, faint = target.magnitude_range
    if target is BGS:
        grid = np.linspace(bright, faint, 256)
        luminosity = 10 ** (-0.4 * (_absolute_r(target, redshift, grid) - SCHECHTER_M_STAR))
        density = luminosity ** (SCHECHTER_ALPHA + 1) * np.exp(-luminosity)
        # A floor keeps the draw defined at z where even L* lies beyond the survey limit.
        cumulative = np.cumsum(density + 1e-12 * np.arange(1, grid.size + 1))
        return float(np.interp(rng.random() * cumulative[-1], cumulative, grid))
    if target is LRG:
        mean, scatter = LRG_ABSOLUTE_Z
        magnitude = mean + distance_modulus(redshift) + scatter * rng.standard_normal()
        return float(np.clip(magnitude, bright, faint - 0.3 * rng.random()))
    # Number counts N(<m) ~ 10^(slope m) between the limits.
    slope = 0.3
    share = 10 ** (slope * (bright - faint))
    return float(faint + np.log10(share + (1 - share) * rng.random()) / slope)


def _absolute_r(target: TargetClass, redshift: float,
                magnitude: np.ndarray | float) -> np.ndarray | float:
    """Absolute r magnitude (shape of `magnitude`), K and evolution corrected to z = 0.1, to 0.2 mag."""
    # Average galaxy in r: Chilingarian+2010. For an LRG the z band sees rest-frame r.
    k_correction = redshift if target is BGS else 0.0
    brightening = EVOLUTION_Q * (redshift - 0.1)
    return magnitude - distance_modulus(redshift) - k_correction + brightening


def _red_fraction(target: TargetClass, redshift: float, magnitude: float) -> float:
    if target is LRG:
        return 0.95
    if target is ELG:
        return 0.0
    # The red share rises with luminosity: shape of Baldry+2004.
    return 0.1 + 0.7 / (1 + np.exp((_absolute_r(target, redshift, magnitude) + 21.0) / 0.6))


def _draw_profile(rng: np.random.Generator, target: TargetClass, redshift: float,
                  magnitude: float, red: bool) -> Profile:
    if target is ELG:
        log_mass = rng.normal(10.0, 0.3)  # Raichoor+2023
    else:  # one M/L per colour, Bell+2003
        log_mass = 10.5 - 0.4 * (_absolute_r(target, redshift, magnitude) + 21.2) + 0.2 * red
    # van der Wel+2014, table 1 and equation 3, which begin at z = 0.25; red galaxies flatten
    # below the mass floor.
    growth = np.log10(1 + max(redshift, 0.25))
    if red:
        log_kpc = np.log10(5.6) - 1.48 * growth + 0.75 * (max(log_mass, 10.3) - 10.7)
        log_kpc += 0.12 * rng.standard_normal()
        index = float(np.clip(rng.normal(4.0, 0.8), 2.0, 6.0))
        axis_ratio = float(np.clip(rng.normal(0.72, 0.17), 0.3, 1.0))
    else:
        log_kpc = np.log10(8.9) - 0.75 * growth + 0.22 * (log_mass - 10.7)
        log_kpc += 0.17 * rng.standard_normal()
        index = float(np.clip(rng.lognormal(np.log(1.2), 0.35), 0.6, 3.5))
        axis_ratio = rng.uniform(0.2, 1.0)
    radius = 10**log_kpc / kpc_per_arcsec(redshift)
    return Profile(index, float(np.clip(radius, 0.05, 12.0)), axis_ratio, rng.uniform(0, np.pi))


def _tractor_type(rng: np.random.Generator, profile: Profile) -> str:
    if profile.half_light_radius < 0.4:
        return "REX"  # too small for Tractor to find a shape
    if profile.sersic_index > 3.2 and rng.random() < 0.6:
        return "DEV"
    if profile.sersic_index < 1.5 and rng.random() < 0.7:
        return "EXP"
    return "SER"


def _draw_lines(rng: np.random.Generator, target: TargetClass, red: bool,
                attenuation_v: float) -> EmissionLines:
    # Medians and scatter after DESI BGS and ELG equivalent widths (FastSpecFit, Moustakas+2023).
    if red:
        width, log_n2 = 10 ** rng.normal(-0.2, 0.4), rng.normal(0.05, 0.15)
    elif target is ELG:
        width, log_n2 = 10 ** rng.normal(2.0, 0.25), rng.normal(-0.9, 0.15)
    else:
        width, log_n2 = 10 ** rng.normal(1.35, 0.30), rng.normal(-0.5, 0.15)
    # Nebular gas is 1/0.44 times as reddened as the stars: Calzetti+2000, equation 3.
    balmer_excess = attenuation_v / 4.05 / 0.44 * 1.27
    return EmissionLines(width, min(log_n2, 0.4), balmer_excess,
                         float(np.clip(rng.normal(110, 40), 40, 250)))
