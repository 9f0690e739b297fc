"""The page of an audit: counts, scores where the truth is known, and the evidence about the first galaxies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmae.catalogue.audit import INSPECTED, WINDOW, RankingScores, rank, score_ranking
from mmae.catalogue.audit_config import AuditConfig
from mmae.catalogue.audit_figures import evidence_figure
from mmae.catalogue.read import read_pz
from mmae.catalogue.rows import RowFormat
from mmae.catalogue.survey_rows import FILE, ROW, SurveyRows, read_measurements
from mmae.core.provenance import provenance_line
from mmae.metrics.bootstrap import Score
from mmae.report.contents import Cell, Column, Drawing, Measured, Section, Table
from mmae.report.save import save_report

FOLDER = "report"
LEVELS = (0.5, 0.9, 0.99)  # of P(wrong), for which galaxies are counted
TRUTH = "wrong_in_truth"


def write_audit_page(
    config: AuditConfig, row_format: RowFormat, survey: SurveyRows, table: pa.Table, counts: Mapping[str, int]
) -> Path:
    """Write the page and return its path.

    Args:
        table: judged galaxies, the most suspicious first.
        counts: galaxies that were not judged, by reason.
    """
    facts = {
        "catalogue": f"{config.catalogue}, model with sha256 {row_format.model}",
        "survey": config.survey,
        "used": ", ".join(row_format.modalities),
        "wrong redshifts expected before the model is asked": f"{config.wrong_rate:.2%}",
        "provenance": provenance_line(),
    }
    sections = [_counts(table, counts)]
    if TRUTH in table.column_names:
        sections.append(_scores(table))
    if config.shown:
        sections.append(_evidence(config, row_format, survey, table))
    return save_report(config.out / FOLDER, "Redshifts that may be wrong", facts, sections, "mmae-audit-1")


def _counts(table: pa.Table, counts: Mapping[str, int]) -> Section:
    columns = (Column("what"), Column("galaxies"))
    wrong_N = table["p_wrong"].to_numpy()
    above = tuple((f"P(wrong) above {level:g}", int((wrong_N > level).sum())) for level in LEVELS)
    rows = (*counts.items(), ("judged", len(table)), ("sum of P(wrong)", float(wrong_N.sum())), *above)
    text = (
        f"P(wrong) is the part of wrong redshifts, which may be anywhere, in the mass of p(z) within {WINDOW} (1+z) of "
        f"the catalogue redshift. A mistake of the model looks like a wrong redshift: look at the spectrum."
    )
    return Section("counts", "Counts", text, (Table("counts", "Galaxies", columns, rows),))


def _scores(table: pa.Table) -> Section:
    columns = (
        Column("galaxies"),
        Column("ranking"),
        Column("judged", "galaxies judged"),
        Column("wrong", "wrong"),
        Column("precision", "wrong fraction of as many first"),
        Column("recall", f"found in the first {INSPECTED:.0%}"),
        Column("expected", "sum of P(wrong)"),
    )
    rows: list[tuple[Cell, ...]] = []
    for name, some in groups(table).items():
        for ranking, scores in compare_rankings(some).items():
            expected = float(some["p_wrong"].to_numpy().sum()) if ranking == "P(wrong)" else None
            measured = (_measured(scores.precision), _measured(scores.recall))
            rows.append((name, ranking, scores.galaxies, scores.wrong, *measured, expected))
    note = (
        "Wrong: catastrophic in the truth table. Errors: half of the 68% Wilson interval. In training: the model has "
        "learned from this redshift, and may reproduce it."
    )
    scores_table = Table("scores", "Rankings against the truth", columns, tuple(rows), note)
    return Section("scores", "Against the truth", "", (scores_table,))


def groups(table: pa.Table) -> dict[str, pa.Table]:
    """The judged galaxies, and parts of them that have wrong redshifts."""
    parts = {"all": table}
    for name, value in (("not in training", False), ("in training", True)):
        parts[name] = table.filter(pc.equal(table["in_training"], value))
    if "split" in table.column_names:
        parts["test split"] = table.filter(pc.equal(table["split"], "test"))
    return {name: some for name, some in parts.items() if pc.any(some[TRUTH]).as_py()}


def compare_rankings(table: pa.Table) -> dict[str, RankingScores]:
    """Scores of P(wrong), of the distance between model and catalogue, and of a random order (expected)."""
    wrong_N = table[TRUTH].fill_null(False).to_numpy()
    label_N = table["redshift"].to_numpy()
    distance_N = np.abs(table["z_median"].to_numpy() - label_N) / (1 + label_N)
    n, n_wrong = len(wrong_N), int(wrong_N.sum())
    by_chance = Score(n_wrong / n, np.nan, np.nan, n), Score(INSPECTED, np.nan, np.nan, n_wrong)
    return {
        "P(wrong)": score_ranking(rank(-table["pz_at_redshift"].to_numpy()), wrong_N),
        "|z of the model - z| / (1+z)": score_ranking(rank(distance_N), wrong_N),
        "random": RankingScores(n, n_wrong, *by_chance),
    }


def _measured(score: Score) -> Measured:
    return Measured(score.value, score.error)


def _evidence(config: AuditConfig, row_format: RowFormat, survey: SurveyRows, table: pa.Table) -> Section:
    drawings = []
    for row in table.slice(0, config.shown).to_pylist():
        place = survey.table.slice(row["survey_row"], 1).to_pylist()[0]
        measured = read_measurements(survey.files[place[FILE]], place[ROW], survey.spec)
        pdf = read_pz(table.slice(row["rank"] - 1, 1), row_format)
        figure = evidence_figure(measured, pdf, row["redshift"], row["z_other"], survey.spec)
        truth = {True: " In truth it is wrong.", False: " In truth it is right.", None: ""}[row.get(TRUTH)]
        trained = " The galaxy was in the training." if row["in_training"] else ""
        caption = (
            f"{row['rank']}. {row['object_id']}: P(wrong) = {row['p_wrong']:.4f}. p(z) has {row['pz_at_redshift']:.2g} "
            f"at the catalogue redshift and {row['pz_at_other']:.2g} at z = {row['z_other']:.4f}.{truth}{trained}"
        )
        drawings.append(Drawing(f"evidence_{row['rank']:02d}", caption, figure))
    text = "The most suspicious redshifts. Dashed lines: catalogue and model."
    return Section("evidence", "Evidence", text, drawings=tuple(drawings))
