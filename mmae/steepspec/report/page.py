"""The sections of a search's report: what was found, how surely, and what it looks like."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import Table as Columns
from matplotlib.figure import Figure

from mmae.astro.crossmatch import match
from mmae.report.contents import Drawing, Section, Table
from mmae.steepspec.assessment.section import assessment_section
from mmae.steepspec.chance import Chance
from mmae.steepspec.classify import CLASSES
from mmae.steepspec.report.details import (
    LISTED,
    counterpart_section,
    gamma_section,
    number,
    pulsar_section,
    spectrum_section,
)
from mmae.steepspec.report.figures_population import chance_figure, sky_figure
from mmae.steepspec.report.figures_sources import finder_chart, sed_gallery
from mmae.steepspec.search import Inputs, Search, SearchSettings
from mmae.steepspec.sources import windows_of

FIRST, IN_TERMINAL = 10, ("rank", "region", "position (J2000)", "alpha", "P(steep)", "class", "score")
IN_GALLERY = 12
CHART_RADIUS = 2.0  # sources drawn, in semi-major axes of the ellipse


def make_sections(
    found: Search, inputs: Inputs, pulsars: Columns | None, settings: SearchSettings, charts: int, truth: Columns | None
) -> list[Section]:
    """All sections, in order.

    Args:
        pulsars: of `read_psrcat`; None leaves their detectability out.
        charts: finder charts to draw.
        truth: of the simulated sky; None for a real one.
    """
    sections = [
        summary_section(found),
        candidate_section(found, inputs, settings, charts),
        rejection_section(found),
        spectrum_section(found, settings),
        counterpart_section(found, inputs, settings),
        gamma_section(found, inputs, settings),
        pulsar_section(pulsars, inputs),
    ]
    if truth is not None:
        names = np.asarray(inputs.regions["name"], str)
        sections.append(
            assessment_section(
                found.sources, found.members, found.regions, truth, names, steep_limit=settings.sed.steep_alpha
            )
        )
    return sections


def terminal_sections(sections: list[Section]) -> list[Section]:
    """The same in few lines: the page has all tables."""
    by_name = {section.name: section for section in sections}
    shown = [by_name["summary"], by_name["rejections"]]
    if by_name["candidates"].tables:
        best = by_name["candidates"].tables[0]
        chosen = [best.columns.index(name) for name in IN_TERMINAL]
        rows = tuple(tuple(row[k] for k in chosen) for row in best.rows[:FIRST])
        total = best.title.split(" of ")[-1]
        shown.append(
            Section(
                "candidates", "Candidates", "", (Table("best", f"The first {len(rows)} of {total}", IN_TERMINAL, rows),)
            )
        )
    if "truth" in by_name:
        shown.append(replace(by_name["truth"], tables=by_name["truth"].tables[:1]))
    return shown


def summary_section(found: Search) -> Section:
    """Counts, and what chance alone would give."""
    inside, regions = found.members, found.regions
    searched = np.asarray(regions["in_footprint"])
    steep = np.asarray(inside["steep"])
    known = steep & np.asarray(inside["vetoed"])
    rows = (
        ("radio sources", len(found.sources)),
        ("of these with a spectral index", int(np.isin(found.sources["alpha_from"], ("sed", "catalogue")).sum())),
        ("of these steep", int(found.sources["steep"].sum())),
        ("unassociated gamma-ray regions", len(regions)),
        ("of these with their centre in the radio survey", int(searched.sum())),
        ("radio sources in the ellipses", len(np.unique(_sources(inside)))),
        ("ellipses with radio sources", int((regions["sources"] > 0).sum())),
        ("steep sources in the ellipses", len(np.unique(_sources(inside[steep])))),
        ("ellipses with steep sources", int((regions["steep"] > 0).sum())),
        ("steep, and known already", len(np.unique(_sources(inside[known])))),
        ("candidates", len(found.candidates)),
        *(
            (f"candidates: {name.replace('_', ' ')}", int((found.candidates["source_class"] == name).sum()))
            for name in CLASSES
        ),
    )
    panels = {what: (chance.sources_K, observed) for what, chance, observed in _chances(found) if chance}
    drawings = [Drawing("sky", "The regions, in Galactic coordinates.", sky_figure(regions, inside))]
    if panels:
        drawings.insert(
            0, Drawing("chance", "Sources in the ellipses (line) and in the moved ones (bars).", chance_figure(panels))
        )
    return Section(
        "summary",
        "What was found",
        "A source is steep if its adopted spectral index is below the limit; a candidate is a steep source in an "
        "error ellipse that is no known source. Chance is measured by moving the ellipses to other places where the "
        "survey is as deep: what is found there lies in an ellipse for no reason. Its probability is Poisson's, of "
        "the observed number or more.",
        (Table("counts", "Counts", ("what", "number"), rows), _chance_table(found)),
        tuple(drawings),
        "" if panels else "No chance estimate: no region lies in the radio survey, or none can be moved in it.",
    )


def _sources(rows: Columns) -> np.ndarray:
    """What makes a source: its place (names may repeat in a catalogue)."""
    return np.asarray(rows["ra"]) + 1j * np.asarray(rows["dec"])


def _chances(found: Search) -> list[tuple[str, Chance | None, int]]:
    """All and steep sources: the chance estimate, and the observed number in regions of the footprint."""
    names = np.asarray(found.regions["name"])[np.asarray(found.regions["in_footprint"])]
    inside = found.members[np.isin(np.asarray(found.members["region"]), names)]
    return [
        ("all sources", found.chance, len(np.unique(_sources(inside)))),
        ("steep sources", found.chance_steep, len(np.unique(_sources(inside[np.asarray(inside["steep"])])))),
    ]


def _chance_table(found: Search) -> Table:
    rows = tuple(
        (what, observed, chance.mean_sources, chance.error_sources, chance.sd_sources, chance.probability(observed))
        for what, chance, observed in _chances(found)
        if chance
    )
    moved = found.chance.regions if found.chance else 0
    return Table(
        "chance",
        "Against chance",
        ("what", "in the ellipses", "by chance", "error of the mean", "scatter of one sky", "probability"),
        rows,
        f"{moved} ellipses centred in the survey were moved.",
    )


def candidate_section(found: Search, inputs: Inputs, settings: SearchSettings, charts: int) -> Section:
    """The best candidates, their fields and spectra."""
    best = found.candidates[:LISTED]
    rows = tuple(
        (
            int(c["rank"]),
            str(c["source_id"]),
            str(c["region"]),
            _position(c),
            _with_error(c["alpha"], c["alpha_err"]),
            number(c["p_steep"], 2),
            str(c["size"]),
            str(c["source_class"]).replace("_", " "),
            number(c["score"], 2),
            number(c["gamma_score"], 1),
            str(c["reasons"]),
        )
        for c in best
    )
    drawings = []
    for place, name in enumerate(list(dict.fromkeys(np.asarray(best["region"], str)))[:charts], 1):
        drawings.append(
            Drawing(
                f"finder_{place:02d}",
                f"{name}: radio sources and the 95% ellipse.",
                _finder(found, inputs, settings, name),
            )
        )
    if len(best):
        sources = [_row_of(found.sources, c) for c in best[:IN_GALLERY]]
        drawings.append(
            Drawing(
                "spectra",
                "Radio spectra of the first candidates; arrows are upper limits.",
                sed_gallery(
                    found.points,
                    found.sources,
                    sources,
                    settings.sed.reference_mhz,
                    steep_limit=settings.sed.steep_alpha,
                ),
            )
        )
    return Section(
        "candidates",
        "Candidates",
        "Pulsar candidates first, then what stays undecided, then the rest; in each by the odds of the radio class "
        "and of the gamma-ray source together. The score orders, it is no probability.",
        (
            Table(
                "best",
                f"The first {len(best)} of {len(found.candidates)}",
                (
                    "rank",
                    "source",
                    "region",
                    "position (J2000)",
                    "alpha",
                    "P(steep)",
                    "size",
                    "class",
                    "score",
                    "gamma-ray log odds",
                    "because",
                ),
                rows,
            ),
        )
        if len(best)
        else (),
        tuple(drawings),
        "" if len(best) else "No steep source that is not known lies in an ellipse.",
    )


def _finder(found: Search, inputs: Inputs, settings: SearchSettings, name: str) -> Figure:
    region = found.regions[np.asarray(found.regions["name"]) == name][0]
    near = match(
        [region["ra"]],
        [region["dec"]],
        found.sources["ra"],
        found.sources["dec"],
        min(CHART_RADIUS * region["semi_major"] * 3600, 180 * 3600),
    ).index2
    candidates = found.candidates[np.asarray(found.candidates["region"]) == name]
    beam = max(window.beam_arcsec for window in windows_of(inputs.survey).values())
    return finder_chart(region, found.sources[near], candidates, beam, settings.sed.steep_alpha)


def _row_of(sources: Columns, candidate) -> int:
    return int(np.flatnonzero(_sources(sources) == candidate["ra"] + 1j * candidate["dec"])[0])


def _position(row) -> str:
    return SkyCoord(row["ra"], row["dec"], unit="deg").to_string("hmsdms", sep=":", precision=1)


def _with_error(value: float, error: float) -> str:
    if not np.isfinite(value):
        return "-"
    return f"{value:.2f}±{error:.2f}" if np.isfinite(error) else f"{value:.2f}"


def rejection_section(found: Search) -> Section:
    """What each step set aside, and why."""
    rows = tuple((entry.step, entry.reason, entry.count) for entry in found.counts)
    return Section(
        "rejections",
        "What was set aside",
        "Every row, region and source that a step left out, in the order of the steps.",
        (Table("rejections", "Set aside", ("step", "reason", "number"), rows),),
    )
