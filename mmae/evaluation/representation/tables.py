"""Probe scores as columns of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmae.evaluation.cells import measured
from mmae.evaluation.representation.scores import BALANCED, BIAS, NMAD, OUTLIERS, R2, SIGMA
from mmae.metrics.bootstrap import Score
from mmae.report.contents import Column, Measured

METRICS = {
    SIGMA: (Column("sigma_nmad", "sigma_NMAD"), 1),
    BIAS: (Column("bias"), 1),
    OUTLIERS: (Column("outliers_percent", "outliers [%]"), 100),
    R2: (Column("r2", "R2"), 1),
    NMAD: (Column("nmad", "NMAD"), 1),
    BALANCED: (Column("balanced_accuracy_percent", "balanced accuracy [%]"), 100),
}
"""metric -> its column and the factor that gives the column's unit."""


def metrics_of(scores: Mapping[str, Score]) -> list[str]:
    """Metrics in `scores` that have a column, in the order of the columns."""
    return [metric for metric in METRICS if metric in scores]


def score_columns(metrics: Sequence[str]) -> tuple[Column, ...]:
    """One column per metric."""
    return tuple(METRICS[metric][0] for metric in metrics)


def score_cells(scores: Mapping[str, Score], metrics: Sequence[str]) -> tuple[Measured, ...]:
    """Value and error (half of the 68% interval) of every metric."""
    return tuple(measured(scores[metric], METRICS[metric][1]) for metric in metrics)
