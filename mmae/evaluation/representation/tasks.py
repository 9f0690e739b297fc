"""Redshift, type, magnitude and star formation, each read from every description of the galaxies.

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
NOTHING, COMMONEST = "nothing", "commonest type"
LEAST_OF_A_TYPE = 20  # training galaxies: with fewer, a type cannot be learned


@dataclass(frozen=True)
class Task:
    """One thing to be read from the vectors.

    Attributes:
        name: short.
        title: what is read, with its unit.
        train_N, test_M: which galaxies of the sample have it, bool.
        target_N, target_M: what it is for those.
        predict: (probe, training vectors, training targets, test vectors) -> answers (M,).
        score: (targets, answers, seed=, resamples=) -> scores.
        baseline, constant: the answer of who has seen nothing but the training targets.
        note: what was left aside.
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
class Probed:
    """Scores of one probe on one description of the galaxies.

    Attributes:
        gain: of redshifts, sigma_NMAD minus that of kNN on magnitudes, resampled alike. A linear
            probe is a poor one of magnitudes and would flatter every embedding.
    """

    features: str
    probe: str
    n_train: int
    n_test: int
    scores: Scores
    gain: Score = EMPTY


def run_task(task: Task, sample: Sample, *, seed: int, resamples: int) -> tuple[Probed, ...]:
    """Every probe on every description, and last the baseline. Magnitudes are not read from magnitudes."""
    n, m = len(task.target_N), len(task.target_M)
    names = [name for name in sample.features if (task.name, name) != (MAGNITUDE, MAGNITUDES)]
    answers = {
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
    for (name, probe), answer_M in answers.items():
        gain = EMPTY
        if task.name == REDSHIFT and (name, probe) != (MAGNITUDES, KNN):
            gain = scatter_difference(task.target_M, answer_M, answers[MAGNITUDES, KNN], seed=seed, resamples=resamples)
        scores = task.score(task.target_M, answer_M, seed=seed, resamples=resamples)
        found.append(Probed(name, probe, n, m, scores, gain))
    constant_M = np.full(m, task.constant)
    scores = task.score(task.target_M, constant_M, seed=seed, resamples=resamples)
    return (*found, Probed(NOTHING, task.baseline, n, m, scores))


def tasks_of(sample: Sample) -> tuple[list[Task], list[str]]:
    """What can be asked of these galaxies, and why the rest cannot."""
    train, test = sample.train, sample.test
    tasks, left_out = [], []
    for name, title, target_N, target_M, mend in (
        (REDSHIFT, "Redshift", train.redshift_N, test.redshift_N, "take a survey with more redshifts"),
        (
            MAGNITUDE,
            f"Magnitude in {train.band or ' or '.join(MAGNITUDE_BANDS)} [AB]",
            train.magnitude_N,
            test.magnitude_N,
            f"take a survey with cmodel magnitudes in {' or '.join(MAGNITUDE_BANDS)}",
        ),
        (
            STAR_FORMATION,
            f"Star formation: {train.star_formation_name}",
            train.star_formation_N,
            test.star_formation_N,
            "take a survey with spectra and redshifts, or a simulated one",
        ),
    ):
        train_N, test_M = np.isfinite(target_N), np.isfinite(target_M)
        if too_few := _too_few(title, train_N, test_M, mend):
            left_out.append(too_few)
            continue
        is_redshift = name == REDSHIFT
        tasks.append(
            Task(
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


def _type_task(sample: Sample) -> tuple[Task | None, str]:
    train, test = sample.train, sample.test
    title = train.type_name.capitalize()
    names, count = np.unique(train.type_N[train.type_N != ""].astype(str), return_counts=True)
    kept, rare = names[count >= LEAST_OF_A_TYPE], names[count < LEAST_OF_A_TYPE]
    train_N, test_M = np.isin(train.type_N, kept), np.isin(test.type_N, kept)
    if too_few := _too_few(title, train_N, test_M, "take a survey with types, or a simulated one"):
        return None, too_few
    if len(np.unique(test.type_N[test_M].astype(str))) < 2:
        return None, (
            f"{title}: the test galaxies are all of one type that has {LEAST_OF_A_TYPE} training "
            f"galaxies; there is nothing to tell apart."
        )
    note = f" Left aside, with fewer than {LEAST_OF_A_TYPE} training galaxies: {', '.join(rare)}." * bool(len(rare))
    return Task(
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


def _too_few(title: str, train_N: np.ndarray, test_M: np.ndarray, mend: str) -> str:
    n, m = int(train_N.sum()), int(test_M.sum())
    if n >= LEAST_TRAINING and m >= LEAST_TEST:
        return ""
    return (
        f"{title}: {n} training and {m} test galaxies have one, {LEAST_TRAINING} and {LEAST_TEST} are needed; {mend}."
    )
