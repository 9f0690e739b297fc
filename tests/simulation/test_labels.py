"""Measured redshifts: errors, ZWARN flags, line misidentifications."""

import numpy as np
import pytest

from mmae.simulation import labels


def draw_labels(target_class: str, redshift: float, n: int = 20_000) -> list[labels.Label]:
    rng = np.random.default_rng(2)
    return [labels.measure_redshift(rng, target_class, redshift) for _ in range(n)]


def test_correct_redshifts_scatter_by_their_error():
    good = [x for x in draw_labels("BGS", 0.3, 4000) if not x.wrong]
    pull = np.array([(x.redshift - 0.3) / x.error for x in good])
    assert abs(pull.mean()) < 0.06 and pull.std() == pytest.approx(1, abs=0.05)
    assert good[0].error == pytest.approx(labels.GALAXY_ERROR * 1.3)
    assert {x.zwarn for x in good} == {0}


@pytest.mark.parametrize("target_class, redshift", [("ELG", 1.1), ("QSO", 2.2)])
def test_rates_of_flagged_and_unflagged_failures(target_class, redshift):
    drawn = draw_labels(target_class, redshift)
    flagged = np.mean([x.zwarn == labels.SMALL_DELTA_CHI2 for x in drawn])
    unflagged = np.mean([x.wrong and x.zwarn == 0 for x in drawn])
    assert flagged == pytest.approx(labels.FLAGGED[target_class], rel=0.2)
    assert unflagged == pytest.approx(labels.WRONG[target_class], rel=0.4)  # 80 to 100 of 20,000
    for label in drawn:
        assert label.redshift >= 0
        assert label.wrong == (abs(label.redshift - redshift) > 0.02 * (1 + redshift))


def test_wrong_redshifts_are_line_misidentifications():
    wrong = [x for x in draw_labels("ELG", 1.1, 5000) if x.wrong]
    lines = np.array(labels.GALAXY_CONFUSION)
    observed = lines * 2.1
    for label in wrong:
        taken = np.outer(observed, 1 / (lines * (1 + label.redshift)))
        np.fill_diagonal(taken, 0)
        assert np.abs(taken - 1).min() < 1e-9
