"""Signal, noise and bad pixels of spectra, compared with real DESI coadds.

Shape suffixes: N spectra, L wavelength samples, B bins of wavelength.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np

from mmae.metrics.redshift import sigma_nmad
from mmae.realism.columns import RATIO, REAL, SIMULATED, VERDICT
from mmae.realism.figures_spectra import noise_shape_figure
from mmae.realism.measures import SpectrumMeasures
from mmae.realism.reference import RealSpectra, load, read_coadds
from mmae.realism.rows import Objects
from mmae.realism.statistics import nan_percentile
from mmae.report.contents import NOT_JUDGED, Cell, Column, Drawing, Section, Table, judge_difference, judge_ratio
from mmae.survey.schema import SurveySpec

BIN_WIDTH = 100.0  # Angstrom
NORMALISE_AT = 6500.0  # Angstrom: no sky lines, in the middle arm
ARMS = (("b", 3600.0, 5760.0), ("r", 5760.0, 7560.0), ("z", 7560.0, 9824.0))
SHAPE_TOLERANCE = 0.25
PULL_TOLERANCE = 0.05
SPREAD_TOLERANCE = 0.10
SPREAD_AT = (3800.0, 4500.0, 5500.0, 6000.0, 6500.0, 7200.0, 7800.0, 8500.0, 9500.0)  # Angstrom
# The photon noise of bright objects depends on their spectrum: the noise shape is compared for simulated spectra
# with S/N at 6500 A within this factor of the range of the real ones.
SIMILAR_SIGNAL = 1.5

LineSpread = Callable[[np.ndarray], np.ndarray]
"""Wavelengths in Angstrom -> sigma of the line-spread function in Angstrom."""


def bin_edges(wavelength_L: np.ndarray) -> np.ndarray:
    """Edges of the wavelength bins; the last bin may be incomplete."""
    first = BIN_WIDTH * np.floor(wavelength_L[0] / BIN_WIDTH)
    return np.arange(first, wavelength_L[-1] + BIN_WIDTH, BIN_WIDTH)


def measure_spectra(
    flux_NL: np.ndarray, ivar_NL: np.ndarray, wavelength_L: np.ndarray, row_N: np.ndarray | None = None
) -> SpectrumMeasures:
    """Medians and fraction of bad pixels in bins, and pull scatter, of each spectrum."""
    flux_NL, ivar_NL = np.asarray(flux_NL, np.float32), np.asarray(ivar_NL, np.float32)
    good_NL = ivar_NL > 0
    signal_NL = np.where(good_NL, flux_NL * np.sqrt(ivar_NL), np.nan)
    masked_NL = np.where(good_NL, ivar_NL, np.nan)
    edges = np.searchsorted(wavelength_L, bin_edges(wavelength_L))
    n, n_bins = len(flux_NL), len(edges) - 1
    signal_NB, ivar_NB, bad_NB = np.full((3, n, n_bins), np.nan)
    for b, (start, stop) in enumerate(pairwise(edges)):
        any_N = good_NL[:, start:stop].any(axis=1)
        signal_NB[any_N, b] = np.nanmedian(signal_NL[any_N, start:stop], axis=1)
        ivar_NB[any_N, b] = np.nanmedian(masked_NL[any_N, start:stop], axis=1)
        bad_NB[:, b] = 1 - good_NL[:, start:stop].mean(axis=1)
    return SpectrumMeasures(
        np.arange(n) if row_N is None else row_N, signal_NB, ivar_NB, bad_NB, pull_scatter(flux_NL, ivar_NL)
    )


def join_measures(parts: Iterable[SpectrumMeasures]) -> SpectrumMeasures:
    """Concatenate the measurements of several batches."""
    columns = [(p.row_N, p.signal_NB, p.ivar_NB, p.bad_NB, p.pull_N) for p in parts]
    return SpectrumMeasures(*(np.concatenate(column) for column in zip(*columns, strict=True)))


def pull_scatter(flux_NL: np.ndarray, ivar_NL: np.ndarray) -> np.ndarray:
    """Robust sigma (N,) of (f_i - f_i+1) / sqrt(1/ivar_i + 1/ivar_i+1).

    1 for uncorrelated noise of variance 1/ivar, as the signal varies little between adjacent samples. NaN for fewer
    than 100 pairs of good samples.
    """
    pull_N = np.full(len(flux_NL), np.nan)
    for n, (flux_L, ivar_L) in enumerate(zip(flux_NL, ivar_NL, strict=True)):
        both = (ivar_L[:-1] > 0) & (ivar_L[1:] > 0)
        if both.sum() >= 100:
            difference = (flux_L[:-1] - flux_L[1:])[both]
            pull_N[n] = sigma_nmad(difference / np.sqrt(1 / ivar_L[:-1][both] + 1 / ivar_L[1:][both]))
    return pull_N


def noise_shape(measures: SpectrumMeasures, wavelength_L: np.ndarray) -> np.ndarray:
    """Noise ivar^-1/2 in bins (B,) relative to that at 6500 A, median over the spectra."""
    sigma_NB = measures.ivar_NB**-0.5
    shape_NB = sigma_NB / sigma_NB[:, _bin_of(NORMALISE_AT, wavelength_L)][:, None]
    return nan_percentile(shape_NB, 50)


def _bin_of(wavelength: float, wavelength_L: np.ndarray) -> int:
    return int(np.searchsorted(bin_edges(wavelength_L), wavelength, side="right")) - 1


def select(measures: SpectrumMeasures, keep_N: np.ndarray) -> SpectrumMeasures:
    """Measurements of the selected spectra."""
    return SpectrumMeasures(
        measures.row_N[keep_N],
        measures.signal_NB[keep_N],
        measures.ivar_NB[keep_N],
        measures.bad_NB[keep_N],
        measures.pull_N[keep_N],
    )


def spectrum_section(
    measures: SpectrumMeasures | None,
    objects: Objects,
    spec: SurveySpec,
    reference: Path | None,
    line_spread: LineSpread | None = None,
) -> Section:
    """Section on noise shape, signal, bad pixels, accuracy of ivar and line spread.

    Args:
        measures: of a sample of the spectra of the survey; None without spectra.
        line_spread: of the simulated spectrograph.
    """
    title = "Spectra: noise, signal, bad pixels"
    text = (
        f"Medians in bins of {BIN_WIDTH:g} A. Real: DESI coadds of five quasars and one galaxy "
        "(early data release). Their exposure times differ from the main survey, so only the shape of the noise is "
        f"compared, normalised at {NORMALISE_AT:g} A."
    )
    if measures is None or not len(measures.row_N):
        return Section("spectra", title, text, left_out="Left out: the survey has no spectra.")
    wavelength_L = spec.wavelength_L()
    loaded = load(read_coadds, reference)
    real = loaded.value
    real_measures = None if real is None else measure_spectra(real.flux_NL, real.ivar_NL, wavelength_L)
    similar = measures
    if real_measures is not None:
        at = _bin_of(NORMALISE_AT, wavelength_L)
        low, high = np.nanmin(real_measures.signal_NB[:, at]), np.nanmax(real_measures.signal_NB[:, at])
        signal_N = measures.signal_NB[:, at]
        similar_N = (signal_N >= low / SIMILAR_SIGNAL) & (signal_N <= high * SIMILAR_SIGNAL)
        similar = select(measures, similar_N) if similar_N.any() else measures
    shape_B = noise_shape(similar, wavelength_L)
    real_shape_B = None if real_measures is None else noise_shape(real_measures, wavelength_L)
    tables = [
        _shape_table(shape_B, real_shape_B, wavelength_L, len(similar.row_N)),
        _arm_table(measures, real_measures, wavelength_L),
        _signal_table(measures, objects, real, real_measures, wavelength_L),
    ]
    if real is not None:
        tables.append(_spread_table(real, line_spread))
    figure = noise_shape_figure(wavelength_L, measures, similar, real_measures, objects.class_N[measures.row_N])
    caption = (
        "Left: noise relative to 6500 A, median and 16-84%. Middle: noise, which depends on the exposure time. Right: "
        "median S/N per pixel by target class."
    )
    return Section(
        "spectra", title, text, tuple(tables), (Drawing("spectra", caption, figure),), left_out=loaded.reason
    )


def _shape_table(shape_B: np.ndarray, real_B: np.ndarray | None, wavelength_L: np.ndarray, n: int) -> Table:
    edges = bin_edges(wavelength_L)
    rows: list[tuple[Cell, ...]] = []
    for start in range(0, shape_B.size, 5):
        here = slice(start, min(start + 5, shape_B.size))
        value = float(nan_percentile(shape_B[here], 50))
        target = np.nan if real_B is None else float(nan_percentile(real_B[here], 50))
        rows.append(
            (
                f"{edges[here.start]:.0f} to {edges[here.stop]:.0f}",
                value,
                target,
                value / target,
                judge_ratio(value, target, SHAPE_TOLERANCE),
            )
        )
    return Table(
        "shape",
        f"Noise relative to {NORMALISE_AT:g} A, median of the bins in 500 A",
        (Column("wavelength", "wavelength [A]"), SIMULATED, REAL, RATIO, VERDICT),
        tuple(rows),
        note=f"{n:,} simulated spectra with S/N at {NORMALISE_AT:g} A within a factor of {SIMILAR_SIGNAL:g} of "
        "the range of the real spectra.",
    )


def _arm_table(measures: SpectrumMeasures, real: SpectrumMeasures | None, wavelength_L: np.ndarray) -> Table:
    middle_B = bin_edges(wavelength_L)[:-1] + BIN_WIDTH / 2
    pull = float(nan_percentile(measures.pull_N, 50))
    real_pull = None if real is None else float(nan_percentile(real.pull_N, 50))
    rows: list[tuple[Cell, ...]] = [
        ("pull of adjacent pixels", "all", pull, real_pull, judge_difference(pull, 1.0, PULL_TOLERANCE))
    ]
    for name, low, high in ARMS:
        in_B = (middle_B >= low) & (middle_B < high)
        if in_B.any():
            rows.append(
                (
                    "bad pixels [%]",
                    name,
                    100 * float(np.nanmean(measures.bad_NB[:, in_B])),
                    None if real is None else 100 * float(np.nanmean(real.bad_NB[:, in_B])),
                    NOT_JUDGED,
                )
            )
    for name, low, high in ARMS:
        in_B = (middle_B >= low) & (middle_B < high)
        if in_B.any():
            rows.append(
                (
                    "noise [1e-17 erg/s/cm2/A]",
                    name,
                    _typical_noise(measures, in_B),
                    None if real is None else _typical_noise(real, in_B),
                    NOT_JUDGED,
                )
            )
    return Table(
        "arms",
        "By arm",
        (Column("statistic"), Column("arm"), SIMULATED, REAL, VERDICT),
        tuple(rows),
        note="Pull: robust sigma of differences of adjacent pixels relative to ivar; 1 if ivar is the inverse variance "
        "and pixels are uncorrelated. Coadds of several exposures have no bad pixels left; six spectra do not "
        "constrain the fraction.",
    )


def _typical_noise(measures: SpectrumMeasures, in_B: np.ndarray) -> float:
    return float(nan_percentile(measures.ivar_NB[:, in_B].ravel(), 50) ** -0.5)


def _signal_table(
    measures: SpectrumMeasures,
    objects: Objects,
    real: RealSpectra | None,
    real_measures: SpectrumMeasures | None,
    wavelength_L: np.ndarray,
) -> Table:
    middle_B = bin_edges(wavelength_L)[:-1] + BIN_WIDTH / 2
    masks = [(middle_B >= low) & (middle_B < high) for _, low, high in ARMS]
    class_N = objects.class_N[measures.row_N]
    rows: list[tuple[Cell, ...]] = []
    for name in sorted(set(class_N.tolist())):
        member = measures.signal_NB[class_N == name]
        rows.append((f"simulated {name or 'unknown'}", len(member), *_medians(member, masks)))
    if real is not None and real_measures is not None:
        for kind in sorted(set(real.kind_N)):
            member = real_measures.signal_NB[np.array(real.kind_N) == kind]
            rows.append((f"real {kind}", len(member), *_medians(member, masks)))
    columns = tuple(Column(name) for name in ("spectra", "n", "b", "r", "z"))
    return Table("signal", "Median S/N per pixel by arm", columns, tuple(rows))


def _medians(signal_NB: np.ndarray, masks: list[np.ndarray]) -> list[float]:
    return [float(nan_percentile(signal_NB[:, m].ravel(), 50)) if m.any() else float("nan") for m in masks]


def _spread_table(real: RealSpectra, line_spread: LineSpread | None) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for at in SPREAD_AT:
        found = [
            float(np.interp(at, wavelength_A, sigma_A))
            for wavelength_A, sigma_A in real.line_spread
            if wavelength_A[0] <= at <= wavelength_A[-1]
        ]
        if not found:
            continue
        target = float(np.median(found))
        value = float("nan") if line_spread is None else float(line_spread(np.array([at]))[0])
        rows.append(
            (
                f"{at:g}",
                value,
                target,
                value / target,
                NOT_JUDGED if line_spread is None else judge_ratio(value, target, SPREAD_TOLERANCE),
            )
        )
    return Table(
        "spread",
        "Sigma of the line-spread function, Angstrom",
        (Column("wavelength", "wavelength [A]"), SIMULATED, REAL, RATIO, VERDICT),
        tuple(rows),
        note="Real: second moment of the RESOLUTION matrices of the coadds, median of the files.",
    )
