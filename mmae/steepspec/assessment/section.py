"""Injected against found: the page's section of a search over a simulated sky."""

from __future__ import annotations

import numpy as np
from astropy.table import Table as Rows

from mmae.report.contents import Drawing, Section
from mmae.steepspec.assessment.bins import take
from mmae.steepspec.assessment.figures import completeness_figure, confusion_figure, ellipse_figure, pull_figure
from mmae.steepspec.assessment.pulls import alpha_pulls, steep_calibration
from mmae.steepspec.assessment.recovery import (
    PULSAR,
    PURITIES,
    STAGES,
    STEEP,
    Confusion,
    by_ellipse,
    completeness,
    confusion,
    match_truth,
    selection_by_snr,
)
from mmae.steepspec.assessment.tables import (
    binned_table,
    brief_table,
    completeness_tables,
    confusion_tables,
    ellipse_tables,
    grouped_table,
    injected_table,
    pull_tables,
)

_RECOVERY = "Of detected, truly steep pulsars not known before."
_PURITY = (
    "Part of the pulsar candidates (steep, classed so, not vetoed) that are pulsars. Field pulsars are "
    "injected far above their real number: the purity of the whole sky says nothing about real data; that "
    "in ellipses without them does, if as many real ellipses hold a pulsar."
)
_CALIBRATION = (
    "p_steep has a flat prior on alpha, and most sources are flatter than the limit: noise takes more of "
    "them across it than back. The true part lies below p_steep where errors are large, and most where "
    "there are only upper limits beside one detection."
)
_CAPTIONS = {
    "completeness": "Above: part of the injected pulsars not known before that each stage keeps. Below: the "
    "same of detected steep pulsars, and the purity of the pulsar candidates, against measured S/N. Points "
    "lie at the median of their bin, intervals are 68%, grey numbers count the objects.",
    "pulls": "Pulls of alpha, their mean and width against S/N, and how often sources of a given p_steep are "
    "truly steep. Errors of mean and width from a bootstrap over pointings.",
    "confusion": "Sources by true and found class: numbers, and in colour and percent their share of the "
    "true class. Shares of a found class mean little: pulsars are injected far above their real number.",
    "ellipses": "Against the size of the 95% ellipse: pulsars found where they should be, purity of the "
    "steep candidates, and chance sources.",
}


def assessment_section(
    sources: Rows,
    members: Rows,
    regions: Rows,
    truth: Rows,
    all_region_names: np.ndarray,
    *,
    radius_arcsec: float = 6.0,
    steep_limit: float = STEEP,
    resamples: int = 500,
    seed: int = 0,
) -> Section:
    """Tables and figures of everything that `assess` and `assess_pulls` measure.

    Args:
        sources: SOURCES columns (schema.py), one row a detected radio source of the whole catalogue.
        members: MEMBERS columns, one row a source and 95% ellipse of a searched region.
        regions: REGIONS columns, of the searched regions.
        truth: of the simulated sky.
        all_region_names: name of each region of the simulated sky, which truth["region"] refers to.
        radius_arcsec: of the match.
        steep_limit: alpha below this is steep.
        resamples, seed: of the bootstrap over pointings.

    Raises:
        InputError: missing columns, or tables that do not belong together.
    """
    match_S = match_truth(sources, truth, radius_arcsec)
    complete = completeness(sources, truth, match_S, steep_limit=steep_limit)
    selected = selection_by_snr(sources, members, truth, match_S, steep_limit=steep_limit)
    ellipses = by_ellipse(sources, members, regions, truth, match_S, all_region_names)
    pulls = alpha_pulls(sources, truth, match_S, resamples=resamples, seed=seed)
    calibration = steep_calibration(sources, truth, match_S, steep_limit=steep_limit)
    classes = confusion(sources, truth, match_S)
    tables = (
        brief_table(complete, selected, ellipses, pulls),
        injected_table(truth, match_S, steep_limit),
        *completeness_tables(complete),
        binned_table(
            "recovery", "Detected steep pulsars against measured S/N", selected.only(*STAGES[1:]), _RECOVERY, one_n=True
        ),
        binned_table("purity", "Purity of pulsar candidates against measured S/N", selected.only(*PURITIES), _PURITY),
        *ellipse_tables(ellipses),
        *pull_tables(pulls),
        grouped_table("calibration", "Is p_steep a probability?", "alpha from", calibration, _CALIBRATION),
        *confusion_tables(classes),
    )
    figures = {
        "completeness": completeness_figure(complete, selected, steep_limit),
        "pulls": pull_figure(pulls, calibration),
        "confusion": confusion_figure(classes),
        "ellipses": ellipse_figure(ellipses),
    }
    drawings = tuple(Drawing(f"truth_{name}", _CAPTIONS[name], figure) for name, figure in figures.items())
    left_out = (
        ""
        if len(sources)
        else ("No radio source was detected: there is nothing to compare. Check the catalogue and its cuts.")
    )
    text = _text(truth, len(sources), radius_arcsec, steep_limit, classes)
    return Section("truth", "Injected against found", text, tables, drawings, left_out)


def _text(truth: Rows, detected: int, radius_arcsec: float, steep_limit: float, classes: Confusion) -> str:
    t = take(truth, "truth", "source_class", "region", "known")
    pulsar_N = t["source_class"] == PULSAR
    field, known = int((pulsar_N & (t["region"] < 0)).sum()), int((pulsar_N & t["known"]).sum())
    return (
        f"The search ran over a simulated sky of {len(truth):,} true radio sources, many too faint to be "
        "detected. Radio galaxies, flat AGN and stars follow the counts at 1.4 GHz. An assumed share of the "
        f"unassociated error ellipses holds a pulsar ({int(pulsar_N.sum()) - field} in all), offset from the "
        f"centre as the ellipse says, and {field} field pulsars lie anywhere, far more than in the real sky, "
        "to measure completeness. Therefore purity is given for the whole simulated sky (where they make it "
        "far too good), in the ellipses, and in the ellipses without the field pulsars; only the last says "
        f"what to expect of real ellipses, and no better than the assumed share is known. {known} of the "
        "pulsars are on the list of known ones: the list names them, not the search, and completeness "
        f"leaves them out. A detected and a true source are the same if they are within {radius_arcsec:g} "
        f"arcsec, one to one, nearest first; {classes.unmatched} of {detected:,} detected sources have no "
        f"true one. Steep means alpha < {steep_limit:g}. Errors are 68% intervals: Wilson's for rates, and "
        "from a bootstrap over pointings for pulls."
    )
