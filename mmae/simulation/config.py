"""Options of a simulated survey."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from mmae.core.errors import InputError

VERSION = 3  # increase when the rows of a seed or their splits change: recorded in the provenance


@dataclass(frozen=True)
class Variety:
    """Widths of the priors; standard deviations unless said otherwise."""

    scale: float = 0.0
    """Factor on all widths below. 0: the calibrated simulation; 1: priors that contain the real tables."""
    field_targets: float = 0.25
    """Fraction of targets that are galaxies selected by magnitude only (i = 18 to 24), at any redshift."""
    dust: float = 0.10
    """Mean of additional A_V (exponential), mag."""
    dust_slope: float = 0.3
    """Exponent of wavelength by which the attenuation curve differs from Calzetti+2000 (Noll+2009)."""
    dust_bump: float = 2.0
    """Maximum (uniform) strength of the 2175 A bump, in units of k; 3.5 in the Milky Way."""
    tilt: float = 0.15
    """Tilt of the continuum (age, metallicity), mag per unit of ln wavelength."""
    continuum: float = 0.05
    """Smooth template error at nodes 0.25 apart in ln wavelength, mag."""
    line_strength: float = 0.15
    """Strength of all emission lines, dex."""
    line_ratio: float = 0.15
    """Strength of each element relative to the others (metallicity, excitation), dex."""
    zero_point: float = 0.03
    """Zero point of each band, mag."""
    psf_width: float = 0.20
    """ln of the seeing, common to all bands."""
    psf_beta: float = 0.6
    """Moffat exponent of the seeing."""
    psf_ellipticity: float = 0.04
    """Each component of the ellipticity of the seeing."""
    depth: float = 0.4
    """ln of the sky noise of images, common to all bands; each band has a third of it in addition."""
    sky_correlation: float = 0.05
    """Half width (uniform) of the weight of adjacent pixels in the kernel that correlates the sky noise."""
    off_centre: float = 1.0
    """Offset of the target from the middle of the stamp per axis, pixels."""
    blended: float = 0.10
    """Fraction of targets that overlap with another galaxy of similar brightness."""
    calibration_tilt: float = 0.10
    """Exponent of wavelength by which the flux calibration of a spectrum is wrong."""
    arm_offset: float = 0.05
    """Relative error of the flux scale of each arm."""
    spectrum_depth: float = 0.4
    """ln of the effective exposure time of a spectrum."""

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if not 0 <= value <= 10:  # also false for NaN
                raise InputError(f"variety.{name} is {value!r}; give a number from 0 to 10.")
        for name in ("blended", "field_targets"):
            if getattr(self, name) * self.scale > 1:
                raise InputError(
                    f"variety.{name} is {getattr(self, name)!r}: with scale {self.scale} the fraction is above 1."
                )


@dataclass(frozen=True)
class SimulationConfig:
    """Size of a simulated survey and fractions of its rows with spectrum and redshift."""

    galaxies: int = 6000
    """Number of rows."""
    seed: int = 0
    """Seed of all galaxies and of their noise."""
    paired_fraction: float = 1.0
    """Probability that a row has a spectrum."""
    labelled_fraction: float = 1.0
    """Probability that a row has a redshift."""
    field_density: float = 1.0
    """Density of field galaxies and stars in the images relative to the sky; 0: none."""
    contaminant_fraction: float = 0.0
    """Fraction of rows that are sky fibres, stars, too faint, or have a defect; without redshift. 0: none."""
    variety: Variety = Variety()
    """Deviations of each row from the calibrated simulation; off with variety.scale 0."""

    def __post_init__(self) -> None:
        for name in ("galaxies", "seed"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise InputError(f"{name} is {value!r}; give a whole number of 0 or more.")
        for name in ("paired_fraction", "labelled_fraction", "contaminant_fraction"):
            value = getattr(self, name)
            if not 0 <= value <= 1:  # also false for NaN
                raise InputError(f"{name} is {value!r}; give a number from 0 to 1.")
        if not 0 <= self.field_density <= 10:
            raise InputError(f"field_density is {self.field_density!r}; give a number from 0 to 10.")


def recorded(config: SimulationConfig) -> dict[str, Any]:
    """The options as recorded in the provenance: without those of `variety` and `contaminants` that are off."""
    values = dataclasses.asdict(config)
    if config.variety.scale == 0:
        del values["variety"]
    if config.contaminant_fraction == 0:
        del values["contaminant_fraction"]
    return values


def from_recorded(values: dict[str, Any]) -> SimulationConfig | None:
    """The options of a provenance; None if it is of another version of the simulation."""
    fields = {f.name for f in dataclasses.fields(SimulationConfig)}
    values = {name: value for name, value in values.items() if name in fields}
    if fields - values.keys() - {"variety", "contaminant_fraction"}:
        return None
    try:
        variety = Variety(**values.pop("variety", {}))
    except TypeError:  # other widths
        return None
    return SimulationConfig(**values, variety=variety)
