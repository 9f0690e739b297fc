"""The 4000 Angstrom break of a spectrum.

Shape suffixes: B galaxies, L wavelength samples.
"""

from __future__ import annotations

import numpy as np

BLUE_BAND, RED_BAND = (3850.0, 3950.0), (4000.0, 4100.0)  # Angstrom, rest frame; Balogh+1999
MIN_COVERAGE = 0.8  # fraction of good samples that a band must have


def dn4000(
    wavelength_L: np.ndarray, flux_BL: np.ndarray, ivar_BL: np.ndarray, redshift_B: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The 4000 A break: mean f_nu at 4000-4100 A divided by that at 3850-3950 A, rest frame (Balogh+1999).

    Args:
        wavelength_L: Angstrom, vacuum, evenly spaced.
        flux_BL: f_lambda, any unit.
        ivar_BL: inverse variances; 0 = bad sample.
        redshift_B: NaN where unknown.

    Returns:
        value_B and error_B; NaN where less than 80% of a band has good samples or the blue mean is not positive, and
        for a grid without samples.
    """
    redshift_B = np.asarray(redshift_B, np.float64)
    if not len(wavelength_L):
        return np.full_like(redshift_B, np.nan), np.full_like(redshift_B, np.nan)
    flux_BL, ivar_BL = np.asarray(flux_BL, np.float64), np.asarray(ivar_BL, np.float64)
    good_BL = (ivar_BL > 0) & np.isfinite(flux_BL)
    stretch_B1 = 1 + redshift_B[:, None]
    step = wavelength_L[1] - wavelength_L[0]

    def band_mean(low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
        """Mean of lambda^2 f_lambda, which is proportional to f_nu, and its error."""
        in_BL = good_BL & (wavelength_L >= low * stretch_B1) & (wavelength_L < high * stretch_B1)
        count_B = in_BL.sum(axis=1)
        enough_B = count_B >= MIN_COVERAGE * (high - low) * stretch_B1[:, 0] / step
        square_L = np.square(wavelength_L)
        mean_B = (square_L * np.where(in_BL, flux_BL, 0.0)).sum(axis=1) / count_B
        variance_B = np.divide(np.square(square_L), ivar_BL, out=np.zeros_like(flux_BL), where=in_BL).sum(axis=1)
        return np.where(enough_B, mean_B, np.nan), np.sqrt(variance_B) / count_B

    with np.errstate(divide="ignore", invalid="ignore"):
        blue_B, blue_error_B = band_mean(*BLUE_BAND)
        red_B, red_error_B = band_mean(*RED_BAND)
        value_B = np.where(blue_B > 0, red_B / blue_B, np.nan)
        error_B = np.where(blue_B > 0, np.hypot(red_error_B, value_B * blue_error_B) / blue_B, np.nan)
    return value_B, error_B
