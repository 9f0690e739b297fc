"""Point scores of several predictions, for all galaxies and by stratum.

Shape suffix: N galaxies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mmae.core.errors import InputError
from mmae.evaluation.photoz.strata import MIN_GALAXIES, Family
from mmae.metrics.bootstrap import Scores
from mmae.metrics.photoz import point_scores
from mmae.metrics.redshift import BASELINE, ScoreTable, is_redshift, score_table

STRATA_RESAMPLES = 200  # errors accurate to 6%; all strata together take as long as the main table


@dataclass(frozen=True)
class StratumScores:
    """Scores of one stratum; None if its n galaxies are too few. Label and centre as in Stratum."""

    label: str
    centre: float
    n: int
    scores: Scores | None


@dataclass(frozen=True)
class FamilyScores:
    """Scores of all strata of a family, for every mode."""

    name: str
    title: str
    of_mode: Mapping[str, tuple[StratumScores, ...]]


@dataclass(frozen=True)
class PointScores:
    """Scores of several predictions.

    Attributes:
        table: mode -> "z<0.4" or "all z" -> metric; the last mode may be the training median.
        families: scores by stratum of every mode but the training median.
    """

    table: ScoreTable
    families: tuple[FamilyScores, ...]


def score_predictions(
    redshift_N: np.ndarray,
    predictions: Mapping[str, np.ndarray],
    families: Sequence[Family],
    *,
    z_train: np.ndarray | None,
    seed: int,
    resamples: int,
) -> PointScores:
    """Score every mode on the galaxies with a prediction; strata with at most 200 resamples.

    Args:
        redshift_N: spectroscopic redshifts, NaN where unknown.
        predictions: mode -> (N,) redshifts. NaN: the inputs of the mode are missing, the galaxy is not
            counted; infinite: a failed prediction, an outlier. A mode with only NaN has no scores.
        families: strata of the N galaxies.
        z_train: redshifts of the training set, for the row "training median" of all galaxies.
        seed: of the bootstrap.
        resamples: number of bootstrap resamples.

    Raises:
        InputError: the length of a prediction differs from that of redshift_N.
    """
    redshift_N = np.asarray(redshift_N, np.float64)
    table: ScoreTable = {}
    shown: dict[str, np.ndarray] = {}
    for mode, z_pred_N in predictions.items():
        if np.shape(z_pred_N) != redshift_N.shape:
            raise InputError(
                f"prediction {mode!r} has shape {np.shape(z_pred_N)} but there are {redshift_N.size} "
                f"galaxies: give one redshift per galaxy, NaN if missing."
            )
        counted_N = is_redshift(redshift_N) & ~np.isnan(z_pred_N)
        if counted_N.any():
            shown[mode] = counted_N
            table |= score_table(
                redshift_N[counted_N], {mode: z_pred_N[counted_N]}, seed=seed, resamples=resamples, score=point_scores
            )
    if z_train is not None and table:
        table |= score_table(redshift_N, {}, z_train=z_train, seed=seed, resamples=resamples, score=point_scores)

    def strata_scores(family: Family, mode: str) -> tuple[StratumScores, ...]:
        found = []
        for stratum in family.strata:
            of_N = stratum.member_N & shown[mode]
            n, scores = int(of_N.sum()), None
            if n >= MIN_GALAXIES:
                scores = point_scores(
                    redshift_N[of_N], predictions[mode][of_N], seed=seed, resamples=min(resamples, STRATA_RESAMPLES)
                )
            found.append(StratumScores(stratum.label, stratum.centre, n, scores))
        return tuple(found)

    return PointScores(
        table,
        tuple(
            FamilyScores(family.name, family.title, {mode: strata_scores(family, mode) for mode in shown})
            for family in families
        ),
    )


def modes_of(scored: PointScores) -> list[str]:
    """Modes with scores, without the training median."""
    return [mode for mode in scored.table if mode != BASELINE]
