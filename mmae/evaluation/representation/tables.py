"""Scores as columns of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmae.evaluation.representation.scores import BALANCED, BIAS, NMAD, OUTLIERS, R2, SIGMA
from mmae.metrics.bootstrap import Score
from mmae.report.contents import Cell

METRICS = {
    SIGMA: ("sigma_NMAD", "", 1),
    BIAS: ("bias", "", 1),
    OUTLIERS: ("outliers", " [%]", 100),
    R2: ("R2", "", 1),
    NMAD: ("NMAD", "", 1),
    BALANCED: ("balanced accuracy", " [%]", 100),
}
"""metric -> its name, its unit and the factor that gives it that unit."""


def shown(scores: Mapping[str, Score]) -> list[str]:
    """Those of the scores that have a column, in the order of the columns."""
    return [metric for metric in METRICS if metric in scores]


def score_columns(metrics: Sequence[str]) -> tuple[str, ...]:
    """Two headings a metric. No two are alike, as every number of a report goes by its heading."""
    headings = (METRICS[metric][:2] for metric in metrics)
    return tuple(f"{name}{what}{unit}" for name, unit in headings for what in ("", " error"))


def score_cells(scores: Mapping[str, Score], metrics: Sequence[str]) -> tuple[Cell, ...]:
    """Value and error (half the 68% interval) of every metric."""
    return tuple(METRICS[m][2] * number for m in metrics for number in (scores[m].value, scores[m].error))
