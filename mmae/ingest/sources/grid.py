"""Options of the pixels and wavelengths of a survey of known sources."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GridConfig:
    """Pixels and wavelengths of the survey, where they are not those of the source's description."""

    image_size: int | None = None
    """Pixels along a side; images are cropped about their centre."""
    pixel_scale: float | None = None
    """Arcsec; images on other pixels are resampled, and the flux is kept."""
    bands: tuple[str, ...] = ()
    """A part of the source's bands."""
    wavelength_start: float | None = None
    """Angstrom, vacuum; spectra on other wavelengths are resampled."""
    wavelength_step: float | None = None
    """Angstrom between two wavelengths."""
    n_wavelengths: int | None = None
    """Number of wavelengths."""
