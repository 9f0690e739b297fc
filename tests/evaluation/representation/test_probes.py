"""Probes against explicit formulas, and independence of the test galaxies."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmae.evaluation.representation.probes import (
    KNN,
    LINEAR,
    NEIGHBOURS,
    PROBES,
    RIDGE_PENALTIES,
    predict_number,
    predict_redshift,
    predict_type,
)
from mmae.metrics.redshift import median_baseline, normalised_residual, sigma_nmad


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def standardised(train_ND: np.ndarray, test_MD: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean, std = train_ND.mean(0), train_ND.std(0)
    return (train_ND - mean) / std, (test_MD - mean) / std


def test_knn_is_the_distance_weighted_mean_of_the_neighbours(rng):
    train_ND, test_MD = rng.normal(3, [1, 9, 0.1], (80, 3)), rng.normal(3, [1, 9, 0.1], (10, 3))
    redshift_N = rng.uniform(0.1, 2, 80)
    a, b = standardised(train_ND, test_MD)
    expected = []
    for x_D in b:
        distance = np.sqrt(((a - x_D) ** 2).sum(1))
        nearest = np.argsort(distance)[:NEIGHBOURS]
        expected.append(np.exp(np.average(np.log(1 + redshift_N[nearest]), weights=1 / distance[nearest])) - 1)
    np.testing.assert_allclose(predict_redshift(KNN, train_ND, redshift_N, test_MD), expected, rtol=1e-6)


def test_linear_probe_is_ridge_with_leave_one_out_penalty(rng):
    train_ND, test_MD = rng.normal(size=(60, 8)) * 3 + 1, rng.normal(size=(9, 8)) * 3 + 1
    target_N = train_ND[:, 0] + 8 * rng.normal(size=60) + 40
    a, b = standardised(train_ND, test_MD)

    def ridge(x_ND, y_N, new_MD, penalty):
        centre = x_ND.mean(0)
        weight = np.linalg.solve(
            (x_ND - centre).T @ (x_ND - centre) + penalty * np.eye(8), (x_ND - centre).T @ (y_N - y_N.mean())
        )
        return (new_MD - centre) @ weight + y_N.mean()

    def left_out_error(penalty):
        others = [np.delete(np.arange(60), i) for i in range(60)]
        return sum((ridge(a[o], target_N[o], a[[i]], penalty)[0] - target_N[i]) ** 2 for i, o in enumerate(others))

    best = min(RIDGE_PENALTIES, key=left_out_error)
    assert RIDGE_PENALTIES[0] < best < RIDGE_PENALTIES[-1]
    np.testing.assert_allclose(
        predict_number(LINEAR, train_ND, target_N, test_MD), ridge(a, target_N, b, best), rtol=1e-6
    )


def test_linear_probe_reaches_the_noise_of_a_linear_relation(rng):
    direction, noise = rng.normal(size=16), 0.03
    direction /= np.linalg.norm(direction)
    u_N = rng.uniform(0.05, 0.9, 3000)  # ln(1+z)
    x_ND = rng.normal(size=(3000, 16))
    # ln(1+z) with noise along one direction, noise in the others.
    x_ND += np.outer(u_N + noise * rng.normal(size=3000) - x_ND @ direction, direction)
    z_N = np.exp(u_N) - 1
    found = predict_redshift(LINEAR, x_ND[:2000], z_N[:2000], x_ND[2000:])
    assert sigma_nmad(normalised_residual(z_N[2000:], found)) == pytest.approx(noise, rel=0.08)


@pytest.mark.parametrize("probe", PROBES)
def test_shuffled_redshifts_give_the_scatter_of_the_baseline(rng, probe):
    z_N = rng.uniform(0.1, 1.5, 1500)
    x_ND = np.log1p(z_N)[:, None] + 0.05 * rng.normal(size=(1500, 8))
    found = predict_redshift(probe, x_ND[:1000], rng.permutation(z_N[:1000]), x_ND[1000:])
    unshuffled = predict_redshift(probe, x_ND[:1000], z_N[:1000], x_ND[1000:])
    baseline = median_baseline(z_N[:1000], z_N[1000:])
    scatter, best, constant = (sigma_nmad(normalised_residual(z_N[1000:], z)) for z in (found, unshuffled, baseline))
    assert scatter == pytest.approx(constant, rel=0.15) and best < 0.2 * constant
    assert abs(np.corrcoef(found, z_N[1000:])[0, 1]) < 0.15


@pytest.mark.parametrize("probe", PROBES)
def test_prediction_does_not_depend_on_the_other_test_galaxies(rng, probe):
    """Means and scales included."""
    train_ND, test_MD = rng.normal(size=(70, 4)), rng.normal(size=(40, 4))
    train_ND[3, 1] = test_MD[0, 1] = np.nan
    number_N, type_N = np.exp(train_ND[:, 0]), np.where(train_ND[:, 2] > 0, "LRG", "ELG")
    other_MD = test_MD.copy()
    other_MD[1:] = 1000 * rng.normal(size=(39, 4)) + 500
    for predict, target_N in ((predict_number, number_N), (predict_redshift, number_N), (predict_type, type_N)):
        first = predict(probe, train_ND, target_N, test_MD)
        assert len(set(first.tolist())) > 1
        assert predict(probe, train_ND, target_N, other_MD)[0] == first[0]


@settings(max_examples=15, deadline=None)
@given(st.floats(1e-3, 1e3), st.floats(-100, 100), st.integers(0, 3))
def test_scale_and_offset_of_a_dimension_do_not_matter(factor, shift, k):
    rng = np.random.default_rng(9)
    train_ND, test_MD = rng.normal(size=(50, 4)), rng.normal(size=(8, 4))
    target_N = train_ND[:, 0] ** 2 + train_ND[:, k]
    moved = [x.copy() for x in (train_ND, test_MD)]
    for x in moved:
        x[:, k] = factor * x[:, k] + shift
    for probe in PROBES:
        np.testing.assert_allclose(
            predict_number(probe, moved[0], target_N, moved[1]),
            predict_number(probe, train_ND, target_N, test_MD),
            rtol=1e-5,
            atol=1e-6,
        )


@pytest.mark.parametrize("probe", PROBES)
def test_missing_magnitude_is_replaced_by_the_training_mean(rng, probe):
    train_ND, test_MD = rng.normal(20, 2, (60, 3)), rng.normal(20, 2, (5, 3))
    target_N = train_ND[:, 0]
    lacking, filled = test_MD.copy(), test_MD.copy()
    lacking[:, 1], filled[:, 1] = np.nan, train_ND[:, 1].mean()
    np.testing.assert_allclose(
        predict_number(probe, train_ND, target_N, lacking), predict_number(probe, train_ND, target_N, filled)
    )
    train_ND[:, 2] = np.nan  # a band without any value causes no warning
    with warnings.catch_warnings(action="error"):
        assert np.isfinite(predict_number(probe, train_ND, target_N, test_MD)).all()


def test_rare_and_common_types_have_the_same_weight(rng):
    """Two unit Gaussians at distance 2, ten to one: the balanced boundary is in the middle, recall is 84% for both."""
    n = 4400
    type_N = np.where(np.arange(n) % 11 == 0, "QSO", "BGS")
    x_ND = rng.normal(size=(n, 3))
    x_ND[type_N == "QSO", 0] += 2
    train, test = slice(0, n // 2), slice(n // 2, n)
    right = predict_type(LINEAR, x_ND[train], type_N[train], x_ND[test]) == type_N[test]
    for name in ("BGS", "QSO"):
        assert right[type_N[test] == name].mean() == pytest.approx(0.841, abs=0.06)


def test_knn_type_is_a_weighted_vote(rng):
    train_ND, test_MD = rng.normal(size=(90, 2)), rng.normal(size=(20, 2))
    type_N = rng.choice(["BGS", "ELG", "LRG"], 90)
    a, b = standardised(train_ND, test_MD)
    for x_D, found in zip(b, predict_type(KNN, train_ND, type_N, test_MD), strict=True):
        distance = np.sqrt(((a - x_D) ** 2).sum(1))
        nearest = np.argsort(distance)[:NEIGHBOURS]
        votes = {t: (1 / distance[nearest])[type_N[nearest] == t].sum() for t in set(type_N)}
        assert found == max(votes, key=votes.get)


def test_knn_with_fewer_galaxies_than_neighbours(rng):
    x_ND = rng.normal(size=(5, 2))
    assert np.isfinite(predict_number(KNN, x_ND, x_ND[:, 0], x_ND)).all()
