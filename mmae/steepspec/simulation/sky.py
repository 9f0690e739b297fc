"""Simulated sky with a known truth: the default input of the search, without any download.

MALS-like pointings on gamma-ray error ellipses, with injected pulsars, radio galaxies, flat-spectrum
AGN and stars, companion radio surveys, optical/infrared objects around the radio sources, and a
list of known pulsars. Distributions are from the literature; no catalogue is copied.

Suffixes: N true sources, T pointings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import Table

from mmae.core.errors import InputError
from mmae.steepspec.config import SkySettings
from mmae.steepspec.simulation.detections import (
    COMPANIONS,
    WINDOWS,
    companion_rows,
    disc,
    mals_rows,
    offset,
    optical_rows,
    separation_deg,
)

# log10 of Euclidean-normalised counts S^2.5 dN/dS (Jy^1.5 / sr) at 1.4 GHz as a polynomial in
# log10(S / mJy), 0.05 to 1000 mJy: Hopkins+2003, AJ 125, 465, section 5.
HOPKINS_2003 = (0.859, 0.508, 0.376, -0.049, -0.121, 0.057, -0.008)
COUNTS_RANGE_MJY = (0.08, 1000.0)  # below, only sources steeper than -1.4 reach 5 sigma in MALS
PULSAR_ALPHA = (-1.60, 0.62)  # mean, sd of simple power laws: Jankowski+2018, MNRAS 473, 4436
# S1400 of pulsars, roughly the median of the ATNF catalogue (Manchester+2005), log10 mJy: mean and sd.
PULSAR_LOG_S1400 = (-0.3, 0.5)
# Mean and sd of alpha, share of extragalactic sources: thin synchrotron (Condon 1992, ARA&A 30,
# 575), its steep tail (fossil and high-redshift sources: De Breuck+2000, A&AS 143, 303: 0.5-3%),
# self-absorbed cores, and radio stars.
SPECTRA = {
    "radio_galaxy": ((-0.8, 0.25), 0.755),
    "steep_galaxy": ((-1.6, 0.2), 0.025),
    "agn": ((-0.2, 0.3), 0.215),
    "star": ((-0.3, 0.4), 0.005),
}
# 4FGL-like: ln of the 95% semi-major axis in degrees, axis ratio, share and scale height of
# sources in the Galactic disc (parametrised after Abdollahi+2020, ApJS 247, 33, figures 4, 9).
ELLIPSE_LN_DEG, AXIS_RATIO, DISC = (-2.3, 0.55), (0.82, 0.11), (0.4, 3.0)
ASSOCIATED_CLASSES = ("bll", "bcu", "fsrq", "PSR", "unk")


@dataclass(frozen=True)
class Sky:
    """Tables of one simulated sky; positions in degrees."""

    mals: Table
    """One row per detection, pointing and window, MALS DR1 (VizieR) columns, -999 missing."""
    regions: Table
    """4FGL columns."""
    companions: Mapping[str, Table]
    """By survey name, in the standard columns of `catalogue.RADIO_COLUMNS`."""
    optical: Table
    """Positions, r and its limit, W1, W2, resolved or not, Gaia parallax and proper motion over error."""
    known_pulsars: Table
    pointings: Table
    truth: Table
    """Every true source in a pointing: class, alpha, S1400, size, known, region."""


def simulate_sky(settings: SkySettings = SkySettings()) -> Sky:
    """Draw the sky; the same settings give the same tables.

    Raises:
        InputError: counts or fractions are out of range.
    """
    _check(settings)
    rng = np.random.default_rng(settings.seed)
    regions, pointings = _regions_and_pointings(rng, settings)
    truth = _true_sources(rng, settings, regions, pointings)
    mals = mals_rows(rng, truth, pointings, settings.mals_scale_error)
    companions = {c.name: companion_rows(rng, c, truth) for c in COMPANIONS}
    known = truth[truth["known"]]
    known_pulsars = Table(
        {
            "PSRJ": [f"SIM{row['truth_id']:06d}" for row in known],
            "RAJD": known["ra"],
            "DECJD": known["dec"],
            "S1400": known["s1400_mjy"],
        },
        units={"RAJD": u.deg, "DECJD": u.deg, "S1400": u.mJy},
    )
    optical = optical_rows(
        rng,
        truth,
        mals,
        limit_mag=settings.optical_limit_mag,
        density_deg2=settings.optical_density,
        radius_arcsec=settings.optical_radius_arcsec,
    )
    return Sky(mals, regions, companions, optical, known_pulsars, pointings, truth)


def draw_fluxes(rng: np.random.Generator, area_deg2: float) -> np.ndarray:
    """(N) flux densities at 1.4 GHz, mJy, from the counts of Hopkins+2003; N is Poisson distributed."""
    log_edge = np.linspace(*np.log10(COUNTS_RANGE_MJY), 400)
    log_mid = (log_edge[1:] + log_edge[:-1]) / 2
    width_jy = np.diff(10.0**log_edge) / 1000
    euclidean = 10 ** np.polynomial.polynomial.polyval(log_mid, HOPKINS_2003)
    expected = euclidean * (10**log_mid / 1000) ** -2.5 * width_jy * area_deg2 * (np.pi / 180) ** 2
    bins = np.repeat(np.arange(len(log_mid)), rng.poisson(expected))
    return 10 ** (log_edge[bins] + rng.random(len(bins)) * np.diff(log_edge)[bins])


def _check(s: SkySettings) -> None:
    if s.pointings < 1 or not 0 <= s.overlapping < s.pointings or s.regions < s.pointings:
        raise InputError(
            f"simulated sky: {s.pointings} pointings, {s.overlapping} overlapping, {s.regions} regions; "
            "give at least one pointing, fewer overlapping than pointings, and at least one region per pointing"
        )
    for name in ("unassociated_fraction", "pulsar_regions", "known_pulsars"):
        if not 0 <= getattr(s, name) <= 1:
            raise InputError(f"simulated sky: {name} is {getattr(s, name)}; give a fraction from 0 to 1")


def _regions_and_pointings(rng: np.random.Generator, s: SkySettings) -> tuple[Table, Table]:
    extra = s.pointings * (s.regions_per_pointing - 1)
    n = s.regions + extra
    latitude = np.where(
        rng.random(s.regions) < DISC[0],
        rng.laplace(0, DISC[1], s.regions),
        np.rad2deg(np.arcsin(rng.uniform(-1, 1, s.regions))),
    )
    sky = SkyCoord(rng.uniform(0, 360, s.regions), latitude, unit="deg", frame="galactic").icrs
    # Prefer regions covered by MALS and Pan-STARRS, hence by the other surveys; others if these are too few.
    order = np.argsort((sky.dec.deg > 20) | (sky.dec.deg < -27), kind="stable")[: s.pointings]
    ra_T, dec_T = disc(rng, sky.ra.deg[order], sky.dec.deg[order], 0.6)
    for index in range(s.pointings - s.overlapping, s.pointings):
        near = index - (s.pointings - s.overlapping)
        ra_T[index], dec_T[index] = offset(ra_T[near], dec_T[near], rng.uniform(0, 6.28), 1.2)
    host = np.repeat(np.arange(s.pointings), s.regions_per_pointing - 1)
    ra2, dec2 = disc(rng, ra_T[host], dec_T[host], WINDOWS[1].radius_deg)
    ra, dec = np.concatenate([sky.ra.deg, ra2]), np.concatenate([sky.dec.deg, dec2])
    galactic = SkyCoord(ra, dec, unit="deg").galactic
    major = np.exp(rng.normal(*ELLIPSE_LN_DEG, n))
    pulsar = rng.random(n) < s.pulsar_regions
    blank = rng.random(n) < s.unassociated_fraction
    beta = np.where(pulsar, rng.normal(0.40, 0.11, n), rng.normal(0.08, 0.06, n))  # measured in 4FGL-DR4
    significance = 4 + rng.lognormal(0.7, 0.9, n)
    curved = np.abs(rng.normal(np.maximum(beta, 0) * significance * 0.9, 1.0))
    major[rng.random(n) < 0.01] = np.nan  # 4FGL has a few sources without an ellipse
    ratio = np.clip(rng.normal(*AXIS_RATIO, n), 0.4, 1)
    association = np.where(blank, "", rng.choice(ASSOCIATED_CLASSES, n))
    degree = dict.fromkeys(
        ("RAJ2000", "DEJ2000", "GLON", "GLAT", "Conf_95_SemiMajor", "Conf_95_SemiMinor", "Conf_95_PosAng"), u.deg
    )
    regions = Table(
        {
            "Source_Name": [f"SIM J{i:04d}" for i in range(n)],
            "RAJ2000": ra,
            "DEJ2000": dec,
            "GLON": galactic.l.deg,
            "GLAT": galactic.b.deg,
            "Conf_95_SemiMajor": major,
            "Conf_95_SemiMinor": major * ratio,
            "Conf_95_PosAng": rng.uniform(-90, 90, n),
            "Signif_Avg": significance,
            "Energy_Flux100": 1e-12 * significance / 4,
            "PL_Index": rng.normal(2.3, 0.25, n),
            "LP_beta": np.clip(beta, -0.1, 1),
            "LP_SigCurv": curved,
            "PLEC_SigCurv": np.maximum(curved + np.where(pulsar, 0.3, -0.1), 0),
            "Variability_Index": rng.chisquare(13, n) * np.where(pulsar, 1, rng.lognormal(0.4, 0.6, n)),
            "CLASS1": association,
            "CLASS2": [""] * n,
            "ASSOC1": np.where(blank, "", np.char.add("SIM ", association)),
            "Flags": np.zeros(n, dtype=np.int16),
            "sim_pulsar": pulsar & blank,
        },
        units=degree | {"Energy_Flux100": u.erg / u.cm**2 / u.s},
    )
    pointings = Table(
        {"pointing": [f"SIM{i:03d}" for i in range(s.pointings)], "ra": ra_T, "dec": dec_T},
        units={"ra": u.deg, "dec": u.deg},
    )
    return regions, pointings


def _true_sources(rng: np.random.Generator, s: SkySettings, regions: Table, pointings: Table) -> Table:
    radius = WINDOWS[0].radius_deg
    ra_T, dec_T = pointings["ra"].value, pointings["dec"].value
    flux, ra, dec = [], [], []
    for index in range(s.pointings):  # a source in an overlap belongs to the first pointing
        flux_t = draw_fluxes(rng, np.pi * radius**2)
        ra_t, dec_t = disc(rng, *(np.full(len(flux_t), x[index]) for x in (ra_T, dec_T)), radius)
        earlier = [separation_deg(ra_t, dec_t, ra_T[j], dec_T[j]) < radius for j in range(index)]
        kept = ~np.any(earlier, axis=0) if earlier else np.full(len(flux_t), True)
        flux, ra, dec = flux + [flux_t[kept]], ra + [ra_t[kept]], dec + [dec_t[kept]]
    flux, ra, dec = (np.concatenate(x) for x in (flux, ra, dec))
    kinds = rng.choice(list(SPECTRA), len(flux), p=[share for _, share in SPECTRA.values()])
    drawn = [rng.normal(*law, len(flux)) for law, _ in SPECTRA.values()]
    alpha = np.select([kinds == name for name in SPECTRA], drawn)

    # Pulsars: in gamma-ray ellipses (2-D Gaussian with the ellipse as 95% contour), and field pulsars.
    inside = [
        np.flatnonzero(separation_deg(regions["RAJ2000"], regions["DEJ2000"], a, d) < radius - 0.3)
        for a, d in zip(ra_T, dec_T, strict=True)
    ]
    host = np.unique(np.concatenate(inside))
    host = host[regions["sim_pulsar"][host] & np.isfinite(regions["Conf_95_SemiMajor"][host])]
    axes = np.stack([regions["Conf_95_SemiMajor"][host], regions["Conf_95_SemiMinor"][host]])
    along, across = axes / np.sqrt(2 * np.log(20)) * rng.normal(size=axes.shape)
    angle = np.deg2rad(regions["Conf_95_PosAng"][host]) + np.arctan2(across, along)
    centre = (np.asarray(regions[name][host]) for name in ("RAJ2000", "DEJ2000"))
    in_region = offset(*centre, np.asarray(angle), np.hypot(along, across))
    some = rng.integers(s.pointings, size=s.field_pulsars)
    in_field = disc(rng, ra_T[some], dec_T[some], WINDOWS[1].radius_deg)
    n = len(host) + s.field_pulsars
    pulsar_alpha = np.clip(rng.normal(*PULSAR_ALPHA, n), -4, 0.5)
    total = len(flux) + n
    kinds = np.where(kinds == "steep_galaxy", "radio_galaxy", kinds)
    kinds = np.concatenate([kinds, ["pulsar_candidate"] * n])
    flux = np.concatenate([flux, 10 ** rng.normal(*PULSAR_LOG_S1400, n)])
    # Median size of galaxies 2" S^0.3 (Windhorst+1990, ASP 10, 389); AGN, stars and pulsars are point sources.
    size = np.where(kinds == "radio_galaxy", 2.0 * flux**0.3 * rng.lognormal(0, 0.7, total), 0.0)
    region = np.full(total, -1)
    region[total - n : total - s.field_pulsars] = host
    return Table(
        {
            "truth_id": np.arange(total),
            "ra": np.concatenate([ra, in_region[0], in_field[0]]),
            "dec": np.concatenate([dec, in_region[1], in_field[1]]),
            "source_class": kinds,
            "alpha": np.concatenate([alpha, pulsar_alpha]),
            "s1400_mjy": flux,
            "size_arcsec": size,
            "known": (kinds == "pulsar_candidate") & (rng.random(total) < s.known_pulsars),
            "region": region,
        },
        units={"ra": u.deg, "dec": u.deg, "s1400_mjy": u.mJy, "size_arcsec": u.arcsec},
    )
