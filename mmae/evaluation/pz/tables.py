"""Tables of p(z) scores, calibration and coverage.

Shape suffixes: M galaxies scored in a mode.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mmae.evaluation.cells import measured
from mmae.evaluation.pz.verdict import judge_calibration
from mmae.metrics.pz_calibration import LEAST_GALAXIES, LEVELS, SIGNIFICANCE, Calibration, calibrate, fault_text
from mmae.metrics.pz_distribution import RedshiftPDF
from mmae.metrics.pz_scores import CDE_LOSS, CRPS, DENSITY_FLOOR, LOG_LIKELIHOOD, at_floor, mean_scores
from mmae.report.contents import NOT_JUDGED, Column, Table, Verdict, slug

MODE, N = Column("mode", "redshift from"), Column("n")
SCORES = tuple(Column(slug(name), name) for name in (CRPS, CDE_LOSS, LOG_LIKELIHOOD))
BIAS = Column("bias", "bias [sigma of p(z)]")
HIDDEN_NOTE = (
    "Not judged: the strata are defined by a quantity that is not an input of p(z), so the PIT of a calibrated p(z) is "
    "not uniform in them."
)
FINDING_NOTE = (
    f"Findings are at a significance of {SIGNIFICANCE:.0%} for all strata of a mode together and are not judged: the "
    f"verdict is on all galaxies. No finding below {LEAST_GALAXIES} galaxies."
)


@dataclass(frozen=True)
class Judged:
    """One mode on its M galaxies with a p(z) and a redshift; `row_M` are their row numbers among all galaxies."""

    row_M: np.ndarray
    pdf: RedshiftPDF
    z_M: np.ndarray
    pit_M: np.ndarray
    values: dict[str, np.ndarray]
    found: Calibration


def scores_table(modes: Mapping[str, Judged], seed: int, resamples: int) -> Table:
    """CRPS, CDE loss, ln p and PIT outliers of every mode; seed and number of resamples of the bootstrap."""
    rows = []
    for mode, judged in modes.items():
        scores = mean_scores(judged.values, seed=seed, resamples=resamples)
        floored = int(at_floor(judged.pdf, judged.z_M).sum())
        rows.append(
            (mode, judged.row_M.size, *map(measured, scores.values()), floored, measured(judged.found.outliers, 100))
        )
    return Table(
        "scores",
        "Scores of p(z)",
        (MODE, N, *SCORES, Column("at_floor", "at the floor"), Column("pit_outliers_percent", "PIT outliers [%]")),
        tuple(rows),
        note=f"The density at the true redshift has a floor of {DENSITY_FLOOR:g} in ln p, also for redshifts outside "
        "the bins; the galaxies at the floor are counted. PIT outliers are outside 0.0001 to "
        "0.9999: 0.02% are expected. Errors are half of the 68% interval.",
    )


def calibration_table(modes: Mapping[str, Judged]) -> Table:
    """Tests of every mode, and its verdict."""
    rows = tuple(
        (
            mode,
            j.found.n,
            j.found.ks,
            j.found.p_value,
            measured(j.found.bias),
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
            *(MODE, N, Column("ks_distance", "KS distance"), Column("p_value", "p of all tests"), BIAS),
            Column("coverage_error_percent", "largest error of coverage [percentage points]"),
            Column("level_percent", "at level [%]"),
            Column("verdict"),
        ),
        rows,
        note="Kolmogorov-Smirnov, the median, four widths and the PIT outliers are tested together "
        "(Bonferroni). A positive bias means that p(z) is too high.",
    )


def coverage_table(modes: Mapping[str, Judged]) -> Table:
    """Fraction of galaxies inside the central intervals, by level."""
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
        (
            *(MODE, Column("interval"), N, Column("inside_percent", "inside [%]")),
            Column("low_percent", "low [%]"),
            Column("high_percent", "high [%]"),
            Column("excess_percent", "inside \N{MINUS SIGN} level [percentage points]"),
        ),
        rows,
        note="Low and high: Wilson's 68% interval. p(z) is too wide if more galaxies than the level are inside, "
        "too narrow (or biased) if fewer.",
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
        strata: mode -> stratum -> members among all galaxies, bool.
        hidden: the family is defined by a quantity that is not an input of p(z); its strata are not judged.
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
                    *map(measured, scores.values()),
                    measured(found.coverage[0.68], 100),
                    measured(found.bias),
                    NOT_JUDGED if hidden else _finding(found),
                )
            )
    note = HIDDEN_NOTE if hidden else FINDING_NOTE
    return Table(
        f"by_{slug(family)}",
        f"By {family}",
        (
            *(MODE, Column("stratum"), N, *SCORES, Column("inside_68_percent", "inside 68% [%]"), BIAS),
            Column("finding"),
        ),
        tuple(rows),
        note=note,
    )


def _finding(found: Calibration) -> Verdict:
    """The faults as text, not judged."""
    return Verdict(fault_text(found) if found.n >= LEAST_GALAXIES else "too few galaxies")
