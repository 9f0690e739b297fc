"""The report of a study: the best trials with their errors, how it went, what the parameters do."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from mmae.metrics.bootstrap import Score
from mmae.metrics.redshift import ALL_Z, BASELINE, LOW_Z, ScoreTable
from mmae.report.contents import Drawing, Section, Table
from mmae.report.score_table import ROW_NAMES, with_error
from mmae.study.config import StudyConfig
from mmae.study.figures import (
    NAMES,
    history_figure,
    importance_figure,
    looks_figure,
    pareto_figure,
    slice_figure,
    varied,
)
from mmae.study.figures_map import contour_figure, heat_figure
from mmae.study.results import MIN_ANALYSED, TrialRecord, common_look, complete, importances, pareto_front
from mmae.study.space import Parameters

BEST = 5  # trials in the table of the best
GIGA = 1e9
HEADINGS = {
    "image_mask_ratio": "image\nmask",
    "spectrum_mask_ratio": "spec.\nmask",
    "image_patch": "image\npatch",
    "spectrum_patch": "spec.\npatch",
    "learning_rate": "learning\nrate",
}


def study_sections(
    config: StudyConfig,
    records: Sequence[TrialRecord],
    base: Parameters | None,
    behind: Mapping[int, Score],
    test: Section | None,
) -> list[Section]:
    """All sections, in order.

    Args:
        base: parameters of the base run, where they lie in the space.
        behind: scatter of a full trial less that of the winner, by number.
        test: the winner's scores on the test split.
    """
    look = common_look(records)
    makers = [
        best_section(records, base, behind),
        test,
        history_section(config, records),
        cost_section(records),
        *parameter_sections(config, records, look),
        all_section(records, base),
    ]
    return [section for section in makers if section is not None]


def best_section(records: Sequence[TrialRecord], base: Parameters | None, behind: Mapping[int, Score]) -> Section:
    """The best trials of the full budget, and the base run where it came so far."""
    full = complete(records)
    if not full:
        return Section("best", "Best trials", "", left_out="No trial reached the full budget.")
    shown = full[:BEST] + [r for r in full[BEST:] if r.parameters == base]
    names = varied(records)
    rows = tuple(
        (
            _name(r, base),
            with_error(r.scatter),
            with_error(behind.get(r.number)),
            *(_number(r.parameters[n]) for n in names),
        )
        for r in shown
    )
    columns = ("trial", "σ_NMAD", "behind\nthe best", *(HEADINGS.get(n, n) for n in names))
    near = sum(score.low <= 0 for score in behind.values())
    note = (
        f"Validation galaxies, image only; errors are 68% intervals of their bootstrap. Of {len(full)} full "
        f"trials, {near} are as good as the best within the error of the difference."
    )
    text = (
        "Trials of the full budget, the lowest scatter first. How far one is behind the best is measured on the "
        "same galaxies, resampled together. Trials that were stopped early are not judged."
    )
    return Section("best", "Best trials", text, (Table("best", "", columns, rows, note),))


def _name(record: TrialRecord, base: Parameters | None) -> str:
    return f"{record.number} base" if record.parameters == base else str(record.number)


def _number(value: float) -> str:
    return f"{value:.3g}"


def test_rows(table: ScoreTable) -> list[list[str]]:
    """One row a mode of looking: scatter at z < 0.4 and at all z, bias and outliers at all z."""
    return [
        [
            ROW_NAMES.get(mode, mode),
            with_error(scores[LOW_Z]["sigma_nmad"]),
            *(with_error(scores[ALL_Z][name]) for name in ("sigma_nmad", "bias")),
            with_error(scores[ALL_Z]["outlier_rate"], percent=True),
        ]
        for mode, scores in sorted(table.items(), key=lambda row: row[0] == BASELINE)
    ]


def test_section(winner: TrialRecord, rows: Sequence[Sequence[str]]) -> Section:
    """The winner on the test split, which nothing was chosen by."""
    columns = ("redshift from", "σ_NMAD z<0.4", "σ_NMAD all z", "bias all z", "outliers all z")
    text = (
        f"Trial {winner.number} as it was at the end of its budget, on the test split. Its validation scatter "
        f"is the lowest of many and so a little too good; this is not."
    )
    return Section(
        "test",
        f"The winner, trial {winner.number}, on the test split",
        text,
        (Table("scores", "", columns, tuple(map(tuple, rows)), "Errors are 68% intervals."),),
    )


def history_section(config: StudyConfig, records: Sequence[TrialRecord]) -> Section:
    """How the study went."""
    counts = {state: sum(r.state == state for r in records) for state in ("complete", "stopped", "failed")}
    spent = sum(r.progress for r in records)
    text = (
        f"{len(records)} trials: {counts['complete']} of the full budget, {counts['stopped']} stopped early, "
        f"{counts['failed']} failed. Together they spent {spent:.1f} full budgets."
    )
    if not any(r.looks for r in records):
        return Section("history", "How it went", text, left_out="No trial was ever validated.")
    drawings = (
        Drawing("history", "Scatter of every trial. Dotted: failed trials.", history_figure(records)),
        Drawing("looks", "Scatter against the budget spent.", looks_figure(records, config.looks)),
    )
    return Section("history", "How it went", text, drawings=drawings)


def cost_section(records: Sequence[TrialRecord]) -> Section | None:
    """Scatter against cost."""
    full = complete(records)
    if not full:
        return None
    fronts = {
        "training cost": pareto_front([(r.cost("full_flops"), r.scatter.value) for r in full]),
        "inference": pareto_front([(-r.cost("throughput"), r.scatter.value) for r in full]),
    }
    rows = tuple(
        (
            what,
            str(full[i].number),
            with_error(full[i].scatter),
            full[i].cost("full_flops") / GIGA,
            full[i].cost("throughput"),
        )
        for what, front in fronts.items()
        for i in front
    )
    columns = ("front", "trial", "σ_NMAD", "training [GFLOP]", "inference [galaxies/s]")
    text = "Full trials that no other beats both in scatter and in cost."
    drawing = Drawing("pareto", "Numbers are trials. Errors are 68% intervals.", pareto_figure(records))
    return Section("cost", "Scatter against cost", text, (Table("front", "Pareto fronts", columns, rows),), (drawing,))


def parameter_sections(config: StudyConfig, records: Sequence[TrialRecord], look: int) -> list[Section]:
    """Importance, slices, contours and the heat map."""
    seen = [r for r in records if look in r.looks]
    if look == 0 or len(seen) < MIN_ANALYSED:
        why = f"Fewer than {MIN_ANALYSED} trials were validated: add trials with --trials."
        return [Section("parameters", "What the parameters do", "", left_out=why)]
    shares = {
        f"after {look} of {config.looks} looks, {len(seen)} trials": importances(
            records, look, config.space, config.run.seed
        )
    }
    full = complete(records)
    if look < config.looks and len(full) >= MIN_ANALYSED:
        shares[f"full budget, {len(full)} trials"] = importances(full, config.looks, config.space, config.run.seed)
    names = tuple(next(iter(shares.values())))
    table = Table(
        "importance",
        "importance",
        ("parameter", *shares),
        tuple((NAMES[n], *(s.get(n) for s in shares.values())) for n in names),
        "Of a random forest fitted to so few trials: large differences mean something, small ones do not.",
    )
    text = f"All trials that did not fail are compared after {look} of {config.looks} looks"
    text += "." if look == config.looks else ", the last that they share: later ones exist only of better trials."
    drawings = [
        Drawing("importance", "Share of the variance that each parameter explains.", importance_figure(shares)),
        Drawing("slices", "Scatter against each parameter.", slice_figure(records, look, config.looks)),
    ]
    if len(varied(records)) > 1:
        drawings += [
            Drawing(
                "contours",
                "Every pair of parameters, linear between trials.",
                contour_figure(records, look, config.looks),
            ),
            Drawing(
                "mask_patch",
                "Mask ratio by patch size: the lowest scatter, and the number of trials.",
                heat_figure(records, look, config.looks),
            ),
        ]
    return [Section("parameters", "What the parameters do", text, (table,), tuple(drawings))]


def all_section(records: Sequence[TrialRecord], base: Parameters | None) -> Section:
    """Every trial, also the failed ones with their reasons."""
    names = varied(records)
    columns = (
        "trial",
        "state",
        "σ_NMAD",
        *(HEADINGS.get(n, n) for n in names),
        "galaxies seen",
        "time [s]",
        "galaxies/s",
        "weights",
        "MFLOP/galaxy",
        "reason",
    )
    rows = tuple(
        (
            _name(r, base),
            r.state if r.state != "stopped" else f"stopped at {r.progress:.0%}",
            with_error(r.scatter),
            *(_number(r.parameters[n]) if n in r.parameters else "-" for n in names),
            _whole(r.cost("galaxies_seen")),
            r.cost("seconds"),
            r.cost("galaxies_per_s"),
            _whole(r.cost("parameters")),
            r.cost("flops_per_galaxy") / 1e6,
            r.reason,
        )
        for r in records
    )
    return Section(
        "trials",
        "All trials",
        "Each is a run in MLflow below that of the study, named trial-NNN.",
        (Table("trials", "all trials", columns, rows),),
    )


def _whole(value: float) -> int | None:
    return int(value) if math.isfinite(value) else None
