"""Strata for the scores: bins of redshift, magnitude, type and signal-to-noise ratio.

Shape suffix: N galaxies.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from mmae.evaluation.catalogue import Catalogue
from mmae.metrics.redshift import is_redshift

# Bins of DESI's clustering samples (DESI Collaboration 2024, arXiv:2404.03000): bright galaxies to
# 0.4, which is also the paper's low-redshift limit, luminous red galaxies to 1.1, emission-line galaxies to
# 1.6, where [O II] leaves the spectrum, quasars, and Lyman-alpha forests from 2.1. The first bin is
# divided because it contains half of the galaxies.
REDSHIFT_EDGES = (-math.inf, 0.1, 0.2, 0.4, 0.6, 0.8, 1.1, 1.6, 2.1, math.inf)
MAGNITUDE_EDGES = (-math.inf, 17, 18, 19, 20, 21, 22, 23, math.inf)  # a factor of 2.5 in flux
MAGNITUDE_BANDS = ("i", "r")  # the first measured band: HSC evaluates photo-z in i (Tanaka et al. 2018)
SNR_EDGES = (-math.inf, 0.5, 1, 2, 4, 8, math.inf)  # factors of two around DESI's typical 1 per sample
MIN_GALAXIES = 30  # gives sigma_NMAD of a Gaussian sample to 20% and a rate to 3%
POINT_SOURCE, EXTENDED = "PSF", "all but PSF"  # Tractor type of mostly quasars, which other authors exclude
REDSHIFT, MAGNITUDE, KIND, MORPHOLOGY, SNR = "redshift", "magnitude", "kind", "morphology", "snr"


@dataclass(frozen=True)
class Stratum:
    """A subset of the galaxies.

    Attributes:
        label: such as "0.4 to 0.6", "PSF".
        member_N: members, bool.
        centre: median of the binned quantity; NaN for a class.
    """

    label: str
    member_N: np.ndarray
    centre: float


@dataclass(frozen=True)
class Family:
    """Strata by one quantity. Each galaxy with a redshift is in one stratum; extended ones also in "all but PSF".

    Attributes:
        name: part of metric names, letters only.
        title: the quantity with its unit.
        strata: the strata that are not empty.
    """

    name: str
    title: str
    strata: tuple[Stratum, ...]


def families(catalogue: Catalogue, snr_N: np.ndarray | None) -> tuple[Family, ...]:
    """All families for which the survey has the columns.

    Galaxies without the quantity form a separate stratum, as do point sources and quasars: no galaxy
    with a redshift is dropped.

    Args:
        snr_N: median S/N per sample of the spectrum, NaN without a spectrum; None: unknown.
    """
    known_N = is_redshift(catalogue.redshift_N)
    found = [redshift_family(catalogue.redshift_N)]
    for band in MAGNITUDE_BANDS:
        magnitude_N = catalogue.magnitude(band)
        if np.isfinite(magnitude_N[known_N]).any():
            found.append(binned(MAGNITUDE, f"{band} [mag]", magnitude_N, known_N, MAGNITUDE_EDGES, "not measured"))
            break
    if (catalogue.kind_N[known_N] != "").any():
        found.append(Family(KIND, "kind of galaxy", by_class(catalogue.kind_N, known_N)))
    if (catalogue.morphtype_N[known_N] != "").any():
        strata = by_class(catalogue.morphtype_N, known_N)
        extended_N = known_N & (catalogue.morphtype_N != POINT_SOURCE)
        if extended_N.any():
            strata += (Stratum(EXTENDED, extended_N, math.nan),)
        found.append(Family(MORPHOLOGY, "morphology", strata))
    if snr_N is not None and np.isfinite(snr_N[known_N]).any():
        found.append(binned(SNR, "spectrum S/N per sample", snr_N, known_N, SNR_EDGES, "no spectrum"))
    return tuple(found)


def redshift_family(redshift_N: np.ndarray) -> Family:
    """Bins of spectroscopic redshift."""
    return binned(REDSHIFT, "spectroscopic redshift", redshift_N, is_redshift(redshift_N), REDSHIFT_EDGES, "")


def binned(
    name: str, title: str, value_N: np.ndarray, known_N: np.ndarray, edges: tuple[float, ...], absent: str
) -> Family:
    """Bins of a quantity, low edge included; galaxies without the quantity are the last stratum.

    Args:
        known_N: galaxies to include, bool.
        edges: ascending; the outermost are infinite.
        absent: label of the stratum without the quantity.
    """
    finite_N = known_N & np.isfinite(value_N)
    parts = [(_label(low, high), finite_N & (value_N >= low) & (value_N < high)) for low, high in pairwise(edges)]
    strata = [
        Stratum(label, member_N, float(np.median(value_N[member_N]))) for label, member_N in parts if member_N.any()
    ]
    absent_N = known_N & ~finite_N
    if absent_N.any():
        strata.append(Stratum(absent, absent_N, math.nan))
    return Family(name, title, tuple(strata))


def by_class(class_N: np.ndarray, known_N: np.ndarray) -> tuple[Stratum, ...]:
    """One stratum per class in alphabetical order, then "unknown" for "".

    Args:
        class_N: (N,) str.
        known_N: galaxies to include, bool.
    """
    classes = sorted(set(class_N[known_N].tolist()), key=lambda text: (text == "", text))
    return tuple(Stratum(text or "unknown", known_N & (class_N == text), math.nan) for text in classes)


def _label(low: float, high: float) -> str:
    if math.isinf(low):
        return f"below {high:g}"
    return f"{low:g} and above" if math.isinf(high) else f"{low:g} to {high:g}"
