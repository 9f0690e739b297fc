"""Injected against found: the report section on a search over a simulated sky."""

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

_RECOVERY = "Fraction of the detected, truly steep pulsars without the known ones."
_PURITY = (
    "Fraction of the pulsar candidates (steep, classed as pulsar, not vetoed) that are pulsars. Field pulsars are "
    "injected far above their real number, so that the purity of the whole sky does not apply to real data; the "
    "purity in ellipses without them does, if the same share of real ellipses contains a pulsar."
)
_CALIBRATION = (
    "p_steep has a flat prior on alpha, and most sources are flatter than the limit: noise scatters more of them "
    "below it than above. The true fraction is therefore below p_steep where errors are large, most of all for one "
    "detection with upper limits."
)
_CAPTIONS = {
    "completeness": "Top: fraction of the injected pulsars, without the known ones, that each stage keeps. Bottom: "
    "the same for detected steep pulsars, and the purity of the pulsar candidates, against measured S/N. Points are "
    "at the median of their bin, intervals are 68%, grey numbers are the numbers of objects.",
    "pulls": "Pulls of alpha, their mean and width against S/N, and the fraction of truly steep sources against "
    "p_steep. Errors of mean and width from a bootstrap over pointings.",
    "confusion": "Sources by true and found class: counts, and in colour and percent the fraction of the true "
    "class. Fractions of a found class do not apply to real data: pulsars are injected far above their real number.",
    "ellipses": "Against the size of the 95% ellipse: pulsars in their own ellipse, purity of the steep candidates, "
    "and chance sources.",
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
    """Tables and figures of all measurements in `assessment.recovery` and `assessment.pulls`.

    Args:
        sources: SOURCES columns (schema.py), one row per detected radio source of the whole catalogue.
        members: MEMBERS columns, one row per source and 95% ellipse of a searched region.
        regions: REGIONS columns of the searched regions.
        truth: truth table of the simulated sky.
        all_region_names: names of all regions of the simulated sky, indexed by truth["region"].
        radius_arcsec: radius of the match.
        steep_limit: alpha below this is steep.
        resamples, seed: of the bootstrap over pointings.

    Raises:
        InputError: missing columns, or tables of different searches.
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
        grouped_table("calibration", "Calibration of p_steep", "alpha from", calibration, _CALIBRATION),
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
        else "No radio source was detected, so there is nothing to compare. Check the catalogue and its cuts."
    )
    text = _text(truth, len(sources), radius_arcsec, steep_limit, classes)
    return Section("truth", "Injected against found", text, tables, drawings, left_out)


def _text(truth: Rows, detected: int, radius_arcsec: float, steep_limit: float, classes: Confusion) -> str:
    t = take(truth, "truth", "source_class", "region", "known")
    pulsar_N = t["source_class"] == PULSAR
    field, known = int((pulsar_N & (t["region"] < 0)).sum()), int((pulsar_N & t["known"]).sum())
    return (
        f"The search ran over a simulated sky of {len(truth):,} true radio sources, many too faint to be "
        "detected. Radio galaxies, flat-spectrum AGN and stars follow the counts at 1.4 GHz. An assumed share of the "
        f"unassociated error ellipses contains a pulsar ({int(pulsar_N.sum()) - field} in all), with an offset drawn "
        f"from the ellipse, and {field} field pulsars, far more than in the real sky, are placed at random to measure "
        "completeness. Purity is therefore given for the whole simulated sky (too high because of the field pulsars), "
        "in the ellipses, and in the ellipses without field pulsars; only the last applies to real ellipses, and it "
        f"depends on the assumed share. {known} of the pulsars are in the list of known pulsars and are excluded from "
        f"the completeness. Detected and true sources are matched one to one, nearest first, within {radius_arcsec:g} "
        f"arcsec; {classes.unmatched} of {detected:,} detected sources have no match. Steep means alpha < "
        f"{steep_limit:g}. Errors are 68% intervals: Wilson intervals for rates, a bootstrap over pointings for pulls."
    )
