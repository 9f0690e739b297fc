"""Structure of galaxies: bulge and disk profiles by type, mass and redshift."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammainc, gammaincinv

from mmae.simulation.cosmology import kpc_per_arcsec

# van der Wel+2014, table 1 (log R_e / kpc at 5e10 solar masses as A (1+z)^B, slope with mass,
# scatter in dex): early and late types, measured at z > 0.25.
EARLY_SIZE, LATE_SIZE = (5.6, -1.48, 0.75, 0.10), (8.9, -0.75, 0.22, 0.16)
SIZE_MASS = 10.7  # log of 5e10 solar masses
EARLY_MASS_FLOOR = 10.3  # the relation of early types flattens below 2e10 solar masses (figure 8 of the same paper)
SIZE_REDSHIFT_MIN = 0.25
# Bulges of disk galaxies: R_bulge / R_disk of 0.2 to 0.5 (Lackner & Gunn 2012, figure 19).
BULGE_TO_DISK_RADIUS = (0.2, 0.5)
RADIUS_RANGE = (0.05, 12.0)  # arcsec: below the resolution of the images; larger than the cutout
REX_RADIUS = 0.4  # arcsec: at 1.2 arcsec seeing Tractor does not fit a shape below this


@dataclass(frozen=True)
class Profile:
    """Sersic profile on the sky."""

    sersic_index: float
    half_light_radius: float  # arcsec, along the major axis; 0 = point source
    axis_ratio: float
    position_angle: float  # radians, from the x axis towards the y axis


POINT_SOURCE = Profile(1.0, 0.0, 1.0, 0.0)


@dataclass(frozen=True)
class Structure:
    """Bulge and disk of a galaxy; with bulge_fraction 0 or 1 only one of them exists."""

    bulge_fraction: float  # fraction of the rest-frame light at 5500 A
    bulge: Profile
    disk: Profile

    def half_light_radius(self) -> float:
        """Half-light radius of bulge plus disk along the major axis, arcsec; 0 for a point source."""
        if max(self.bulge.half_light_radius, self.disk.half_light_radius) == 0:
            return 0.0
        radius = np.geomspace(0.01, 60.0, 400)
        inside = self.bulge_fraction * light_inside(self.bulge, radius) + (1 - self.bulge_fraction) * light_inside(
            self.disk, radius
        )
        return float(np.interp(0.5, inside, radius))


def light_inside(profile: Profile, radius: np.ndarray) -> np.ndarray:
    """Fraction of the light inside an ellipse of semi-major axis `radius` (arcsec): Graham & Driver 2005, eq. 2."""
    index = 2 * profile.sersic_index
    b = gammaincinv(index, 0.5)
    return gammainc(index, b * (radius / profile.half_light_radius) ** (1 / profile.sersic_index))


def draw_early(rng: np.random.Generator, log_mass: float, redshift: float) -> Structure:
    """Random structure of a passive galaxy: a pure spheroid or a lenticular.

    The fraction of spheroids increases with mass, 0.5 at 1e11 solar masses (Emsellem+2011: most early types
    have a disk, only the most massive do not).
    """
    radius = _radius(rng, EARLY_SIZE, max(log_mass, EARLY_MASS_FLOOR), redshift)
    angle = rng.uniform(0, np.pi)
    # Massive galaxies are more concentrated: n = 3 to 6 (Graham & Driver 2005, section 1).
    index = _sersic_grid(rng.normal(4.0 + 1.0 * (log_mass - 11.0), 0.7), 2.0, 6.0)
    spheroid_share = np.clip(0.5 + 0.5 * (log_mass - 11.0), 0.1, 0.9)
    if rng.random() < spheroid_share:
        bulge = Profile(index, radius, float(np.clip(rng.normal(0.75, 0.14), 0.4, 1.0)), angle)
        return Structure(1.0, bulge, bulge)
    disk_ratio = rng.uniform(0.25, 1.0)
    # A disk of 1.4 R_e plus a bulge of 0.5 R_e have a half-light radius of about R_e.
    bulge = Profile(min(index, 4.0), 0.5 * radius, _bulge_axis_ratio(disk_ratio), angle)
    return Structure(rng.uniform(0.4, 0.8), bulge, Profile(1.0, 1.4 * radius, disk_ratio, angle))


def draw_late(rng: np.random.Generator, log_mass: float, redshift: float, blueness: float) -> Structure:
    """Random structure of a disk galaxy; the bulge fraction increases with mass and decreases with blueness.

    Args:
        blueness: stellar population, 0 (old) to 1 (young).
    """
    radius = _radius(rng, LATE_SIZE, log_mass, redshift)
    angle = rng.uniform(0, np.pi)
    # Thin disks at random inclination: uniform axis ratios down to the disk thickness.
    disk_ratio = rng.uniform(0.2, 1.0)
    # Mean bulge fraction from 0.4 (old, massive) to 0.05 (young): trend of Lackner & Gunn 2012.
    mean = np.clip(0.35 - 0.3 * blueness + 0.1 * (log_mass - 10.5), 0.03, 0.5)
    bulge_fraction = float(rng.beta(6 * mean, 6 * (1 - mean)))
    index = _sersic_grid(rng.normal(2.0 + 3.0 * bulge_fraction, 0.5), 1.0, 4.0)  # pseudo-bulges have low n
    bulge = Profile(index, radius * rng.uniform(*BULGE_TO_DISK_RADIUS), _bulge_axis_ratio(disk_ratio), angle)
    disk_radius = float(np.clip(radius * (1 + 0.5 * bulge_fraction), *RADIUS_RANGE))
    return Structure(bulge_fraction, bulge, Profile(1.0, disk_radius, disk_ratio, angle))


def _radius(
    rng: np.random.Generator, relation: tuple[float, float, float, float], log_mass: float, redshift: float
) -> float:
    """Random half-light radius in arcsec from a size-mass relation."""
    size, growth, slope, scatter = relation
    log_kpc = (
        np.log10(size)
        + growth * np.log10(1 + max(redshift, SIZE_REDSHIFT_MIN))
        + slope * (log_mass - SIZE_MASS)
        + scatter * rng.standard_normal()
    )
    return float(np.clip(10**log_kpc / kpc_per_arcsec(redshift), *RADIUS_RANGE))


def _bulge_axis_ratio(disk_ratio: float) -> float:
    """Axis ratio of a bulge: oblate spheroid of intrinsic ratio 0.6 at the inclination of the disk."""
    return float(np.sqrt(0.36 + 0.64 * disk_ratio**2))


def _sersic_grid(index: float, low: float, high: float) -> float:
    # GalSim profiles are cached per index: steps of 0.5 limit their number.
    return float(np.clip(round(index * 2) / 2, low, high))


def tractor_type(rng: np.random.Generator, structure: Structure) -> str:
    """Morphological type from Tractor in the Legacy Surveys: PSF, REX, EXP, DEV or SER (Dey+2019)."""
    radius = structure.half_light_radius()
    if radius == 0:
        return "PSF"
    if radius < REX_RADIUS:
        return "REX"
    if structure.bulge_fraction > 0.8 and structure.bulge.sersic_index >= 3.5 and rng.random() < 0.6:
        return "DEV"
    if structure.bulge_fraction < 0.15 and rng.random() < 0.7:
        return "EXP"
    return "SER"
