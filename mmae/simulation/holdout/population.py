"""Galaxies of the hold-out simulation: redshift, magnitude, spectral type, structure.

Three classes with the names of the main simulation's: BGS (to r = 19.5), LRG and ELG. No quasars.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmae.simulation.cosmology import distance_modulus, kpc_per_arcsec
from mmae.simulation.holdout.images import Light
from mmae.simulation.holdout.templates import LAST_TYPE

SHARES = {"BGS": 0.65, "LRG": 0.22, "ELG": 0.13}
BANDS = {"BGS": "r", "LRG": "z", "ELG": "g"}  # of the magnitude
# BGS: counts of a Euclidean universe; p(z | r) ~ z^2 exp(-(1.412 z / z_m)^1.5) (Efstathiou+1991) with the
# medians z_m of surveys to r = 17.77 (0.10: SDSS) and to 19.5 (0.19: DESI).
BGS_RANGE, COUNT_SLOPE = (14.0, 19.5), 0.5
MEDIAN_REDSHIFT, MEDIAN_AT, MEDIAN_SLOPE = 0.10, 17.77, 0.16  # the last in dex per mag
LRG_REDSHIFTS, LRG_MAGNITUDES = (0.4, 1.0), (17.8, 20.5)  # the second at the ends of the first
ELG_REDSHIFTS, ELG_MAGNITUDES = (0.6, 1.5), (21.0, 23.2)
MAGNITUDE_SCATTER = 0.35  # of LRGs about the line between the ends
# Sizes in kpc at absolute magnitude M (r): Shen+2003, table 1, and their scatter in ln R at L*; evolution with
# (1+z)^-0.8 (van Dokkum+2013 for late types: -0.7).
EARLY_SLOPE, EARLY_ZERO = 0.60, -4.63
LATE_ALPHA, LATE_BETA, LATE_GAMMA, LATE_MAGNITUDE = 0.26, 0.51, -1.71, -20.91
SIZE_SCATTER, SIZE_EVOLUTION = 0.3, -0.8
SMALLEST = 0.05  # arcsec


@dataclass(frozen=True)
class Part:
    """A component: fraction of the light at 5500 A, profile and stars."""

    share: float
    light: Light
    spectral_type: float
    young_share: float
    attenuation_v: float


@dataclass(frozen=True)
class Drawn:
    """A galaxy; emission lines are in the last of its parts."""

    target_class: str
    redshift: float
    magnitude: float  # AB, total, before Galactic dust
    absolute_mag_r: float  # accurate to 0.3 mag
    log_mass: float
    dispersion: float  # km/s
    shape: str  # elliptical, disk, spiral, irregular
    radius: float  # half-light radius, arcsec
    parts: tuple[Part, ...]


def draw(rng: np.random.Generator) -> Drawn:
    """A random galaxy of the survey."""
    name = str(rng.choice(list(SHARES), p=list(SHARES.values())))
    redshift, magnitude = {"BGS": _draw_bgs, "LRG": _draw_lrg, "ELG": _draw_elg}[name](rng)
    # Mean K correction in r: z for galaxies in r (Chilingarian+2010), about 0 between adjacent rest bands.
    absolute = magnitude - distance_modulus(redshift) - (redshift if name == "BGS" else 0.0)
    spectral_type = _draw_type(rng, name, absolute)
    early = spectral_type < 0.5
    log_mass = 10.6 - 0.4 * (absolute + 21) + (0.25 if early else -0.1 * spectral_type)
    radius = _draw_radius(rng, absolute, redshift, early)
    dispersion = float(np.clip(180 * 10 ** (0.25 * (log_mass - 10.8)) * rng.lognormal(0, 0.15), 50, 330))
    shape, parts = _draw_parts(rng, spectral_type, radius)
    return Drawn(
        name, float(redshift), float(magnitude), float(absolute), float(log_mass), dispersion, shape, radius, parts
    )


def _draw_bgs(rng: np.random.Generator) -> tuple[float, float]:
    bright, faint = BGS_RANGE
    share = 10 ** (COUNT_SLOPE * (bright - faint))
    magnitude = faint + np.log10(share + (1 - share) * rng.random()) / COUNT_SLOPE
    median = MEDIAN_REDSHIFT * 10 ** (MEDIAN_SLOPE * (magnitude - MEDIAN_AT))
    # x = (1.412 z / z_m)^1.5 has a gamma distribution of shape 2.
    redshift = median / 1.412 * rng.gamma(2.0) ** (1 / 1.5)
    return float(np.clip(redshift, 0.01, 0.6)), float(magnitude)


def _draw_lrg(rng: np.random.Generator) -> tuple[float, float]:
    redshift = rng.uniform(*LRG_REDSHIFTS)
    return redshift, np.interp(redshift, LRG_REDSHIFTS, LRG_MAGNITUDES) + MAGNITUDE_SCATTER * rng.standard_normal()


def _draw_elg(rng: np.random.Generator) -> tuple[float, float]:
    return rng.uniform(*ELG_REDSHIFTS), rng.uniform(*ELG_MAGNITUDES)


def _draw_type(rng: np.random.Generator, target_class: str, absolute: float) -> float:
    """Spectral type: 0 (E) to 5 (SB2)."""
    if target_class == "LRG":
        return float(min(rng.exponential(0.2), 1.0))
    if target_class == "ELG":
        return float(rng.uniform(2.3, LAST_TYPE))
    early_share = 0.1 + 0.6 / (1 + np.exp((absolute + 21.0) / 0.5))  # increases with luminosity: Baldry+2004
    if rng.random() < early_share:
        return float(rng.uniform(0, 0.5))
    # Luminous spirals are early ones; dwarfs are irregular.
    return float(np.clip(rng.normal(2.0 + 0.4 * (absolute + 20), 0.9), 0.5, LAST_TYPE))


def _draw_radius(rng: np.random.Generator, absolute: float, redshift: float, early: bool) -> float:
    if early:
        log_kpc = -0.4 * EARLY_SLOPE * absolute + EARLY_ZERO
    else:
        log_kpc = (
            -0.4 * LATE_ALPHA * absolute
            + (LATE_BETA - LATE_ALPHA) * np.log10(1 + 10 ** (-0.4 * (absolute - LATE_MAGNITUDE)))
            + LATE_GAMMA
        )
    kpc = 10**log_kpc * rng.lognormal(0, SIZE_SCATTER) * (1 + redshift) ** SIZE_EVOLUTION
    return float(np.clip(kpc / kpc_per_arcsec(redshift), SMALLEST, 10.0))


def _draw_parts(rng: np.random.Generator, spectral_type: float, radius: float) -> tuple[str, tuple[Part, ...]]:
    """Shape and components; parts of a galaxy have different colours."""
    angle = rng.uniform(0, np.pi)
    attenuation_v = float(min(rng.exponential(0.05 if spectral_type < 0.5 else 0.3), 1.5))
    young = float(rng.uniform(0, 0.04 * spectral_type))
    if spectral_type < 0.5:
        light = Light(rng.uniform(2.5, 6.0), radius, rng.uniform(0.5, 1.0), angle)
        return "elliptical", (Part(1.0, light, spectral_type, 0.0, attenuation_v),)
    ratio = float(np.hypot(0.18, np.cos(np.arccos(rng.random())) * np.sqrt(1 - 0.18**2)))  # thickness 0.18
    disk = Light(1.0, radius, ratio, angle)
    if spectral_type > 2.5 and rng.random() < 0.7:
        clump_share = rng.uniform(0.2, 0.6)
        clumps = Light(1.0, radius, ratio, angle, clumps=_draw_clumps(rng, disk))
        return "irregular", (
            Part(1 - clump_share, disk, max(spectral_type - 0.5, 0.0), 0.0, attenuation_v),
            Part(clump_share, clumps, min(spectral_type + 0.5, LAST_TYPE), young, attenuation_v),
        )
    bulge_share = float(np.clip(rng.normal(0.4 - 0.15 * spectral_type, 0.12), 0.0, 0.7))
    bulge = Light(rng.uniform(1.0, 4.0), radius * rng.uniform(0.15, 0.4), max(ratio, 0.6), angle)
    old = Part(bulge_share, bulge, min(0.4 * spectral_type, 0.8), 0.0, 0.5 * attenuation_v)
    arms = rng.random() < 0.7
    arm_share = (1 - bulge_share) * (rng.uniform(0.3, 0.7) if arms else 0.0)
    stars = Part(1 - bulge_share - arm_share, disk, spectral_type, 0.5 * young, attenuation_v)
    if not arms:
        return "disk", (old, stars)
    spiral = Light(1.0, radius, ratio, angle, arms=(np.tan(np.radians(rng.uniform(10, 30))), rng.uniform(0, 2 * np.pi)))
    blue = Part(arm_share, spiral, min(spectral_type + 0.4, LAST_TYPE), young, attenuation_v)
    return "spiral", (old, stars, blue)


def _draw_clumps(rng: np.random.Generator, disk: Light) -> tuple[tuple[float, float, float, float], ...]:
    """Star-forming clumps in an exponential disk: x, y, sigma in arcsec, and their fractions of the light."""
    n = int(rng.integers(3, 9))
    r = rng.gamma(2.0, disk.radius / 1.678, n)  # scale length = half-light radius / 1.678
    phi = rng.uniform(0, 2 * np.pi, n)
    along, across = r * np.cos(phi), r * np.sin(phi) * disk.axis_ratio
    x = along * np.cos(disk.angle) - across * np.sin(disk.angle)
    y = along * np.sin(disk.angle) + across * np.cos(disk.angle)
    sigma = np.clip(rng.uniform(0.05, 0.2, n) * disk.radius, 0.04, None)
    share = rng.dirichlet(np.ones(n))
    return tuple(zip(x.tolist(), y.tolist(), sigma.tolist(), share.tolist(), strict=True))
