"""Options of a simulated survey."""

from __future__ import annotations

from dataclasses import dataclass

from mmae.core.errors import InputError

VERSION = 3  # increase when the rows of a seed or their splits change: recorded in the provenance


@dataclass(frozen=True)
class SimulationConfig:
    """Size of a simulated survey and fractions of its rows with spectrum and redshift."""

    galaxies: int = 6000
    """Number of rows."""
    seed: int = 0
    paired_fraction: float = 1.0
    """Probability that a row has a spectrum."""
    labelled_fraction: float = 1.0
    """Probability that a row has a redshift."""
    field_density: float = 1.0
    """Density of field galaxies and stars in the images relative to the sky; 0: none."""

    def __post_init__(self) -> None:
        for name in ("galaxies", "seed"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise InputError(f"{name} is {value!r}; give a whole number of 0 or more.")
        for name in ("paired_fraction", "labelled_fraction"):
            value = getattr(self, name)
            if not 0 <= value <= 1:  # also false for NaN
                raise InputError(f"{name} is {value!r}; give a number from 0 to 1.")
        if not 0 <= self.field_density <= 10:
            raise InputError(f"field_density is {self.field_density!r}; give a number from 0 to 10.")
