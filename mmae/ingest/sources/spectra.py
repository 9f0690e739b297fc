"""Spectra of known sources on the survey's wavelength grid.

Shape suffixes: A samples of one spectrum in its file, L samples of the survey's grid, R rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmae.astro.desi import GRID_TOLERANCE
from mmae.astro.resample import air_to_vacuum, resample_spectra
from mmae.ingest.layouts.layout import AIR
from mmae.ingest.sources.description import SpectrumColumns

NOISE_SAMPLES = 200  # of the windows in which the noise of a spectrum without ivar is measured


@dataclass
class GridSpectrum:
    """A spectrum on the survey's grid, or the reason why there is none."""

    flux_L: np.ndarray | None = None
    ivar_L: np.ndarray | None = None
    line_spread: float | None = None  # Angstrom
    fault: str = ""


def spectra_on_grid(values: dict[str, Any], count: int, columns: SpectrumColumns, grid_L: np.ndarray) -> list:
    """The spectra (GridSpectrum) of `count` rows; rows with the same wavelengths are resampled together.

    Masked samples, samples with NaN flux and those with padded wavelengths have ivar 0; so have samples of the grid
    that the spectrum does not cover. Spectrograph arms are added with inverse-variance weights.
    """
    parts = [_arm(values, count, columns, arm, grid_L) for arm in columns.arms]
    result = []
    for arms in zip(*parts, strict=True):
        there = [arm for arm in arms if arm.flux_L is not None]
        fault = next((arm.fault for arm in arms if arm.fault), "")
        if fault or not there:
            result.append(GridSpectrum(fault=fault))
        elif len(there) == 1:
            result.append(there[0])
        else:
            ivar_L = np.sum([arm.ivar_L for arm in there], axis=0, dtype=np.float64)
            weighted_L = np.sum([arm.ivar_L * arm.flux_L for arm in there], axis=0, dtype=np.float64)
            flux_L = np.divide(weighted_L, ivar_L, out=np.zeros(len(grid_L)), where=ivar_L > 0)
            spreads = [arm.line_spread for arm in there if arm.line_spread is not None]
            spread = float(np.median(spreads)) if spreads else None
            result.append(GridSpectrum(flux_L.astype(np.float32), ivar_L.astype(np.float32), spread))
    return result


def _arm(values: dict[str, Any], count: int, columns: SpectrumColumns, arm: str, grid_L: np.ndarray) -> list:
    named = {
        field: values.get(getattr(columns, field).format(arm=arm))
        for field in ("flux", "ivar", "wavelength", "mask", "line_spread")
        if getattr(columns, field)
    }
    result = [GridSpectrum() for _ in range(count)]
    if named["flux"] is None:  # the file does not have this arm
        return result
    for wavelength_A, rows in _same_wavelengths(named.get("wavelength"), named["flux"], grid_L):
        if wavelength_A is None:
            continue
        in_air = columns.medium == "air" or (AIR in values and bool(values[AIR][rows[0]]))
        if columns.log_wavelength:
            wavelength_A = 10.0**wavelength_A
        _fill(result, rows, named, wavelength_A, in_air, columns, grid_L)
    return result


def _same_wavelengths(wavelength: Any, flux: Any, grid_L: np.ndarray) -> Iterator[tuple[np.ndarray | None, list[int]]]:
    """Each distinct array of wavelengths with its rows; None for rows without a spectrum."""
    same = isinstance(wavelength, np.ndarray) and isinstance(flux, np.ndarray) and wavelength.ndim == 2
    if same and len(wavelength) and (wavelength == wavelength[0]).all():  # as in the files of most surveys
        yield wavelength[0].astype(np.float64), list(range(len(flux)))
        return
    groups: dict[bytes | None, tuple[np.ndarray | None, list[int]]] = {}
    for row in range(len(flux)):
        if flux[row] is None or (wavelength is not None and wavelength[row] is None):
            groups.setdefault(None, (None, []))[1].append(row)
            continue
        wave_A = grid_L if wavelength is None else np.asarray(wavelength[row])
        groups.setdefault(wave_A.tobytes(), (wave_A, []))[1].append(row)
    for wave_A, rows in groups.values():
        yield None if wave_A is None else wave_A.astype(np.float64), rows


def _fill(
    result: list[GridSpectrum],
    rows: list[int],
    named: dict[str, Any],
    wavelength_A: np.ndarray,
    in_air: bool,
    columns: SpectrumColumns,
    grid_L: np.ndarray,
) -> None:
    """Fill the results of rows with common wavelengths."""
    whole = [row for row in rows if all(np.size(v[row]) == len(wavelength_A) for v in _arrays(named))]
    for row in set(rows) - set(whole):
        result[row].fault = "its columns differ in length"
    if not whole:
        return
    flux_RA = _stack(named["flux"], whole, columns.flux_unit)
    ivar_RA = _noise_ivar(flux_RA) if "ivar" not in named else _stack(named["ivar"], whole, columns.flux_unit**-2)
    if "mask" in named and named["mask"] is not None:
        flagged_RA = _stack(named["mask"], whole) != 0
        ivar_RA = ivar_RA.copy()
        ivar_RA[flagged_RA if columns.mask_true_is == "bad" else ~flagged_RA] = 0
    padded_A = ~(np.isfinite(wavelength_A) & (wavelength_A > 0))
    wave_A = wavelength_A[~padded_A]
    for row, fault in zip(whole, _faults(wavelength_A, ivar_RA, padded_A), strict=True):
        result[row].fault = fault
    used = [i for i, row in enumerate(whole) if not result[row].fault]
    if not used:
        return
    if in_air:
        wave_A = air_to_vacuum(wave_A)
    if len(used) < len(whole) or padded_A.any():
        flux_RA, ivar_RA = flux_RA[used][:, ~padded_A], ivar_RA[used][:, ~padded_A]
    finite_RA = np.isfinite(flux_RA)
    if not finite_RA.all():
        ivar_RA = np.where(finite_RA, ivar_RA, 0)
    flux_RL, ivar_RL = _to_grid(wave_A, flux_RA, ivar_RA, grid_L)
    step_A = np.gradient(wave_A)
    outside = (
        f"its wavelengths, {wave_A[0]:.1f} to {wave_A[-1]:.1f} A, are outside the survey's grid, {grid_L[0]:.1f} to "
        f"{grid_L[-1]:.1f} A"
    )
    for number, i in enumerate(used):
        row = whole[i]
        if wave_A[-1] < grid_L[0] or wave_A[0] > grid_L[-1]:
            result[row].fault = outside
            continue
        result[row].flux_L, result[row].ivar_L = flux_RL[number], ivar_RL[number]
        if named.get("line_spread") is not None and ivar_RL[number].any():
            spread_A = np.broadcast_to(np.asarray(named["line_spread"][row], np.float64), wavelength_A.shape)
            sigma_A = (spread_A[~padded_A] if padded_A.any() else spread_A) * step_A
            sigma_A = sigma_A[(ivar_RA[number] > 0) & np.isfinite(sigma_A) & (sigma_A > 0)]
            result[row].line_spread = float(np.median(sigma_A)) if len(sigma_A) else None


def _arrays(named: dict[str, Any]) -> list[Any]:
    """The columns that must have one value per sample."""
    return [values for field, values in named.items() if values is not None and field != "line_spread"]


def _stack(values: Any, rows: list[int], unit: float = 1.0) -> np.ndarray:
    """The values (R, A) of some rows in another unit; the precision of the file is kept if the unit is 1."""
    if isinstance(values, np.ndarray):
        chosen = values if len(rows) == len(values) else values[rows]
    else:
        chosen = np.stack([values[row] for row in rows])
    chosen = chosen.reshape(len(rows), -1)
    return chosen if unit == 1 else chosen.astype(np.float64) * unit


def _faults(wavelength_A: np.ndarray, ivar_RA: np.ndarray, padded_A: np.ndarray) -> list[str]:
    """Of each row, the reason why its spectrum cannot be used; empty if it can."""
    wave_A, padding_RX = wavelength_A[~padded_A], ivar_RA[:, padded_A]
    if len(wave_A) < 2 or not (np.diff(wave_A) > 0).all():
        return ["its wavelengths do not increase"] * len(ivar_RA)
    used_RA = ivar_RA[:, ~padded_A] if padded_A.any() else ivar_RA
    wrong_R = ~((used_RA.min(axis=1) >= 0) & (used_RA.max(axis=1) < np.inf))  # NaN is wrong too
    faults = ["ivar has NaN, infinite or negative samples" if wrong else "" for wrong in wrong_R]
    for row in np.flatnonzero((padding_RX > 0).any(axis=1)):
        first = wavelength_A[padded_A][padding_RX[row] > 0][0]
        faults[row] = f"{(padding_RX[row] > 0).sum()} samples with positive ivar have the wavelength {first:.5g} A"
    return faults


def _to_grid(
    wave_A: np.ndarray, flux_RA: np.ndarray, ivar_RA: np.ndarray, grid_L: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Samples that are on the grid are copied, so that nothing is smoothed; others are resampled."""
    step = (grid_L[-1] - grid_L[0]) / (len(grid_L) - 1)
    index_A = np.rint((wave_A - grid_L[0]) / step).astype(np.int64)
    inside_A = (index_A >= 0) & (index_A < len(grid_L))
    if not (np.abs(grid_L[0] + step * index_A - wave_A) <= GRID_TOLERANCE).all() or np.unique(index_A).size < len(
        wave_A
    ):
        return resample_spectra(wave_A, flux_RA, ivar_RA, grid_L)
    good_RA = np.where(ivar_RA > 0, flux_RA, 0)
    if len(wave_A) == len(grid_L) and inside_A.all():
        return good_RA.astype(np.float32, copy=False), ivar_RA.astype(np.float32, copy=False)
    flux_RL, ivar_RL = (np.zeros((len(flux_RA), len(grid_L)), np.float32) for _ in range(2))
    flux_RL[:, index_A[inside_A]] = good_RA[:, inside_A]
    ivar_RL[:, index_A[inside_A]] = ivar_RA[:, inside_A]
    return flux_RL, ivar_RL


def _noise_ivar(flux_RA: np.ndarray) -> np.ndarray:
    """Inverse variances (R, A) from the scatter of neighbouring samples, in windows: the estimator of Stoehr et al.
    2008 (DER_SNR), 1.4826 / sqrt(6) x median |2 f_i - f_(i-2) - f_(i+2)|. Samples that are exactly 0 have no data.
    """
    ivar_RA = np.zeros(flux_RA.shape)
    for start in range(0, flux_RA.shape[1], NOISE_SAMPLES):
        window = slice(max(start - NOISE_SAMPLES // 2, 0), start + NOISE_SAMPLES * 3 // 2)
        flux = flux_RA[:, window]
        step = np.abs(2 * flux[:, 2:-2] - flux[:, :-4] - flux[:, 4:])
        known = (flux[:, 2:-2] != 0) & (flux[:, :-4] != 0) & (flux[:, 4:] != 0) & np.isfinite(step)
        counted = known.any(axis=1)
        noise_R = np.full(len(flux), np.nan)
        noise_R[counted] = np.nanmedian(np.where(known, step, np.nan)[counted], axis=1) * 1.482602 / np.sqrt(6)
        some = np.isfinite(noise_R) & (noise_R > 0)
        ivar_RA[some, start : start + NOISE_SAMPLES] = noise_R[some, None] ** -2.0
    return np.where(flux_RA == 0, 0.0, ivar_RA)
