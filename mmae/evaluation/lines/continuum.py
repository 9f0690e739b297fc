"""Errors of the continuum of reconstructed spectra, in blocks of wavelength.

Shape suffixes: B galaxies of a batch, N galaxies of all batches, L wavelength samples, K blocks of
wavelength, J lines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mmae.astro.lines import LIGHT_SPEED_KMS, LINE_WAVELENGTH_J, NEIII
from mmae.core.errors import InputError
from mmae.evaluation.lines.measure import Reconstruction

BLOCK = 100.0  # Angstrom
MIN_BLOCK_FRACTION = 0.25  # of a block's samples must be good, hidden and off the lines
MIN_SIGNAL = 10.0  # S/N of the observed block mean; a lower cut would select upward noise and bias the fraction
LINE_REACH = 1000.0  # km/s excluded on either side of a narrow line
MASKED_LINES_J = np.union1d(LINE_WAVELENGTH_J, [NEIII])


@dataclass(frozen=True)
class ContinuumMeasures:
    """Errors of the reconstructed continuum in blocks of 100 A, NaN for blocks with too few samples.

    Attributes:
        wavelength_K: centres of the blocks, Angstrom.
        redshift_N: labels; NaN where unknown.
        fraction: situation -> (N,K) of (reconstructed - observed) / observed.
        pull: situation -> (N,K) of (reconstructed - observed) / error of the observed mean.
    """

    wavelength_K: np.ndarray
    redshift_N: np.ndarray
    fraction: dict[str, np.ndarray]
    pull: dict[str, np.ndarray]


def measure_continuum(
    wavelength_L: np.ndarray,
    flux_BL: np.ndarray,
    ivar_BL: np.ndarray,
    redshift_B: np.ndarray,
    reconstructions: Mapping[str, Reconstruction],
) -> ContinuumMeasures:
    """Compare block means of a batch.

    Both means of a block are weighted by the observed ivar and use the same samples: good, hidden and
    off the narrow lines. Broad lines and absorption count as continuum. The difference is therefore
    independent of slope and sky lines within a block, and its error is that of the observed mean.

    Args:
        wavelength_L: Angstrom, vacuum, evenly spaced.
        flux_BL: flux densities.
        ivar_BL: inverse variances; 0 = bad sample.
        redshift_B: labels, to exclude lines; NaN where unknown, then no lines are excluded.
        reconstructions: situation -> reconstructed spectra of the batch.
    """
    flux_BL, ivar_BL = np.asarray(flux_BL, np.float64), np.asarray(ivar_BL, np.float64)
    redshift_B = np.asarray(redshift_B, np.float64)
    starts_K = _block_starts(wavelength_L)
    samples_K = np.diff(np.append(starts_K, wavelength_L.size))
    used_BL = (ivar_BL > 0) & np.isfinite(flux_BL) & ~near_lines(wavelength_L, redshift_B)
    fraction, pull = {}, {}
    for name, reconstruction in reconstructions.items():
        weight_BL = np.where(used_BL & ~reconstruction.visible_BL, ivar_BL, 0.0)
        total_BK = np.add.reduceat(weight_BL, starts_K, axis=1)
        enough_BK = (
            np.add.reduceat((weight_BL > 0).astype(np.int32), starts_K, axis=1) >= MIN_BLOCK_FRACTION * samples_K
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            used_flux_BL = np.where(weight_BL > 0, flux_BL, 0.0)
            mean_BK = np.add.reduceat(weight_BL * used_flux_BL, starts_K, axis=1) / total_BK
            # np.where, because NaN in a reconstruction times a weight of 0 is NaN.
            error_BL = np.where(weight_BL > 0, np.asarray(reconstruction.flux_BL, np.float64) - flux_BL, 0.0)
            difference_BK = np.add.reduceat(weight_BL * error_BL, starts_K, axis=1) / total_BK
            bright_BK = enough_BK & (mean_BK * np.sqrt(total_BK) >= MIN_SIGNAL)
            fraction[name] = np.where(bright_BK, difference_BK / mean_BK, np.nan).astype(np.float32)
            pull[name] = np.where(enough_BK, difference_BK * np.sqrt(total_BK), np.nan).astype(np.float32)
    middle_K = wavelength_L[starts_K] + 0.5 * samples_K * (wavelength_L[1] - wavelength_L[0])
    return ContinuumMeasures(middle_K, redshift_B, fraction, pull)


def join_continuum_measures(parts: Sequence[ContinuumMeasures]) -> ContinuumMeasures:
    """Concatenate the measures of several batches.

    Raises:
        InputError: there is no batch, or situations or wavelengths differ.
    """
    if not parts:
        raise InputError("continuum measures: no batch to join; give at least one.")
    first = parts[0]
    if any(list(p.pull) != list(first.pull) or not np.array_equal(p.wavelength_K, first.wavelength_K) for p in parts):
        raise InputError("continuum measures: situations or wavelengths of the batches differ; they must be the same.")
    return ContinuumMeasures(
        first.wavelength_K,
        np.concatenate([p.redshift_N for p in parts]),
        {name: np.concatenate([p.fraction[name] for p in parts]) for name in first.fraction},
        {name: np.concatenate([p.pull[name] for p in parts]) for name in first.pull},
    )


def near_lines(wavelength_L: np.ndarray, redshift_B: np.ndarray) -> np.ndarray:
    """(B,L) bool: within 1000 km/s of a narrow line; all False for unknown redshifts."""
    near_BL = np.zeros((redshift_B.size, wavelength_L.size), bool)
    reach = LINE_REACH / LIGHT_SPEED_KMS
    centre_BJ = np.outer(1 + np.nan_to_num(redshift_B, nan=np.inf), MASKED_LINES_J)
    first_BJ = np.searchsorted(wavelength_L, centre_BJ * (1 - reach))
    last_BJ = np.searchsorted(wavelength_L, centre_BJ * (1 + reach))
    for near_L, first_J, last_J in zip(near_BL, first_BJ, last_BJ, strict=True):
        for first, last in zip(first_J, last_J, strict=True):
            near_L[first:last] = True
    return near_BL


def _block_starts(wavelength_L: np.ndarray) -> np.ndarray:
    """First sample of each block; the rest at the end is a block of its own if at least half as long."""
    per_block = round(BLOCK / (wavelength_L[1] - wavelength_L[0]))
    starts = np.arange(0, wavelength_L.size, per_block)
    return starts[:-1] if len(starts) > 1 and wavelength_L.size - starts[-1] < per_block / 2 else starts
