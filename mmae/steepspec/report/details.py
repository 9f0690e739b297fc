"""The sections of the report on the steps of the search: spectra, counterparts, gamma rays, known pulsars."""

from __future__ import annotations

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import Table as Columns

from mmae.report.contents import Column, Drawing, Measured, Section, Table
from mmae.steepspec.classify import CLASSES, KNOWN
from mmae.steepspec.config import SearchSettings
from mmae.steepspec.gamma import PULSAR_CLASSES, check_later, is_class, ranking_auc, region_scores
from mmae.steepspec.pulsars import detectability, detectability_by_band
from mmae.steepspec.report.figures_population import alpha_figure, colour_figure
from mmae.steepspec.report.figures_pulsars import detectability_figure
from mmae.steepspec.search import Inputs, Search
from mmae.steepspec.sources import windows_of

LISTED = 30  # rows of a table on the page; the files have all rows
SOUTH = 20.0  # northern limit of MALS in declination, degrees


def number(value: float, digits: int) -> str:
    """A number with a fixed number of decimals, "-" for NaN."""
    return f"{value:.{digits}f}" if np.isfinite(value) else "-"


def spectrum_section(found: Search, settings: SearchSettings) -> Section:
    """Number of sources by origin of the spectral index, and by quality flag of the fit."""
    sources, inside = found.sources, found.members
    origins = {
        "sed": "fit of two detections or more",
        "catalogue": "radio catalogue",
        "limits": "detections at one frequency and limits (never called steep)",
        "": "none",
    }
    rows = tuple(
        (text, int((sources["alpha_from"] == key).sum()), int((inside["alpha_from"] == key).sum()))
        for key, text in origins.items()
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
        "The flux densities of all surveys are fitted together, with their flux-scale errors and with upper "
        f"limits; alpha is the slope at {settings.sed.reference_mhz:g} MHz.",
        (
            Table(
                "origin",
                "Origin of alpha",
                (Column("alpha_from", "spectral index"), Column("sources"), Column("in_ellipses")),
                rows,
            ),
            Table("flags", "Quality flags", (Column("flag"), Column("sources")), flagged),
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
        "Counterparts are identified by likelihood ratio, with reliabilities; sources are classified by the rules of "
        "classify.py, each of which adds points and a reason.",
        (
            Table(
                "classes",
                "Classes",
                (Column("source_class", "class"), Column("sources"), Column("in_ellipses"), Column("candidates")),
                rows,
            ),
            Table(
                "known", "Known sources", (Column("known_class", "class"), Column("sources", "in the catalogue")), known
            ),
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
        else "No optical or infrared catalogue was given (--optical): counterparts are unknown and most sources "
        "are ambiguous.",
    )


def gamma_section(found: Search, inputs: Inputs, settings: SearchSettings) -> Section:
    """The most pulsar-like regions, and the AUC of the ranking on associated sources.

    The cells of the list of regions are text, so that no metric per region is logged.
    """
    order = np.argsort(np.asarray(found.regions["gamma_rank"]), kind="stable")[:LISTED]
    rows = tuple(
        (
            str(r["gamma_rank"]),
            str(r["name"]),
            number(r["gamma_score"], 2),
            number(r["significance"], 1),
            number(r["lp_sigcurv"], 1),
            number(r["variability_index"], 1),
            str(r["sources"]),
            str(r["steep"]),
            str(r["pulsar_candidates"]),
        )
        for r in found.regions[order]
    )
    return Section(
        "gamma",
        "Gamma-ray ranking",
        "Gamma-ray pulsars have steady fluxes and curved spectra; blazars vary. The score is the log odds of being a "
        "pulsar, from curvature, variability and the preference for an exponential cut-off.",
        (
            Table(
                "best",
                "The most pulsar-like regions",
                (
                    Column("rank"),
                    Column("region"),
                    Column("log_odds"),
                    Column("significance"),
                    Column("curvature_sigma", "curvature (sigma)"),
                    Column("variability_index"),
                    Column("sources"),
                    Column("steep"),
                    Column("pulsar_candidates"),
                ),
                rows,
            ),
            *_checks(inputs, settings),
        ),
    )


def _checks(inputs: Inputs, settings: SearchSettings) -> tuple[Table, ...]:
    """AUC of the score on sources with a known class; its coefficients were fitted to many of those in 4FGL."""
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
                Measured(*ranking_auc(score[np.isfinite(score)], pulsar)),
            )
        )
    if inputs.later is not None:
        check = check_later(inputs.regions, inputs.later, years)
        counts = check.pulsars, check.others
        rows += [
            ("associated since, measured in this release", *counts, Measured(check.auc_earlier, check.error_earlier)),
            ("associated since, measured in the later release", *counts, Measured(check.auc_later, check.error_later)),
        ]
    if not rows:
        return ()
    return (
        Table(
            "check",
            "Pulsars against other sources",
            (Column("sample", "sources"), Column("pulsars"), Column("others"), Column("auc", "AUC")),
            tuple(rows),
            "AUC: probability that a pulsar ranks above another source. Associated sources are brighter than "
            "unassociated ones, and the score was fitted to some of those in 4FGL.",
        ),
    )


def pulsar_section(pulsars: Columns | None, inputs: Inputs) -> Section:
    """Fraction of the known pulsars that the survey would detect."""
    text = (
        "Flux densities of known pulsars at 1400 MHz, scaled to the frequency of the survey with their own spectral "
        "index or the mean of -1.60, compared with its nominal limit. The error of the fraction is half the 68% "
        "binomial interval; the scatter is that from drawing the indices within their errors."
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
        # Published counts by declination lack the pulsars for which psrcat gives ecliptic coordinates only.
        listed = south[np.asarray(south["position"]) == "equatorial"]
        for what, table, options in (
            ("S1400 known", pulsars, {}),
            (f"S1400 known, declination below {SOUTH:g}", south, {}),
            (f"S1400, RAJ and DECJ known, declination below {SOUTH:g}", listed, {}),
            (
                "all; unknown fluxes counted as undetected",
                pulsars,
                {"reference_mhz": _references(pulsars), "unknown_undetected": True},
            ),
        ):
            if len(table):
                d = detectability(table, *at, **options)
                fraction = Measured(d.fraction, 0.5 * (d.high - d.low))
                rows.append((name, what, d.pulsars, d.detectable, fraction, d.scatter))
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
                    Measured(float(b["fraction"]), 0.5 * float(b["high"] - b["low"])),
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
                "Known pulsars above the survey limit",
                (
                    Column("survey"),
                    Column("sample", "pulsars"),
                    Column("n", "number"),
                    Column("n_detectable", "detectable"),
                    Column("fraction"),
                    Column("scatter"),
                ),
                tuple(rows),
            ),
            Table(
                "regions",
                "By region of the sky",
                (Column("survey"), Column("region"), Column("n", "number"), Column("fraction"), Column("scatter")),
                tuple(bands),
            ),
        ),
        (
            Drawing(
                "detectability",
                "Fraction of known pulsars that a survey would detect, against its limit.",
                detectability_figure(pulsars, highest.frequency_mhz, highest.limit_mjy),
            ),
        ),
    )


def _references(pulsars: Columns) -> tuple[int, ...]:
    """Reference frequencies in MHz: 1400, and 400 for pulsars without S1400, as far as the catalogue has them."""
    return tuple(f for f in (1400, 400) if f"flux_{f}" in pulsars.colnames)
