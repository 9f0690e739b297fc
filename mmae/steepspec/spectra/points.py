"""All that is known of each source's spectrum, as one long table: detections and upper limits.

A survey that does not list a source, though it looked there (`coverage`), says that the source is
fainter than its limit: in the windows of the radio catalogue itself by the noise of the nearest
detections, in a companion survey by its usual limit.

Shape suffixes: N sources, P points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from astropy.table import Table

from mmae.astro.crossmatch import match, nearest_of
from mmae.steepspec.bands import Band
from mmae.steepspec.catalogue import SurveyDescription
from mmae.steepspec.schema import POINTS
from mmae.steepspec.spectra.coverage import surroundings
from mmae.steepspec.tables import as_table


@dataclass(frozen=True)
class PointSettings:
    """Which points make a spectrum."""

    detection_sigma: float = 5.0
    """Significance of a detection: an upper limit is this many times the noise."""
    match_beams: float = 0.5
    """A companion's source is the same source within this many beams, the larger of the two."""
    confusion_beams: float = 1.0
    """A companion's detection with a second source of ours this near is a limit, no measurement ..."""
    confusing_flux: float = 0.1
    """... if that second source has this fraction of the first one's flux."""


@dataclass(frozen=True)
class Companion:
    """Another radio survey: its description, and its catalogue in standard columns."""

    survey: SurveyDescription
    table: Table


def spectral_points(
    ra_N: np.ndarray, dec_N: np.ndarray, bands: Sequence[Band], companions: Sequence[Companion], settings: PointSettings
) -> Table:
    """Flux densities and limits of all sources, in `schema.POINTS`, sorted by source and frequency.

    Args:
        ra_N, dec_N: ICRS degrees.
        bands: windows of the radio catalogue.
        companions: other surveys, in any order.
    """
    # A limit is on the peak; of an extended source the whole flux may be larger by this factor.
    spread_N = np.fmax(1.0, np.fmax.reduce([band.flux_N / band.peak_N for band in bands]))
    flux_N = bands[0].flux_N
    for band in bands[1:]:
        flux_N = np.where(np.isnan(flux_N), band.flux_N, flux_N)
    parts = []
    for band in bands:
        label = band.name if len(bands) == 1 else f"{band.name} ({band.window.frequency_mhz:g} MHz)"
        about = (label, band.window.frequency_mhz, band.scale_error, band.window.beam_arcsec)
        seen = np.flatnonzero(np.isfinite(band.flux_N))
        parts.append(_part(*about, seen, band.flux_N[seen], band.error_N[seen], False))
        noise_N = _window_noise(ra_N, dec_N, band)
        rows = np.flatnonzero(np.isfinite(noise_N))
        limit = settings.detection_sigma * noise_N[rows] * spread_N[rows]
        parts.append(_part(*about, rows, limit, noise_N[rows], True))
    own_beam = min(band.window.beam_arcsec for band in bands)
    for companion in companions:
        parts += _companion_parts(ra_N, dec_N, flux_N, spread_N, own_beam, companion, settings)
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order = np.lexsort((columns["frequency_mhz"], columns["source"]))
    return as_table({name: values[order] for name, values in columns.items()}, POINTS)


def _part(
    survey: str,
    frequency: float,
    scale: float,
    beam: float,
    source: np.ndarray,
    flux: np.ndarray,
    error: np.ndarray,
    is_limit: bool | np.ndarray,
) -> dict[str, np.ndarray]:
    n = len(source)
    return {
        "source": source,
        "survey": np.full(n, survey),
        "frequency_mhz": np.full(n, frequency),
        "flux_mjy": flux,
        "error_mjy": error,
        "scale_error": np.full(n, scale),
        "is_limit": np.broadcast_to(is_limit, n),
        "beam_arcsec": np.full(n, beam),
    }


def _window_noise(ra_N: np.ndarray, dec_N: np.ndarray, band: Band) -> np.ndarray:
    """Noise (N) where the survey looked in this window and found nothing; NaN elsewhere."""
    noise_N = np.full(len(ra_N), np.nan)
    seen = np.flatnonzero(np.isfinite(band.flux_N) & np.isfinite(band.peak_err_N))
    unseen = np.flatnonzero(np.isnan(band.flux_N))
    covered, row_NK = surroundings(ra_N[unseen], dec_N[unseen], ra_N[seen], dec_N[seen])
    if covered.any():
        noise_N[unseen[covered]] = np.median(band.peak_err_N[seen][row_NK[covered]], axis=1)
    return noise_N


def _companion_parts(
    ra_N: np.ndarray,
    dec_N: np.ndarray,
    flux_N: np.ndarray,
    spread_N: np.ndarray,
    own_beam: float,
    companion: Companion,
    settings: PointSettings,
) -> list[dict[str, np.ndarray]]:
    """Detections (limits where confused) of one companion survey, and limits where it saw nothing."""
    survey, table = companion.survey, companion.table
    about = (survey.name, survey.frequency_mhz, survey.flux_scale_error, survey.beam_arcsec)
    rms = np.asarray(table["rms_mjy"], np.float64)
    noise = float(np.nanmedian(rms)) if np.isfinite(rms).any() else survey.limit_mjy / settings.detection_sigma
    flux, error = (np.asarray(table[name], np.float64) for name in ("flux_mjy", "flux_err_mjy"))
    flux = np.where(np.isfinite(flux), flux, np.asarray(table["peak_mjy"], np.float64))
    error = np.where(error > 0, error, np.where(np.isfinite(rms), rms, noise))
    radius = settings.match_beams * max(own_beam, survey.beam_arcsec)
    pairs = nearest_of(match(ra_N, dec_N, table["ra"], table["dec"], radius))
    rows, theirs = pairs.index1, pairs.index2
    confused_N = _confused(ra_N, dec_N, flux_N, settings.confusion_beams * survey.beam_arcsec, settings)
    matched_N = np.zeros(len(ra_N), bool)
    matched_N[rows] = True
    unseen = np.flatnonzero(~matched_N & survey.reaches(dec_N))
    covered, _ = surroundings(ra_N[unseen], dec_N[unseen], table["ra"], table["dec"])
    unseen = unseen[covered]
    return [
        _part(*about, rows, flux[theirs], error[theirs], confused_N[rows]),
        _part(*about, unseen, survey.limit_mjy * spread_N[unseen], np.full(len(unseen), noise), True),
    ]


def _confused(
    ra_N: np.ndarray, dec_N: np.ndarray, flux_N: np.ndarray, radius_arcsec: float, settings: PointSettings
) -> np.ndarray:
    """(N) bool: another source of ours, bright enough to matter, lies in the same beam."""
    pairs = match(ra_N, dec_N, ra_N, dec_N, radius_arcsec)
    a, b = pairs.index1, pairs.index2
    harmful = (a != b) & (flux_N[b] > settings.confusing_flux * flux_N[a])
    confused_N = np.zeros(len(ra_N), bool)
    confused_N[a[harmful]] = True
    return confused_N
