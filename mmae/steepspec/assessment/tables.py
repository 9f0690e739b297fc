"""The tables of a search compared with a known truth, for the page, the terminal and MLflow."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from astropy.table import Table as Rows
from scipy.stats import binomtest

from mmae.metrics.bootstrap import EMPTY, Score
from mmae.report.contents import NOT_JUDGED, Cell, Column, Measured, Table, Verdict, slug
from mmae.steepspec.assessment.bins import Binned, take
from mmae.steepspec.assessment.pulls import MEAN, STD, WIDTH, Pulls
from mmae.steepspec.assessment.recovery import (
    CANDIDATE,
    CHANCE,
    CHANCE_CANDIDATES,
    ELLIPSE_SHARE,
    INSIDE,
    POPULATIONS,
    PULSAR,
    PURITIES,
    STAGES,
    Completeness,
    Confusion,
)
from mmae.steepspec.classify import CLASSES

PULL_TOLERANCE = 0.1  # a deviation of mean or width this small hardly changes which sources are called steep
ERRORS_ALLOWED = 3.0
MIN_P_VALUE = 0.0027  # two-sided: 3 sigma


def brief_table(complete: Completeness, selected: Binned, ellipses: Binned, pulls: Pulls) -> Table:
    """The main numbers, judged where the expected value is known."""
    steep, pull = complete.by_flux[POPULATIONS[0]].total, pulls.by_snr.total
    rows = [_line(f"steep pulsars, {stage}", steep[stage]) for stage in STAGES]
    rows += [_line(name, selected.total[name]) for name in PURITIES]
    inside = ellipses.total[INSIDE]
    rows.append(_line("pulsars in own ellipse", inside, ELLIPSE_SHARE, judge_share(inside, ELLIPSE_SHARE)))
    rows.append(_line("pulsars of ellipses, candidates there", ellipses.total[CANDIDATE]))
    rows += [
        _line(f"pull of alpha, {name}", pull[name], target, judge_score(pull[name], target))
        for name, target in ((MEAN, 0.0), (WIDTH, 1.0))
    ]
    worst = _worst(pulls.by_snr.scores[MEAN])
    rows.append(_line("pull of alpha, mean in the worst bin of S/N", worst, 0.0, judge_score(worst, 0.0)))
    rows.append(_line(f"pull of alpha, {STD}", pull[STD], 1.0))
    note = (
        f"The mean or width of the pulls is met if it is within {PULL_TOLERANCE:g} of the expected value, or at most "
        f"{ERRORS_ALLOWED:g} errors beyond; the share of pulsars in ellipses, if the p-value of a binomial test is at "
        f"least {MIN_P_VALUE:.2%}. The std is not judged: it is dominated by outliers."
    )
    columns = (Column("quantity"), Column("value", "found"), Column("n"), Column("expected"), Column("verdict"))
    return Table("brief", "In brief", columns, tuple(rows), note)


def _line(name: str, score: Score, target: float | None = None, verdict: Verdict = NOT_JUDGED) -> tuple[Cell, ...]:
    return name, Measured(score.value, score.error), score.n, target, verdict


def judge_score(score: Score, target: float) -> Verdict:
    """Verdict on the mean or width of the pulls: within the tolerance, or at most 3 errors beyond it."""
    if not (math.isfinite(score.value) and math.isfinite(score.error)):
        return Verdict("no value or error to judge")
    beyond = abs(score.value - target) - PULL_TOLERANCE
    if beyond <= 0:
        return Verdict(f"within {PULL_TOLERANCE:g}", True)
    errors = beyond / score.error if score.error > 0 else math.inf
    if errors <= ERRORS_ALLOWED:
        return Verdict(f"within {PULL_TOLERANCE:g} and {ERRORS_ALLOWED:g} errors", True)
    return Verdict(f"misses: {errors:.1f} errors beyond {PULL_TOLERANCE:g}", False)


def _worst(means: Sequence[Score]) -> Score:
    """The mean with the largest deviation from 0 in errors: opposite biases cancel in the mean of all bins."""
    judged = [score for score in means if math.isfinite(score.error) and score.error > 0]
    return max(judged, key=lambda score: (abs(score.value) - PULL_TOLERANCE) / score.error, default=EMPTY)


def judge_share(score: Score, target: float) -> Verdict:
    """Verdict on a rate by an exact binomial test against the target."""
    if not score.n:
        return Verdict("no value to judge")
    p_value = float(binomtest(round(score.value * score.n), score.n, target).pvalue)
    if p_value >= MIN_P_VALUE:
        return Verdict(f"agrees, p = {p_value:.2g}", True)
    return Verdict(f"misses: p = {p_value:.1g}", False)


def injected_table(truth: Rows, match: np.ndarray, steep_limit: float) -> Table:
    """Number of injected and of detected true sources by class."""
    t = take(truth, "truth", "source_class", "alpha", "region", "known")
    detected_N, steep_N = np.zeros(len(truth), bool), t["alpha"] < steep_limit
    detected_N[match[match >= 0]] = True
    pulsar_N = t["source_class"] == PULSAR
    kinds = {"pulsars of ellipses": pulsar_N & (t["region"] >= 0), "field pulsars": pulsar_N & (t["region"] < 0)}
    kinds |= {name.replace("_", " "): t["source_class"] == name for name in CLASSES[1:-1]}
    selections = {
        "injected": detected_N | ~detected_N,
        "truly_steep": steep_N,
        "known": t["known"],
        "detected": detected_N,
        "detected_and_truly_steep": detected_N & steep_N,
    }
    rows = ((name, *(int((of_N & in_N).sum()) for in_N in selections.values())) for name, of_N in kinds.items())
    return Table("injected", "Injected sources", (Column("true_class"), *map(Column, selections)), tuple(rows))


def completeness_tables(found: Completeness) -> tuple[Table, Table]:
    """Against expected flux density and against true alpha."""
    note = (
        "Fraction of the injected pulsars without the known ones. Each stage selects from the one before; the last "
        "is the list of pulsar candidates."
    )
    by_flux = grouped_table(
        "completeness_flux",
        "Completeness of pulsars against expected flux density",
        "pulsars",
        found.by_flux,
        note,
        one_n=True,
    )
    title = "Completeness of all pulsars against true alpha"
    return by_flux, binned_table("completeness_alpha", title, found.by_alpha, one_n=True)


def ellipse_tables(found: Binned) -> tuple[Table, Table, Table]:
    """Pulsars of the ellipses, purity of the candidates, chance sources."""
    pulsars = binned_table(
        "ellipse_pulsars",
        "Pulsars of the ellipses against ellipse size",
        found.only(INSIDE, CANDIDATE),
        f"Fraction of the detected pulsars of searched regions in their own ellipse: {ELLIPSE_SHARE:g} by "
        "construction. Candidate: fraction of the unknown ones that are steep and in their ellipse.",
    )
    purity = binned_table(
        "ellipse_purity",
        "Purity of the candidates against ellipse size",
        found.only(*PURITIES[1:]),
        "Fraction of the candidates (steep, not vetoed, of any class) that are pulsars.",
    )
    chance = binned_table(
        "ellipse_chance",
        "Chance sources against ellipse size",
        found.only(CHANCE, CHANCE_CANDIDATES),
        "Sources other than the pulsar of the region and field pulsars; ellipses centred in the footprint.",
        one_n=True,
    )
    return pulsars, purity, chance


def grouped_table(
    name: str, title: str, lead: str, groups: Mapping[str, Binned], note: str = "", *, one_n: bool = False
) -> Table:
    """One row per group and bin; `lead` is the heading of the group names. Otherwise as `binned_table`."""
    rows = tuple(row for group, shown in groups.items() for row in _rows(shown, one_n, (group,)))
    return Table(name, title, (Column("group", lead), *_columns(next(iter(groups.values())), one_n)), rows, note)


def binned_table(name: str, title: str, shown: Binned, note: str = "", *, one_n: bool = False) -> Table:
    """One row per bin and one for all objects.

    Args:
        name, title, note: of the table.
        shown: the statistics, one or more.
        one_n: all statistics are of the same objects, so that their number is given once.
    """
    return Table(name, title, _columns(shown, one_n), _rows(shown, one_n), note)


def _columns(shown: Binned, one_n: bool) -> tuple[Column, ...]:
    columns = [Column("bin", shown.quantity)] + [Column("n")] * one_n
    for statistic in shown.total:
        name = slug(statistic)
        columns += [Column(name, statistic)] + [Column(f"{name}_n", f"{statistic}, n")] * (not one_n)
    return tuple(columns)


def _rows(shown: Binned, one_n: bool, lead: tuple[str, ...] = ()) -> tuple[tuple[Cell, ...], ...]:
    rows = []
    bins = [[scores[b] for scores in shown.scores.values()] for b in range(len(shown.labels))]
    for label, scores in zip((*shown.labels, "all"), (*bins, list(shown.total.values())), strict=True):
        cells: list[Cell] = [*lead, label] + [scores[0].n] * one_n
        for score in scores:
            cells += [Measured(score.value, score.error)] + [score.n] * (not one_n)
        rows.append(tuple(cells))
    return tuple(rows)


def pull_tables(pulls: Pulls) -> tuple[Table, Table]:
    """Pulls against S/N and against the number of flux densities."""
    note = (
        f"Pull = (alpha - true alpha) / error. Errors from a bootstrap over {pulls.pointings} pointings, because the "
        "sources of a pointing share flux-scale errors: with few pointings they are uncertain, and the widths at high "
        "S/N vary between realisations. A bias at low S/N is expected even with correct errors: an index can be "
        "fitted only to sources scattered above the limit at a second frequency."
    )
    return (
        binned_table("pulls_snr", "Pulls of alpha against measured S/N", pulls.by_snr, note, one_n=True),
        binned_table(
            "pulls_detections", "Pulls of alpha against the number of flux densities", pulls.by_detections, one_n=True
        ),
    )


def confusion_tables(found: Confusion) -> tuple[Table, Table]:
    """Counts of true class by found class: of all sources, and of those called steep."""
    titles = (
        ("confusion_all", "True class against found class, all sources"),
        ("confusion_steep", "True class against found class, sources called steep"),
    )
    shown = [name.replace("_", " ") for name in CLASSES]
    tables = []
    for (name, title), matrix in zip(titles, (found.all_TF, found.steep_TF), strict=True):
        # "ambiguous" is not a true class: the last row of the matrix is zero.
        rows = tuple((true, *counts) for true, counts in zip(shown[:-1], matrix[:-1].tolist(), strict=True))
        columns = (Column("true_class"), *map(Column, CLASSES))
        tables.append(Table(name, title, columns, rows, "Without vetoed sources."))
    return tables[0], tables[1]
