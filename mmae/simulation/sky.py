"""Objects on the sky: components with a spectrum and a profile, at observed flux.

A galaxy has a bulge and a disk with separate spectra (hence colour gradients); a quasar or a star is one
point source.

Shape suffixes: C bands, E the widths of `lines.LINE_NAMES`, P components.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mmae.astro.lines import LINE_WAVELENGTH_J, WIDTH_WAVELENGTH_E
from mmae.simulation.dust import galactic_transmission
from mmae.simulation.lines import line_fluxes
from mmae.simulation.population import Galaxy, Target
from mmae.simulation.quasars import draw_quasar, quasar_sed
from mmae.simulation.seds import Sed, ab_magnitude, scaled, stellar_sed
from mmae.simulation.stars import star_sed
from mmae.simulation.structure import POINT_SOURCE, Profile
from mmae.simulation.variety import Draws, spectral_factor, varied_quasar, varied_sed


@dataclass(frozen=True)
class Component:
    """Component of an object: spectrum (observed flux in 1e-17 erg/s/cm2/A) and profile."""

    sed: Sed
    profile: Profile


@dataclass(frozen=True)
class SkyObject:
    """An object: redshift and components."""

    redshift: float
    components: tuple[Component, ...]

    def magnitudes_PC(self, bands: tuple[str, ...]) -> np.ndarray:
        """Total AB magnitudes (P,C) of the components."""
        return np.stack([ab_magnitude(c.sed, self.redshift, bands) for c in self.components])


def total_magnitudes(magnitudes_PC: np.ndarray) -> np.ndarray:
    """AB magnitudes (C,) of the sum of the components; infinite for flux 0."""
    with np.errstate(divide="ignore"):
        return -2.5 * np.log10((10 ** (-0.4 * magnitudes_PC)).sum(axis=0))


def target_object(rng: np.random.Generator, target: Target, draws: Draws = Draws()) -> tuple[SkyObject, np.ndarray]:
    """A target at its magnitude, and its line fluxes (E,) in 1e-17 erg/s/cm2 (NaN for a quasar).

    Both before Galactic dust: targets are selected on dereddened magnitudes.

    Args:
        draws: deviations of the spectrum from the templates.
    """
    if target.galaxy is None:
        quasar = varied_quasar(draw_quasar(rng, target.absolute_mag_r), draws)
        components = (Component(quasar_sed(rng, quasar, target.redshift), POINT_SOURCE),)
        line_flux_E = np.full(len(WIDTH_WAVELENGTH_E), np.nan)
    else:
        components, line_flux_E = galaxy_components(target.galaxy)
        line_flux_E *= spectral_factor(WIDTH_WAVELENGTH_E, target.galaxy.attenuation_v, draws)
    attenuation_v = target.galaxy.attenuation_v if target.galaxy else 0.0
    components = tuple(replace(c, sed=varied_sed(c.sed, attenuation_v, draws)) for c in components)
    factor, scaled_object = at_magnitude(
        SkyObject(target.redshift, components), target.target_class.band, target.magnitude
    )
    return scaled_object, line_flux_E * factor


def galaxy_object(galaxy: Galaxy, redshift: float, band: str, magnitude: float) -> SkyObject:
    """A galaxy at an apparent AB magnitude."""
    components, _ = galaxy_components(galaxy)
    return at_magnitude(SkyObject(redshift, components), band, magnitude)[1]


def star_object(temperature: float, band: str, magnitude: float) -> SkyObject:
    """A star at an apparent AB magnitude."""
    star = SkyObject(0.0, (Component(star_sed(temperature), POINT_SOURCE),))
    return at_magnitude(star, band, magnitude)[1]


def galaxy_components(galaxy: Galaxy) -> tuple[tuple[Component, ...], np.ndarray]:
    """Components of a galaxy (sum 1 at 5500 A) and line fluxes (E,) at that scale.

    Nebular lines are in the disk, with the young stars, or in the bulge if there is no disk.
    """
    structure = galaxy.structure
    parts = []
    if structure.bulge_fraction < 1:
        disk = stellar_sed(galaxy.disk_mixture_K, galaxy.attenuation_v, galaxy.velocity_dispersion)
        parts.append(Component(scaled(disk, 1 - structure.bulge_fraction), structure.disk))
    if structure.bulge_fraction > 0:
        dust = galaxy.attenuation_v if structure.bulge_fraction == 1 else 0.0
        bulge = stellar_sed(galaxy.bulge_mixture_K, dust, galaxy.velocity_dispersion)
        parts.append(Component(scaled(bulge, structure.bulge_fraction), structure.bulge))
    continuum_E = sum(np.interp(WIDTH_WAVELENGTH_E, p.sed.wavelength_W, p.sed.continuum_W) for p in parts)
    flux_E, flux_J = line_fluxes(np.array(galaxy.widths_E), continuum_E)
    with_lines = replace(parts[0].sed, line_wavelength_J=LINE_WAVELENGTH_J, line_flux_J=flux_J)
    return (replace(parts[0], sed=with_lines), *parts[1:]), flux_E


def at_magnitude(sky_object: SkyObject, band: str, magnitude: float) -> tuple[float, SkyObject]:
    """Scale an object to an AB magnitude in a band.

    Returns:
        The factor, which also scales line fluxes (1e-17 erg/s/cm2), and the scaled object.
    """
    current = total_magnitudes(sky_object.magnitudes_PC((band,)))[0]
    factor = float(10 ** (0.4 * (current - magnitude)))
    return factor, scaled_object(sky_object, factor)


def scaled_object(sky_object: SkyObject, factor: float) -> SkyObject:
    """An object with its flux times a factor."""
    components = tuple(replace(c, sed=scaled(c.sed, factor)) for c in sky_object.components)
    return replace(sky_object, components=components)


def behind_dust(sky_object: SkyObject, reddening: float) -> SkyObject:
    """An object with Galactic extinction of E(B-V) = reddening."""
    stretch = 1 + sky_object.redshift

    def dimmed(sed: Sed) -> Sed:
        return replace(
            sed,
            continuum_W=sed.continuum_W * galactic_transmission(sed.wavelength_W * stretch, reddening),
            line_flux_J=sed.line_flux_J * galactic_transmission(sed.line_wavelength_J * stretch, reddening),
        )

    return replace(sky_object, components=tuple(replace(c, sed=dimmed(c.sed)) for c in sky_object.components))
