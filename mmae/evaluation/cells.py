"""Scores as cells of report tables."""

from __future__ import annotations

from mmae.metrics.bootstrap import Score
from mmae.report.contents import Measured


def measured(score: Score, scale: float = 1.0) -> Measured:
    """Value and error (half of the 68% interval) of a score, times `scale`: 100 for percentages."""
    return Measured(scale * score.value, scale * score.error)
