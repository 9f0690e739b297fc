"""Completeness and purity of a search over a simulated sky with known truth.

Known pulsars are excluded from completeness and classification: they are identified by a list, not by
the search. To measure completeness, field pulsars are injected at random positions, far more than in the
real sky. They make the purity of the whole simulated sky too high. The purity that applies to real error
ellipses is that of members of ellipses without field pulsars: the pulsars of the regions, with the share
set in the simulation, and sources in ellipses by chance.

Shape suffixes: S detected sources, N true sources, M members, R searched regions, B bins, T and F
true and found classes.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from astropy.table import Table

from mmae.astro.crossmatch import one_to_one
from mmae.core.errors import InputError
from mmae.steepspec.assessment.bins import Binned, binned, check_match, mean, rate, take, true_values
from mmae.steepspec.classify import CLASSES, confusion_matrix
from mmae.steepspec.config import SEDSettings

PULSAR = "pulsar_candidate"
STEEP = SEDSettings().steep_alpha
REFERENCE_MHZ = 1006.0  # the MALS window in which a steep source is brighter
INF = float("inf")
FLUX_EDGES_MJY = (-INF, 0.15, 0.3, 0.6, 1.2, 2.5, 5.0, INF)
ALPHA_OFFSETS = (-INF, -1.2, -0.8, -0.4, -0.2, 0.0, 0.2, 0.4, 0.8, INF)
"""Edges of the bins of true alpha, relative to the steep limit, which is one of the edges."""
SNR_EDGES = (-INF, 7.0, 10.0, 15.0, 25.0, 50.0, INF)
ELLIPSE_EDGES_DEG = (-INF, 0.05, 0.1, 0.15, 0.25, INF)
POPULATIONS = ("truly steep", "all")
STAGES = ("detected", "called steep", "classed pulsar")
PURITIES = ("purity, sky", "purity, ellipses", "purity, no field pulsars")
ELLIPSE_SHARE = 0.95  # expected fraction of pulsars in their own ellipse, a 95% contour in 4FGL
INSIDE, CANDIDATE = "in own ellipse", "candidate"
CHANCE, CHANCE_CANDIDATES = "chance sources per ellipse", "chance candidates per ellipse"


@dataclass(frozen=True)
class Completeness:
    """Fraction of the injected pulsars, without the known ones, that each stage of the search keeps."""

    by_flux: Mapping[str, Binned]
    """Population ("truly steep", "all") -> STAGES against expected flux density at 1006 MHz."""
    by_alpha: Binned
    """STAGES of all pulsars against true alpha."""


@dataclass(frozen=True)
class Confusion:
    """Counts of true class by found class, in the order of `classify.CLASSES`."""

    all_TF: np.ndarray
    """(5,5) int; matched sources that are not vetoed."""
    steep_TF: np.ndarray
    """(5,5) int; those of them called steep."""
    unmatched: int
    """Number of sources, vetoed ones included, without a match in the truth."""


def match_truth(sources: Table, truth: Table, radius_arcsec: float = 6.0) -> np.ndarray:
    """(S,) row of the truth for each detected source, -1 for none: one to one, nearest first.

    The truth extends below the detection limit: at D sources per square degree, a fraction
    2.4e-7 D r^2 (r in arcsec; about 1% at 6 arcsec) of all positions has one by chance, but a detection
    is matched with it only if its own source is farther away.

    Raises:
        InputError: missing columns, coordinates or radius out of range.
    """
    s, t = take(sources, "sources", "ra", "dec"), take(truth, "truth", "ra", "dec")
    pairs = one_to_one(s["ra"], s["dec"], t["ra"], t["dec"], radius_arcsec)
    match_S = np.full(len(sources), -1)
    match_S[pairs.index1] = pairs.index2
    return match_S


def completeness(
    sources: Table, truth: Table, match: np.ndarray, *, steep_limit: float = STEEP, reference_mhz: float = REFERENCE_MHZ
) -> Completeness:
    """Fractions of the injected pulsars that are detected, then called steep, then classed as pulsars.

    Each stage selects from the one before; the last is the list of new pulsar candidates, which has no
    vetoed sources. Known pulsars are excluded. Undetected pulsars have no measured S/N: the fractions are
    binned in the expected flux density, S1400 (nu / 1400)^alpha.

    Args:
        match: (S,) of `match_truth`.
        steep_limit: alpha below this is steep.
        reference_mhz: frequency of the expected flux density.

    Raises:
        InputError: missing columns, or a match that does not fit the tables.
    """
    match_S = check_match(match, sources, truth)
    t = take(truth, "truth", "source_class", "alpha", "s1400_mjy", "known")
    kept_N = [np.zeros(len(truth), bool) for _ in STAGES]
    for stage_N, stage_S in zip(kept_N, _stages(sources), strict=True):
        stage_N[match_S[stage_S & (match_S >= 0)]] = True
    pulsar_N = (t["source_class"] == PULSAR) & ~t["known"]
    flux_N = t["s1400_mjy"] * (reference_mhz / 1400.0) ** t["alpha"]

    def against(quantity: str, values_N: np.ndarray, edges: tuple[float, ...], chosen_N: np.ndarray) -> Binned:
        return binned(
            quantity,
            values_N[chosen_N],
            edges,
            lambda mask: {stage: rate(stage_N[chosen_N], mask) for stage, stage_N in zip(STAGES, kept_N, strict=True)},
        )

    flux = f"expected flux density at {reference_mhz:g} MHz [mJy]"
    chosen = (pulsar_N & (t["alpha"] < steep_limit), pulsar_N)
    alpha_edges = tuple(round(steep_limit + offset, 6) for offset in ALPHA_OFFSETS)
    return Completeness(
        {name: against(flux, flux_N, FLUX_EDGES_MJY, c) for name, c in zip(POPULATIONS, chosen, strict=True)},
        against("true alpha", t["alpha"], alpha_edges, pulsar_N),
    )


def _stages(sources: Table) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(S,) bool each: detected; called steep; steep, not vetoed and classed as pulsar candidate."""
    s = take(sources, "sources", "steep", "source_class", "vetoed")
    classed_S = s["steep"] & (s["source_class"] == PULSAR) & ~s["vetoed"]
    return np.ones(len(sources), bool), s["steep"], classed_S


def selection_by_snr(
    sources: Table, members: Table, truth: Table, match: np.ndarray, *, steep_limit: float = STEEP
) -> Binned:
    """Against measured S/N: recovery of detected steep pulsars, and purity of the candidates.

    "called steep", "classed pulsar": fraction of the detected, truly steep pulsars without the known ones.
    The purities are the fraction of the pulsar candidates (steep, classed as pulsar, not vetoed) that are
    pulsars: "purity, sky" for all candidates, too high because of the field pulsars; "purity, ellipses"
    for those inside an ellipse; "purity, no field pulsars" for these without field pulsars, as expected in
    real ellipses if the same share of them contains a pulsar. A candidate without a match in the truth is
    not a pulsar. A source in two ellipses counts once.

    Args:
        match: (S,) of `match_truth`.
        steep_limit: alpha below this is steep.

    Raises:
        InputError: missing columns, a match that does not fit the tables, or a member that is not a source.
    """
    match_S = check_match(match, sources, truth)
    snr_S = take(sources, "sources", "snr")["snr"]
    t = take(truth, "truth", "alpha", "known")
    _, steep_S, classed_S = _stages(sources)
    pulsar_S, field_S = _true_pulsars(truth, match_S)
    truly_steep_S = true_values(t["alpha"], match_S, INF) < steep_limit
    target_S = pulsar_S & truly_steep_S & ~true_values(t["known"], match_S, True)
    inside_S = np.zeros(len(sources), bool)
    inside_S[_source_rows(sources, members)] = True
    rates = {STAGES[1]: (steep_S, target_S), STAGES[2]: (classed_S, target_S)}
    bases = (classed_S, classed_S & inside_S, classed_S & inside_S & ~field_S)
    rates |= {name: (pulsar_S, of_S) for name, of_S in zip(PURITIES, bases, strict=True)}
    return binned(
        "measured S/N",
        snr_S,
        SNR_EDGES,
        lambda mask: {name: rate(hit_S, of_S & mask) for name, (hit_S, of_S) in rates.items()},
    )


def _true_pulsars(truth: Table, match_S: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(S,) bool each: true pulsar; field pulsar."""
    t = take(truth, "truth", "source_class", "region")
    pulsar_S = true_values(t["source_class"], match_S, "") == PULSAR
    return pulsar_S, pulsar_S & (true_values(t["region"], match_S, -1) < 0)


def by_ellipse(
    sources: Table, members: Table, regions: Table, truth: Table, match: np.ndarray, all_region_names: np.ndarray
) -> Binned:
    """Statistics against the size of the 95% ellipse, the square root of the product of its semi-axes.

    "in own ellipse": fraction of the detected pulsars of searched regions with the measured position
    inside the ellipse of their region. The simulation draws offsets from the 2-D Gaussian with the
    ellipse as 95% contour, so that 0.95 is expected. "candidate": fraction of these pulsars, without the
    known ones, that are candidates (steep, not vetoed) in that ellipse. The purities are the fraction of
    the candidates that are pulsars, of this region or another: with and without field pulsars, as in
    `selection_by_snr`; a source in two ellipses is a candidate in each. "chance ...": numbers per ellipse
    (centred in the footprint) of all sources and of candidates, without the pulsar of the region and field
    pulsars; errors from the scatter between ellipses.

    Args:
        match: (S,) of `match_truth`.
        all_region_names: name of each region that truth["region"] refers to.

    Raises:
        InputError: missing columns, a match that does not fit the tables, a member that is not a
            source or in no searched region, or a region of the truth without a name.
    """
    match_S = check_match(match, sources, truth)
    r = take(regions, "regions", "name", "semi_major", "semi_minor", "in_footprint")
    s = take(sources, "sources", "steep", "vetoed")
    t = take(truth, "truth", "source_class", "known", "region")
    size_R = np.sqrt(r["semi_major"] * r["semi_minor"])
    source_M = _source_rows(sources, members)
    region_M = _rows_in(r["name"].tolist(), take(members, "members", "region")["region"].tolist(), "region")
    home_N = _searched_row(t["region"], all_region_names, r["name"])
    home_S = true_values(home_N, match_S, -1)
    new_S = s["steep"] & ~s["vetoed"]
    pulsar_S, field_S = _true_pulsars(truth, match_S)
    own_M = pulsar_S[source_M] & (home_S[source_M] == region_M)
    inside_S = np.zeros(len(sources), bool)
    inside_S[source_M[own_M]] = True

    quantity, rows_P = "ellipse size [deg]", np.flatnonzero(pulsar_S & (home_S >= 0))
    known_P = true_values(t["known"], match_S, True)[rows_P]
    pulsars = binned(
        quantity,
        size_R[home_S[rows_P]],
        ELLIPSE_EDGES_DEG,
        lambda mask: {
            INSIDE: rate(inside_S[rows_P], mask),
            CANDIDATE: rate((inside_S & new_S)[rows_P], mask & ~known_P),
        },
    )
    new_M, pulsar_M, field_M = new_S[source_M], pulsar_S[source_M], field_S[source_M]
    purities = binned(
        quantity,
        size_R[region_M],
        ELLIPSE_EDGES_DEG,
        lambda mask: {PURITIES[1]: rate(pulsar_M, mask & new_M), PURITIES[2]: rate(pulsar_M, mask & new_M & ~field_M)},
    )
    chance_M = ~own_M & ~field_M
    counts = [np.bincount(region_M[of_M], minlength=len(regions)) for of_M in (chance_M, chance_M & new_M)]
    chance = binned(
        quantity,
        size_R,
        ELLIPSE_EDGES_DEG,
        lambda mask: {
            name: mean(count_R[mask & r["in_footprint"]])
            for name, count_R in zip((CHANCE, CHANCE_CANDIDATES), counts, strict=True)
        },
    )
    return chance.joined(pulsars).joined(purities)


def _source_rows(sources: Table, members: Table) -> np.ndarray:
    """(M,) row in the sources of each member, by name and position, because names may repeat."""
    keys = [
        list(zip(*(column.tolist() for column in take(table, what, "source_id", "ra", "dec").values()), strict=True))
        for table, what in ((sources, "sources"), (members, "members"))
    ]
    return _rows_in(*keys, "source")


def _rows_in(keys: Sequence[Hashable], wanted: Sequence[Hashable], what: str) -> np.ndarray:
    """Row of each wanted key."""
    row_of = {key: row for row, key in enumerate(keys)}
    if len(row_of) < len(keys):
        raise InputError(f"{what}s: {len(keys)} rows, but only {len(row_of)} unique ones; remove the duplicates")
    missing = [key for key in wanted if key not in row_of]
    if missing:
        raise InputError(
            f"members: {what} {missing[0]} ({len(missing)} such) is not in the table of {what}s; "
            "give the tables of one search"
        )
    return np.array([row_of[key] for key in wanted], int)


def _searched_row(region_N: np.ndarray, all_names: np.ndarray, searched: np.ndarray) -> np.ndarray:
    """(N,) row in the searched regions of the region of each true source, -1 for none."""
    all_names = np.asarray(all_names).astype(str)
    if (region_N >= len(all_names)).any():
        raise InputError(
            f"truth: region {region_N.max()} is out of range of the {len(all_names)} names; "
            "all_region_names must have all regions of the simulated sky, in order"
        )
    row_of = {name: row for row, name in enumerate(searched.tolist())}
    home = np.array([row_of.get(name, -1) for name in all_names.tolist()] + [-1], int)
    return home[np.maximum(region_N, -1)]


def confusion(sources: Table, truth: Table, match: np.ndarray) -> Confusion:
    """True class against found class, of matched sources that are not vetoed.

    Fractions of a true class (rows) are valid for any mixture of classes; fractions of a found class
    (columns) are not, because pulsars are injected far above their real number.

    Args:
        match: (S,) of `match_truth`.

    Raises:
        InputError: missing columns, a match that does not fit the tables, or an unknown class.
    """
    match_S = check_match(match, sources, truth)
    s = take(sources, "sources", "source_class", "steep", "vetoed")
    true_S = true_values(take(truth, "truth", "source_class")["source_class"], match_S, "")
    counted_S = (match_S >= 0) & ~s["vetoed"]
    both = [
        confusion_matrix(true_S[of_S], s["source_class"][of_S], CLASSES) for of_S in (counted_S, counted_S & s["steep"])
    ]
    return Confusion(*both, unmatched=int((match_S < 0).sum()))
