"""Reconstructed against observed lines: ratios, shifts and the fraction of missing lines.

A line is *missing* in a reconstruction if its fitted amplitude is below a tenth of the observed one, or if
the fit failed. Amplitude and flux of a missing line are included as fitted (0 if the fit failed); shift and
width are of lines that are not missing. A shift or width at the limit of the fit enters with that limit: the
true value is larger, which does not change a median below the limit. Both fits use the hidden samples, with
the same weights.

Shape suffixes: M measured lines, K selected galaxies, N values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from astropy.stats import binom_conf_interval
from scipy.stats import bootstrap, norm

from mmae.astro.lines import LIGHT_SPEED_KMS
from mmae.evaluation.lines.catalogue import BROAD_FROM_FWHM, LINES, SIGMA_TO_FWHM, Line, blend_of, resolution_element
from mmae.evaluation.lines.measures import LineMeasures
from mmae.metrics.bootstrap import EMPTY, Score

ONE_SIGMA = 0.6827
MISSING_BELOW = 0.1
SIGNAL_CUTS = (5.0, 10.0)
RATIO_SIGNAL = 3.0  # minimum S/N of each line of a diagnostic diagram (Kewley+2006)
RESAMPLES = 300
MEDIAN_OF_NOISE = norm.ppf(0.75)  # median of |x| for a normal x of standard deviation 1


@dataclass(frozen=True)
class Compared:
    """A line in one situation: K galaxies with a bright observed line that was hidden.

    Attributes:
        in_range: number of galaxies with a fit of the line.
        bright: number of these above the S/N cut (and narrow, for narrow lines).
        chi2: median chi-square per degree of freedom of the observed fits.
        redshift_K: labels.
        missing_K: the line is missing in the reconstruction.
        amplitude_K, flux_K, ew_K: reconstructed over observed; 0 where the fit failed.
        width_K: reconstructed over observed sigma; NaN where the line is missing.
        shift_K: reconstructed minus observed centre, Angstrom; NaN where the line is missing.
        element_K: resolution element (FWHM) at the line, Angstrom.
        centre_error_K: error of the observed centre, Angstrom.
    """

    in_range: int
    bright: int
    chi2: float
    redshift_K: np.ndarray
    missing_K: np.ndarray
    amplitude_K: np.ndarray
    flux_K: np.ndarray
    ew_K: np.ndarray
    width_K: np.ndarray
    shift_K: np.ndarray
    element_K: np.ndarray
    centre_error_K: np.ndarray

    def __len__(self) -> int:
        return self.missing_K.size


@dataclass(frozen=True)
class ComparedRatio:
    """log10 of a flux ratio of two lines; `reconstructed_K` is NaN where one of them is missing."""

    galaxy_K: np.ndarray
    observed_K: np.ndarray
    error_K: np.ndarray
    """Error of the observed ratio, dex."""
    reconstructed_K: np.ndarray


def is_bright(measures: LineMeasures, line: Line, cut: float) -> np.ndarray:
    """(M,) bool: entries of this line with an observed fit above a S/N cut and not at a limit.

    A narrow line with a broad fit is dominated by a quasar's broad component and is excluded.
    """
    fit_M = measures.observed_M
    bright_M = (measures.line_M == LINES.index(line)) & (fit_M["at_limit"] == 0)
    bright_M &= fit_M["flux"] >= cut * fit_M["flux_error"]
    if blend_of(line).kind == "narrow":
        bright_M &= SIGMA_TO_FWHM * LIGHT_SPEED_KMS * fit_M["sigma"] < BROAD_FROM_FWHM * fit_M["centre"]
    return bright_M


def compare_line(measures: LineMeasures, line: Line, situation: str, cut: float) -> Compared:
    """Compare the line where the observed one is above a S/N cut (3 or more) and was hidden from the encoder."""
    bright_M = is_bright(measures, line, cut)
    selected_M = bright_M & measures.hidden[situation]
    observed, reconstructed = measures.target[situation][selected_M], measures.reconstructed[situation][selected_M]

    def ratio(name: str) -> np.ndarray:
        return np.where(np.isfinite(reconstructed["amplitude"]), reconstructed[name] / observed[name], 0.0)

    amplitude_K = ratio("amplitude")
    missing_K = ~(amplitude_K >= MISSING_BELOW)
    return Compared(
        int((measures.line_M == LINES.index(line)).sum()),
        int(bright_M.sum()),
        float(np.median(observed["chi2"] / observed["dof"])) if len(observed) else np.nan,
        measures.redshift_M[selected_M],
        missing_K,
        amplitude_K,
        ratio("flux"),
        ratio("ew"),
        np.where(missing_K, np.nan, reconstructed["sigma"] / observed["sigma"]),
        np.where(missing_K, np.nan, reconstructed["centre"] - observed["centre"]),
        resolution_element(observed["centre"]),
        observed["centre_error"],
    )


def compare_ratio(measures: LineMeasures, over: Line, under: Line, situation: str) -> ComparedRatio:
    """Compare a ratio where both observed lines have S/N 3, were hidden, and have positive flux in hidden samples."""
    selected_M = [
        np.flatnonzero(is_bright(measures, line, RATIO_SIGNAL) & measures.hidden[situation]) for line in (over, under)
    ]
    galaxy_K, a, b = np.intersect1d(*(measures.galaxy_M[m] for m in selected_M), return_indices=True)
    a, b = selected_M[0][a], selected_M[1][b]
    observed, reconstructed = measures.target[situation], measures.reconstructed[situation]
    positive_K = (observed["flux"][a] > 0) & (observed["flux"][b] > 0)
    galaxy_K, a, b = galaxy_K[positive_K], a[positive_K], b[positive_K]
    error_K = np.hypot(*(observed["flux_error"][k] / observed["flux"][k] for k in (a, b))) / np.log(10)
    present_K = np.ones(galaxy_K.size, bool)
    for k in (a, b):
        present_K &= reconstructed["amplitude"][k] >= MISSING_BELOW * observed["amplitude"][k]
    reconstructed_K = np.full(galaxy_K.size, np.nan)
    reconstructed_K[present_K] = np.log10((reconstructed["flux"][a] / reconstructed["flux"][b])[present_K])
    return ComparedRatio(galaxy_K, np.log10(observed["flux"][a] / observed["flux"][b]), error_K, reconstructed_K)


def ew_over_truth(measures: LineMeasures, line: Line, situation: str | None, cut: float) -> np.ndarray:
    """Equivalent width over the true one (K,) of bright lines: observed (situation None) or reconstructed."""
    selected_M = is_bright(measures, line, cut) & (measures.true_ew_M > 0)
    if situation is None:
        return measures.observed_M["ew"][selected_M] / measures.true_ew_M[selected_M]
    selected_M &= measures.hidden[situation]
    ew_K = measures.reconstructed[situation]["ew"][selected_M]
    return np.where(np.isfinite(ew_K), ew_K, 0.0) / measures.true_ew_M[selected_M]


def score(values_N: np.ndarray, statistic: Callable[..., np.ndarray], seed: int) -> Score:
    """A statistic of the finite values and its 68% bootstrap interval.

    Args:
        values_N: one row per galaxy; (N,) or (N, columns).
        statistic: function of the columns, with galaxies on the last axis and the keyword `axis`.
    """
    values_N = np.asarray(values_N, np.float64)
    values_N = values_N[:, None] if values_N.ndim == 1 else values_N
    columns = tuple(values_N[np.isfinite(values_N).all(axis=1)].T)
    n = columns[0].size
    if n == 0:
        return EMPTY
    value = float(statistic(*columns, axis=-1))
    if n == 1:
        return Score(value, np.nan, np.nan, 1)
    interval = bootstrap(
        columns,
        statistic,
        paired=True,
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=50,
        confidence_level=ONE_SIGMA,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Score(value, float(interval.low), float(interval.high), n)


def median_score(values_N: np.ndarray, seed: int) -> Score:
    """Median of the finite values."""
    return score(values_N, np.median, seed)


def scatter_score(values_N: np.ndarray, seed: int) -> Score:
    """1.4826 times the median absolute deviation from the median."""

    def scatter(x: np.ndarray, axis: int) -> np.ndarray:
        return np.median(np.abs(x - np.median(x, axis=axis, keepdims=True)), axis=axis) / MEDIAN_OF_NOISE

    return score(values_N, scatter, seed)


def fraction_score(hit_N: np.ndarray) -> Score:
    """Fraction of True values, with its Wilson interval."""
    if hit_N.size == 0:
        return EMPTY
    low, high = binom_conf_interval(int(hit_N.sum()), hit_N.size, ONE_SIGMA, interval="wilson")
    rate = float(hit_N.mean())
    # The interval contains the rate; at 0 and 1 rounding would exclude it.
    return Score(rate, float(low) if rate else 0.0, float(high) if rate < 1 else 1.0, hit_N.size)


def shift_beyond_noise(compared: Compared, seed: int) -> Score:
    """Median |shift| in resolution elements, corrected for the error of the observed centre.

    sqrt(m^2 - n^2), with m the median |shift| and n the median expected from the errors of the observed
    centres alone: the centre of a broad quasar line is uncertain by a few elements.
    """

    def corrected(shift: np.ndarray, error: np.ndarray, axis: int) -> np.ndarray:
        excess = np.square(np.median(np.abs(shift), axis=axis)) - np.square(
            MEDIAN_OF_NOISE * np.median(error, axis=axis)
        )
        return np.sqrt(np.maximum(excess, 0.0))

    pairs_K2 = np.stack([compared.shift_K, compared.centre_error_K], axis=1) / compared.element_K[:, None]
    return score(pairs_K2, corrected, seed)
