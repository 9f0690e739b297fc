"""Report section on warning flags: how many predictions are flagged, and how good the others are.

Shape suffixes: N galaxies, M galaxies scored in a mode.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mmae.evaluation.cells import measured
from mmae.inference.flags import FILE, MEANING, FlagLimits, flag
from mmae.inference.readings import Readings
from mmae.metrics.bootstrap import EMPTY, Score, beyond, rate_score
from mmae.metrics.pz_calibration import inside, randomised_pit
from mmae.metrics.pz_distribution import RedshiftPDF
from mmae.metrics.redshift import OUTLIER_LIMIT, is_redshift, normalised_residual
from mmae.report.contents import NOT_JUDGED, Cell, Column, Section, Table, judge_difference, slug

NAME, TITLE = "flags", "Warning flags"
LEVEL, TOLERANCE = 0.68, 5.0  # central interval; percentage points
LEAST = 100  # unflagged galaxies for a verdict
TEXT = (
    "A prediction with a flag is not to be trusted without a look at the data. p(z) of the predictions without a flag "
    f"is judged: the central {LEVEL:.0%} interval contains the true redshift of {LEVEL:.0%} of them, within "
    f"{TOLERANCE:g} percentage points. docs/real_sky.md explains the flags and their limits."
)


def flag_section(
    limits: FlagLimits | None, readings: Mapping[str, Readings], redshift_N: np.ndarray, *, seed: int
) -> Section:
    """Flagged shares, and scores with and without a flag, by mode.

    Args:
        limits: None for a checkpoint without flags.
        redshift_N: spectroscopic redshifts; NaN where unknown.
        seed: of the randomised PIT.
    """
    if limits is None:
        reason = (
            f"Left out: the checkpoint has no {FILE}. Runs of a model with p(z) write it at their end; train again."
        )
        return Section(NAME, TITLE, TEXT, left_out=reason)
    scores, shares = [], []
    for mode, of_mode in readings.items():
        flag_N = flag(limits, mode, of_mode)[of_mode.usable_N]
        if len(flag_N):
            chosen = flag_N == 0
            scores.append(_row(mode, of_mode, chosen, redshift_N[of_mode.usable_N], seed))
            shares.append((mode, len(flag_N), *(measured(rate_score(flag_N & bit > 0), 100) for bit in MEANING)))
    score_columns = (
        Column("mode"),
        Column("n"),
        Column("flagged_percent", "flagged [%]"),
        Column("coverage_percent", f"without a flag: inside {LEVEL:.0%} [%]"),
        Column("verdict"),
        Column("outliers_percent", "outliers [%]"),
        Column("outliers_all_percent", "all galaxies: outliers [%]"),
        Column("outliers_flagged_percent", "with a flag: outliers [%]"),
    )
    kind_columns = tuple(Column(f"{slug(text)}_percent", f"{text} [%]") for text in MEANING.values())
    tables = (
        Table("scores", "Predictions without a flag", score_columns, tuple(scores)),
        Table("kinds", "Flags", (Column("mode"), Column("n"), *kind_columns), tuple(shares)),
    )
    return Section(NAME, TITLE, TEXT, tables)


def _row(mode: str, readings: Readings, chosen_M: np.ndarray, redshift_M: np.ndarray, seed: int) -> tuple[Cell, ...]:
    known_M = is_redshift(redshift_M)
    predicted_M = readings.redshift_N[readings.usable_N]
    wrong_M = beyond(normalised_residual(redshift_M, predicted_M), OUTLIER_LIMIT)
    coverage = _coverage(readings, chosen_M & known_M, redshift_M, seed)
    verdict = judge_difference(100 * coverage.value, 100 * LEVEL, TOLERANCE) if coverage.n >= LEAST else NOT_JUDGED
    return (
        mode,
        len(chosen_M),
        measured(rate_score(~chosen_M), 100),
        measured(coverage, 100),
        verdict,
        *(measured(rate_score(wrong_M[known_M & in_M]), 100) for in_M in (chosen_M, np.ones_like(chosen_M), ~chosen_M)),
    )


def _coverage(readings: Readings, which_M: np.ndarray, redshift_M: np.ndarray, seed: int) -> Score:
    assert readings.probability_NK is not None and readings.edges_K1 is not None  # flags are of models with p(z)
    if not which_M.any():
        return EMPTY
    pdf = RedshiftPDF(readings.edges_K1, readings.probability_NK[readings.usable_N][which_M])
    return rate_score(inside(randomised_pit(pdf, redshift_M[which_M], seed), LEVEL))
