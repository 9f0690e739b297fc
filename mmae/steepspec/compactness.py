"""Classification of radio sources as compact or extended at the resolution of the survey.

A point source has equal integrated and peak flux and the fitted size of the beam; both are tested
against their errors. Pulsars are point sources.

Suffix: N sources.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mmae.core.errors import InputError
from mmae.steepspec.arrays import columns

COMPACT, EXTENDED, UNKNOWN = "compact", "extended", "unknown"


@dataclass(frozen=True)
class CompactnessSettings:
    """Settings of the test."""

    sigma: float = 3.0
    """Minimum significance of either measure of an extended source."""
    agree_sigma: float = 1.0
    """Minimum significance of the other measure, if known: protects against failed fits."""
    systematic: float = 0.05
    """Added in quadrature to the error of ln(flux / peak): smearing and beam errors of point sources."""
    compact_beams: float = 1.0
    """A source is compact only if one of this width in beams would have been detected as extended."""


@dataclass(frozen=True)
class Compactness:
    """Result per source; NaN where not measured."""

    size: np.ndarray
    """(N) compact, extended or unknown."""
    ln_flux_ratio: np.ndarray
    """(N) ln(integrated / peak)."""
    flux_sigma: np.ndarray
    """(N) its significance, ln(integrated / peak) / error."""
    size_sigma: np.ndarray
    """(N) (major axis - beam) / error."""
    deconvolved_arcsec: np.ndarray
    """(N) sqrt(major^2 - beam^2), 0 where the fit is below the beam."""


def compactness(
    flux: ArrayLike,
    flux_err: ArrayLike,
    peak: ArrayLike,
    peak_err: ArrayLike,
    major_arcsec: ArrayLike | None = None,
    major_err_arcsec: ArrayLike | None = None,
    *,
    beam_arcsec: float,
    settings: CompactnessSettings = CompactnessSettings(),
) -> Compactness:
    """Compact, extended or unknown, by flux ratio and by fitted size.

    The errors of the two fluxes are treated as independent. They share the noise of the peak, so that
    the error of the ratio is overestimated and fewer point sources are called extended (Franzen+2015,
    MNRAS 453, 4020, section 4).

    Args:
        flux, flux_err: (N) integrated flux density.
        peak, peak_err: (N) in the same unit per beam.
        major_arcsec, major_err_arcsec: (N) fitted, not deconvolved, FWHM; NaN or None: unknown.
        beam_arcsec: FWHM of the beam.

    Raises:
        InputError: shapes differ, or the beam is not positive.
    """
    if not beam_arcsec > 0:
        raise InputError(f"compactness: beam_arcsec is {beam_arcsec}; give the FWHM of the beam")
    missing = np.full(np.size(flux), np.nan)
    c = columns(
        "compactness",
        flux=flux,
        flux_err=flux_err,
        peak=peak,
        peak_err=peak_err,
        major_arcsec=missing if major_arcsec is None else major_arcsec,
        major_err_arcsec=missing if major_err_arcsec is None else major_err_arcsec,
    )
    measured = (c["flux"] > 0) & (c["peak"] > 0) & (c["flux_err"] > 0) & (c["peak_err"] > 0)
    sized = (c["major_arcsec"] > 0) & (c["major_err_arcsec"] > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ln_ratio = np.where(measured, np.log(c["flux"] / c["peak"]), np.nan)
        relative = np.hypot(c["flux_err"] / c["flux"], c["peak_err"] / c["peak"])
        error = np.where(measured, np.hypot(relative, settings.systematic), np.nan)
        flux_sigma = ln_ratio / error
        size_sigma = np.where(sized, (c["major_arcsec"] - beam_arcsec) / c["major_err_arcsec"], np.nan)
    high = np.fmax(flux_sigma, size_sigma)
    low = np.fmin(flux_sigma, size_sigma)
    with np.errstate(invalid="ignore"):
        extended = (high >= settings.sigma) & (low >= settings.agree_sigma)
        # A circular Gaussian of b beams has flux / peak = 1 + b^2 and a fitted axis of sqrt(1 + b^2) beams.
        b2 = settings.compact_beams**2
        by_flux = settings.sigma * error < np.log1p(b2)
        by_size = settings.sigma * c["major_err_arcsec"] < beam_arcsec * (np.sqrt(1 + b2) - 1)
        sensitive = by_flux | (sized & by_size)
        contradicted = high >= settings.sigma  # extended by one measure, contradicted by the other
    size = np.where(extended, EXTENDED, np.where(sensitive & ~contradicted, COMPACT, UNKNOWN))
    deconvolved = np.sqrt(np.maximum(c["major_arcsec"] ** 2 - beam_arcsec**2, 0))
    return Compactness(size, ln_ratio, flux_sigma, size_sigma, deconvolved)
