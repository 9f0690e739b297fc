"""From a catalogue's rows to radio sources: windows merged, repeats dropped, sizes and in-band indices.

Shape suffix: N sources.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from astropy.table import Table

from mmae.steepspec.bands import Band
from mmae.steepspec.catalogue import SurveyDescription, Window
from mmae.steepspec.compactness import EXTENDED, UNKNOWN, CompactnessSettings, compactness
from mmae.steepspec.counts import Rejections, rejections
from mmae.steepspec.spectra.two_point import two_point_index
from mmae.steepspec.spectral_windows import drop_overlaps, merge_windows

FWHM_PER_SIGMA = 2 * np.sqrt(2 * np.log(2))


@dataclass(frozen=True)
class SourceSettings:
    """From detections to sources."""

    min_snr: float = 5.0
    """Sources below this in every window are set aside; those without a known noise stay."""
    astrometry_arcsec: float = 0.2
    """Error of the radio frame, added in quadrature to that of the fit."""
    size: CompactnessSettings = field(default_factory=CompactnessSettings)


def merge_detections(table: Table, survey: SurveyDescription) -> tuple[Table, list[Rejections]]:
    """One row a source, from one row a detection (`read_catalogue`), and what was merged or dropped.

    Repeats in overlapping pointings are looked for where rows name their pointing, windows are
    merged where the survey has several.

    Raises:
        InputError: the survey has windows, and no row belongs to one.
    """
    counts: list[Rejections] = []
    if len(survey.windows) > 1:
        table, merged = merge_windows(table, survey)
        counts += merged
    pointings = np.unique(np.asarray(table["pointing"], str))
    if len(pointings[pointings != ""]) > 1:
        beam = min(window.beam_arcsec for window in windows_of(survey).values())
        table, dropped = drop_overlaps(table, beam / 2)
        counts += dropped
    return table, counts


def windows_of(survey: SurveyDescription) -> dict[str, Window]:
    """The survey's windows; a survey of one frequency is its own only window."""
    if survey.windows:
        return dict(survey.windows)
    return {survey.name: Window(survey.frequency_mhz, survey.beam_arcsec, survey.limit_mjy)}


def bands_of(table: Table, survey: SurveyDescription, detection_sigma: float) -> list[Band]:
    """What each window measured, in order of frequency.

    Args:
        table: N sources of `merge_detections`.
        detection_sigma: significance that the survey's limit stands for.
    """
    found = []
    for name, window in sorted(windows_of(survey).items(), key=lambda item: item[1].frequency_mhz):
        at = f"_{round(window.frequency_mhz)}" if len(survey.windows) > 1 else ""
        flux, flux_err, peak, peak_err, rms = (
            np.asarray(table[f"{stem}{at}_mjy"], np.float64) for stem in ("flux", "flux_err", "peak", "peak_err", "rms")
        )
        noise = np.where(np.isfinite(rms), rms, window.limit_mjy / detection_sigma)
        flux = np.where(np.isfinite(flux), flux, peak)  # a survey of peaks only
        found.append(
            Band(
                name,
                window,
                survey.flux_scale_error,
                flux,
                np.where(flux_err > 0, flux_err, noise),
                peak,
                np.where(peak_err > 0, peak_err, rms),
                np.asarray(table[f"major{at}_arcsec"], np.float64),
            )
        )
    return found


def measure_sources(
    table: Table, bands: list[Band], settings: SourceSettings
) -> tuple[dict[str, np.ndarray], np.ndarray, list[Rejections]]:
    """Signal-to-noise ratio, position error, size and in-band index of each source.

    Args:
        table: N sources of `merge_detections`.
        bands: of `bands_of`, from the same rows.

    Returns:
        (N,) columns of `schema.SOURCES`; (N,) bool, which sources reach `min_snr`; and how many do not.
    """
    snr_N = _best([band.snr_N for band in bands])
    columns = {
        "source_id": np.asarray(table["source_id"], str),
        "ra": np.asarray(table["ra"], np.float64),
        "dec": np.asarray(table["dec"], np.float64),
        "pointing": np.asarray(table["pointing"], str),
        "band": np.asarray(table["band"], str),
        "snr": snr_N,
        "pos_err_arcsec": _position_error(bands, settings),
        "alpha_catalogue": np.asarray(table["alpha"], np.float64),
        "alpha_catalogue_err": np.asarray(table["alpha_err"], np.float64),
        **_sizes(bands, settings),
        **_band_index(bands, len(table)),
    }
    keep = ~(snr_N < settings.min_snr)
    return (
        columns,
        keep,
        rejections(
            "clean", [(f"signal-to-noise ratio below {settings.min_snr:g} in every window", int((~keep).sum()))]
        ),
    )


def _best(values: list[np.ndarray]) -> np.ndarray:
    return np.fmax.reduce(values)


def _position_error(bands: list[Band], settings: SourceSettings) -> np.ndarray:
    """sigma = FWHM / (2 sqrt(2 ln 2) S/N) of a point in one coordinate (Condon 1997, PASP 109, 166,
    eqs. 20-21), of the window that fixes it best; at S/N `min_snr` where the noise is not known."""
    errors = [
        np.where(
            np.isfinite(band.flux_N),
            band.window.beam_arcsec / FWHM_PER_SIGMA / np.where(np.isfinite(band.snr_N), band.snr_N, settings.min_snr),
            np.nan,
        )
        for band in bands
    ]
    return np.hypot(np.fmin.reduce(errors), settings.astrometry_arcsec)


def _sizes(bands: list[Band], settings: SourceSettings) -> dict[str, np.ndarray]:
    """By the window of the smallest beam that says compact or extended; extended in any is extended."""
    n = len(bands[0].flux_N)
    size, deconvolved = np.full(n, UNKNOWN), np.full(n, np.nan)
    for band in sorted(bands, key=lambda band: band.window.beam_arcsec):
        found = compactness(
            band.flux_N,
            band.error_N,
            band.peak_N,
            band.peak_err_N,
            # Error of a fitted axis of a point: its length / (S/N) (Condon 1997, as above), and half of the
            # systematic error of the area that the two axes share.
            band.major_N,
            band.major_N * np.hypot(1 / band.snr_N, settings.size.systematic / 2),
            beam_arcsec=band.window.beam_arcsec,
            settings=settings.size,
        )
        deconvolved = np.where(np.isnan(deconvolved), found.deconvolved_arcsec, deconvolved)
        size = np.where((size == UNKNOWN) | (found.size == EXTENDED), found.size, size)
    return {"size": size, "deconvolved_arcsec": deconvolved}


def _band_index(bands: list[Band], n: int) -> dict[str, np.ndarray]:
    """Between the lowest and the highest window: one observation, so the scale errors count once each."""
    if len(bands) < 2:
        return {"alpha_band": np.full(n, np.nan), "alpha_band_err": np.full(n, np.nan)}
    low, high = bands[0], bands[-1]
    alpha, error = two_point_index(
        low.flux_N,
        low.error_N,
        low.window.frequency_mhz,
        high.flux_N,
        high.error_N,
        high.window.frequency_mhz,
        low.scale_error,
        high.scale_error,
    )
    return {"alpha_band": alpha, "alpha_band_err": error}
