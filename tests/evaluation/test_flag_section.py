"""The section on flags counts what the flags and redshifts say. Shape suffixes: N galaxies, K bins."""

from __future__ import annotations

import numpy as np
import pytest

from mmae.evaluation.flag_section import flag_section
from mmae.inference.flags import FlagLimits, ModeLimits
from mmae.inference.readings import Readings
from mmae.report.contents import numbers

EDGES = np.linspace(0, 1.5, 151)


def sample(n: int, wrong: int) -> tuple[FlagLimits, Readings, np.ndarray]:
    """n narrow p(z), of which the last `wrong` have a wrong redshift and an unusual embedding."""
    rng = np.random.default_rng(0)
    x_N = rng.uniform(0.2, 1.2, n)
    measured_N = x_N + 0.02 * rng.normal(size=n)
    measured_N[n - wrong :] = 0.1
    x_N[n - wrong :] = 1.2
    middle_K = (EDGES[1:] + EDGES[:-1]) / 2
    p_NK = np.exp(-0.5 * ((middle_K - measured_N[:, None]) / 0.02) ** 2)
    embedding_ND = np.zeros((n, 2))
    embedding_ND[n - wrong :] = 9.0
    limits = FlagLimits(np.full(150, 1 / 150), 0.0, 9.0, {"image": ModeLimits(np.zeros(2), np.eye(2), 3.0)})
    p_NK /= p_NK.sum(1, keepdims=True)
    return limits, Readings(np.ones(n, bool), np.expm1(measured_N), p_NK, EDGES, embedding_ND), np.expm1(x_N)


def test_predictions_without_a_flag_are_judged_alone():
    limits, readings, redshift_N = sample(1000, 200)
    readings.usable_N[:100] = False
    found = numbers([flag_section(limits, {"image": readings}, redshift_N, seed=0)])
    assert found["flags/scores/image/n"] == 900
    assert found["flags/scores/image/flagged_percent"] == pytest.approx(100 * 200 / 900)
    assert found["flags/scores/image/coverage_percent"] == pytest.approx(68, abs=4)
    assert found["flags/scores/image/outliers_percent"] == 0
    assert found["flags/scores/image/outliers_flagged_percent"] == 100
    assert found["flags/kinds/image/unlike_the_training_set_percent"] == pytest.approx(100 * 200 / 900)


def test_a_mode_without_galaxies_and_a_checkpoint_without_flags():
    limits, readings, redshift_N = sample(10, 0)
    readings.usable_N[:] = False
    section = flag_section(limits, {"image": readings}, redshift_N, seed=0)
    assert not section.left_out and not any(table.rows for table in section.tables)
    assert flag_section(None, {"image": readings}, redshift_N, seed=0).left_out
