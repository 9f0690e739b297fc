"""Contaminants: rows of a survey that are not a galaxy or quasar with a usable image and spectrum.

Sky fibres, stars, objects too faint to be seen, and defects of images or spectra. None has a redshift label; the
column `kind` of the truth table says what a row is. Amplitudes are choices, wide enough to be seen: a
few sky lines subtracted badly, trails and columns far above the noise.

Shape suffixes: C bands, H and W image pixels, L wavelength samples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.ndimage import median_filter

from mmae.astro.lines import LIGHT_SPEED_KMS
from mmae.simulation.sky import SkyObject, scaled_object, star_object
from mmae.simulation.stars import draw_star
from mmae.survey.schema import SurveySpec

SKY, STAR, FAINT = "sky", "star", "faint"
SHARES = {SKY: 0.35, STAR: 0.2, FAINT: 0.15}  # of all contaminants; the rest has a defect
STAR_BAND, STAR_MAGNITUDES = "r", (16.0, 22.5)  # AB, uniform
STAR_VELOCITY = 100.0  # km/s, standard deviation: disk and halo stars
# The model spectra have no TiO (`stars`): the coolest star is K7 (Pecaut & Mamajek 2013).
STAR_COOLEST = 4000.0  # K
FAINT_BY = (3.0, 6.0)  # mag, uniform
# Residual of the subtracted sky, in units of the noise: of the lines (standard deviation of one factor for all
# lines), and of the continuum.
LINE_RESIDUAL, CONTINUUM_RESIDUAL, CONTINUUM_WINDOW = 1.0, 0.1, 101  # the last in samples


def draw_kind(rng: np.random.Generator, fraction: float, has_spectrum: bool) -> str | None:
    """Kind of contaminant of a row; None for a galaxy or quasar."""
    if rng.random() >= fraction:
        return None
    chance = rng.random()
    for kind, share in SHARES.items():
        if chance < share:
            return kind
        chance -= share
    return str(rng.choice([*IMAGE_DEFECTS, *(SPECTRUM_DEFECTS if has_spectrum else ())]))


def replaced_object(rng: np.random.Generator, kind: str | None, target: SkyObject) -> SkyObject:
    """What is at the place of the target: nothing, a star, or the target too faint to be seen."""
    if kind == SKY:
        return scaled_object(target, 0.0)
    if kind == STAR:
        temperature = max(draw_star(rng), STAR_COOLEST)
        star = star_object(temperature, STAR_BAND, rng.uniform(*STAR_MAGNITUDES))
        return replace(star, redshift=STAR_VELOCITY / LIGHT_SPEED_KMS * rng.standard_normal())
    if kind == FAINT:
        return scaled_object(target, 10 ** (-0.4 * rng.uniform(*FAINT_BY)))
    return target


def sky_residual(rng: np.random.Generator, ivar_L: np.ndarray) -> np.ndarray:
    """Residual flux (L,) of the subtracted sky: lines too strong or too weak, and a continuum."""
    sigma_L = np.divide(1.0, np.sqrt(ivar_L), out=np.zeros(ivar_L.shape), where=ivar_L > 0)
    between_L = median_filter(sigma_L, CONTINUUM_WINDOW, mode="nearest")
    line_L = np.maximum(sigma_L - between_L, 0)
    lines, level = rng.standard_normal(2) * (LINE_RESIDUAL, CONTINUUM_RESIDUAL)
    return (lines * line_L + level * between_L) * (ivar_L > 0)


def with_image_defect(rng: np.random.Generator, kind: str | None, image_CHW: np.ndarray, spec: SurveySpec):
    """The image with the defect `kind`, if that is a defect of images; (C,H,W) float32."""
    if kind not in IMAGE_DEFECTS:
        return image_CHW
    pattern_HW = IMAGE_DEFECTS[kind](rng, spec.image_size)
    band = rng.integers(len(spec.bands))  # exposures in other bands were taken at other times
    image_CHW = image_CHW.copy()
    image_CHW[band] += (spec.band_noise[band] * pattern_HW).astype(image_CHW.dtype)
    return image_CHW


def with_spectrum_defect(
    rng: np.random.Generator, kind: str | None, flux_L: np.ndarray, ivar_L: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Flux and ivar (L,) with the defect `kind`, if that is a defect of spectra or a sky fibre."""
    if kind == SKY:
        return (flux_L + sky_residual(rng, ivar_L)).astype(flux_L.dtype), ivar_L
    if kind not in SPECTRUM_DEFECTS:
        return flux_L, ivar_L
    flux_L, ivar_L = SPECTRUM_DEFECTS[kind](rng, flux_L, ivar_L)
    return np.where(ivar_L > 0, flux_L, 0).astype(np.float32), ivar_L.astype(np.float32)


# --- defects of images: pattern (H,W) in units of the sky noise, added to one band -------------


def _cosmic_rays(rng: np.random.Generator, size: int) -> np.ndarray:
    pattern_HW = np.zeros((size, size))
    for _ in range(rng.integers(3, 12)):
        length, angle = rng.uniform(1, 0.4 * size), rng.uniform(0, np.pi)
        along = np.arange(0, length, 0.5)
        x, y = rng.uniform(0, size, 2)
        column = (x + along * np.cos(angle)).astype(int)
        row = (y + along * np.sin(angle)).astype(int)
        inside = (column >= 0) & (column < size) & (row < size)
        pattern_HW[row[inside], column[inside]] = 10 ** rng.uniform(1.5, 3)
    return pattern_HW


def _satellite_trail(rng: np.random.Generator, size: int) -> np.ndarray:
    angle, offset = rng.uniform(0, np.pi), rng.uniform(-0.3, 0.3) * size
    y_HW, x_HW = np.indices((size, size)) - (size - 1) / 2
    distance_HW = x_HW * np.sin(angle) - y_HW * np.cos(angle) - offset
    return 10 ** rng.uniform(1, 2.3) * np.exp(-0.5 * (distance_HW / rng.uniform(1.5, 4)) ** 2)


def _bleeding_column(rng: np.random.Generator, size: int) -> np.ndarray:
    pattern_HW = np.zeros((size, size))
    column, width = rng.integers(0, size - 3), rng.integers(1, 4)
    end = rng.integers(size // 2, size + 1)
    pattern_HW[:end, column : column + width] = 10 ** rng.uniform(3, 4)
    return pattern_HW if rng.random() < 0.5 else pattern_HW[::-1]


def _ghost(rng: np.random.Generator, size: int) -> np.ndarray:
    """A pupil image: a ring much larger than objects."""
    y, x = rng.uniform(0, size, 2)
    y_HW, x_HW = np.indices((size, size))
    radius_HW = np.hypot(x_HW - x, y_HW - y)
    outer = rng.uniform(0.3, 0.8) * size
    return 10 ** rng.uniform(0.5, 1.5) * ((radius_HW < outer) & (radius_HW > 0.4 * outer))


# --- defects of spectra ------------------------------------------------------------------------


def _shifted_wavelengths(rng: np.random.Generator, flux_L: np.ndarray, ivar_L: np.ndarray):
    """A wavelength solution that is wrong by 1 to 8% of the range; what is shifted out is lost."""
    shift = int(rng.uniform(0.01, 0.08) * flux_L.size) * rng.choice([-1, 1])
    lost = slice(None, shift) if shift > 0 else slice(shift, None)
    flux_L, ivar_L = np.roll(flux_L, shift), np.roll(ivar_L, shift)
    ivar_L[lost] = 0
    return flux_L, ivar_L


def _swapped_arms(rng: np.random.Generator, flux_L: np.ndarray, ivar_L: np.ndarray):
    third = flux_L.size // 3

    def swapped(value_L: np.ndarray) -> np.ndarray:
        return np.concatenate([value_L[-third:], value_L[third:-third], value_L[:third]])

    return swapped(flux_L), swapped(ivar_L)


def _constant_spectrum(rng: np.random.Generator, flux_L: np.ndarray, ivar_L: np.ndarray):
    return np.full_like(flux_L, np.median(flux_L[ivar_L > 0])), ivar_L


def _saturated_spectrum(rng: np.random.Generator, flux_L: np.ndarray, ivar_L: np.ndarray):
    """Cut at a level that most samples exceed."""
    good_L = ivar_L > 0
    return np.minimum(flux_L, np.quantile(flux_L[good_L], rng.uniform(0.05, 0.3))), ivar_L


IMAGE_DEFECTS: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "cosmic_rays": _cosmic_rays,
    "satellite_trail": _satellite_trail,
    "bleeding_column": _bleeding_column,
    "ghost": _ghost,
}
SPECTRUM_DEFECTS: dict[str, Callable[[np.random.Generator, np.ndarray, np.ndarray], Any]] = {
    "shifted_wavelengths": _shifted_wavelengths,
    "swapped_arms": _swapped_arms,
    "constant_spectrum": _constant_spectrum,
    "saturated_spectrum": _saturated_spectrum,
}
KINDS = ("galaxy", "quasar", *SHARES, *IMAGE_DEFECTS, *SPECTRUM_DEFECTS)
