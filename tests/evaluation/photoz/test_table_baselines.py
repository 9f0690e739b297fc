"""Baselines from magnitudes alone: the galaxies that they predict, and the comparison with a model on these."""

from __future__ import annotations

import numpy as np
import pytest

from mmae.evaluation.photoz.section import point_section
from mmae.evaluation.photoz.table_baselines import BASELINES, BOOSTING, baselines_table, predict_from_magnitudes
from mmae.metrics.redshift import normalised_residual, outlier_rate, sigma_nmad
from mmae.report.contents import numbers
from tests.evaluation.photoz.catalogues import make_catalogue


def sample(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Magnitudes (N, 3) and redshifts: the second colour is proportional to the redshift."""
    z_N = rng.uniform(0.05, 0.8, n)
    mag_NC = rng.uniform(19, 21, (n, 1)) + np.stack([np.zeros(n), np.zeros(n), -2 * z_N], 1)
    return mag_NC + rng.normal(0, 0.02, mag_NC.shape), z_N


@pytest.fixture(scope="module")
def predicted():
    rng = np.random.default_rng(3)
    train, (mag_MC, z_M) = sample(rng, 1500), sample(rng, 300)
    mag_MC[0], mag_MC[1, 0], z_M[2] = np.nan, np.nan, np.nan
    train[1][:100] = np.nan
    return z_M, mag_MC, predict_from_magnitudes(*train, mag_MC, seed=0)


def test_baselines_learn_from_colours_and_leave_galaxies_without_magnitudes_out(predicted):
    z_M, _, baselines = predicted
    assert list(baselines) == list(BASELINES)
    for found_M in baselines.values():
        assert np.isnan(found_M[0]) and np.isfinite(found_M[1:]).all()
        assert sigma_nmad(normalised_residual(z_M[3:], found_M[3:])) < 0.05


def test_model_and_baselines_are_scored_on_the_same_galaxies(predicted):
    z_M, _, baselines = predicted
    model_M = np.where(np.arange(300) < 200, z_M + 0.2 * (1 + z_M), np.nan)
    table = baselines_table(z_M, {"image": model_M, "absent": np.full(300, np.nan)}, baselines, seed=1, resamples=30)
    (row,) = table.rows
    cells = dict(zip([column.name for column in table.columns], row, strict=True))
    of_M = np.arange(3, 200)  # magnitudes, redshift and inputs of the mode; 1 has magnitudes in two bands
    of_M = np.append(of_M, 1)
    boosting = normalised_residual(z_M[of_M], baselines[BOOSTING][of_M])
    assert cells["n"] == len(of_M)
    assert cells["sigma_nmad_model"].value == pytest.approx(0, abs=1e-9)
    assert cells["sigma_nmad_boosting"].value == pytest.approx(sigma_nmad(boosting))
    assert cells["model_minus_boosting"].value == pytest.approx(-sigma_nmad(boosting))
    assert cells["outliers_model_percent"].value == 100
    assert cells["outliers_boosting_percent"].value == pytest.approx(100 * outlier_rate(boosting))


def test_without_magnitudes_or_training_galaxies_there_are_no_baselines():
    nothing = np.full((300, 2), np.nan)
    z_N = np.linspace(0, 1, 300)
    assert predict_from_magnitudes(nothing, z_N, nothing, seed=0) == {}
    assert predict_from_magnitudes(nothing[:10] * 0, z_N[:10], nothing * 0, seed=0) == {}
    assert baselines_table(z_N, {"image": z_N}, {}, seed=0, resamples=10) is None


def test_the_comparison_is_part_of_the_redshift_section(predicted):
    z_M, mag_MC, baselines = predicted
    section = point_section(
        make_catalogue(z_M, mag_NC=mag_MC),
        {"magnitudes": z_M},
        None,
        z_train=z_M,
        seed=0,
        resamples=10,
        baselines=baselines,
    )
    assert "redshift/baselines/sigma_nmad_boosting/magnitudes" in {
        name.replace("/magnitudes/sigma_nmad_boosting", "/sigma_nmad_boosting/magnitudes")
        for name in numbers([section])
    }
