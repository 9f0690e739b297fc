"""Rules of the classification: typical sources, effect of each measurement, confusion matrix."""

from dataclasses import replace

import numpy as np
import pytest

from mmae.core.errors import InputError
from mmae.steepspec.classify import CLASSES, RULES, Evidence, Thresholds, classify, confusion_matrix

PULSAR = Evidence(
    size="compact",
    alpha=-2.0,
    alpha_err=0.2,
    p_steep=0.998,
    reliability=0.0,
    p_no_counterpart=0.97,
    optical_limit_mag=23.0,
)
GALAXY = Evidence(
    size="extended",
    alpha=-0.8,
    alpha_err=0.1,
    p_steep=0.0,
    reliability=0.95,
    p_no_counterpart=0.03,
    counterpart_is_galaxy=True,
    w1_mag=14.0,
    w2_mag=13.9,
    optical_limit_mag=23.0,
)
STEEP_GALAXY = replace(GALAXY, size="compact", alpha=-1.8, p_steep=0.98)
QUASAR = replace(GALAXY, size="compact", alpha=-0.1, counterpart_is_galaxy=False, w1_mag=15.0, w2_mag=13.8)
POINT_COUNTERPART = next(rule.reason for rule in RULES if rule.points == {"agn": 1.5})
STAR = replace(QUASAR, alpha=-0.3, w1_mag=10.0, w2_mag=10.0, parallax_over_error=30.0, pm_over_error=100.0)


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        (PULSAR, "pulsar_candidate"),
        (GALAXY, "radio_galaxy"),
        (STEEP_GALAXY, "radio_galaxy"),
        (QUASAR, "agn"),
        (STAR, "star"),
        (Evidence(), "ambiguous"),
    ],
)
def test_typical_sources(evidence, expected):
    verdict = classify(evidence)
    assert verdict.source_class == expected, verdict
    assert verdict.reasons and not verdict.vetoed
    assert (POINT_COUNTERPART in verdict.reasons) == (evidence is QUASAR)


@pytest.mark.parametrize(
    "change",
    [
        {"p_steep": 0.02, "alpha": -0.7},
        {"size": "extended"},
        {"reliability": 0.95, "p_no_counterpart": 0.03, "counterpart_is_galaxy": True},
        {"reliability": 0.95, "p_no_counterpart": 0.03, "w1_mag": 15.5, "w2_mag": 14.5},
    ],
)
def test_one_contradicting_measurement_excludes_a_pulsar_candidate(change):
    assert classify(replace(PULSAR, **change)).source_class != "pulsar_candidate"


def test_an_empty_field_adds_points_only_in_a_deep_survey():
    deep, shallow = classify(PULSAR), classify(replace(PULSAR, optical_limit_mag=18.0))
    unknown = classify(replace(PULSAR, optical_limit_mag=float("nan")))
    assert deep.score > shallow.score == unknown.score
    assert any("18.0" in reason for reason in shallow.reasons)
    assert any("23.0" in reason for reason in deep.reasons)


def test_wise_cut_is_that_of_stern():
    matched = Evidence(reliability=0.9, p_no_counterpart=0.1)
    wise = next(rule.applies for rule in RULES if "WISE" in rule.reason)
    assert wise(replace(matched, w1_mag=15.8, w2_mag=15.0), Thresholds())
    assert not wise(replace(matched, w1_mag=15.79, w2_mag=15.0), Thresholds())
    assert not wise(replace(matched, w1_mag=16.0, w2_mag=15.06), Thresholds())
    assert not wise(replace(matched, reliability=0.5, w1_mag=15.9, w2_mag=15.0), Thresholds())


def test_an_unreliable_counterpart_is_not_used():
    doubtful = replace(STAR, reliability=0.3, p_no_counterpart=0.7)
    assert classify(doubtful).source_class != "star"


def test_peaked_spectrum_needs_significance():
    flat = Evidence(alpha=-0.6, alpha_err=0.1, p_steep=0.0, curvature=-0.5, curvature_err=0.1)
    assert any("q = -0.50" in reason for reason in classify(flat).reasons)
    assert not any("q = " in r for r in classify(replace(flat, curvature_err=0.3)).reasons)


def test_known_sources_are_vetoed_with_their_known_class():
    verdict = classify(replace(GALAXY, known_class="pulsar", known_name="J0437-4715"))
    assert verdict.vetoed and verdict.source_class == "pulsar_candidate" and verdict.score == 1
    assert len(verdict.reasons) == 1 and "J0437-4715" in verdict.reasons[0]


def test_thresholds_are_used():
    strict = Thresholds(min_score=0.9999)
    assert classify(PULSAR, strict).source_class == "ambiguous"
    assert classify(PULSAR, strict).reasons[:-1] == classify(PULSAR).reasons


def test_confusion_matrix_counts_true_rows_and_found_columns():
    matrix = confusion_matrix(["agn", "agn", "star"], ["agn", "star", "star"])
    assert matrix.shape == (5, 5) and matrix.sum() == 3
    assert matrix[CLASSES.index("agn"), CLASSES.index("star")] == 1
    assert matrix[CLASSES.index("star"), CLASSES.index("agn")] == 0
    assert np.trace(matrix) == 2
    with pytest.raises(InputError, match="'quasar'"):
        confusion_matrix(["quasar"], ["agn"])
    with pytest.raises(InputError, match="2 true.* 1 found"):
        confusion_matrix(["agn", "agn"], ["agn"])


@pytest.mark.parametrize(
    ("change", "named"),
    [({"p_steep": 1.2}, "p_steep = 1.2"), ({"size": "big"}, "'big'"), ({"known_class": "galaxy"}, "'galaxy'")],
)
def test_error_names_the_invalid_field(change, named):
    with pytest.raises(InputError, match=named):
        classify(replace(PULSAR, **change))
