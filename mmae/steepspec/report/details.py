"""The sections of a search's report that say how it came about: spectra, counterparts, gamma rays, pulsars."""

from __future__ import annotations

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import Table as Columns

from mmae.report.contents import Drawing, Section, Table
from mmae.steepspec.classify import CLASSES, KNOWN
from mmae.steepspec.gamma import PULSAR_CLASSES, check_later, is_class, ranking_auc, region_scores
from mmae.steepspec.pulsars import detectability, detectability_by_band
from mmae.steepspec.report.figures_population import alpha_figure, colour_figure
from mmae.steepspec.report.figures_pulsars import detectability_figure
from mmae.steepspec.search import Inputs, Search, SearchSettings
from mmae.steepspec.sources import windows_of

LISTED = 30  # rows of a table on the page; the files have all
SOUTH = 20.0  # MALS's northern limit in declination, degrees


def number(value: float, digits: int) -> str:
    """With so many digits, or "-" where there is no number."""
    return f"{value:.{digits}f}" if np.isfinite(value) else "-"


def spectrum_section(found: Search, settings: SearchSettings) -> Section:
    """Where the indices come from, how good the fits are."""
    sources, inside = found.sources, found.members
    words = {
        "sed": "fit of two detections or more",
        "catalogue": "the catalogue's own",
        "limits": "one detection and limits (never called steep)",
        "": "none",
    }
    rows = tuple(
        (text, int((sources["alpha_from"] == key).sum()), int((inside["alpha_from"] == key).sum()))
        for key, text in words.items()
    )
    flags = [set(str(text).split(",")) for text in sources["sed_flags"]]
    flagged = (
        tuple((name.replace("_", " "), sum(name in f for f in flags)) for name in sorted(set().union(*flags) - {""}))
        if flags
        else ()
    )
    return Section(
        "spectra",
        "Spectra",
        "All surveys' flux densities are fitted together, with the errors of their flux scales and with upper "
        f"limits; alpha is the slope at {settings.sed.reference_mhz:g} MHz.",
        (
            Table("origin", "Where alpha comes from", ("spectral index", "sources", "in ellipses"), rows),
            Table("flags", "Doubts", ("flag", "sources"), flagged),
        ),
        (Drawing("alpha", "Spectral indices.", alpha_figure(sources, inside, settings.sed.steep_alpha)),),
    )


def counterpart_section(found: Search, inputs: Inputs, settings: SearchSettings) -> Section:
    """Counterparts and classes."""
    classed = found.sources["source_class"]
    rows = tuple(
        (
            name.replace("_", " "),
            int((classed == name).sum()),
            int((found.members["source_class"] == name).sum()),
            int((found.candidates["source_class"] == name).sum()),
        )
        for name in CLASSES
    )
    known = tuple((name.replace("_", " "), int((found.sources["known_class"] == name).sum())) for name in KNOWN)
    return Section(
        "counterparts",
        "Counterparts and classes",
        "Counterparts by likelihood ratio with reliabilities; classes by the rules of classify.py, each of which "
        "adds points and a reason.",
        (
            Table("classes", "Classes", ("class", "sources", "in ellipses", "candidates"), rows),
            Table("known", "Known sources", ("class", "in the catalogue"), known),
        ),
        (
            Drawing(
                "colours",
                "Infrared and optical colours of sources in ellipses.",
                colour_figure(found.members, settings.classes),
            ),
        )
        if inputs.optical
        else (),
        ""
        if inputs.optical
        else "No optical or infrared catalogue was given (--optical): nothing is known of "
        "counterparts, and most sources stay ambiguous.",
    )


def gamma_section(found: Search, inputs: Inputs, settings: SearchSettings) -> Section:
    """The most pulsar-like regions, and how well the ranking does on the release's own associations."""
    order = np.argsort(np.asarray(found.regions["gamma_rank"]), kind="stable")[:LISTED]
    rows = tuple(
        (
            int(r["gamma_rank"]),
            str(r["name"]),
            number(r["gamma_score"], 2),
            number(r["significance"], 1),
            number(r["lp_sigcurv"], 1),
            number(r["variability_index"], 1),
            int(r["sources"]),
            int(r["steep"]),
            int(r["pulsar_candidates"]),
        )
        for r in found.regions[order]
    )
    return Section(
        "gamma",
        "Gamma-ray ranking",
        "Pulsars keep their gamma-ray flux and their spectra bend; blazars vary. The score is the log odds of a "
        "pulsar from curvature, variability and the preference for a cut-off.",
        (
            Table(
                "best",
                "The most pulsar-like regions",
                (
                    "rank",
                    "region",
                    "log odds",
                    "significance",
                    "curvature (sigma)",
                    "variability index",
                    "sources",
                    "steep",
                    "pulsar candidates",
                ),
                rows,
            ),
            *_checks(inputs, settings),
        ),
    )


def _checks(inputs: Inputs, settings: SearchSettings) -> tuple[Table, ...]:
    """The score on sources whose class is known; in 4FGL its coefficients were fitted to many of them."""
    years, rows = settings.light_curve_years, []
    known = inputs.regions[np.asarray(inputs.regions["assoc1"], str) != ""]
    score = region_scores(known, years)
    pulsar = is_class(known["class1"], PULSAR_CLASSES)[np.isfinite(score)]
    if pulsar.any() and not pulsar.all():
        rows.append(
            (
                "associated in this release",
                int(pulsar.sum()),
                int((~pulsar).sum()),
                *ranking_auc(score[np.isfinite(score)], pulsar),
            )
        )
    if inputs.later is not None:
        check = check_later(inputs.regions, inputs.later, years)
        counts = check.pulsars, check.others
        rows += [
            ("associated since, measured in this release", *counts, check.auc_earlier, check.error_earlier),
            ("associated since, measured in the later release", *counts, check.auc_later, check.error_later),
        ]
    if not rows:
        return ()
    return (
        Table(
            "check",
            "Do pulsars rank above other sources?",
            ("sources", "pulsars", "others", "AUC", "error"),
            tuple(rows),
            "AUC: the chance that a pulsar ranks above another source. Associated sources are "
            "brighter than unassociated ones, and in 4FGL partly those the score was fitted to.",
        ),
    )


def pulsar_section(pulsars: Columns | None, inputs: Inputs) -> Section:
    """How many of the known pulsars the survey would detect."""
    text = (
        "Known pulsars with a flux density at 1400 MHz, scaled to the survey's frequency with their own index or "
        "the mean of -1.60, against its usual limit. The first error is binomial (68%), the second the scatter "
        "when indices are drawn within their errors."
    )
    if pulsars is None:
        return Section(
            "pulsars", "Known pulsars", text, left_out="No pulsar catalogue was given (--pulsars psrcat.db)."
        )
    rows, bands = [], []
    windows = windows_of(inputs.survey).values()
    for window in windows:
        at = (window.frequency_mhz, window.limit_mjy)
        name = f"{window.frequency_mhz:g} MHz, {window.limit_mjy:g} mJy"
        south = pulsars[np.asarray(pulsars["dec"]) < SOUTH]
        # Published counts by declination miss the pulsars whose timing positions psrcat gives in ecliptic ones.
        listed = south[np.asarray(south["position"]) == "equatorial"]
        for what, table, options in (
            ("S1400 known", pulsars, {}),
            (f"S1400 known, declination below {SOUTH:g}", south, {}),
            ("the same, with RAJ and DECJ in the file", listed, {}),
            (
                "all; unknown fluxes count as undetected",
                pulsars,
                {"reference_mhz": _references(pulsars), "unknown_undetected": True},
            ),
        ):
            if len(table):
                d = detectability(table, *at, **options)
                rows.append((name, what, d.pulsars, d.detectable, d.fraction, d.low, d.high, d.scatter))
        latitude = np.abs(SkyCoord(pulsars["ra"], pulsars["dec"], unit="deg").galactic.b.deg)
        for what, values, edges in (
            ("declination", np.asarray(pulsars["dec"]), (-90, -60, -30, 0, 30, 60, 90.1)),
            ("Galactic latitude |b|", latitude, (0, 2, 5, 10, 30, 90.1)),
        ):
            bands += [
                (
                    name,
                    f"{what} {b['low_edge']:g} to {min(b['high_edge'], 90):g}",
                    int(b["pulsars"]),
                    float(b["fraction"]),
                    float(b["low"]),
                    float(b["high"]),
                    float(b["scatter"]),
                )
                for b in detectability_by_band(pulsars, values, edges, *at)
            ]
    highest = max(windows, key=lambda window: window.frequency_mhz)
    return Section(
        "pulsars",
        "Known pulsars",
        text,
        (
            Table(
                "detectable",
                "Known pulsars above the survey's limit",
                ("survey", "pulsars", "number", "detectable", "fraction", "68% from", "to", "scatter"),
                tuple(rows),
            ),
            Table(
                "regions",
                "By region of the sky",
                ("survey", "where", "number", "fraction", "68% from", "to", "scatter"),
                tuple(bands),
            ),
        ),
        (
            Drawing(
                "detectability",
                "The fraction of known pulsars that a survey would detect, against its limit.",
                detectability_figure(pulsars, highest.frequency_mhz, highest.limit_mjy),
            ),
        ),
    )


def _references(pulsars: Columns) -> tuple[int, ...]:
    """Where S1400 is not known S400 stands in, if the catalogue has it."""
    return tuple(f for f in (1400, 400) if f"flux_{f}" in pulsars.colnames)
