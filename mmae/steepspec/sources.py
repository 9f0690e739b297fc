"""From catalogue rows to radio sources: merging of windows, removal of duplicates, sizes and in-band indices.

Shape suffix: N sources.
"""

from __future__ import annotations

import numpy as np
from astropy.stats import gaussian_sigma_to_fwhm
from astropy.table import Table

from mmae.steepspec.bands import Band
from mmae.steepspec.catalogue import SurveyDescription, Window
from mmae.steepspec.compactness import EXTENDED, UNKNOWN, compactness
from mmae.steepspec.config import SourceSettings
from mmae.steepspec.counts import Rejections, rejections
from mmae.steepspec.spectra.two_point import two_point_index
from mmae.steepspec.spectral_windows import drop_overlaps, merge_windows


def merge_detections(table: Table, survey: SurveyDescription) -> tuple[Table, list[Rejections]]:
    """One row per source, from one row per detection (`read_catalogue`), and the rejections.

    Windows are merged if the survey has several; duplicates in overlapping pointings are removed if
    the rows name their pointing.

    Raises:
        InputError: the survey has windows, but no row belongs to one of them.
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
    """The windows of the survey by name; a survey at one frequency has one window."""
    if survey.windows:
        return dict(survey.windows)
    return {survey.name: Window(survey.frequency_mhz, survey.beam_arcsec, survey.limit_mjy)}


def bands_of(table: Table, survey: SurveyDescription, detection_sigma: float) -> list[Band]:
    """The measurements of each window, in order of frequency.

    Args:
        table: N sources of `merge_detections`.
        detection_sigma: significance to which the limit of the survey corresponds.
    """
    found = []
    for name, window in sorted(windows_of(survey).items(), key=lambda item: item[1].frequency_mhz):
        suffix = f"_{round(window.frequency_mhz)}" if len(survey.windows) > 1 else ""
        flux, flux_err, peak, peak_err, rms = (
            np.asarray(table[f"{stem}{suffix}_mjy"], np.float64)
            for stem in ("flux", "flux_err", "peak", "peak_err", "rms")
        )
        noise = np.where(np.isfinite(rms), rms, window.limit_mjy / detection_sigma)
        flux = np.where(np.isfinite(flux), flux, peak)  # for surveys with peak fluxes only
        found.append(
            Band(
                name,
                window,
                survey.flux_scale_error,
                flux,
                np.where(flux_err > 0, flux_err, noise),
                peak,
                np.where(peak_err > 0, peak_err, rms),
                np.asarray(table[f"major{suffix}_arcsec"], np.float64),
            )
        )
    return found


def measure_sources(
    table: Table, bands: list[Band], settings: SourceSettings
) -> tuple[dict[str, np.ndarray], np.ndarray, list[Rejections]]:
    """Signal-to-noise ratio, position error, size and in-band index of each source.

    Args:
        table: N sources of `merge_detections`.
        bands: of `bands_of`, for the same rows.

    Returns:
        (N,) columns of `schema.SOURCES`; (N,) bool, the sources to keep by `min_snr`; and the rejections.
    """
    snr_N = np.fmax.reduce([band.snr_N for band in bands])
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


def _position_error(bands: list[Band], settings: SourceSettings) -> np.ndarray:
    """sigma = FWHM / (2 sqrt(2 ln 2) S/N) of a point source in one coordinate (Condon 1997, PASP 109, 166,
    eqs. 20-21) in the window with the smallest error; for S/N = `min_snr` where the noise is unknown."""
    errors = [
        np.where(
            np.isfinite(band.flux_N),
            band.window.beam_arcsec
            / gaussian_sigma_to_fwhm
            / np.where(np.isfinite(band.snr_N), band.snr_N, settings.min_snr),
            np.nan,
        )
        for band in bands
    ]
    return np.hypot(np.fmin.reduce(errors), settings.astrometry_arcsec)


def _sizes(bands: list[Band], settings: SourceSettings) -> dict[str, np.ndarray]:
    """Size from the window with the smallest beam where it is known; extended if extended in any window."""
    n = len(bands[0].flux_N)
    size, deconvolved = np.full(n, UNKNOWN), np.full(n, np.nan)
    for band in sorted(bands, key=lambda band: band.window.beam_arcsec):
        found = compactness(
            band.flux_N,
            band.error_N,
            band.peak_N,
            band.peak_err_N,
            # Error of the fitted axis of a point source: length / (S/N) (Condon 1997, as above), and half of
            # the systematic error of the area, which is the product of two axes.
            band.major_N,
            band.major_N * np.hypot(1 / band.snr_N, settings.size.systematic / 2),
            beam_arcsec=band.window.beam_arcsec,
            settings=settings.size,
        )
        deconvolved = np.where(np.isnan(deconvolved), found.deconvolved_arcsec, deconvolved)
        size = np.where((size == UNKNOWN) | (found.size == EXTENDED), found.size, size)
    return {"size": size, "deconvolved_arcsec": deconvolved}


def _band_index(bands: list[Band], n: int) -> dict[str, np.ndarray]:
    """Spectral index between the lowest and the highest window, with the scale error of each."""
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
