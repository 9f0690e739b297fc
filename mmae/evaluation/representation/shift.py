"""Selection shift: probes trained on galaxies that are easy to observe, tested on the others.

Each is compared with the same probe trained on an equal number of galaxies drawn from all and tested on the
same galaxies: only the selection differs.

Shape suffixes: N training galaxies, M test galaxies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmae.evaluation.representation.probes import PROBES, predict_redshift
from mmae.evaluation.representation.scores import paired_difference
from mmae.evaluation.representation.targets import Sample
from mmae.metrics.bootstrap import Scores
from mmae.metrics.photometric_features import LEAST_TEST, LEAST_TRAINING
from mmae.metrics.redshift import LOW_REDSHIFT, score_redshift

BRIGHT_TO_FAINT, NEAR_TO_FAR = "bright_to_faint", "near_to_far"


@dataclass(frozen=True)
class Shift:
    """A selection of training galaxies and the galaxies to test on.

    Attributes:
        name: part of metric names.
        trained, tested: descriptions of the two selections.
        eligible_N: training galaxies from which the comparison sample is drawn, bool.
        selected_N: training galaxies of the shifted probe, bool.
        tested_M: test galaxies, bool.
    """

    name: str
    trained: str
    tested: str
    eligible_N: np.ndarray
    selected_N: np.ndarray
    tested_M: np.ndarray


@dataclass(frozen=True)
class ShiftScores:
    """Scores of one probe on one input, trained on the selected galaxies and on a draw from all.

    Attributes:
        difference: `selected` minus `everyone`, with the same resamples.
    """

    features: str
    probe: str
    n_train: int
    n_test: int
    selected: Scores
    everyone: Scores
    difference: Scores


def make_shifts(sample: Sample) -> tuple[list[Shift], list[str]]:
    """Bright to faint, split at the median training magnitude, and z < 0.4 to z > 0.4.

    Returns:
        The possible shifts, and the reasons why others are left out.
    """
    train, test = sample.train, sample.test
    train_N, test_M = np.isfinite(train.redshift_N), np.isfinite(test.redshift_N)
    magnitude_N, magnitude_M = np.isfinite(train.magnitude_N) & train_N, np.isfinite(test.magnitude_N) & test_M
    median = float(np.median(train.magnitude_N[magnitude_N])) if magnitude_N.any() else np.nan
    edge = f"{train.band} = {median:.2f}" if np.isfinite(median) else "the median magnitude"
    with np.errstate(invalid="ignore"):
        candidates = [
            Shift(
                BRIGHT_TO_FAINT,
                f"brighter than {edge}",
                f"fainter than {edge}",
                magnitude_N,
                magnitude_N & (train.magnitude_N < median),
                magnitude_M & (test.magnitude_N >= median),
            ),
            Shift(
                NEAR_TO_FAR,
                f"z < {LOW_REDSHIFT}",
                f"z > {LOW_REDSHIFT}",
                train_N,
                train_N & (train.redshift_N < LOW_REDSHIFT),
                test_M & (test.redshift_N >= LOW_REDSHIFT),
            ),
        ]
    shifts, left_out = [], []
    for shift in candidates:
        n, m = int(shift.selected_N.sum()), int(shift.tested_M.sum())
        if n >= LEAST_TRAINING and m >= LEAST_TEST:
            shifts.append(shift)
        else:
            left_out.append(
                f"Training {shift.trained}, test {shift.tested}: {n} training and {m} test galaxies with "
                f"a redshift, {LEAST_TRAINING} and {LEAST_TEST} are needed; use a larger survey."
            )
    return shifts, left_out


def run_shift(shift: Shift, sample: Sample, *, seed: int, resamples: int) -> tuple[ShiftScores, ...]:
    """Every probe on every input, trained on the selected galaxies and on an equal number drawn from all."""
    selected = np.flatnonzero(shift.selected_N)
    drawn = np.random.default_rng(seed).choice(np.flatnonzero(shift.eligible_N), len(selected), replace=False)
    z_N, z_M = sample.train.redshift_N, sample.test.redshift_N[shift.tested_M]
    found = []
    for name, features in sample.features.items():
        test_MD = features.test_MD[shift.tested_M]
        for probe in PROBES:
            shifted_M, everyone_M = (
                predict_redshift(probe, features.train_ND[rows], z_N[rows], test_MD) for rows in (selected, drawn)
            )
            scores = [score_redshift(z_M, z, seed=seed, resamples=resamples) for z in (shifted_M, everyone_M)]
            difference = paired_difference(z_M, shifted_M, everyone_M, seed=seed, resamples=resamples)
            found.append(ShiftScores(name, probe, len(selected), len(z_M), *scores, difference))
    return tuple(found)
