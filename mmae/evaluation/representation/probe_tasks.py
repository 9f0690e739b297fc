"""Probe tasks: redshift, type, magnitude and star formation, each predicted from every input.

Shape suffixes: N training galaxies, M test galaxies, D dimensions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mmae.evaluation.representation.probes import KNN, PROBES, predict_number, predict_redshift, predict_type
from mmae.evaluation.representation.scores import score_number, score_type
from mmae.evaluation.representation.targets import MAGNITUDE_BANDS, MAGNITUDES, Sample
from mmae.metrics.bootstrap import EMPTY, Score, Scores
from mmae.metrics.photometric_features import LEAST_TEST, LEAST_TRAINING
from mmae.metrics.redshift import BASELINE, scatter_difference, score_redshift

REDSHIFT, TYPE, MAGNITUDE, STAR_FORMATION = "redshift", "type", "magnitude", "star_formation"
NOTHING, COMMONEST = "nothing", "most common type"
MIN_PER_TYPE = 20  # training galaxies; types with fewer are left out


@dataclass(frozen=True)
class ProbeTask:
    """One quantity to predict.

    Attributes:
        name: part of metric names.
        title: the quantity with its unit.
        train_N, test_M: galaxies of the sample that have the quantity, bool.
        target_N, target_M: its values for these galaxies.
        predict: (probe, training inputs, training targets, test inputs) -> predictions (M,).
        score: (targets, predictions, seed=, resamples=) -> scores.
        baseline, constant: name and value of the constant prediction from the training targets.
        note: types used and left out.
    """

    name: str
    title: str
    train_N: np.ndarray
    test_M: np.ndarray
    target_N: np.ndarray
    target_M: np.ndarray
    predict: Callable[[str, np.ndarray, np.ndarray, np.ndarray], np.ndarray]
    score: Callable[..., Scores]
    baseline: str
    constant: float | str
    note: str = ""


@dataclass(frozen=True)
class ProbeScores:
    """Scores of one probe on one input.

    Attributes:
        gain: for redshifts, sigma_NMAD minus that of kNN on magnitudes, with the same resamples. A linear
            probe on magnitudes would be too weak a reference.
    """

    features: str
    probe: str
    n_train: int
    n_test: int
    scores: Scores
    gain: Score = EMPTY


def run_probes(task: ProbeTask, sample: Sample, *, seed: int, resamples: int) -> tuple[ProbeScores, ...]:
    """Scores of every probe on every input, and last of the baseline; magnitudes are not predicted from magnitudes."""
    n, m = len(task.target_N), len(task.target_M)
    names = [name for name in sample.features if (task.name, name) != (MAGNITUDE, MAGNITUDES)]
    predictions = {
        (name, probe): task.predict(
            probe,
            sample.features[name].train_ND[task.train_N],
            task.target_N,
            sample.features[name].test_MD[task.test_M],
        )
        for name in names
        for probe in PROBES
    }
    found = []
    for (name, probe), predicted_M in predictions.items():
        gain = EMPTY
        if task.name == REDSHIFT and (name, probe) != (MAGNITUDES, KNN):
            reference_M = predictions[MAGNITUDES, KNN]
            gain = scatter_difference(task.target_M, predicted_M, reference_M, seed=seed, resamples=resamples)
        scores = task.score(task.target_M, predicted_M, seed=seed, resamples=resamples)
        found.append(ProbeScores(name, probe, n, m, scores, gain))
    constant_M = np.full(m, task.constant)
    scores = task.score(task.target_M, constant_M, seed=seed, resamples=resamples)
    return (*found, ProbeScores(NOTHING, task.baseline, n, m, scores))


def make_probe_tasks(sample: Sample) -> tuple[list[ProbeTask], list[str]]:
    """The tasks possible for these galaxies, and the reasons why others are left out."""
    train, test = sample.train, sample.test
    tasks, left_out = [], []
    for name, title, target_N, target_M, fix in (
        (REDSHIFT, "Redshift", train.redshift_N, test.redshift_N, "use a survey with more redshifts"),
        (
            MAGNITUDE,
            f"Magnitude in {train.band or ' or '.join(MAGNITUDE_BANDS)} [AB]",
            train.magnitude_N,
            test.magnitude_N,
            f"use a survey with cmodel magnitudes in {' or '.join(MAGNITUDE_BANDS)}",
        ),
        (
            STAR_FORMATION,
            f"Star formation: {train.star_formation_name}",
            train.star_formation_N,
            test.star_formation_N,
            "use a survey with spectra and redshifts, or a simulated one",
        ),
    ):
        train_N, test_M = np.isfinite(target_N), np.isfinite(target_M)
        if too_few := _too_few(title, train_N, test_M, fix):
            left_out.append(too_few)
            continue
        is_redshift = name == REDSHIFT
        tasks.append(
            ProbeTask(
                name,
                title,
                train_N,
                test_M,
                target_N[train_N],
                target_M[test_M],
                predict_redshift if is_redshift else predict_number,
                score_redshift if is_redshift else score_number,
                BASELINE,
                float(np.median(target_N[train_N])),
            )
        )
    task, reason = _type_task(sample)
    return tasks + [task] * (task is not None), left_out + [reason] * bool(reason)


def _type_task(sample: Sample) -> tuple[ProbeTask | None, str]:
    train, test = sample.train, sample.test
    title = train.type_name.capitalize()
    names, count = np.unique(train.type_N[train.type_N != ""].astype(str), return_counts=True)
    kept, rare = names[count >= MIN_PER_TYPE], names[count < MIN_PER_TYPE]
    train_N, test_M = np.isin(train.type_N, kept), np.isin(test.type_N, kept)
    if too_few := _too_few(title, train_N, test_M, "use a survey with types, or a simulated one"):
        return None, too_few
    if len(np.unique(test.type_N[test_M].astype(str))) < 2:
        return None, (
            f"{title}: all test galaxies are of one type, among the types with {MIN_PER_TYPE} or more training "
            f"galaxies; a classification needs two."
        )
    note = f" Left out, with fewer than {MIN_PER_TYPE} training galaxies: {', '.join(rare)}." * bool(len(rare))
    return ProbeTask(
        TYPE,
        title,
        train_N,
        test_M,
        train.type_N[train_N].astype(str),
        test.type_N[test_M].astype(str),
        predict_type,
        score_type,
        COMMONEST,
        str(names[np.argmax(count)]),
        f"Types: {', '.join(kept)}.{note}",
    ), ""


def _too_few(title: str, train_N: np.ndarray, test_M: np.ndarray, fix: str) -> str:
    n, m = int(train_N.sum()), int(test_M.sum())
    if n >= LEAST_TRAINING and m >= LEAST_TEST:
        return ""
    return f"{title}: {n} training and {m} test galaxies have it, {LEAST_TRAINING} and {LEAST_TEST} are needed; {fix}."
