"""Parts of a survey that are scored apart: in redshift, magnitude, type and signal to noise.

Shape suffixes: N galaxies.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from mmae.evaluation.catalogue import Catalogue
from mmae.metrics.redshift import is_redshift

# Bins of DESI's clustering samples (DESI Collaboration 2024, arXiv:2404.03000): bright galaxies to
# 0.4, which is also the paper's low-redshift limit, luminous red ones to 1.1, emission-line ones to
# 1.6, where [O II] leaves the spectrum, quasars, and Lyman-alpha forests from 2.1. The first is
# divided, as it holds half of the galaxies.
REDSHIFT_EDGES = (-math.inf, 0.1, 0.2, 0.4, 0.6, 0.8, 1.1, 1.6, 2.1, math.inf)
MAGNITUDE_EDGES = (-math.inf, 17, 18, 19, 20, 21, 22, 23, math.inf)  # a factor of 2.5 in flux
MAGNITUDE_BANDS = ("i", "r")  # the first that was measured: HSC judges photo-z by i (Tanaka et al. 2018)
SNR_EDGES = (-math.inf, 0.5, 1, 2, 4, 8, math.inf)  # factors of two about DESI's typical 1 a sample
LEAST_GALAXIES = 30  # of a Gaussian sample, sigma_NMAD is then good to a fifth and a rate to 3%
POINT_SOURCE, EXTENDED = "PSF", "all but PSF"  # Tractor's morphology of mostly quasars; others drop it
REDSHIFT, MAGNITUDE, KIND, MORPHOLOGY, SNR = "redshift", "magnitude", "kind", "morphology", "snr"


@dataclass(frozen=True)
class Stratum:
    """Some of the galaxies.

    Attributes:
        label: such as "0.4 to 0.6", "PSF".
        member_N: which they are, bool.
        centre: median of the quantity that is binned; NaN for a class.
    """

    label: str
    member_N: np.ndarray
    centre: float


@dataclass(frozen=True)
class Family:
    """Strata by one quantity. Each galaxy with a redshift is in one of them, and if extended, in "all but PSF".

    Attributes:
        name: short, of letters.
        title: the quantity with its unit.
        strata: those that have a galaxy.
    """

    name: str
    title: str
    strata: tuple[Stratum, ...]


def families(catalogue: Catalogue, snr_N: np.ndarray | None) -> tuple[Family, ...]:
    """All families that the survey has the columns for.

    What was not measured is a stratum of its own, and so are point sources and quasars: no galaxy
    with a redshift is ever dropped.

    Args:
        snr_N: median signal to noise of a sample of the spectrum, NaN without one; None: unknown.
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
    """Bins of a quantity, low edge included; galaxies without it are the last stratum.

    Args:
        known_N: galaxies that count, bool.
        edges: ascending; the outermost are infinite.
        absent: label of galaxies without the quantity.
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
    """Every class in alphabetical order, then "unknown" for "".

    Args:
        class_N: (N,) str.
        known_N: galaxies that count, bool.
    """
    classes = sorted(set(class_N[known_N].tolist()), key=lambda text: (text == "", text))
    return tuple(Stratum(text or "unknown", known_N & (class_N == text), math.nan) for text in classes)


def _label(low: float, high: float) -> str:
    if math.isinf(low):
        return f"below {high:g}"
    return f"{low:g} and above" if math.isinf(high) else f"{low:g} to {high:g}"
