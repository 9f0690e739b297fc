"""The report of a study: best trials, history, Pareto fronts, and the effect of each parameter.

Trials are ranked by the study's criterion, see objective.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mmae.metrics.bootstrap import Score
from mmae.metrics.redshift import ALL_Z, BASELINE, LOW_Z, ScoreTable
from mmae.report.contents import Cell, Column, Drawing, Measured, Section, Table
from mmae.report.score_table import ROW_NAMES
from mmae.study.columns import parameter_columns
from mmae.study.config import StudyConfig
from mmae.study.figures import (
    NAMES,
    history_figure,
    importance_figure,
    pareto_figure,
    slice_figure,
    validations_figure,
    varied,
)
from mmae.study.figures_map import contour_figure, heat_figure
from mmae.study.objective import SCATTER, THROUGHPUT, TRAINING_COST, Measure, reconstruction
from mmae.study.results import (
    MIN_ANALYSED,
    TrialRecord,
    common_validation,
    complete,
    full_with,
    importances,
    pair_study,
)
from mmae.study.space import Parameters

BEST = 5  # trials in the table of the best
GIGA = 1e9
TRIAL = Column("trial")
TEST_COLUMNS = (
    Column("mode", "redshift from"),
    Column("sigma_nmad_low_z", "σ_NMAD z<0.4"),
    Column("sigma_nmad", "σ_NMAD all z"),
    Column("bias", "bias all z"),
    Column("outlier_rate_percent", "outliers all z [%]"),
)


def study_sections(
    config: StudyConfig,
    records: Sequence[TrialRecord],
    base: Parameters | None,
    behind: Mapping[int, Score],
    test: Section | None,
) -> list[Section]:
    """All sections, in order.

    Args:
        base: parameters of the base run, if it is a point of the space.
        behind: criterion of a full trial minus that of the winner, by number.
        test: the winner's scores on the test split.
    """
    validation = common_validation(records)
    sections = [
        best_section(config, records, base, behind),
        test,
        history_section(config, records),
        cost_section(config, records),
        parameter_section(config, records, validation),
        all_section(config, records, base),
    ]
    return [section for section in sections if section is not None]


def best_section(
    config: StudyConfig, records: Sequence[TrialRecord], base: Parameters | None, behind: Mapping[int, Score]
) -> Section:
    """The best trials of the full budget, and the base run if it reached the full budget."""
    criterion = config.criterion
    full = complete(records, criterion)
    if not full:
        return Section("best", "Best trials", "", left_out="No trial reached the full budget.")
    shown = full[:BEST] + [r for r in full[BEST:] if r.parameters == base]
    names = varied(records)
    others = [measure for measure in qualities(config, records) if measure.key != criterion.key]
    rows = tuple(
        (
            _name(r, base),
            _measured(r.score(criterion)),
            _measured(behind.get(r.number)),
            *(_measured(r.score(measure)) for measure in others),
            *(r.parameters.get(name) for name in names),
        )
        for r in shown
    )
    columns = (
        TRIAL,
        _column(criterion),
        Column("behind_best", "behind\nthe best"),
        *map(_column, others),
        *parameter_columns(names),
    )
    note = "Validation galaxies; errors of σ_NMAD are 68% bootstrap intervals."
    text = f"Trials of the full budget, lowest {criterion.name} first. Trials that were stopped early are not ranked."
    if criterion is SCATTER:
        equal = sum(score.low <= 0 for score in behind.values())
        note += f" Of {len(full)} full trials, {equal} equal the best within the error of the difference."
        text += " The difference to the best is measured on the same galaxies, resampled together."
    return Section("best", "Best trials", text, (Table("best", "", columns, rows, note),))


def qualities(config: StudyConfig, records: Sequence[TrialRecord]) -> list[Measure]:
    """The scatter, and the reconstruction if any trial has it."""
    hidden = reconstruction(config.run)
    return [SCATTER, hidden] if any(math.isfinite(r.score(hidden).value) for r in records) else [SCATTER]


def _column(measure: Measure) -> Column:
    return Column(measure.key, measure.heading)


def _name(record: TrialRecord, base: Parameters | None) -> str:
    return f"{record.number} base" if record.parameters == base else str(record.number)


def _measured(score: Score | None, scale: float = 1.0) -> Measured | None:
    return None if score is None else Measured(scale * score.value, scale * score.error)


def winner_rows(table: ScoreTable) -> list[list[Any]]:
    """Test scores as plain values for JSON: the input mode, then [value, error] in the order of `TEST_COLUMNS`."""
    rows = []
    for mode, scores in sorted(table.items(), key=lambda row: row[0] == BASELINE):
        cells = [_measured(scores[LOW_Z]["sigma_nmad"])]
        cells += [_measured(scores[ALL_Z][name]) for name in ("sigma_nmad", "bias")]
        cells.append(_measured(scores[ALL_Z]["outlier_rate"], 100.0))
        rows.append([ROW_NAMES.get(mode, mode), *([cell.value, cell.error] for cell in cells)])
    return rows


def winner_section(winner: TrialRecord, rows: Sequence[Sequence[Any]], criterion: Measure) -> Section:
    """The winner on the test split, which was used for no choice.

    Args:
        rows: of `winner_rows`. Studies before mmae 0.2 stored their cells as texts, which are shown unchanged.
    """
    cells: tuple[tuple[Cell, ...], ...] = tuple(
        tuple(Measured(*cell) if isinstance(cell, list) else cell for cell in row) for row in rows
    )
    text = (
        f"Trial {winner.number} at the end of its budget, on the test split. Its validation {criterion.name} is the "
        f"lowest of many and therefore biased low; the test scatter is not."
    )
    return Section(
        "test",
        f"The winner, trial {winner.number}, on the test split",
        text,
        (Table("scores", "", TEST_COLUMNS, cells, "Errors are 68% intervals."),),
    )


def history_section(config: StudyConfig, records: Sequence[TrialRecord]) -> Section:
    """Numbers of trials by outcome, the criterion by trial and by budget."""
    criterion, name = config.criterion, config.criterion.name.capitalize()
    counts = {state: sum(r.state == state for r in records) for state in ("complete", "stopped", "failed")}
    spent = sum(r.progress for r in records)
    text = (
        f"{len(records)} trials: {counts['complete']} with the full budget, {counts['stopped']} stopped early, "
        f"{counts['failed']} failed. Together they spent {spent:.1f} full budgets."
    )
    if not any(r.validations for r in records):
        return Section("history", "History", text, left_out="No trial reached a validation.")
    figure = validations_figure(records, config.looks, criterion)
    drawings = [Drawing("validations", f"{name} of every trial against the budget spent.", figure)]
    if full_with(records, criterion):
        figure = history_figure(records, config.space, criterion)
        drawings.insert(0, Drawing("history", f"{name} of the full trials.{criterion.errors}", figure))
    return Section("history", "History", text, drawings=tuple(drawings))


def cost_section(config: StudyConfig, records: Sequence[TrialRecord]) -> Section | None:
    """The criterion against training cost and against inference throughput, and scatter against reconstruction."""
    full = {r.number: r for r in records if r.state == "complete"}
    criterion, hidden = config.criterion, reconstruction(config.run)
    rows, drawings = [], []
    shown = qualities(config, records)
    for x, y in ((hidden, SCATTER), (TRAINING_COST, criterion), (THROUGHPUT, criterion)):
        if not full_with(records, x, y):
            continue
        front = sorted(
            pair_study(records, x, y, config.space).best_trials, key=lambda trial: trial.values[1], reverse=True
        )
        for record in (full[trial.number] for trial in front):
            rows.append(
                (
                    x.name,
                    str(record.number),
                    *(_measured(record.score(measure)) for measure in shown),
                    record.cost(TRAINING_COST.key) / GIGA,
                    record.cost(THROUGHPUT.key),
                )
            )
        caption = f"{y.name.capitalize()} against {x.name}. Labels are numbers of trials.{y.errors}"
        drawings.append(Drawing(f"pareto_{x.key}", caption, pareto_figure(records, x, y, config.space)))
    if not rows:
        return None
    columns = (
        Column("front"),
        TRIAL,
        *map(_column, shown),
        Column("training_gflop", "training [GFLOP]"),
        Column("inference_galaxies_per_s", "inference [galaxies/s]"),
    )
    text = "Full trials than which no other is better in both quantities of a figure."
    table = Table("front", "Pareto fronts", columns, tuple(rows))
    return Section("cost", "Pareto fronts", text, (table,), tuple(drawings))


def parameter_section(config: StudyConfig, records: Sequence[TrialRecord], validation: int) -> Section:
    """Importance, slices, contours and the map of mask ratio by patch size."""
    name, title = "parameters", "Effect of the parameters"
    reached = [r for r in records if validation in r.validations]
    if validation == 0 or len(reached) < MIN_ANALYSED:
        why = f"Fewer than {MIN_ANALYSED} trials were validated: add trials with --trials."
        return Section(name, title, "", left_out=why)
    space, seed, last, criterion = config.space, config.run.seed, config.looks, config.criterion
    quantity = criterion.name.capitalize()
    where = f"validation {validation} of {last}"
    shares = {
        Column("common_validation", f"{where}, {len(reached)} trials"): importances(records, validation, space, seed)
    }
    full = complete(records, criterion)
    if validation < last and len(full) >= MIN_ANALYSED:
        shares[Column("full_budget", f"full budget, {len(full)} trials")] = importances(full, last, space, seed)
    table = Table(
        "importance",
        "importance",
        (Column("parameter"), *shares),
        tuple((NAMES[n], *(share.get(n) for share in shares.values())) for n in next(iter(shares.values()))),
        "From a random forest fitted to these trials: with so few, only large differences are significant.",
    )
    text = f"All trials that did not fail are compared at {where}"
    text += "." if validation == last else ", the last that all of them reached."
    drawings = [
        Drawing(
            "importance",
            "Share of the variance that each parameter explains.",
            importance_figure(records, validation, space, seed, criterion),
        ),
        Drawing(
            "slices",
            f"{quantity} at {where} against each parameter.",
            slice_figure(reached, validation, space, criterion),
        ),
    ]
    if validation < last and full:
        caption = f"{quantity} of the full trials against each parameter."
        drawings.append(Drawing("slices_full", caption, slice_figure(full, last, space, criterion)))
    if len(varied(records)) > 1:
        drawings += [
            Drawing(
                "contours",
                "Every pair of parameters, linear between trials.",
                contour_figure(records, validation, last, criterion),
            ),
            Drawing(
                "mask_patch",
                f"Mask ratio by patch size: the lowest {criterion.name}, and the number of trials.",
                heat_figure(records, validation, last, criterion),
            ),
        ]
    return Section(name, title, text, (table,), tuple(drawings))


def all_section(config: StudyConfig, records: Sequence[TrialRecord], base: Parameters | None) -> Section:
    """Every trial, including failed ones with their reasons."""
    names, shown = varied(records), qualities(config, records)
    columns = (
        TRIAL,
        Column("state"),
        *map(_column, shown),
        *parameter_columns(names),
        Column("galaxies_seen"),
        Column("seconds", "time [s]"),
        Column("galaxies_per_s", "galaxies/s"),
        Column("weights"),
        Column("mflop_per_galaxy", "MFLOP/galaxy"),
        Column("reason"),
    )
    rows = tuple(
        (
            _name(r, base),
            r.state if r.state != "stopped" else f"stopped at {r.progress:.0%}",
            *(_measured(r.score(measure)) for measure in shown),
            *(r.parameters.get(name) for name in names),
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
        "Each is an MLflow run below that of the study, named trial-NNN.",
        (Table("trials", "all trials", columns, rows),),
    )


def _whole(value: float) -> int | None:
    return int(value) if math.isfinite(value) else None
