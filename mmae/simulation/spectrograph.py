"""DESI-like spectra: three arms with resolution, sky and read noise, and bad pixels.

Constants were measured on public tile coadds of two spectrographs (six spectra; compared in the tests). Times
are effective exposure times, EFFTIME = 12.15 s x TSNR2_LRG (Guy+2023). Fibre losses are applied by the caller.

Shape suffixes: L samples of the survey grid, A samples of one arm, F samples of the oversampled grid before
the line-spread function.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy.sparse import csr_array

from mmae.astro.desi import ARMS, Arm, join_arms, line_spread_sigma
from mmae.astro.lines import LIGHT_SPEED_KMS
from mmae.simulation.seds import Sed, observed_flux
from mmae.survey.schema import SurveySpec

# Effective exposure time of a tile in seconds, dark and bright programs (Schlafly+2023).
DARK_TIME, BRIGHT_TIME = 1000.0, 180.0

# Sky lines: vacuum wavelength (Angstrom) and peak excess variance relative to the variance between lines.
# Widths in units of the line-spread function: SKY_LINE_WIDTH. Fitted to the ivar of the coadds, starting from
# the lines of Osterbrock+1996; 7600..7643 A represents the absorption by the oxygen band.
SKY_LINE_WIDTH = 1.2
SKY_LINES = (
    (5578.8, 25),
    (5889.8, 0.9),
    (5891.6, 4.6),
    (5897.4, 3.1),
    (5916.9, 0.7),
    (5934.6, 0.8),
    (5955.1, 0.7),
    (5978.9, 0.7),
    (6236.1, 1.0),
    (6238.2, 1.4),
    (6259.6, 1.6),
    (6267.0, 0.6),
    (6289.2, 1.5),
    (6301.8, 11.3),
    (6308.6, 1.9),
    (6323.2, 0.6),
    (6331.5, 1.6),
    (6358.1, 1.0),
    (6365.6, 4.6),
    (6467.6, 1.1),
    (6472.7, 1.2),
    (6500.4, 2.2),
    (6506.9, 0.7),
    (6534.8, 1.9),
    (6545.9, 0.9),
    (6555.4, 2.1),
    (6564.3, 0.8),
    (6570.6, 0.7),
    (6579.1, 1.6),
    (6606.0, 1.0),
    (6829.4, 1.9),
    (6831.5, 3.6),
    (6836.1, 4.2),
    (6843.5, 0.7),
    (6865.7, 4.3),
    (6870.3, 1.8),
    (6872.9, 2.5),
    (6875.8, 0.8),
    (6882.7, 0.9),
    (6891.2, 2.3),
    (6895.2, 0.6),
    (6902.5, 1.9),
    (6914.5, 2.4),
    (6925.1, 3.8),
    (6941.5, 2.1),
    (6951.0, 4.4),
    (6971.9, 1.3),
    (6980.2, 2.7),
    (7005.8, 0.8),
    (7013.3, 1.5),
    (7050.0, 1.0),
    (7090.7, 0.7),
    (7240.7, 2.9),
    (7242.0, 6.1),
    (7243.5, 3.5),
    (7246.7, 7.2),
    (7248.4, 1.7),
    (7255.2, 2.4),
    (7278.2, 12.9),
    (7286.4, 4.2),
    (7297.9, 1.4),
    (7305.7, 3.2),
    (7318.3, 8.5),
    (7331.2, 4.0),
    (7342.8, 9.9),
    (7360.6, 3.9),
    (7371.3, 8.6),
    (7394.2, 3.0),
    (7403.8, 6.0),
    (7431.8, 1.8),
    (7440.4, 3.3),
    (7468.6, 1.2),
    (7473.1, 1.5),
    (7475.6, 2.2),
    (7481.6, 2.3),
    (7485.5, 2.3),
    (7495.7, 0.8),
    (7519.3, 0.9),
    (7524.4, 1.2),
    (7526.1, 7.7),
    (7532.7, 2.6),
    (7600.9, 10.9),
    (7604.0, 8.7),
    (7606.6, 10.7),
    (7609.2, 8.5),
    (7611.9, 6.3),
    (7630.0, 7.1),
    (7633.5, 3.6),
    (7637.7, 2.7),
    (7642.2, 2.4),
    (7714.6, 8.6),
    (7717.7, 5.0),
    (7719.4, 7.7),
    (7752.6, 12.9),
    (7762.0, 3.5),
    (7782.5, 2.4),
    (7796.1, 10.0),
    (7810.5, 3.4),
    (7823.5, 14.0),
    (7843.3, 2.8),
    (7855.3, 15.0),
    (7862.4, 4.6),
    (7872.6, 5.1),
    (7892.0, 7.0),
    (7915.6, 19.5),
    (7923.1, 7.4),
    (7933.4, 4.2),
    (7951.3, 2.8),
    (7966.7, 13.6),
    (7981.5, 4.8),
    (7995.4, 15.6),
    (8016.2, 3.4),
    (8028.0, 11.1),
    (8064.3, 4.5),
    (8280.8, 4.3),
    (8283.9, 10.4),
    (8290.6, 17.2),
    (8298.5, 4.3),
    (8301.1, 16.7),
    (8312.9, 3.4),
    (8346.5, 52),
    (8355.0, 11.4),
    (8366.9, 3.6),
    (8384.4, 8.4),
    (8401.4, 22),
    (8417.4, 9.1),
    (8432.4, 33),
    (8454.5, 8.8),
    (8467.6, 23),
    (8495.7, 5.9),
    (8507.0, 12.3),
    (8551.1, 5.2),
    (8761.3, 5.9),
    (8763.6, 23),
    (8768.6, 6.9),
    (8770.1, 25),
    (8778.6, 8.5),
    (8780.4, 27),
    (8793.4, 8.2),
    (8829.1, 81),
    (8838.6, 23),
    (8852.1, 6.1),
    (8869.8, 14.0),
    (8888.2, 36),
    (8905.5, 14.4),
    (8922.0, 41),
    (8945.7, 12.3),
    (8960.4, 33),
    (8990.5, 10.2),
    (9003.7, 21),
    (9040.5, 3.7),
    (9051.9, 10.0),
    (9095.1, 3.0),
    (9105.1, 4.2),
    (9154.6, 3.3),
    (9307.9, 7.0),
    (9310.1, 62),
    (9313.0, 6.1),
    (9315.8, 77),
    (9319.6, 9.2),
    (9326.0, 79),
    (9340.3, 13.3),
    (9346.2, 3.1),
    (9374.6, 3.7),
    (9378.3, 157),
    (9384.2, 3.7),
    (9389.2, 3.0),
    (9404.5, 11.6),
    (9422.2, 26),
    (9442.1, 121),
    (9461.3, 50),
    (9479.3, 73),
    (9483.7, 3.6),
    (9504.2, 1.9),
    (9504.9, 39),
    (9521.8, 56),
    (9555.2, 18.0),
    (9569.7, 46),
    (9610.1, 7.6),
    (9623.4, 15.6),
    (9671.4, 8.3),
    (9683.3, 12.4),
    (9684.9, 4.9),
    (9693.1, 2.5),
    (9701.9, 14.8),
    (9714.3, 5.0),
    (9722.4, 17.7),
    (9737.5, 3.0),
    (9740.4, 8.8),
    (9748.1, 3.7),
    (9791.0, 2.3),
    (9793.5, 70),
    (9802.2, 18.0),
    (9814.3, 4.5),
)

TIME_SCATTER = 0.15  # of ln(effective time), common to all arms: fibre positioning and transparency within a tile
BAD_PIXEL_FRACTION = 0.001  # isolated bad samples, per arm
COSMIC_RAYS, COSMIC_RAY_LENGTH = 1.0, 3  # mean number per arm; samples lost per cosmic ray

CALIBRATION_PIVOT = 6500.0  # Angstrom, where a tilt of the calibration does not change the flux
OVERSAMPLING = 3  # step of the fine grid: a third of a sample, 0.4 of the line-spread sigma
LSF_REACH = 5.0  # sigma


@dataclass(frozen=True)
class Observed:
    """Spectrum on the survey grid, in 1e-17 erg/s/cm2/A."""

    true_L: np.ndarray  # float64; noise-free, includes resolution and flux calibration errors
    flux_L: np.ndarray  # float32
    ivar_L: np.ndarray  # float32; exact inverse variance of flux - true, 0 = bad


@dataclass(frozen=True)
class Calibration:
    """Errors of the flux calibration of a spectrum, in addition to those of `ARMS`, and its depth."""

    tilt: float = 0.0  # exponent of wavelength
    arm_factor_A: tuple[float, ...] = (1.0,) * len(ARMS)  # factor on the flux of each arm
    time_factor: float = 1.0  # on the effective exposure time


@dataclass(frozen=True)
class _ArmGrid:
    arm: Arm
    samples_A: np.ndarray  # index of each sample on the survey grid
    wavelength_A: np.ndarray
    smear_AF: csr_array  # line-spread function: fine grid -> samples of the arm
    blank_variance_A: np.ndarray
    sky_flux_A: np.ndarray


def blank_variance(arm: Arm, wavelength: np.ndarray) -> np.ndarray:
    """Variance of blank sky in 1000 s of effective time, (1e-17 erg/s/cm2/A)^2; wavelength of any shape."""
    node_wavelength, node_sigma = np.transpose(arm.noise)
    sigma = np.exp(np.interp(wavelength, node_wavelength, np.log(node_sigma)))
    excess = np.zeros_like(sigma)
    for line, strength in SKY_LINES:
        if arm.start < line < arm.stop:
            offset = (wavelength - line) / (SKY_LINE_WIDTH * line_spread_sigma(arm, line))
            excess += strength * np.exp(-0.5 * np.minimum(offset**2, 200))
    return sigma**2 * (1 + excess)


def observe(
    rng: np.random.Generator,
    light: Sequence[tuple[Sed, float]],
    redshift: float,
    spec: SurveySpec,
    effective_time: float = DARK_TIME,
    calibration: Calibration = Calibration(),
) -> Observed:
    """Simulate the spectrum of an object.

    Args:
        light: SED (observed flux, 1e-17 erg/s/cm2/A) and fibre fraction of each component; the fibre
            fraction is relative to a point source, as DESI calibrates on stars.
        spec: any linear wavelength grid; samples outside all arms have true_L, flux_L and ivar_L 0.
        effective_time: seconds; the variance is proportional to its inverse.
    """
    grids = _arm_grids(spec)
    true_L, weight_L = np.zeros(spec.n_wavelengths), np.zeros(spec.n_wavelengths)
    if not grids:
        return Observed(true_L, true_L.astype(np.float32), true_L.astype(np.float32))
    light_F = _light_on_fine_grid(light, redshift, spec)
    depth = effective_time / DARK_TIME * rng.lognormal(0, TIME_SCATTER) * calibration.time_factor
    fluxes, ivars = [], []
    for grid in grids:
        true_A = grid.smear_AF @ light_F * (1 + grid.arm.calibration_scatter * rng.standard_normal())
        true_A *= calibration.arm_factor_A[ARMS.index(grid.arm)]
        true_A *= (grid.wavelength_A / CALIBRATION_PIVOT) ** calibration.tilt
        variance_A = grid.blank_variance_A * (1 + np.maximum(true_A, 0) / grid.sky_flux_A)
        variance_A /= depth * rng.lognormal(0, grid.arm.time_scatter)
        good_A = ~_bad_samples(rng, true_A.size)
        flux_A = true_A + np.sqrt(variance_A) * rng.standard_normal(true_A.size)
        fluxes.append(flux_A)
        ivars.append(good_A / variance_A)
        # Weights of the coaddition below; a sample that is bad in all arms keeps the weights without masking.
        weight_A = (good_A + 1e-9) / variance_A
        true_L[grid.samples_A] += weight_A * true_A
        weight_L[grid.samples_A] += weight_A
    np.divide(true_L, weight_L, out=true_L, where=weight_L > 0)
    flux_L, ivar_L = join_arms([g.wavelength_A for g in grids], fluxes, ivars, [None] * len(grids), spec.wavelength_L())
    return Observed(true_L, flux_L, ivar_L)


def _bad_samples(rng: np.random.Generator, size: int) -> np.ndarray:
    bad_A = rng.random(size) < BAD_PIXEL_FRACTION
    for start in rng.integers(0, size, rng.poisson(COSMIC_RAYS)):
        bad_A[start : start + COSMIC_RAY_LENGTH] = True
    return bad_A


def _light_on_fine_grid(light: Sequence[tuple[Sed, float]], redshift: float, spec: SurveySpec) -> np.ndarray:
    """Flux density in the fibre (F,), before the line-spread function."""
    wavelength_F = _fine_grid(spec)
    # Minimum line sigma so that lines are sampled: 16 km/s on the DESI grid, far below its resolution.
    narrowest = 0.7 * spec.wavelength_step / OVERSAMPLING / spec.wavelength_start * LIGHT_SPEED_KMS
    return sum(
        (
            kept * observed_flux(replace(sed, line_sigma=max(sed.line_sigma, narrowest)), redshift, wavelength_F)
            for sed, kept in light
        ),
        start=np.zeros(wavelength_F.size),
    )


def _reach(spec: SurveySpec) -> int:
    """Half-width of the widest line-spread function, in samples of the fine grid."""
    widest = max(sigma for arm in ARMS for _, sigma in arm.line_spread)
    return int(np.ceil(LSF_REACH * widest * OVERSAMPLING / spec.wavelength_step))


@lru_cache(maxsize=4)
def _fine_grid(spec: SurveySpec) -> np.ndarray:
    reach = _reach(spec)
    index_F = np.arange(-reach, OVERSAMPLING * (spec.n_wavelengths - 1) + reach + 1)
    return spec.wavelength_start + index_F * (spec.wavelength_step / OVERSAMPLING)


@lru_cache(maxsize=4)
def _arm_grids(spec: SurveySpec) -> tuple[_ArmGrid, ...]:
    """The arms that overlap the survey grid."""
    wavelength_L, rounding = spec.wavelength_L(), 1e-3 * spec.wavelength_step
    grids = []
    for arm in ARMS:
        inside_L = (wavelength_L > arm.start - rounding) & (wavelength_L < arm.stop + rounding)
        samples_A = np.flatnonzero(inside_L)
        if samples_A.size:
            wavelength_A = wavelength_L[samples_A]
            grids.append(
                _ArmGrid(
                    arm,
                    samples_A,
                    wavelength_A,
                    _smear_matrix(arm, samples_A, spec),
                    blank_variance(arm, wavelength_A),
                    np.interp(wavelength_A, *np.transpose(arm.sky_flux)),
                )
            )
    return tuple(grids)


def _smear_matrix(arm: Arm, samples_A: np.ndarray, spec: SurveySpec) -> csr_array:
    """Line-spread function as a sparse matrix (A,F); rows sum to 1."""
    reach = _reach(spec)
    offset_T = np.arange(-reach, reach + 1)  # T: fine samples around a sample
    sigma_A = line_spread_sigma(arm, spec.wavelength_L()[samples_A])
    distance_AT = offset_T * (spec.wavelength_step / OVERSAMPLING) / sigma_A[:, None]
    weight_AT = np.exp(-0.5 * distance_AT**2)
    weight_AT /= weight_AT.sum(axis=1, keepdims=True)
    column_AT = OVERSAMPLING * samples_A[:, None] + reach + offset_T
    row_start = np.arange(samples_A.size + 1) * offset_T.size
    return csr_array((weight_AT.ravel(), column_AT.ravel(), row_start), shape=(samples_A.size, _fine_grid(spec).size))
