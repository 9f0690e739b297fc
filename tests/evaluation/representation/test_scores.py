"""Probe scores against scikit-learn, and their errors against theory."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, r2_score

from mmae.evaluation.representation.scores import (
    BALANCED,
    BIAS,
    NMAD,
    OUTLIERS,
    R2,
    SIGMA,
    bootstrap_score,
    paired_difference,
    score_number,
    score_type,
)
from mmae.metrics.redshift import OUTLIER_LIMIT, normalised_residual, scatter_difference, sigma_nmad

QUICK = {"seed": 3, "resamples": 200}


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def test_scores_of_numbers_agree_with_scikit_learn(rng):
    target_M = rng.normal(20, 2, 200)
    predicted_M = target_M + rng.normal(0.5, 1, 200)
    scores = score_number(target_M, predicted_M, **QUICK)
    assert scores[R2].value == pytest.approx(r2_score(target_M, predicted_M))
    assert scores[NMAD].value == pytest.approx(sigma_nmad(predicted_M - target_M))
    for score in scores.values():
        assert score.low < score.value < score.high and score.n == 200


def test_r2_is_one_for_the_truth_and_zero_for_the_mean(rng):
    target_M = rng.normal(size=50)
    assert score_number(target_M, target_M, **QUICK)[R2].value == 1
    assert score_number(target_M, np.full(50, target_M.mean()), **QUICK)[R2].value == pytest.approx(0, abs=1e-12)


def test_balanced_accuracy_agrees_with_scikit_learn(rng):
    type_M = rng.choice(["BGS", "LRG", "QSO"], 300, p=[0.8, 0.17, 0.03])
    predicted_M = np.where(rng.random(300) < 0.7, type_M, "BGS")
    score = score_type(type_M, predicted_M, **QUICK)[BALANCED]
    assert score.value == pytest.approx(balanced_accuracy_score(type_M, predicted_M))
    assert score.low < score.value < score.high
    wrong_M = np.where(np.arange(300) < 30, "ELG", predicted_M)  # no test galaxy has this type
    assert score_type(type_M, wrong_M, **QUICK)[BALANCED].value < score.value
    always = score_type(type_M, np.full(300, "BGS"), **QUICK)[BALANCED]
    assert always.value == pytest.approx(1 / 3)


def test_resamples_without_a_rare_type():
    """A single galaxy of a type is missing in a third of the resamples."""
    type_M = np.array(["BGS"] * 40 + ["QSO"])
    score = score_type(type_M, type_M, **QUICK)[BALANCED]
    assert (score.value, score.low, score.high) == (1, 1, 1)


def test_interval_is_one_standard_error(rng):
    x_M = rng.normal(0, 3, 400)
    score = bootstrap_score(np.mean, x_M, seed=1, resamples=2000)
    assert score.value == pytest.approx(x_M.mean())
    assert score.error == pytest.approx(3 / math.sqrt(400), rel=0.12)


def test_pairs_are_resampled_together(rng):
    """The mean of a - b with b close to a: independent resampling would give five times the error."""
    a_M = rng.normal(0, 5, 300)
    b_M = a_M + rng.normal(0, 1, 300)
    score = bootstrap_score(lambda a, b, axis: np.mean(a - b, axis=axis), a_M, b_M, seed=1, resamples=500)
    assert score.error == pytest.approx(1 / math.sqrt(300), rel=0.15)


def test_zero_or_one_galaxy_has_no_interval():
    assert bootstrap_score(np.mean, np.array([2.0]), **QUICK).value == 2
    assert math.isnan(bootstrap_score(np.mean, np.array([2.0]), **QUICK).low)
    assert bootstrap_score(np.mean, np.array([]), **QUICK).n == 0


def test_paired_differences_of_redshift_scores(rng):
    z_M = rng.uniform(0.1, 1, 400)
    poor_M = z_M + (1 + z_M) * (0.05 + 0.1 * rng.normal(size=400))
    good_M = z_M + (1 + z_M) * 0.02 * rng.normal(size=400)
    found = paired_difference(z_M, poor_M, good_M, **QUICK)
    poor, good = normalised_residual(z_M, poor_M), normalised_residual(z_M, good_M)
    assert found[SIGMA].value == pytest.approx(sigma_nmad(poor) - sigma_nmad(good))
    assert found[BIAS].value == pytest.approx(np.median(poor) - np.median(good))
    rates = [(np.abs(dz) > OUTLIER_LIMIT).mean() for dz in (poor, good)]
    assert found[OUTLIERS].value == pytest.approx(rates[0] - rates[1]) and rates[0] > rates[1]
    project = scatter_difference(z_M, poor_M, good_M, seed=3, resamples=500)
    assert found[SIGMA].value == pytest.approx(project.value)
    assert found[SIGMA].error == pytest.approx(project.error, rel=0.25)


def test_difference_of_a_prediction_to_itself_is_zero(rng):
    z_M = rng.uniform(0.1, 1, 50)
    for score in paired_difference(z_M, 1.1 * z_M, 1.1 * z_M, **QUICK).values():
        assert (score.value, score.low, score.high) == (0, 0, 0)


def test_bootstrap_is_reproducible_with_a_seed(rng):
    x_M = rng.normal(size=60)
    first, again, other = (bootstrap_score(np.median, x_M, seed=s, resamples=40) for s in (1, 1, 2))
    assert first == again and first != other
