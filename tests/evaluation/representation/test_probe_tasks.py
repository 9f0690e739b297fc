"""Probe tasks: inputs, targets, baselines, left-out tasks."""

from __future__ import annotations

import numpy as np
import pytest

from mmae.evaluation.representation.probe_tasks import (
    COMMONEST,
    MAGNITUDE,
    MIN_PER_TYPE,
    NOTHING,
    REDSHIFT,
    STAR_FORMATION,
    TYPE,
    make_probe_tasks,
    run_probes,
)
from mmae.evaluation.representation.probes import KNN, LINEAR, predict_type
from mmae.evaluation.representation.scores import BALANCED, NMAD, R2
from mmae.evaluation.representation.targets import MAGNITUDES, common_sample
from mmae.metrics.redshift import median_baseline, score_redshift
from tests.evaluation.representation.galaxies import TYPES, random_features, random_targets, small_sample

QUICK = {"seed": 0, "resamples": 30}


@pytest.fixture(scope="module")
def sample():
    return small_sample()


@pytest.fixture(scope="module")
def results(sample):
    return {
        task.name: {(p.features, p.probe): p for p in run_probes(task, sample, **QUICK)}
        for task in make_probe_tasks(sample)[0]
    }


def test_every_task_uses_every_input_except_magnitudes_from_magnitudes(results):
    assert set(results) == {REDSHIFT, TYPE, MAGNITUDE, STAR_FORMATION}
    both = {("image", KNN), ("image", LINEAR)}
    magnitudes = {(MAGNITUDES, KNN), (MAGNITUDES, LINEAR)}
    for name, found in results.items():
        baseline = (NOTHING, COMMONEST if name == TYPE else "training median")
        assert set(found) == both | {baseline} | (magnitudes if name != MAGNITUDE else set()), name
        assert list(found)[-1] == baseline
        assert {(p.n_train, p.n_test) for p in found.values()} == {(300, 120)}


def test_linear_probe_recovers_the_content_of_the_embeddings(results):
    assert results[REDSHIFT]["image", LINEAR].scores["sigma_nmad"].value == pytest.approx(0.02, rel=0.3)
    assert results[MAGNITUDE]["image", LINEAR].scores[R2].value > 0.99
    assert results[STAR_FORMATION]["image", LINEAR].scores[R2].value > 0.99
    assert results[TYPE]["image", LINEAR].scores[BALANCED].value > 0.95
    assert abs(results[STAR_FORMATION][MAGNITUDES, LINEAR].scores[R2].value) < 0.15  # independent of magnitudes


def test_baseline_is_a_constant_from_the_training_labels(sample, results):
    expected = score_redshift(
        sample.test.redshift_N, median_baseline(sample.train.redshift_N, sample.test.redshift_N), **QUICK
    )
    assert results[REDSHIFT][NOTHING, "training median"].scores == expected
    residual = np.median(sample.train.magnitude_N) - sample.test.magnitude_N
    r2 = 1 - (residual**2).mean() / sample.test.magnitude_N.var()
    found = results[MAGNITUDE][NOTHING, "training median"].scores
    assert found[R2].value == pytest.approx(r2) and r2 < 0
    assert results[TYPE][NOTHING, COMMONEST].scores[BALANCED].value == pytest.approx(1 / 3)


def test_most_common_type_is_that_of_the_training_galaxies():
    train = random_targets(200, 1, type_N=np.array(["LRG"] * 120 + ["BGS"] * 80, object))
    test = random_targets(60, 2, type_N=np.array(["LRG"] * 10 + ["BGS"] * 50, object))
    (task,) = [
        t
        for t in make_probe_tasks(common_sample({"image": random_features(train, test)}, train, test))[0]
        if t.name == TYPE
    ]
    assert task.constant == "LRG" and task.predict is predict_type


def test_gain_is_relative_to_knn_on_magnitudes(results):
    found = results[REDSHIFT]
    reference = found[MAGNITUDES, KNN].scores["sigma_nmad"].value
    for key in (("image", KNN), ("image", LINEAR), (MAGNITUDES, LINEAR)):
        p = found[key]
        assert p.gain.value == pytest.approx(p.scores["sigma_nmad"].value - reference)
        assert p.gain.low < p.gain.high
    assert found["image", LINEAR].gain.high < 0
    assert found[MAGNITUDES, KNN].gain.n == found[NOTHING, "training median"].gain.n == 0
    assert all(p.gain.n == 0 for name in (TYPE, MAGNITUDE, STAR_FORMATION) for p in results[name].values())


def test_shuffled_labels_give_the_score_of_the_baseline():
    train, test = random_targets(300, 1), random_targets(120, 2)
    features = random_features(train, test)
    shuffled = train.chosen(np.random.default_rng(0).permutation(300))
    sample = common_sample({"image": features}, shuffled, test)
    for task in make_probe_tasks(sample)[0]:
        found = {(p.features, p.probe): p.scores for p in run_probes(task, sample, **QUICK)}
        scores, baseline = found["image", LINEAR], list(found.values())[-1]
        metric = {REDSHIFT: "sigma_nmad", TYPE: BALANCED}.get(task.name, NMAD)
        assert scores[metric].value == pytest.approx(baseline[metric].value, rel=0.25), task.name
        if R2 in scores:
            assert scores[R2].value < 0.05


def test_task_uses_only_galaxies_with_the_target():
    train, test = random_targets(300, 1), random_targets(120, 2)
    train.redshift_N[:40], test.redshift_N[:10] = np.nan, np.nan
    train.star_formation_N[5:], test.type_N[:50] = np.nan, ""
    train.type_N[:30] = ""
    sample = common_sample({"image": random_features(random_targets(300, 1), random_targets(120, 2))}, train, test)
    tasks, left_out = make_probe_tasks(sample)
    counts = {t.name: (len(t.target_N), len(t.target_M)) for t in tasks}
    assert counts == {REDSHIFT: (260, 110), MAGNITUDE: (300, 120), TYPE: (270, 70)}
    assert len(left_out) == 1 and "Dn4000: 5 training and 120 test" in left_out[0]
    for task in tasks:
        assert all(np.isfinite(list(p.scores.values())[0].value) for p in run_probes(task, sample, **QUICK))


def test_rare_types_are_left_out_and_listed_in_the_note():
    train, test = random_targets(300, 1), random_targets(120, 2)
    train.type_N[: MIN_PER_TYPE - 1], train.type_N[50 : 50 + MIN_PER_TYPE] = "STAR", "QSO"
    test.type_N[:7] = "STAR"
    (task,) = [
        t
        for t in make_probe_tasks(common_sample({"image": random_features(train, test)}, train, test))[0]
        if t.name == TYPE
    ]
    assert set(task.target_N) == {*TYPES, "QSO"} and len(task.target_N) == 300 - MIN_PER_TYPE + 1
    assert len(task.target_M) == 113
    assert "BGS, ELG, LRG, QSO" in task.note and "STAR" in task.note


def test_tasks_without_targets_are_left_out():
    def unknown(n):
        return {
            "redshift_N": np.full(n, np.nan),
            "magnitude_N": np.full(n, np.nan),
            "band": "",
            "star_formation_N": np.full(n, np.nan),
            "type_N": np.full(n, "", object),
        }

    train, test = random_targets(60, 1), random_targets(30, 2)
    features = random_features(train, test)
    sample = common_sample(
        {"image": features}, random_targets(60, 1, **unknown(60)), random_targets(30, 2, **unknown(30))
    )
    tasks, left_out = make_probe_tasks(sample)
    assert not tasks and len(left_out) == 4
    for text, start in zip(
        left_out,
        ("Redshift: 0", "Magnitude in i or r [AB]: 0", "Star formation: Dn4000: 0", "Target class: 0"),
        strict=True,
    ):
        assert text.startswith(start)
    train, test = random_targets(120, 1), random_targets(30, 2, type_N=np.full(30, "LRG", object))
    one = common_sample({"image": random_features(train, test)}, train, test)
    assert any(text.startswith("Target class") for text in make_probe_tasks(one)[1])
