"""Spectral index from two flux densities of one source, S ~ nu^alpha, and the probability that it is steep."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr

from mmae.core.errors import InputError

STEEP = -1.4  # limit of the steep-spectrum sample of arXiv:2412.12470


def two_point_index(
    flux1: ArrayLike,
    error1: ArrayLike,
    frequency1_mhz: float,
    flux2: ArrayLike,
    error2: ArrayLike,
    frequency2_mhz: float,
    scale_error1: float = 0.0,
    scale_error2: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Spectral index and its 1-sigma error:

        alpha = ln(S2/S1) / ln(nu2/nu1)
        error = sqrt((e1/S1)^2 + (e2/S2)^2 + c1^2 + c2^2) / |ln(nu2/nu1)|

    The error is of first order in e/S, valid above a signal-to-noise ratio of about 5.

    Args:
        flux1, error1, flux2, error2: (N,) in the same unit.
        frequency1_mhz, frequency2_mhz: of the two fluxes.
        scale_error1, scale_error2: fractional flux-scale errors c. Use 0 for two bands of one
            observation, which share the flux scale.

    Returns:
        alpha, error: (N,), NaN where a flux or error is missing or not positive.

    Raises:
        InputError: a frequency is not positive, the two are equal, or a scale error is negative.
    """
    for name, frequency in (("first", frequency1_mhz), ("second", frequency2_mhz)):
        if not (np.isfinite(frequency) and frequency > 0):
            raise InputError(f"the {name} frequency is {frequency} MHz: give a positive value.")
    if frequency1_mhz == frequency2_mhz:
        raise InputError(f"both fluxes are at {frequency1_mhz} MHz: a spectral index needs two frequencies.")
    if not (scale_error1 >= 0 and scale_error2 >= 0):
        raise InputError(f"flux-scale errors {scale_error1}, {scale_error2}: give fractions of 0 or more.")
    flux1, error1, flux2, error2 = (
        np.ma.filled(np.ma.asarray(x, np.float64), np.nan) for x in (flux1, error1, flux2, error2)
    )
    known = (flux1 > 0) & (flux2 > 0) & (error1 > 0) & (error2 > 0)
    flux1, error1, flux2, error2 = (np.where(known, x, np.nan) for x in (flux1, error1, flux2, error2))
    ln_ratio = np.log(frequency2_mhz / frequency1_mhz)
    relative = (error1 / flux1) ** 2 + (error2 / flux2) ** 2 + scale_error1**2 + scale_error2**2
    return np.log(flux2 / flux1) / ln_ratio, np.sqrt(relative) / abs(ln_ratio)


def probability_steep(alpha: ArrayLike, error: ArrayLike, limit: float = STEEP) -> np.ndarray:
    """P(true alpha < limit) for a Gaussian error and no prior: Phi((limit - alpha)/error).

    Args:
        alpha, error: (N,); error > 0.

    Returns:
        (N,) 0 to 1; NaN where alpha or error is missing or the error is not positive.
    """
    alpha, error = (np.ma.filled(np.ma.asarray(x, np.float64), np.nan) for x in (alpha, error))
    good = np.isfinite(alpha) & (error > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(good, ndtr((limit - alpha) / np.where(good, error, np.nan)), np.nan)
