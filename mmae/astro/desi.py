"""DESI spectrograph arms: instrument constants, and coaddition of the arms on one wavelength grid.

The constants were measured on public tile coadds of two spectrographs (six spectra; the tests compare them).

Shape suffixes: L samples of the survey's grid, A samples of one arm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmae.core.errors import InputError

GRID_TOLERANCE = 0.01  # Angstrom; one sample is 0.8 A
Curve = tuple[tuple[float, float], ...]  # (wavelength in Angstrom, value), linearly interpolated


@dataclass(frozen=True)
class Arm:
    """One of the three spectrograph arms; vacuum wavelengths in Angstrom."""

    start: float  # first and last sample
    stop: float
    # Gaussian sigma of the line-spread function in Angstrom: second moment of the RESOLUTION rows.
    # R = lambda / (2.355 sigma) is 2250..3650, 3900..5000, 4300..5500, consistent with the instrument overview
    # (DESI Collaboration 2022; requirements: 2000..3200, 3200..4100, 4100..5000).
    line_spread: Curve
    # Noise per 0.8 A sample between sky lines for 1000 s, in 1e-17 erg/s/cm2/A.
    noise: Curve
    # Source flux at which the source noise variance equals that of sky and read noise, same unit.
    sky_flux: Curve
    # Scatter of ln(effective exposure time) of this arm, from the five quasar coadds.
    time_scatter: float
    calibration_scatter: float  # relative error of the arm's flux scale: a few per cent (Guy+2023)


ARMS = (
    Arm(
        3600.0,
        5800.0,
        ((3600, 0.680), (4700, 0.688), (5800, 0.675)),
        (
            (3600, 3.76),
            (3625, 3.40),
            (3650, 2.95),
            (3700, 2.19),
            (3750, 1.86),
            (3800, 1.50),
            (3900, 1.02),
            (4000, 0.83),
            (4200, 0.639),
            (4400, 0.550),
            (4600, 0.457),
            (4800, 0.396),
            (5000, 0.357),
            (5200, 0.341),
            (5400, 0.341),
            (5600, 0.365),
            (5700, 0.423),
            (5740, 0.476),
            (5770, 0.595),
            (5800, 0.932),
        ),
        ((3600, 14), (4000, 11), (4700, 9.5), (5200, 9.5), (5800, 12)),
        0.20,
        0.03,
    ),
    Arm(
        5760.0,
        7620.0,
        ((5760, 0.630), (6700, 0.648), (7620, 0.645)),
        (
            (5760, 1.26),
            (5775, 1.01),
            (5790, 0.805),
            (5820, 0.502),
            (5860, 0.404),
            (5960, 0.322),
            (6100, 0.282),
            (6300, 0.259),
            (6500, 0.225),
            (6750, 0.207),
            (7000, 0.196),
            (7250, 0.205),
            (7400, 0.190),
            (7480, 0.210),
            (7530, 0.251),
            (7560, 0.275),
            (7590, 0.314),
            (7620, 1.10),
        ),
        ((5760, 6), (6200, 4), (6700, 3.3), (7620, 3.3)),
        0.05,
        0.015,
    ),
    Arm(
        7520.0,
        9824.0,
        ((7520, 0.740), (8400, 0.738), (9000, 0.735), (9824, 0.762)),
        (
            (7520, 0.374),
            (7545, 0.313),
            (7570, 0.286),
            (7600, 0.280),
            (7640, 0.238),
            (7700, 0.185),
            (7850, 0.172),
            (8000, 0.168),
            (8250, 0.152),
            (8500, 0.140),
            (8600, 0.141),
            (8630, 0.168),
            (8660, 0.191),
            (8690, 0.143),
            (8850, 0.143),
            (9100, 0.137),
            (9260, 0.137),
            (9310, 0.163),
            (9400, 0.175),
            (9550, 0.195),
            (9700, 0.213),
            (9800, 0.217),
            (9824, 0.255),
        ),
        ((7520, 5), (8000, 4.3), (9000, 3.8), (9824, 4.2)),
        0.07,
        0.015,
    ),
)


def line_spread_sigma(arm: Arm, wavelength: np.ndarray | float) -> np.ndarray:
    """Gaussian sigma in Angstrom of an arm's line-spread function, of the shape of `wavelength`."""
    return np.interp(wavelength, *np.transpose(arm.line_spread))


def join_arms(
    wavelengths: Sequence[np.ndarray],
    fluxes: Sequence[np.ndarray],
    ivars: Sequence[np.ndarray],
    masks: Sequence[np.ndarray | None],
    grid: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Coadd spectrograph arms on one grid, with inverse-variance weights where they overlap:

        ivar_L = sum_a w_aL,    flux_L = sum_a w_aL f_aL / ivar_L,
        w_aL = ivar_aL where mask_aL = 0, else 0

    and flux 0 where ivar_L is 0. Arm samples must coincide with grid samples: nothing is interpolated, so the noise
    stays uncorrelated.

    Args:
        wavelengths: (A,) for each arm, in the unit of the grid.
        fluxes, ivars: (..., A) for each arm; ivar in 1/flux^2, 0 = bad pixel.
        masks: (..., A) for each arm, bad where > 0; or None.
        grid: (L,), linear.

    Returns:
        flux (..., L) and ivar (..., L), float32. A negative or NaN ivar gives a NaN ivar, and a NaN flux with
        positive ivar a NaN flux, also in the overlap.

    Raises:
        InputError: a sample of an arm is outside the grid or more than 0.01 A from a grid sample.
    """
    shape = (*np.shape(fluxes[0])[:-1], len(grid))
    weighted_L, ivar_L = np.zeros(shape), np.zeros(shape)
    for wave_A, flux_A, ivar_A, mask_A in zip(wavelengths, fluxes, ivars, masks, strict=True):
        samples = grid_samples(wave_A, grid)
        weight_A = np.where(ivar_A >= 0, ivar_A, np.nan).astype(np.float64)
        if mask_A is not None:
            weight_A = np.where(mask_A > 0, 0.0, weight_A)
        ivar_L[..., samples] += weight_A
        # The flux may be NaN where the weight is 0, and 0 x NaN is NaN.
        weighted_L[..., samples] += weight_A * np.where(weight_A == 0, 0.0, flux_A)
    flux_L = np.divide(weighted_L, ivar_L, out=np.zeros(shape), where=ivar_L != 0)
    return flux_L.astype(np.float32), ivar_L.astype(np.float32)


def grid_samples(wave_A: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """The grid index of each sample of an arm (A,)."""
    wave_A = np.asarray(wave_A, np.float64)
    step = (grid[-1] - grid[0]) / (len(grid) - 1)
    advice = (
        f"Only coadds on the DESI grid ({grid[0]:.1f} A + {step:.1f} A x i, to "
        f"{grid[-1]:.1f} A) can be read; resample the spectrum."
    )
    index = np.rint((wave_A - grid[0]) / step)
    if not ((index >= 0) & (index < len(grid))).all():  # also catches NaN
        raise InputError(f"wavelengths {wave_A[0]:.2f}..{wave_A[-1]:.2f} A are outside the grid. {advice}")
    samples = index.astype(np.int64)
    offset = float(np.abs(wave_A - grid[samples]).max())
    if offset > GRID_TOLERANCE or np.bincount(samples).max() > 1:
        raise InputError(
            f"wavelengths {wave_A[0]:.2f}..{wave_A[-1]:.2f} A deviate by up to {offset:.3f} A "
            f"from the grid samples. {advice}"
        )
    return samples
