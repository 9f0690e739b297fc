"""Selection shift: selection of galaxies, and the effect of a non-linear relation."""

from __future__ import annotations

import numpy as np
import pytest

from mmae.evaluation.representation import shift as shift_module
from mmae.evaluation.representation.probes import KNN, LINEAR, PROBES, predict_redshift
from mmae.evaluation.representation.scores import BIAS, OUTLIERS, SIGMA
from mmae.evaluation.representation.shift import BRIGHT_TO_FAINT, NEAR_TO_FAR, make_shifts, run_shift
from mmae.evaluation.representation.targets import MAGNITUDES, Features, common_sample
from mmae.metrics.redshift import LOW_REDSHIFT, score_redshift
from tests.evaluation.representation.galaxies import random_features, random_targets

QUICK = {"seed": 0, "resamples": 50}
EDGE = np.log1p(LOW_REDSHIFT)


def bent(u_N: np.ndarray, slope: float) -> np.ndarray:
    """ln(1+z) to z = 0.4, with a different slope above."""
    return np.where(u_N < EDGE, u_N, EDGE + slope * (u_N - EDGE))


def sample_with(vector, n=500, m=250):
    train, test = random_targets(n, 1), random_targets(m, 2)
    rng = np.random.default_rng(3)

    def one(targets):
        u_N = vector(np.log1p(targets.redshift_N))
        return np.stack([u_N + 0.002 * rng.normal(size=len(u_N)), rng.normal(size=len(u_N))], 1)

    return common_sample({"image": Features(one(train), one(test))}, train, test)


def run(sample, name):
    (shift,) = [s for s in make_shifts(sample)[0] if s.name == name]
    return {(s.features, s.probe): s for s in run_shift(shift, sample, **QUICK)}


def test_change_of_slope_at_the_edge_causes_a_bias():
    """Extrapolated linearly, ln(1+z) is too large by (slope - 1) (u - edge)."""
    sample = sample_with(lambda u_N: bent(u_N, 2.0))
    far_M = sample.test.redshift_N >= LOW_REDSHIFT
    expected = np.median(np.exp(np.log1p(sample.test.redshift_N[far_M]) - EDGE) - 1)
    found = run(sample, NEAR_TO_FAR)["image", LINEAR]
    assert expected > 0.1
    assert found.selected[BIAS].value == pytest.approx(expected, rel=0.03)
    assert abs(found.everyone[BIAS].value) < 0.3 * expected
    assert found.difference[BIAS].low > 0.5 * expected and found.difference[OUTLIERS].low > 0.2


def test_linear_relation_is_not_affected_by_the_shift():
    found = run(sample_with(lambda u_N: u_N), NEAR_TO_FAR)["image", LINEAR]
    for name in (SIGMA, BIAS, OUTLIERS):
        assert abs(found.difference[name].value) < 0.003
    assert found.selected[SIGMA].value == pytest.approx(0.002, rel=0.25)


def test_knn_predictions_are_limited_to_the_training_redshifts():
    sample = sample_with(lambda u_N: u_N)
    far_N = sample.test.redshift_N[sample.test.redshift_N >= LOW_REDSHIFT]
    found = run(sample, NEAR_TO_FAR)["image", KNN]
    at_best = np.median((LOW_REDSHIFT - far_N) / (1 + far_N))
    assert found.selected[BIAS].value < at_best
    assert found.selected[BIAS].value == pytest.approx(at_best, abs=0.02) and abs(found.everyone[BIAS].value) < 0.01


def test_selection_by_magnitude_has_no_effect_if_redshift_is_independent_of_it():
    sample = sample_with(lambda u_N: u_N)
    for t, seed in ((sample.train, 5), (sample.test, 6)):
        t.magnitude_N[:] = np.random.default_rng(seed).normal(20, 1, len(t))
    for probe in PROBES:
        found = run(sample, BRIGHT_TO_FAINT)["image", probe]
        for name in (SIGMA, BIAS, OUTLIERS):
            assert abs(found.difference[name].value) < 0.02
            assert found.difference[name].low <= found.difference[name].high


def test_training_and_test_galaxies_of_the_shifts():
    train, test = random_targets(400, 1), random_targets(200, 2)
    features = random_features(train, test)
    train.redshift_N[:20], test.redshift_N[:10] = np.nan, np.nan
    train.magnitude_N[20:50], test.magnitude_N[10:20] = np.nan, np.nan
    sample = common_sample({"image": features}, train, test)
    by_name = {s.name: s for s in make_shifts(sample)[0]}
    known_N, known_M = ~np.isnan(train.redshift_N), ~np.isnan(test.redshift_N)
    median = np.median(train.magnitude_N[50:])
    bright, near = by_name[BRIGHT_TO_FAINT], by_name[NEAR_TO_FAR]
    assert bright.eligible_N.tolist() == (np.arange(400) >= 50).tolist()
    np.testing.assert_array_equal(bright.selected_N, (np.arange(400) >= 50) & (train.magnitude_N < median))
    assert bright.selected_N.sum() == 175
    np.testing.assert_array_equal(bright.tested_M, (np.arange(200) >= 20) & (test.magnitude_N >= median))
    np.testing.assert_array_equal(near.eligible_N, known_N)
    np.testing.assert_array_equal(near.selected_N, known_N & (train.redshift_N < 0.4))
    np.testing.assert_array_equal(near.tested_M, known_M & ~(test.redshift_N < 0.4))
    assert f"i = {median:.2f}" in bright.trained and "z < 0.4" in near.trained and "z > 0.4" in near.tested


def test_comparison_sample_is_an_equal_number_drawn_from_all(monkeypatch):
    """The first dimension is the row number, which identifies the training galaxies."""
    train, test = random_targets(300, 1), random_targets(120, 2)
    train.redshift_N[:30] = np.nan
    row_ND = np.stack([np.arange(300.0), np.random.default_rng(0).normal(size=300)], 1)
    sample = common_sample({"image": Features(row_ND, row_ND[:120])}, train, test)
    calls = []

    def spy(probe, train_ND, redshift_N, test_MD):
        calls.append((probe, train_ND, redshift_N, test_MD))
        return predict_redshift(probe, train_ND, redshift_N, test_MD)

    monkeypatch.setattr(shift_module, "predict_redshift", spy)
    (shift,) = [s for s in make_shifts(sample)[0] if s.name == NEAR_TO_FAR]
    draws = []
    for seed in (0, 0, 1):
        calls.clear()
        found = run_shift(shift, sample, seed=seed, resamples=10)
        rows = [set(c[1][:, 0].astype(int).tolist()) for c in calls[:4]]  # two probes on "image"
        assert rows[0] == rows[2] == set(np.flatnonzero(shift.selected_N))
        assert rows[1] == rows[3] and len(rows[1]) == len(rows[0]) == found[0].n_train
        drawn = sample.train.redshift_N[sorted(rows[1])]
        assert np.isfinite(drawn).all()
        fraction_far = (drawn >= LOW_REDSHIFT).mean()
        assert fraction_far == pytest.approx((train.redshift_N[30:] >= LOW_REDSHIFT).mean(), abs=0.12)
        for _, train_ND, redshift_N, test_MD in calls[:4]:
            np.testing.assert_array_equal(redshift_N, sample.train.redshift_N[train_ND[:, 0].astype(int)])
            np.testing.assert_array_equal(test_MD, row_ND[:120][shift.tested_M])
        draws.append(rows[1])
    assert draws[0] == draws[1] != draws[2]


def test_scores_are_those_of_the_tested_galaxies():
    sample = sample_with(lambda u_N: u_N)
    found = run(sample, BRIGHT_TO_FAINT)
    assert set(found) == {(f, p) for f in ("image", MAGNITUDES) for p in PROBES}
    (shift,) = [s for s in make_shifts(sample)[0] if s.name == BRIGHT_TO_FAINT]
    rows, features = shift.selected_N, sample.features[MAGNITUDES]
    answer_M = predict_redshift(
        KNN, features.train_ND[rows], sample.train.redshift_N[rows], features.test_MD[shift.tested_M]
    )
    expected = score_redshift(sample.test.redshift_N[shift.tested_M], answer_M, **QUICK)
    one = found[MAGNITUDES, KNN]
    assert one.selected == expected and one.n_test == shift.tested_M.sum()
    for name in (SIGMA, BIAS, OUTLIERS):
        assert one.difference[name].value == pytest.approx(one.selected[name].value - one.everyone[name].value)


def test_shifts_with_too_few_galaxies_are_left_out():
    train, test = random_targets(120, 1), random_targets(60, 2)
    near = {"redshift_N": 0.3 * test.redshift_N}
    sample = common_sample(
        {"image": random_features(train, test)}, train, random_targets(60, 2, **near, magnitude_N=np.full(60, np.nan))
    )
    shifts, left_out = make_shifts(sample)
    assert not shifts and len(left_out) == 2
    assert "0 test galaxies" in left_out[0] and "z > 0.4" in left_out[1]
    no_mag = {"magnitude_N": np.full(120, np.nan), "band": ""}
    sample = common_sample(
        {"image": random_features(train, test)},
        random_targets(120, 1, **no_mag),
        random_targets(60, 2, magnitude_N=np.full(60, np.nan), band=""),
    )
    assert "0 training" in make_shifts(sample)[1][0]
