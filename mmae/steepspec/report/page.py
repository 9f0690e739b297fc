"""The sections of the report of a search: counts, chance coincidences, candidates, rejected rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import Table as Columns
from matplotlib.figure import Figure

from mmae.astro.crossmatch import match
from mmae.report.contents import Column, Drawing, Measured, Section, Table, cell_text
from mmae.steepspec.assessment.section import assessment_section
from mmae.steepspec.chance import Chance
from mmae.steepspec.classify import CLASSES
from mmae.steepspec.config import SearchSettings
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
from mmae.steepspec.search import Inputs, Search
from mmae.steepspec.sources import windows_of

TERMINAL_ROWS = 10
TERMINAL_COLUMNS = ("rank", "region", "position", "alpha", "p_steep", "source_class", "score")
IN_GALLERY = 12
CHART_RADIUS = 2.0  # radius around the centre within which sources are drawn, in semi-major axes of the ellipse


def make_sections(
    found: Search, inputs: Inputs, pulsars: Columns | None, settings: SearchSettings, charts: int, truth: Columns | None
) -> list[Section]:
    """All sections, in order.

    Args:
        pulsars: table of `read_psrcat`; without it the section on their detectability is left out.
        charts: number of finder charts to draw.
        truth: truth table of the simulated sky; None for real data.
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
    """A short version for the terminal; the page has all tables."""
    by_name = {section.name: section for section in sections}
    shown = [by_name["summary"], by_name["rejections"]]
    if by_name["candidates"].tables:
        best = by_name["candidates"].tables[0]
        names = [column.name for column in best.columns]
        chosen = [names.index(name) for name in TERMINAL_COLUMNS]
        columns = tuple(best.columns[k] for k in chosen)
        rows = tuple(tuple(row[k] for k in chosen) for row in best.rows[:TERMINAL_ROWS])
        total = best.title.split(" of ")[-1]
        title = f"The first {len(rows)} of {total}"
        shown.append(Section("candidates", "Candidates", "", (Table("best", title, columns, rows),)))
    if "truth" in by_name:
        shown.append(replace(by_name["truth"], tables=by_name["truth"].tables[:1]))
    return shown


def summary_section(found: Search) -> Section:
    """Counts of sources, regions and candidates, and the expected number of chance coincidences."""
    inside, regions = found.members, found.regions
    searched = np.asarray(regions["in_footprint"])
    steep = np.asarray(inside["steep"])
    known = steep & np.asarray(inside["vetoed"])
    rows = (
        ("radio sources", len(found.sources)),
        ("radio sources with a spectral index", int(np.isin(found.sources["alpha_from"], ("sed", "catalogue")).sum())),
        ("steep radio sources", int(found.sources["steep"].sum())),
        ("unassociated gamma-ray regions", len(regions)),
        ("regions centred in the radio survey", int(searched.sum())),
        ("radio sources in ellipses", len(np.unique(_positions(inside)))),
        ("ellipses with radio sources", int((regions["sources"] > 0).sum())),
        ("steep sources in ellipses", len(np.unique(_positions(inside[steep])))),
        ("ellipses with steep sources", int((regions["steep"] > 0).sum())),
        ("known steep sources in ellipses", len(np.unique(_positions(inside[known])))),
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
            0, Drawing("chance", "Sources in the ellipses (line) and in moved ellipses (bars).", chance_figure(panels))
        )
    return Section(
        "summary",
        "What was found",
        "A source is steep if its adopted spectral index is below the limit; a candidate is a steep source in an "
        "error ellipse that is not a known source. The chance count is the number of sources in ellipses moved to "
        "other positions at which the survey is equally deep. The probability is the Poisson probability of the "
        "observed number or more.",
        (Table("counts", "Counts", (Column("quantity"), Column("n", "number")), rows), _chance_table(found)),
        tuple(drawings),
        "" if panels else "No chance estimate: no region is in the radio survey, or --shifts is 0.",
    )


def _positions(rows: Columns) -> np.ndarray:
    """Position as a complex number, which identifies a source: names may repeat in a catalogue."""
    return np.asarray(rows["ra"]) + 1j * np.asarray(rows["dec"])


def _chances(found: Search) -> list[tuple[str, Chance | None, int]]:
    """All and steep sources: the chance estimate, and the observed number in regions of the footprint."""
    names = np.asarray(found.regions["name"])[np.asarray(found.regions["in_footprint"])]
    inside = found.members[np.isin(np.asarray(found.members["region"]), names)]
    return [
        ("all sources", found.chance, len(np.unique(_positions(inside)))),
        ("steep sources", found.chance_steep, len(np.unique(_positions(inside[np.asarray(inside["steep"])])))),
    ]


def _chance_table(found: Search) -> Table:
    rows = tuple(
        (
            what,
            observed,
            Measured(chance.mean_sources, chance.error_sources),
            chance.sd_sources,
            chance.probability(observed),
        )
        for what, chance, observed in _chances(found)
        if chance
    )
    moved = found.chance.regions if found.chance else 0
    columns = (
        Column("sources"),
        Column("n_observed", "in the ellipses"),
        Column("n_chance", "by chance"),
        Column("sd_chance", "scatter of one set"),
        Column("probability"),
    )
    note = f"{moved} ellipses centred in the survey were moved. The error is that of the mean over the moved sets."
    return Table("chance", "Chance coincidences", columns, rows, note)


def candidate_section(found: Search, inputs: Inputs, settings: SearchSettings, charts: int) -> Section:
    """The highest-ranked candidates, their fields and spectra.

    The cells of the table are text, so that no metric per candidate is logged; the tables on disk have the numbers.
    """
    best = found.candidates[:LISTED]
    rows = tuple(
        (
            str(c["rank"]),
            str(c["source_id"]),
            str(c["region"]),
            _position(c),
            cell_text(Measured(float(c["alpha"]), float(c["alpha_err"]))),
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
                f"finder_{place:02d}", f"{name}: radio sources and 95% ellipse.", _finder(found, inputs, settings, name)
            )
        )
    if len(best):
        sources = [_row_of(found.sources, c) for c in best[:IN_GALLERY]]
        drawings.append(
            Drawing(
                "spectra",
                "Radio spectra of the highest-ranked candidates; arrows are upper limits.",
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
        "Order: pulsar candidates, ambiguous sources, other classes; within each by the product of the odds of the "
        "radio class and of the gamma-ray source being a pulsar. The score is for ranking and is not a calibrated "
        "probability.",
        (
            Table(
                "best",
                f"The first {len(best)} of {len(found.candidates)}",
                (
                    Column("rank"),
                    Column("source"),
                    Column("region"),
                    Column("position", "position (J2000)"),
                    Column("alpha"),
                    Column("p_steep", "P(steep)"),
                    Column("size"),
                    Column("source_class", "class"),
                    Column("score"),
                    Column("gamma_log_odds", "gamma-ray log odds"),
                    Column("reasons"),
                ),
                rows,
            ),
        )
        if len(best)
        else (),
        tuple(drawings),
        "" if len(best) else "No ellipse contains a steep source that is not known already.",
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
    return int(np.flatnonzero(_positions(sources) == candidate["ra"] + 1j * candidate["dec"])[0])


def _position(row) -> str:
    return SkyCoord(row["ra"], row["dec"], unit="deg").to_string("hmsdms", sep=":", precision=1)


def rejection_section(found: Search) -> Section:
    """Number of rows, regions and sources that each step rejected, by reason."""
    rows = tuple((entry.step, entry.reason, entry.count) for entry in found.counts)
    return Section(
        "rejections",
        "Rejected rows",
        "Number of rows, regions and sources rejected by each step, in the order of the steps.",
        (Table("rejections", "Rejected", (Column("step"), Column("reason"), Column("n", "number")), rows),),
    )
