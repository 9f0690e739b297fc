"""Tables of p(z) in the report, and the verdict on each mode.

Shape suffixes: M galaxies that a mode is scored on.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from mmae.evaluation.pz.verdict import judge_calibration
from mmae.metrics.bootstrap import Score
from mmae.metrics.pz_calibration import LEAST_GALAXIES, LEVELS, SIGNIFICANCE, Calibration, calibrate, fault_text
from mmae.metrics.pz_distribution import RedshiftPDF
from mmae.metrics.pz_scores import CDE_LOSS, CRPS, DENSITY_FLOOR, LOG_LIKELIHOOD, at_floor, mean_scores
from mmae.report.contents import NOT_JUDGED, Cell, Table, Verdict, slug

SIGMA = "[sigma of p(z)]"
SCORES = (CRPS, CDE_LOSS, LOG_LIKELIHOOD)
HIDDEN_NOTE = (
    "Not judged: the galaxies were chosen by what p(z) was not told, and then even a calibrated p(z) has no "
    "uniform PIT."
)
FINDING_NOTE = (
    f"Findings are at {SIGNIFICANCE:.0%} for all strata of a mode together, and hints only: the verdict is "
    f"on all galaxies. Fewer than {LEAST_GALAXIES} galaxies are not judged."
)


@dataclass(frozen=True)
class Judged:
    """One mode on its M galaxies with a p(z) and a redshift; `row_M` are their rows among all."""

    row_M: np.ndarray
    pdf: RedshiftPDF
    z_M: np.ndarray
    pit_M: np.ndarray
    values: dict[str, np.ndarray]
    found: Calibration


def scores_table(modes: Mapping[str, Judged], seed: int, resamples: int) -> Table:
    """CRPS, CDE loss, ln p and PIT outliers of every mode; seed and resamples are of the bootstrap."""
    rows = []
    for mode, judged in modes.items():
        scores = mean_scores(judged.values, seed=seed, resamples=resamples)
        floored = int(at_floor(judged.pdf, judged.z_M).sum())
        rows.append(
            (mode, judged.row_M.size, *_cells(*scores.values()), floored, *_cells(judged.found.outliers, scale=100))
        )
    return Table(
        "scores",
        "Scores of p(z)",
        ("redshift from", "n", *_score_columns(SCORES), "at the floor", "PIT outliers [%]", "PIT outliers error [%]"),
        tuple(rows),
        note=f"Where the density at the true redshift is below {DENSITY_FLOOR:g}, or the truth outside the "
        "bins, ln p is of this floor; such galaxies are counted. PIT outliers lie outside 0.0001 to "
        "0.9999: 0.02% is right. Errors are 68% intervals.",
    )


def calibration_table(modes: Mapping[str, Judged]) -> Table:
    """Tests of every mode, and its verdict."""
    rows = tuple(
        (
            mode,
            j.found.n,
            j.found.ks,
            j.found.p_value,
            *_cells(j.found.bias),
            100 * j.found.largest_miss,
            100 * j.found.worst_level,
            judge_calibration(j.found),
        )
        for mode, j in modes.items()
    )
    return Table(
        "calibration",
        "Is p(z) calibrated?",
        (
            "redshift from",
            "n",
            "KS distance",
            "p of all tests",
            f"bias {SIGMA}",
            f"bias error {SIGMA}",
            "largest miss of coverage [points]",
            "at level [%]",
            "verdict",
        ),
        rows,
        note="Kolmogorov-Smirnov, the median, four widths and the PIT outliers are tested together "
        "(Bonferroni). A positive bias is a p(z) that lies too high.",
    )


def coverage_table(modes: Mapping[str, Judged]) -> Table:
    """Galaxies inside the intervals, level by level."""
    rows = tuple(
        (
            mode,
            f"{level:.0%}",
            j.found.n,
            100 * score.value,
            100 * score.low,
            100 * score.high,
            100 * (score.value - level),
        )
        for mode, j in modes.items()
        for level in LEVELS
        for score in (j.found.coverage[level],)
    )
    return Table(
        "coverage",
        "True redshifts inside central intervals of p(z)",
        ("redshift from", "interval", "n", "inside [%]", "low [%]", "high [%]", "miss [points]"),
        rows,
        note="Low and high: Wilson's 68% interval. Above the level p(z) is too wide, below it too narrow (or biased).",
    )


def strata_table(
    family: str,
    modes: Mapping[str, Judged],
    strata: Mapping[str, Mapping[str, np.ndarray]],
    hidden: bool,
    seed: int,
    resamples: int,
) -> Table:
    """Scores and coverage in parts of the galaxies.

    Args:
        strata: by mode, stratum -> which of all galaxies, bool.
        hidden: cut by what p(z) was not told, and so not judged.
    """
    rows = []
    for mode, judged in modes.items():
        members = {name: member_N[judged.row_M] for name, member_N in strata[mode].items()}
        members = {name: member_M for name, member_M in members.items() if member_M.any()}
        for stratum, member_M in members.items():
            values = {name: value_M[member_M] for name, value_M in judged.values.items()}
            scores = mean_scores(values, seed=seed, resamples=resamples)
            found = calibrate(judged.pit_M[member_M], SIGNIFICANCE / len(members))
            rows.append(
                (
                    mode,
                    stratum,
                    found.n,
                    *_cells(*scores.values()),
                    *_cells(found.coverage[0.68], scale=100),
                    *_cells(found.bias),
                    NOT_JUDGED if hidden else _finding(found),
                )
            )
    note = HIDDEN_NOTE if hidden else FINDING_NOTE
    return Table(
        f"by_{slug(family)}",
        f"By {family}",
        (
            "redshift from",
            "stratum",
            "n",
            *_score_columns(SCORES),
            "inside 68% [%]",
            "inside 68% error [%]",
            f"bias {SIGMA}",
            f"bias error {SIGMA}",
            "finding",
        ),
        tuple(rows),
        note=note,
    )


def _finding(found: Calibration) -> Verdict:
    """In words and without a mark."""
    return Verdict(fault_text(found) if found.n >= LEAST_GALAXIES else "too few to tell")


def _score_columns(names: Collection[str]) -> tuple[str, ...]:
    return tuple(text for name in names for text in (name, f"{name} error"))


def _cells(*scores: Score, scale: float = 1.0) -> tuple[Cell, ...]:
    return tuple(scale * value for score in scores for value in (score.value, score.error))
