"""Options of the pixels and wavelengths of a survey of known sources."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GridConfig:
    """Pixels and wavelengths of the survey, if they are to differ from those of the known source."""

    image_size: int | None = None
    """Pixels along a side; images are cropped about their centre."""
    pixel_scale: float | None = None
    """Arcsec per pixel; images with another pixel scale are resampled, and the flux is conserved."""
    bands: tuple[str, ...] = ()
    """Bands to use, of those of the source."""
    wavelength_start: float | None = None
    """Angstrom, vacuum; spectra on other wavelengths are resampled."""
    wavelength_step: float | None = None
    """Angstrom between two wavelengths."""
    n_wavelengths: int | None = None
    """Number of wavelengths."""
