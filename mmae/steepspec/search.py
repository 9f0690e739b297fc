"""The search: radio sources -> spectra -> counterparts -> classes -> error regions -> candidates.

Shape suffixes: N radio sources, R regions, P pairs of a source and a region.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from astropy.table import Table

from mmae.astro.crossmatch import Pairs, separation
from mmae.steepspec.catalogue import SurveyDescription
from mmae.steepspec.chance import Centres, Chance, Footprint, chance_estimate, footprint, pointing_centres
from mmae.steepspec.classify import CLASSES, Evidence, Thresholds, classify
from mmae.steepspec.config import SearchSettings
from mmae.steepspec.counts import Rejections, rejections
from mmae.steepspec.gamma import rank_pulsars, region_scores
from mmae.steepspec.known import find_known
from mmae.steepspec.optical import OpticalCatalogue, optical_evidence
from mmae.steepspec.regions import members, normalised_radius, unassociated
from mmae.steepspec.schema import MEMBERS, REGIONS, SOURCES
from mmae.steepspec.sources import bands_of, measure_sources, merge_detections
from mmae.steepspec.spectra.fits import adopt_index, fit_spectra
from mmae.steepspec.spectra.points import Companion, spectral_points
from mmae.steepspec.tables import as_table

_EVIDENCE = (
    "alpha",
    "alpha_err",
    "p_steep",
    "curvature",
    "curvature_err",
    "reliability",
    "p_no_counterpart",
    "w1_mag",
    "w2_mag",
    "parallax_over_error",
    "pm_over_error",
    "optical_limit_mag",
)


@dataclass(frozen=True)
class Inputs:
    """Input tables of the search. `counts`: rejections on reading."""

    radio: Table
    """Rows of `read_catalogue`."""
    survey: SurveyDescription
    regions: Table
    """Rows of `read_4fgl`, associated ones included."""
    companions: Sequence[Companion] = ()
    optical: Sequence[OpticalCatalogue] = ()
    known: Sequence[Table] = ()
    counts: Sequence[Rejections] = ()
    later: Table | None = None
    """A later release, to test the gamma-ray ranking on the sources associated since."""


@dataclass(frozen=True)
class Search:
    """Result of the search; the tables are those of `schema`."""

    sources: Table
    points: Table
    members: Table
    """One row per source and ellipse, candidates first, by rank."""
    regions: Table
    """The regions searched."""
    footprint: Footprint
    chance: Chance | None
    """Counts of sources in moved regions; None if no region is in the survey or `shifts` is 0."""
    chance_steep: Chance | None
    counts: list[Rejections]

    @property
    def candidates(self) -> Table:
        """Members that are steep and not known."""
        return self.members[np.asarray(self.members["rank"]) > 0]


def search(inputs: Inputs, settings: SearchSettings = SearchSettings(), on_ray: bool = False) -> Search:
    """Run the search.

    Args:
        on_ray: fit the spectra on the Ray cluster; the result is the same.

    Raises:
        InputError: a catalogue cannot be used; the message names it and the reason.
    """
    counts = list(inputs.counts)
    merged, step = merge_detections(inputs.radio, inputs.survey)
    counts += step
    bands = bands_of(merged, inputs.survey, settings.points.detection_sigma)
    columns, keep, step = measure_sources(merged, bands, settings.sources)
    counts += step
    bands = bands_of(merged[keep], inputs.survey, settings.points.detection_sigma)
    columns = {name: values[keep] for name, values in columns.items()}

    ra_N, dec_N = columns["ra"], columns["dec"]
    points = spectral_points(ra_N, dec_N, bands, inputs.companions, settings.points)
    columns |= fit_spectra(points, len(ra_N), settings.sed, on_ray)
    columns |= adopt_index(columns, settings.sed)
    columns["known_name"], columns["known_class"] = find_known(
        ra_N,
        dec_N,
        list(inputs.known),
        np.fmax(settings.known_radius_arcsec, settings.known_sigma * columns["pos_err_arcsec"]),
    )
    columns |= optical_evidence(
        ra_N, dec_N, columns["pos_err_arcsec"], inputs.survey.epoch, inputs.optical, settings.counterparts
    )
    columns |= _classes(columns, settings.classes)
    sources = as_table(columns, SOURCES)

    survey_area = footprint(ra_N, dec_N)
    regions, step = unassociated(inputs.regions, settings.include_unknown)
    counts += step
    regions = _ranked(regions, survey_area, settings.light_curve_years)
    pairs = members(ra_N, dec_N, regions)
    counts += _non_candidates(sources, pairs)
    regions = as_table(_with_counts(sources, regions, pairs), REGIONS)
    steep_N = np.asarray(sources["steep"])
    centres = pointing_centres(ra_N, dec_N, columns["pointing"]) if inputs.survey.pointed else None
    return Search(
        sources,
        points,
        _members(sources, regions, pairs),
        regions,
        survey_area,
        _chance(ra_N, dec_N, regions, survey_area, settings.shifts, centres),
        _chance(ra_N[steep_N], dec_N[steep_N], regions, survey_area, settings.shifts, centres),
        counts,
    )


def _classes(columns: dict[str, np.ndarray], thresholds: Thresholds) -> dict[str, np.ndarray]:
    galaxy = {"galaxy": True, "point": False, "": None}
    verdicts = [
        classify(
            Evidence(
                size=str(columns["size"][i]),
                counterpart_is_galaxy=galaxy[str(columns["morphology"][i])],
                known_class=str(columns["known_class"][i]),
                known_name=str(columns["known_name"][i]),
                **{name: float(columns[name][i]) for name in _EVIDENCE},
            ),
            thresholds,
        )
        for i in range(len(columns["size"]))
    ]
    return {
        "source_class": np.array([v.source_class for v in verdicts], str),
        "score": np.array([v.score for v in verdicts], float),
        "vetoed": np.array([v.vetoed for v in verdicts], bool),
        "reasons": np.array(["; ".join(v.reasons) for v in verdicts], str),
    }


def _ranked(regions: Table, survey_area: Footprint, years: int) -> Table:
    """The searched regions with gamma-ray score and rank, and whether the radio survey covers their centre."""
    regions = regions.copy()
    regions["gamma_score"] = region_scores(regions, years)
    regions["gamma_rank"] = rank_pulsars(np.asarray(regions["gamma_score"]))
    regions["in_footprint"] = survey_area.contains(regions["ra"], regions["dec"])
    return regions


def _is_candidate(sources: Table) -> np.ndarray:
    """(N,) bool: steep and not known."""
    return np.asarray(sources["steep"]) & ~np.asarray(sources["vetoed"])


def _members(sources: Table, regions: Table, pairs: Pairs) -> Table:
    """Sources in ellipses, candidates first: by class, then by the product of radio and gamma-ray odds."""
    found, region = sources[pairs.index1], regions[pairs.index2]
    candidate_P = _is_candidate(found)
    score_P = np.asarray(found["score"])
    with np.errstate(divide="ignore"):
        odds_P = np.log(score_P / (1 - score_P)) + np.nan_to_num(np.asarray(region["gamma_score"]))
    # Ambiguous sources may be pulsars: they follow the pulsar candidates.
    class_order = {name: number for number, name in enumerate((CLASSES[0], "ambiguous", *CLASSES[1:-1]))}
    class_P = np.array([class_order[name] for name in found["source_class"]], int)
    order = np.lexsort((pairs.index1, -odds_P, class_P, ~candidate_P))
    rank_P = np.zeros(len(order), int)
    rank_P[order[: int(candidate_P.sum())]] = np.arange(1, int(candidate_P.sum()) + 1)
    columns = {
        "rank": rank_P,
        "region": np.asarray(region["name"], str),
        "region_deg": separation(region["ra"], region["dec"], found["ra"], found["dec"]),
        "region_radius": normalised_radius(region, found["ra"], found["dec"]),
        "gamma_score": np.asarray(region["gamma_score"]),
        "gamma_rank": np.asarray(region["gamma_rank"]),
        **{name: np.asarray(found[name]) for name in found.colnames},
    }
    return as_table({name: values[order] for name, values in columns.items()}, MEMBERS)


def _with_counts(sources: Table, regions: Table, pairs: Pairs) -> dict[str, np.ndarray]:
    """The columns of the regions, and the number of sources and candidates in each."""
    candidate_N = _is_candidate(sources)
    chosen = {
        "sources": np.full(len(sources), True),
        "steep": np.asarray(sources["steep"]),
        "candidates": candidate_N,
        "pulsar_candidates": candidate_N & (np.asarray(sources["source_class"]) == CLASSES[0]),
    }
    counted = {
        name: np.bincount(pairs.index2[which_N[pairs.index1]], minlength=len(regions))
        for name, which_N in chosen.items()
    }
    return {name: np.asarray(regions[name]) for name in regions.colnames} | counted


def _non_candidates(sources: Table, pairs: Pairs) -> list[Rejections]:
    """Sources that are not candidates, by reason; each is counted once."""
    inside = np.bincount(pairs.index1, minlength=len(sources)) > 0
    steep, vetoed = np.asarray(sources["steep"]), np.asarray(sources["vetoed"])
    alpha_from = np.asarray(sources["alpha_from"])
    no_index = np.isin(alpha_from, ("", "limits"))
    return rejections(
        "candidates",
        [
            ("not in an ellipse of an unassociated gamma-ray source", (~inside).sum()),
            ("in an ellipse, one frequency: no spectral index", (inside & (alpha_from == "")).sum()),
            ("in an ellipse, one frequency and upper limits only", (inside & (alpha_from == "limits")).sum()),
            ("in an ellipse, not steep", (inside & ~steep & ~no_index).sum()),
            ("in an ellipse, steep, known source", (inside & steep & vetoed).sum()),
        ],
    )


def _chance(
    ra: np.ndarray, dec: np.ndarray, regions: Table, survey_area: Footprint, shifts: int, centres: Centres | None
) -> Chance | None:
    if not np.asarray(regions["in_footprint"]).any() or not shifts:
        return None
    return chance_estimate(ra, dec, regions, survey_area, shifts, centres)
