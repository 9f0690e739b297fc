"""Simulated catalogues of the surveys: MALS windows, companion surveys, optical objects.

Suffixes: N true sources or detections.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import Table, vstack

from mmae.steepspec.catalogue import survey_description

MISSING = -999.0  # sentinel of MALS
OPTICAL_SCATTER_ARCSEC = 0.2  # position scatter of a counterpart about its radio source, in one coordinate
GALAXY_COUNTS = 0.35  # slope of log10 of the cumulative counts against magnitude (Capak+2007, ApJS 172, 99)


@dataclass(frozen=True)
class Window:
    """One MALS spectral window (Deka+2024, ApJS 270, 33)."""

    name: str
    frequency_mhz: float
    beam_arcsec: float
    rms_mjy: float
    """Noise at the centre of a pointing."""
    radius_deg: float
    """Radius of a pointing, from the catalogued areas of 2289 and 1132 square degrees in 391 pointings."""


@dataclass(frozen=True)
class Companion:
    """Another radio survey; detections are peaks above `limit_sigma` times the noise.

    The noise is set so that this is the limit in the survey description, which the search assumes.
    """

    name: str
    frequency_mhz: float
    beam_arcsec: float
    rms_mjy: float
    limit_sigma: float
    scale_error: float
    dec_min: float


def _companion(name: str, limit_sigma: float) -> Companion:
    survey = survey_description(name)
    return Companion(
        name,
        survey.frequency_mhz,
        survey.beam_arcsec,
        survey.limit_mjy / limit_sigma,
        limit_sigma,
        survey.flux_scale_error,
        survey.declination[0],
    )


WINDOWS = (Window("LSPW_2", 1006.0, 12.0, 0.025, 1.365), Window("LSPW_9", 1381.0, 8.0, 0.022, 0.96))
COMPANIONS = (_companion("tgss", 7.0), _companion("racs_low", 5.0), _companion("nvss", 5.0))


def offset(
    ra: np.ndarray, dec: np.ndarray, angle: np.ndarray, distance_deg: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Positions moved along great circles; all in degrees except `angle`, in radians east of north."""
    moved = SkyCoord(ra, dec, unit="deg").directional_offset_by(angle * u.rad, distance_deg * u.deg)
    return moved.ra.deg, moved.dec.deg


def disc(rng: np.random.Generator, ra: np.ndarray, dec: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Uniform positions within `radius` degrees of each centre."""
    return offset(ra, dec, rng.uniform(0, 2 * np.pi, len(ra)), radius * np.sqrt(rng.random(len(ra))))


def separation_deg(ra: np.ndarray, dec: np.ndarray, ra0: float, dec0: float) -> np.ndarray:
    """Great-circle distance in degrees by the haversine formula."""
    ra, dec, ra0, dec0 = (np.deg2rad(x) for x in (ra, dec, ra0, dec0))
    haversine = np.sin((dec - dec0) / 2) ** 2 + np.cos(dec) * np.cos(dec0) * np.sin((ra - ra0) / 2) ** 2
    return np.rad2deg(2 * np.arcsin(np.sqrt(haversine)))


def _measure(
    rng: np.random.Generator, truth: Table, survey: Window | Companion, rms: np.ndarray, scale_error: float | np.ndarray
) -> dict[str, np.ndarray]:
    """Noisy fluxes, sizes and positions with the errors of a Gaussian fit (Condon 1997, PASP 109, 166)."""
    n, beam = len(truth), survey.beam_arcsec
    flux = truth["s1400_mjy"].value * (survey.frequency_mhz / 1400.0) ** truth["alpha"].value
    size = truth["size_arcsec"].value
    major, minor = np.hypot(beam, size), np.hypot(beam, 0.5 * size)
    peak = flux * beam**2 / (major * minor) * (1 + scale_error)
    peak_err = rms * np.ones(n)
    measured_peak = peak + peak_err * rng.normal(size=n)
    snr = np.maximum(measured_peak / peak_err, 1.0)
    widen = np.exp(rng.normal(0, 1, (2, n)) / snr * 0.7)
    flux_err = peak_err * np.sqrt(major * minor) / beam
    # Peak and integrated flux share the noise of the peak; the rest is from the fitted size.
    measured = measured_peak * major * minor / beam**2 + flux_err * 0.5 * rng.normal(size=n)
    sigma_pos = np.hypot(beam / (2.355 * snr), 0.2)
    ra, dec = truth["ra"].value, truth["dec"].value
    east, north = sigma_pos * rng.normal(size=(2, n)) / 3600
    return {
        "ra": (ra + east / np.cos(np.deg2rad(dec))) % 360,
        "dec": np.clip(dec + north, -90, 90),
        "pos_err": sigma_pos,
        "flux": measured,
        "flux_err": flux_err * np.sqrt(1.25),
        "peak": measured_peak,
        "peak_err": peak_err,
        "major": np.maximum(major * widen[0], minor * widen[1]),
        "minor": np.minimum(major * widen[0], minor * widen[1]),
        "major_err": major * 0.7 / snr,
        "pa": rng.uniform(0, 180, n),
        "snr": snr,
        "rms": peak_err,
    }


def mals_rows(rng: np.random.Generator, truth: Table, pointings: Table, scale_error: float) -> Table:
    """Detections above 5 sigma in every pointing and window, in MALS DR1 columns (VizieR J/ApJS/270/33).

    The noise is divided by the primary beam, Gaussian with FWHM 57.5' (1.5 GHz / nu) (Mauch+2020,
    ApJ 888, 61, section 2), which reduces the source density from 1,000 to 216 per square degree in MALS
    (340 here, without the artefacts around bright sources).
    """
    rows = []
    for name, ra0, dec0 in pointings.iterrows():
        distance = separation_deg(truth["ra"].value, truth["dec"].value, ra0, dec0)
        detected = {}
        for window in WINDOWS:
            near = np.flatnonzero(distance < window.radius_deg)
            fwhm = 57.5 / 60 * 1500.0 / window.frequency_mhz
            rms = window.rms_mjy * np.exp(4 * np.log(2) * (distance[near] / fwhm) ** 2)
            m = _measure(rng, truth[near], window, rms, scale_error * rng.normal())
            kept = m["peak"] > 5 * m["rms"]
            detected[window.name] = {key: values[kept] for key, values in m.items()} | {"id": near[kept]}
        rows += _rows_of_pointing(rng, name, detected)
    table = vstack(rows)
    for columns, unit in (
        (("RAJ2000", "DEJ2000", "PA"), u.deg),
        (("e_RAJ2000", "e_DEJ2000", "Majaxis", "e_Majaxis", "Minaxis"), u.arcsec),
        (("Flux", "e_Flux", "FluxPk", "e_FluxPk", "rms"), u.mJy),
    ):
        for column in columns:
            table[column].unit = unit
    return table


def _rows_of_pointing(rng: np.random.Generator, pointing: str, detected: dict[str, dict]) -> list[Table]:
    """One table per window; alpha from the two windows where both detections are strong."""
    low, high = (detected[w.name] for w in WINDOWS)
    _, at_low, at_high = np.intersect1d(low["id"], high["id"], return_indices=True)
    strong = (low["snr"][at_low] > 8) & (high["snr"][at_high] > 8)  # MALS gives alpha above 8 sigma
    at_low, at_high = at_low[strong], at_high[strong]
    ratio = np.log(WINDOWS[1].frequency_mhz / WINDOWS[0].frequency_mhz)
    with np.errstate(invalid="ignore", divide="ignore"):
        alpha = np.log(high["flux"][at_high] / low["flux"][at_low]) / ratio
        relative = [m["flux_err"][i] / m["flux"][i] for m, i in ((low, at_low), (high, at_high))]
        error = np.hypot(*relative) / ratio
    alpha, error = (np.where(np.isfinite(alpha), x, MISSING) for x in (alpha, error))
    tables = []
    for window, m, at in ((WINDOWS[0], low, at_low), (WINDOWS[1], high, at_high)):
        n = len(m["id"])
        spwfit, e_spwfit = np.full(n, MISSING), np.full(n, MISSING)
        spwfit[at], e_spwfit[at] = alpha, error
        extended = m["major"] > 1.5 * window.beam_arcsec
        tables.append(
            Table(
                {
                    "Pointing": [pointing] * n,
                    "SPW/WB": [window.name] * n,
                    "RAJ2000": m["ra"],
                    "e_RAJ2000": m["pos_err"],
                    "DEJ2000": m["dec"],
                    "e_DEJ2000": m["pos_err"],
                    "Flux": m["flux"],
                    "e_Flux": m["flux_err"],
                    "FluxPk": m["peak"],
                    "e_FluxPk": m["peak_err"],
                    "Majaxis": m["major"],
                    "e_Majaxis": np.where(rng.random(n) < 0.01, MISSING, m["major_err"]),
                    "Minaxis": m["minor"],
                    "PA": m["pa"],
                    "rms": m["rms"],
                    "Scode": np.where(extended, "M", "S"),
                    "Spwfit": spwfit,
                    "e_Spwfit": e_spwfit,
                }
            )
        )
    return tables


def companion_rows(rng: np.random.Generator, c: Companion, truth: Table) -> Table:
    """Detections of a companion survey, in the standard columns of `catalogue.RADIO_COLUMNS`."""
    truth = truth[truth["dec"] > c.dec_min]
    rms = np.full(len(truth), c.rms_mjy)
    m = _measure(rng, truth, c, rms, c.scale_error * rng.normal(size=len(truth)))
    kept = m["peak"] > c.limit_sigma * m["rms"]
    m = {key: values[kept] for key, values in m.items()}
    return Table(
        {
            "source_id": [f"{c.name}-{i:06d}" for i in range(int(kept.sum()))],
            "ra": m["ra"],
            "dec": m["dec"],
            "flux_mjy": m["flux"],
            "flux_err_mjy": m["flux_err"],
            "peak_mjy": m["peak"],
            "peak_err_mjy": m["peak_err"],
            "major_arcsec": m["major"],
            "minor_arcsec": m["minor"],
            "pa_deg": m["pa"],
            "rms_mjy": m["rms"],
        },
        units={
            "ra": u.deg,
            "dec": u.deg,
            "flux_mjy": u.mJy,
            "flux_err_mjy": u.mJy,
            "peak_mjy": u.mJy,
            "peak_err_mjy": u.mJy,
            "major_arcsec": u.arcsec,
            "minor_arcsec": u.arcsec,
            "pa_deg": u.deg,
            "rms_mjy": u.mJy,
        },
    )


def optical_rows(
    rng: np.random.Generator, truth: Table, mals: Table, *, limit_mag: float, density_deg2: float, radius_arcsec: float
) -> Table:
    """Counterparts brighter than r = `limit_mag`, and unrelated objects around MALS detections.

    Args:
        density_deg2: unrelated objects to r = 23 per square degree, scaled to `limit_mag`.
    """
    n, kind = len(truth), np.asarray(truth["source_class"])
    normal = rng.normal(size=n)
    # Magnitudes of radio sources: half of the mJy galaxies are fainter than r = 22 (Prandoni+2018).
    r_mag = np.select(
        [kind == "radio_galaxy", kind == "agn", kind == "star"],
        [21.8 + 1.9 * normal, 20.5 + 1.6 * normal, 14.0 + 2.0 * normal],
        99.0,
    )
    detected = r_mag < limit_mag
    colour = np.select(
        [kind == "agn", kind == "star"], [rng.normal(1.1, 0.2, n), rng.normal(0, 0.05, n)], rng.normal(0.3, 0.2, n)
    )[detected]
    redder = np.select([kind == "agn", kind == "star"], [5.5, 2.5], 5.0)  # r (AB) - W2 (Vega)
    w2 = (r_mag - redder + 0.5 * rng.normal(size=n))[detected]
    pm = np.abs(np.where(kind == "star", rng.normal(60, 25, n), rng.normal(0, 1, n)))[detected]
    parallax = np.where(kind == "star", rng.normal(25, 10, n), rng.normal(0, 1, n))[detected]
    east, north = OPTICAL_SCATTER_ARCSEC * rng.normal(size=(2, int(detected.sum()))) / 3600
    dec = truth["dec"].value[detected]
    counterparts = Table(
        {
            "ra": (truth["ra"].value[detected] + east / np.cos(np.deg2rad(dec))) % 360,
            "dec": dec + north,
            "r_mag": r_mag[detected],
            "is_galaxy": kind[detected] == "radio_galaxy",
            "w1_mag": w2 + colour,
            "w2_mag": w2,
            "parallax_over_error": parallax,
            "pm_over_error": pm,
        }
    )
    density = density_deg2 * 10 ** (GALAXY_COUNTS * (limit_mag - 23.0))
    count = rng.poisson(density * np.pi * (radius_arcsec / 3600) ** 2, len(mals))
    centre = [mals[name].value for name in ("RAJ2000", "DEJ2000")]
    ra, dec = disc(rng, *(np.repeat(x, count) for x in centre), radius_arcsec / 3600)
    # An object in overlapping circles is kept only for the nearest centre, so that the density is uniform.
    owner, _, _ = SkyCoord(ra, dec, unit="deg").match_to_catalog_sky(SkyCoord(*centre, unit="deg"))
    ra, dec = (x[owner == np.repeat(np.arange(len(mals)), count)] for x in (ra, dec))
    m = len(ra)
    mag = limit_mag + np.log10(rng.random(m)) / GALAXY_COUNTS
    star = rng.random(m) < 0.2
    w2 = mag - rng.normal(3.5, 0.7, m)
    field = Table(
        {
            "ra": ra,
            "dec": dec,
            "r_mag": mag,
            "is_galaxy": ~star,
            "w1_mag": w2 + np.where(star, 0.0, rng.normal(0.25, 0.2, m)),
            "w2_mag": w2,
            "parallax_over_error": np.where(star, rng.normal(2, 3, m), rng.normal(0, 1, m)),
            "pm_over_error": np.abs(rng.normal(np.where(star, 20.0, 0.0), np.where(star, 15.0, 1.0))),
        }
    )
    table = vstack([counterparts, field])
    w1_limit, g_limit = (survey_description(name).limit_mag for name in ("allwise", "gaia_dr3"))
    for name, depth in (("w1_mag", w1_limit), ("w2_mag", 16.5)):
        table[name] = np.where(table[name] < depth, table[name], np.nan)
    for name in ("parallax_over_error", "pm_over_error"):
        table[name] = np.where(table["r_mag"] < g_limit, table[name], np.nan)
    table = table[rng.permutation(len(table))]
    table["object_id"], table["r_limit_mag"] = np.arange(len(table)), limit_mag
    return table
