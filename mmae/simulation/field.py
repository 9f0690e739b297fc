"""Field galaxies and stars around the target of a cutout."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from mmae.simulation.population import FIELD, Galaxy, Target, absolute_r, draw_passive, draw_star_forming, passive_share
from mmae.simulation.sky import SkyObject, behind_dust, galaxy_object, star_object
from mmae.simulation.stars import draw_star, draw_star_magnitude, stars_per_square_arcmin
from mmae.survey.schema import SurveySpec

FIELD_BAND = "i"
BRIGHT, FAINT = 17.0, 25.0  # AB; fainter objects are below the noise of the wide layer
# N(<i) = 46 x 10^(0.31 (i - 25)) galaxies per square arcmin from 23 to 25 (LSST Science Book 2009,
# equation 3.7); slope 0.42 at brighter magnitudes (zCOSMOS-bright, i < 22.5: Lilly+2009).
COUNTS_25, FAINT_SLOPE, BRIGHT_SLOPE, SLOPE_CHANGE = 46.0, 0.31, 0.42, 22.5
TWO_COMPONENT_LIMIT = 23.0  # fainter galaxies get one component: unresolved, and two take twice the time to render
MARGIN = 1.5  # arcsec beyond the cutout: wings of objects outside contribute


@dataclass(frozen=True)
class FieldObject:
    """A field object and its position (x, y in pixels)."""

    sky_object: SkyObject
    centre: tuple[float, float]
    is_star: bool


def galaxies_per_square_arcmin(magnitude: float) -> float:
    """Surface density of galaxies brighter than an i magnitude."""
    if magnitude >= SLOPE_CHANGE:
        return COUNTS_25 * 10 ** (FAINT_SLOPE * (magnitude - 25.0))
    return galaxies_per_square_arcmin(SLOPE_CHANGE) * 10 ** (BRIGHT_SLOPE * (magnitude - SLOPE_CHANGE))


def draw_field(rng: np.random.Generator, spec: SurveySpec, density: float, reddening: float = 0.0) -> list[FieldObject]:
    """All field objects of a cutout.

    Args:
        density: relative to the counts at high galactic latitude; 0: no field objects.
        reddening: Galactic E(B-V), mag.
    """
    side = spec.image_size + 2 * MARGIN / spec.pixel_scale
    area = (side * spec.pixel_scale / 60) ** 2  # square arcmin
    edge = (spec.image_size - 1) / 2

    def draw_position() -> tuple[float, float]:
        return edge + side * (rng.random() - 0.5), edge + side * (rng.random() - 0.5)

    def observed(sky_object: SkyObject, is_star: bool) -> FieldObject:
        return FieldObject(behind_dust(sky_object, reddening), draw_position(), is_star)

    n_galaxies = rng.poisson(density * area * galaxies_per_square_arcmin(FAINT))
    n_stars = rng.poisson(density * area * stars_per_square_arcmin(FAINT))
    return [observed(_field_galaxy(rng, draw_field_magnitude(rng)), False) for _ in range(n_galaxies)] + [
        observed(_field_star(rng), True) for _ in range(n_stars)
    ]


def _field_star(rng: np.random.Generator) -> SkyObject:
    magnitude = draw_star_magnitude(rng, BRIGHT, FAINT)
    return star_object(draw_star(rng, magnitude), FIELD_BAND, magnitude)


def draw_field_target(rng: np.random.Generator) -> Target:
    """A galaxy selected by magnitude only, at the redshifts of that magnitude, as a target of the survey."""
    magnitude = rng.uniform(*FIELD.magnitude_range)
    redshift = draw_field_redshift(rng, magnitude)
    return Target(FIELD, redshift, magnitude, *_draw_galaxy(rng, magnitude, redshift))


def draw_blend(
    rng: np.random.Generator,
    offset: tuple[float, float],
    magnitude: float,
    centre: tuple[float, float],
    spec: SurveySpec,
    reddening: float,
) -> FieldObject:
    """A random galaxy that overlaps with the target.

    Args:
        offset: x and y from the target, arcsec.
        magnitude: i, AB.
        centre: of the target, x and y in pixels.
        reddening: Galactic E(B-V), mag.
    """
    x, y = (c + o / spec.pixel_scale for c, o in zip(centre, offset, strict=True))
    magnitude = min(max(magnitude, BRIGHT), FAINT)
    return FieldObject(behind_dust(_field_galaxy(rng, magnitude), reddening), (x, y), False)


def _field_galaxy(rng: np.random.Generator, magnitude: float) -> SkyObject:
    redshift = draw_field_redshift(rng, magnitude)
    _, galaxy = _draw_galaxy(rng, magnitude, redshift)
    if magnitude > TWO_COMPONENT_LIMIT:
        single = replace(galaxy.structure, bulge_fraction=float(round(galaxy.structure.bulge_fraction)))
        galaxy = replace(galaxy, structure=single)
    return galaxy_object(galaxy, redshift, FIELD_BAND, magnitude)


def _draw_galaxy(rng: np.random.Generator, magnitude: float, redshift: float) -> tuple[float, Galaxy]:
    """Absolute r magnitude of a galaxy of an i magnitude, and a random galaxy of that luminosity."""
    # r - i plus K correction of an average galaxy: about 0.5 mag at the relevant redshifts.
    absolute = absolute_r(magnitude + 0.5, redshift, k_correction=redshift)
    draw = draw_passive if rng.random() < passive_share(absolute) else draw_star_forming
    return absolute, draw(rng, absolute, redshift)


@lru_cache(maxsize=1)
def _counts() -> tuple[np.ndarray, np.ndarray]:
    """i magnitudes and the number of galaxies per square arcmin brighter than each."""
    magnitude = np.linspace(BRIGHT, FAINT, 100)
    return magnitude, np.array([galaxies_per_square_arcmin(m) for m in magnitude])


def draw_field_magnitude(rng: np.random.Generator) -> float:
    """Random i magnitude between BRIGHT and FAINT, distributed as the number counts."""
    magnitude, counts = _counts()
    return float(np.interp(counts[0] + rng.random() * (counts[-1] - counts[0]), counts, magnitude))


def draw_field_redshift(rng: np.random.Generator, magnitude: float) -> float:
    """Random redshift, p(z) ~ z^2 exp(-z / z0), z0 = 0.0417 i - 0.744 (LSST Science Book, equation 3.8; i > 20.5)."""
    scale = 0.0417 * max(magnitude, 20.5) - 0.744
    return float(np.clip(rng.gamma(3.0, scale), 0.01, 4.0))
