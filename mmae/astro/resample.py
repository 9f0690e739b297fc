"""Flux-conserving resampling of spectra and images by the overlap of their samples, and wavelengths in air.

A sample is the mean over an interval (a spectrum) or the sum over a pixel (an image), so that a resampled sample is the
overlap-weighted mean or sum of the samples it covers, exactly.

Shape suffixes: N spectra or images, A samples of the input, L samples of the output, C bands, H and W pixels.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

MOST_MISSING = 0.5  # an output sample is missing if a larger part of it is not covered by good input samples


def edges_of(centre_A: np.ndarray) -> np.ndarray:
    """The borders (A + 1,) of samples: the middle between neighbours, extrapolated at the ends.

    Raises:
        ValueError: fewer than two samples, or they do not increase.
    """
    centre_A = np.asarray(centre_A, np.float64)
    if len(centre_A) < 2 or not (np.diff(centre_A) > 0).all():
        raise ValueError("samples must be at least two, in increasing order")
    middle = (centre_A[1:] + centre_A[:-1]) / 2
    return np.concatenate([[2 * centre_A[0] - middle[0]], middle, [2 * centre_A[-1] - middle[-1]]])


def overlaps(edge_A: np.ndarray, edge_L: np.ndarray) -> sparse.csr_array:
    """The length (L, A) that each output interval shares with each input interval.

    Args:
        edge_A, edge_L: (A + 1,) and (L + 1,) increasing borders.
    """
    cut = np.union1d(edge_A, edge_L)
    cut = cut[(cut >= max(edge_A[0], edge_L[0])) & (cut <= min(edge_A[-1], edge_L[-1]))]
    if len(cut) < 2:
        return sparse.csr_array((len(edge_L) - 1, len(edge_A) - 1))
    middle = (cut[1:] + cut[:-1]) / 2
    column, row = (np.searchsorted(edge, middle) - 1 for edge in (edge_A, edge_L))
    return sparse.csr_array((np.diff(cut), (row, column)), shape=(len(edge_L) - 1, len(edge_A) - 1))


def resample_spectra(
    wavelength_A: np.ndarray, flux_NA: np.ndarray, ivar_NA: np.ndarray, grid_L: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Flux densities and their inverse variances on another wavelength grid:

        f_L = sum_A o_LA f_A / sum_A o_LA,    1 / ivar_L = sum_A o_LA^2 / ivar_A / (sum_A o_LA)^2,

    with the overlaps o_LA of good samples (ivar > 0). These are the variances of single output samples; neighbours are
    correlated where the input samples are wider than those of the grid.

    Args:
        wavelength_A: increasing, in the unit of the grid.
        flux_NA, ivar_NA: flux per unit of wavelength, and 1/flux^2; 0 = bad sample, of which the flux may be NaN.
        grid_L: increasing.

    Returns:
        flux (N, L) and ivar (N, L), float32; both 0 where more than half of a sample is outside the input or bad.

    Raises:
        ValueError: as `edges_of`.
    """
    edge_L = edges_of(grid_L)
    overlap_LA = overlaps(edges_of(wavelength_A), edge_L)
    good_AN = np.asarray(ivar_NA > 0).T
    flux_AN = np.where(good_AN, np.asarray(flux_NA, np.float64).T, 0.0)
    variance_AN = np.divide(1.0, np.asarray(ivar_NA, np.float64).T, out=np.zeros(good_AN.shape), where=good_AN)
    covered_LN = overlap_LA @ good_AN.astype(np.float64)
    squared_LN = overlap_LA.power(2) @ variance_AN
    enough_LN = (covered_LN >= (1 - MOST_MISSING) * np.diff(edge_L)[:, None]) & (squared_LN > 0)
    flux_LN = np.divide(overlap_LA @ flux_AN, covered_LN, out=np.zeros(covered_LN.shape), where=enough_LN)
    ivar_LN = np.divide(covered_LN**2, squared_LN, out=np.zeros(covered_LN.shape), where=enough_LN)
    return flux_LN.T.astype(np.float32), ivar_LN.T.astype(np.float32)


def resample_image(image_CHW: np.ndarray, scale: float, new_scale: float, size: int) -> np.ndarray:
    """Pixel sums on pixels of another size about the same centre; the sum over a region is kept.

    Args:
        image_CHW: counts per pixel, NaN where there is no data.
        scale, new_scale: side of a pixel before and after, in one unit.
        size: pixels along a side of the result.

    Returns:
        (C, size, size) float32; NaN where more than half of a pixel has no data. Missing parts of other pixels have
        the mean of the rest of the pixel.
    """
    edge_S = (np.arange(size + 1) - size / 2) * new_scale
    along_H, along_W = (overlaps((np.arange(n + 1) - n / 2) * scale, edge_S) / scale for n in image_CHW.shape[-2:])
    there_CHW = np.isfinite(image_CHW)
    total_CSS, part_CSS = (
        np.stack([(along_W @ (along_H @ plane).T).T for plane in planes])
        for planes in (np.where(there_CHW, image_CHW, 0.0).astype(np.float64), there_CHW.astype(np.float64))
    )
    part_CSS /= (new_scale / scale) ** 2
    enough_CSS = part_CSS >= 1 - MOST_MISSING
    return np.divide(total_CSS, part_CSS, out=np.full(part_CSS.shape, np.nan), where=enough_CSS).astype(np.float32)


def air_to_vacuum(wavelength: np.ndarray) -> np.ndarray:
    """Vacuum wavelengths of wavelengths in standard air, in Angstrom: Morton 2000, ApJS 130, 403, equation 8.

    The refractive index is given for the vacuum wavelength, which is found by iteration. Below 2000 A wavelengths are
    in vacuum by convention.
    """
    air = np.asarray(wavelength, np.float64)
    vacuum = air
    for _ in range(4):  # converges by a factor of 10^5 per step
        squared = (1e4 / np.maximum(vacuum, 2000.0)) ** 2
        index = 1 + 8.34254e-5 + 2.406147e-2 / (130 - squared) + 1.5998e-4 / (38.9 - squared)
        vacuum = air * index
    return np.where(air < 2000, air, vacuum)
