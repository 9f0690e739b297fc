"""Optical or infrared counterparts by likelihood ratio, with reliabilities.

LR = q(m) f(r) / n(m) (Sutherland & Saunders 1992, MNRAS 259, 413, eq. 1): q(m) is the magnitude
distribution of true counterparts, here the excess of objects near the radio sources over the
background, n(m) the density of unrelated objects, from a ring around the same sources, f(r) a
circular Gaussian. Q0, the fraction of sources with a counterpart in the catalogue, is measured from
blank fields (Fleuren+2012, MNRAS 423, 2407, section 3.2): the excess of objects would overestimate it
where several objects belong to one source.

Suffixes: N radio sources, P pairs, B magnitude bins, G radii.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.ndimage import gaussian_filter1d

from mmae.astro.crossmatch import match
from mmae.core.errors import InputError
from mmae.steepspec.arrays import columns, per_row, require
from mmae.steepspec.config import MatchSettings


@dataclass(frozen=True)
class Counterparts:
    """Candidates of all sources, and the best candidate of each source."""

    source: np.ndarray
    """(P) index of the radio source."""
    candidate: np.ndarray
    """(P) index into the catalogue."""
    separation_arcsec: np.ndarray
    likelihood_ratio: np.ndarray
    reliability: np.ndarray
    """(P) probability that this candidate is the counterpart."""
    p_none: np.ndarray
    """(N) probability that none of the candidates is; 1 minus the sum of the reliabilities."""
    best: np.ndarray
    """(N) catalogue index of the most reliable candidate, -1 without candidates."""
    best_reliability: np.ndarray
    """(N) 0 without candidates."""
    q0: float
    background_deg2: float
    """Unrelated objects per square degree."""


def find_counterparts(
    ra: ArrayLike,
    dec: ArrayLike,
    error_arcsec: ArrayLike,
    catalogue_ra: ArrayLike,
    catalogue_dec: ArrayLike,
    catalogue_error_arcsec: ArrayLike,
    magnitude: ArrayLike,
    settings: MatchSettings = MatchSettings(),
) -> Counterparts:
    """Counterparts of radio sources in a catalogue.

    Args:
        ra, dec: (N) radio positions, degrees.
        error_arcsec: (N) or one number: 1-sigma error of a radio position in one coordinate, arcsec.
        catalogue_ra, catalogue_dec: (M) degrees.
        catalogue_error_arcsec: (M) or one number.
        magnitude: (M); objects without a magnitude (NaN) are in a separate bin.

    Raises:
        InputError: shapes differ, an error is not positive, the radii are not in increasing order, or
            the ring contains no object (the catalogue does not cover it).
    """
    radio = columns("radio sources", ra=ra, dec=dec, error=per_row(error_arcsec, np.size(ra)))
    other = columns(
        "counterpart catalogue",
        ra=catalogue_ra,
        dec=catalogue_dec,
        error=per_row(catalogue_error_arcsec, np.size(catalogue_ra)),
        magnitude=magnitude,
    )
    _check(radio, other, settings)
    n = len(radio["ra"])
    if n == 0 or len(other["ra"]) == 0:
        return _no_candidates(n)
    pairs = match(radio["ra"], radio["dec"], other["ra"], other["dec"], settings.ring[1])
    source, candidate, r = pairs.index1, pairs.index2, pairs.separation_arcsec
    bin_of, bins = _magnitude_bins(other["magnitude"], settings.bin_mag)

    ring_area = n * np.pi * (settings.ring[1] ** 2 - settings.ring[0] ** 2)
    in_ring = np.bincount(bin_of[candidate[r >= settings.ring[0]]], minlength=bins)
    if not in_ring.any():
        raise InputError(
            f"no catalogue object is {settings.ring[0]:g} to {settings.ring[1]:g} arcsec from any of {n} "
            "radio sources, so the background is unknown; use a catalogue that covers the ring, or change "
            "MatchSettings.ring"
        )
    # Half an object is added to the count, so that LR is finite in a bin without background.
    density_B = (in_ring + 0.5) / ring_area
    near = r < settings.search_radius
    sigma = np.hypot(radio["error"][source], other["error"][candidate])
    both_errors = np.hypot(radio["error"], np.median(other["error"]))
    background = float(in_ring.sum() / ring_area)
    q0 = blank_field_q0(n, source[near], r[near], background, both_errors, settings.search_radius)
    close = r < settings.magnitude_radius
    share_B = _counterpart_magnitudes(
        np.bincount(bin_of[candidate[close]], minlength=bins),
        in_ring / ring_area * n * np.pi * settings.magnitude_radius**2,
        settings.smooth_bins,
    )

    source, candidate, r, sigma = source[near], candidate[near], r[near], sigma[near]
    f = np.exp(-0.5 * (r / sigma) ** 2) / (2 * np.pi * sigma**2)
    ratio = q0 * (share_B / density_B)[bin_of[candidate]] * f
    total = np.bincount(source, weights=ratio, minlength=n) + (1 - q0)
    # The total is 0 only for Q0 = 1 and a source without candidates.
    total = np.where(total > 0, total, 1.0)
    reliability = ratio / total[source]
    p_none = 1 - np.bincount(source, weights=reliability, minlength=n)
    best, best_reliability = np.full(n, -1), np.zeros(n)
    order = np.argsort(reliability, kind="stable")  # the highest is assigned last
    best[source[order]], best_reliability[source[order]] = candidate[order], reliability[order]
    return Counterparts(
        source,
        candidate,
        r,
        ratio,
        reliability,
        np.clip(p_none, 0, 1),
        best,
        best_reliability,
        q0,
        background * 3600**2,
    )


def blank_field_q0(
    n: int, source: np.ndarray, r: np.ndarray, density: float, error: np.ndarray, radius: float
) -> float:
    """Q0 from the fraction of sources without any object within r, for r up to `radius`.

    Blank(r) = (1 - Q0 F(r)) exp(-pi r^2 density): a source is blank if neither its counterpart
    nor an unrelated object is within r (Fleuren+2012, eq. 6, with the blank fraction of random
    fields from the Poisson distribution at the density of the ring).

    Args:
        n: number of sources.
        source, r: (P) index and separation in arcsec of the pairs.
        density: unrelated objects per arcsec^2.
        error: (N) positional error in one coordinate, arcsec.
        radius: largest r, arcsec.
    """
    nearest = np.full(n, np.inf)
    np.minimum.at(nearest, source, r)
    radius_G = np.linspace(0.1, 1.0, 10) * radius
    blank_G = (nearest[None, :] > radius_G[:, None]).mean(axis=1)
    random_G = np.exp(-np.pi * radius_G**2 * density)
    inside_G = 1 - np.exp(-0.5 * (radius_G[:, None] / error[None, :]) ** 2).mean(axis=1)
    # Least-squares fit of (1 - blank/random) = Q0 F, each radius weighted by its binomial error.
    weight_G = random_G**2 / np.maximum(blank_G * (1 - blank_G), 1 / n)
    q0 = (weight_G * inside_G * (1 - blank_G / random_G)).sum() / (weight_G * inside_G**2).sum()
    return float(np.clip(q0, 0.0, 1.0))


def _counterpart_magnitudes(total_B: np.ndarray, background_B: np.ndarray, smooth: float) -> np.ndarray:
    """(B,) fraction of true counterparts per bin; the last bin is that of objects without magnitude."""
    excess = np.maximum(total_B - background_B, 0)
    if smooth > 0 and len(excess) > 2:
        excess[:-1] = gaussian_filter1d(excess[:-1], smooth, mode="nearest")
    return excess / excess.sum() if excess.sum() > 0 else excess


def _magnitude_bins(magnitude: np.ndarray, width: float) -> tuple[np.ndarray, int]:
    known = np.isfinite(magnitude)
    start = np.floor(magnitude[known].min() / width) * width if known.any() else 0.0
    index = np.zeros(len(magnitude), dtype=int)
    index[known] = ((magnitude[known] - start) // width).astype(int)
    bins = int(index.max()) + 2
    index[~known] = bins - 1
    return index, bins


def _check(radio: dict[str, np.ndarray], other: dict[str, np.ndarray], s: MatchSettings) -> None:
    for what, table in (("radio sources", radio), ("counterpart catalogue", other)):
        require(table["error"] > 0, what, "a positional error is not positive", "give arcsec")
    if not 0 < s.magnitude_radius <= s.search_radius <= s.ring[0] < s.ring[1] or s.bin_mag <= 0:
        raise InputError(
            f"counterpart radii: magnitude {s.magnitude_radius:g}, search {s.search_radius:g}, ring "
            f"{s.ring[0]:g} to {s.ring[1]:g} arcsec, bins {s.bin_mag:g} mag; the radii must be positive "
            "and increase in this order"
        )


def _no_candidates(n: int) -> Counterparts:
    empty, none = np.zeros(0), np.zeros(0, dtype=int)
    return Counterparts(none, none, empty, empty, empty, np.ones(n), np.full(n, -1), np.zeros(n), 0.0, 0.0)
