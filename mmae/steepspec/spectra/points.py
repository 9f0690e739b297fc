"""Table of the spectral points of all sources: detections and upper limits.

A survey that covers the position of a source (`coverage`) and does not list it gives an upper limit:
from the noise of the nearest detections in the windows of the radio catalogue, the nominal limit in
a companion survey.

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
from mmae.steepspec.config import PointSettings
from mmae.steepspec.schema import POINTS
from mmae.steepspec.spectra.coverage import surroundings
from mmae.steepspec.tables import as_table


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
    # A limit applies to the peak; the integrated flux of an extended source may be larger by this factor.
    extension_N = np.fmax(1.0, np.fmax.reduce([band.flux_N / band.peak_N for band in bands]))
    flux_N = bands[0].flux_N
    for band in bands[1:]:
        flux_N = np.where(np.isnan(flux_N), band.flux_N, flux_N)
    parts = []
    for band in bands:
        label = band.name if len(bands) == 1 else f"{band.name} ({band.window.frequency_mhz:g} MHz)"
        scalars = (label, band.window.frequency_mhz, band.scale_error, band.window.beam_arcsec)
        detected = np.flatnonzero(np.isfinite(band.flux_N))
        parts.append(_part(*scalars, detected, band.flux_N[detected], band.error_N[detected], False))
        noise_N = _window_noise(ra_N, dec_N, band)
        rows = np.flatnonzero(np.isfinite(noise_N))
        limit = settings.detection_sigma * noise_N[rows] * extension_N[rows]
        parts.append(_part(*scalars, rows, limit, noise_N[rows], True))
    own_beam = min(band.window.beam_arcsec for band in bands)
    for companion in companions:
        parts += _companion_parts(ra_N, dec_N, flux_N, extension_N, own_beam, companion, settings)
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
    """(N,) noise at sources that are not detected in this window but covered by it; NaN elsewhere."""
    noise_N = np.full(len(ra_N), np.nan)
    detected = np.flatnonzero(np.isfinite(band.flux_N) & np.isfinite(band.peak_err_N))
    missing = np.flatnonzero(np.isnan(band.flux_N))
    covered, row_NK = surroundings(ra_N[missing], dec_N[missing], ra_N[detected], dec_N[detected])
    if covered.any():
        noise_N[missing[covered]] = np.median(band.peak_err_N[detected][row_NK[covered]], axis=1)
    return noise_N


def _companion_parts(
    ra_N: np.ndarray,
    dec_N: np.ndarray,
    flux_N: np.ndarray,
    extension_N: np.ndarray,
    own_beam: float,
    companion: Companion,
    settings: PointSettings,
) -> list[dict[str, np.ndarray]]:
    """Detections (limits where confused) of one companion survey, and limits for its non-detections."""
    survey, table = companion.survey, companion.table
    scalars = (survey.name, survey.frequency_mhz, survey.flux_scale_error, survey.beam_arcsec)
    rms = np.asarray(table["rms_mjy"], np.float64)
    noise = float(np.nanmedian(rms)) if np.isfinite(rms).any() else survey.limit_mjy / settings.detection_sigma
    flux, error = (np.asarray(table[name], np.float64) for name in ("flux_mjy", "flux_err_mjy"))
    flux = np.where(np.isfinite(flux), flux, np.asarray(table["peak_mjy"], np.float64))
    error = np.where(error > 0, error, np.where(np.isfinite(rms), rms, noise))
    radius = settings.match_beams * max(own_beam, survey.beam_arcsec)
    pairs = nearest_of(match(ra_N, dec_N, table["ra"], table["dec"], radius))
    rows, matches = pairs.index1, pairs.index2
    confused_N = _confused(ra_N, dec_N, flux_N, settings.confusion_beams * survey.beam_arcsec, settings)
    matched_N = np.zeros(len(ra_N), bool)
    matched_N[rows] = True
    missing = np.flatnonzero(~matched_N & survey.covers_declination(dec_N))
    covered, _ = surroundings(ra_N[missing], dec_N[missing], table["ra"], table["dec"])
    missing = missing[covered]
    return [
        _part(*scalars, rows, flux[matches], error[matches], confused_N[rows]),
        _part(*scalars, missing, survey.limit_mjy * extension_N[missing], np.full(len(missing), noise), True),
    ]


def _confused(
    ra_N: np.ndarray, dec_N: np.ndarray, flux_N: np.ndarray, radius_arcsec: float, settings: PointSettings
) -> np.ndarray:
    """(N) bool: another radio source within the radius has more than `confusing_flux` times the flux."""
    pairs = match(ra_N, dec_N, ra_N, dec_N, radius_arcsec)
    a, b = pairs.index1, pairs.index2
    confusing = (a != b) & (flux_N[b] > settings.confusing_flux * flux_N[a])
    confused_N = np.zeros(len(ra_N), bool)
    confused_N[a[confusing]] = True
    return confused_N
