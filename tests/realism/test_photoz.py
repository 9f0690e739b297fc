"""Redshifts from magnitudes only."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mmae.core.errors import InputError
from mmae.inference.photoz_boosting import predict_photoz, train_photoz
from mmae.metrics.photometric_features import photoz_features
from mmae.metrics.redshift import normalised_residual, sigma_nmad
from mmae.realism.photoz import Sample, photoz_section, train_and_score
from tests.realism.surveys import magnitudes, table_rows


def sample(rng, n: int, noise: float = 0.02) -> tuple[np.ndarray, np.ndarray]:
    redshift_N = rng.uniform(0.05, 1.2, n)
    return magnitudes(redshift_N, rng, noise), redshift_N


def test_redshifts_are_accurate(rng):
    model = train_photoz(*sample(rng, 2000), seed=0)
    mag_NC, redshift_N = sample(rng, 500)
    residual = normalised_residual(redshift_N, predict_photoz(model, mag_NC))
    assert sigma_nmad(residual) < 0.03
    constant = normalised_residual(redshift_N, np.full(500, np.median(redshift_N)))
    assert sigma_nmad(residual) < 0.2 * sigma_nmad(constant)


def test_features_are_magnitudes_and_adjacent_colours():
    found = photoz_features(np.array([[22.0, 21.0, np.nan, 20.0]]))
    assert found[0, :5].tolist()[:2] == [22.0, 21.0] and found.shape == (1, 7)
    assert found[0, 4] == 1.0 and np.isnan(found[0, [2, 5, 6]]).all()


def test_shuffled_magnitudes_give_inaccurate_redshifts(rng):
    mag_NC, redshift_N = sample(rng, 1000)
    model = train_photoz(rng.permutation(mag_NC), redshift_N, seed=0)
    test_mag, test_z = sample(rng, 300)
    assert sigma_nmad(normalised_residual(test_z, predict_photoz(model, test_mag))) > 0.1


def test_missing_magnitudes_are_allowed(rng):
    mag_NC, redshift_N = sample(rng, 1500)
    mag_NC[rng.random(mag_NC.shape) < 0.1] = np.nan
    model = train_photoz(mag_NC, redshift_N, seed=0)
    assert np.isfinite(predict_photoz(model, mag_NC)).all()
    assert sigma_nmad(normalised_residual(redshift_N, predict_photoz(model, mag_NC))) < 0.05


def test_training_is_reproducible(rng):
    mag_NC, redshift_N = sample(rng, 400)
    first, again = (predict_photoz(train_photoz(mag_NC, redshift_N, seed=4), mag_NC) for _ in range(2))
    assert np.array_equal(first, again)


def test_wrong_input_raises(rng):
    mag_NC, redshift_N = sample(rng, 100)
    with pytest.raises(InputError, match="30 .*50"):
        train_photoz(mag_NC[:30], redshift_N[:30], seed=0)
    with pytest.raises(InputError, match=r"\(100, 5\).*\(99,\)"):
        train_photoz(mag_NC, redshift_N[:-1], seed=0)
    model = train_photoz(mag_NC, redshift_N, seed=0)
    with pytest.raises(InputError, match=r"\(100, 4\).* 5 bands"):
        predict_photoz(model, mag_NC[:, :4])


def test_only_test_galaxies_in_the_redshift_range_are_scored(rng):
    mag_NC, redshift_N = sample(rng, 600)
    redshift_N[500:520] = 2.5
    redshift_N[520:530] = np.nan
    train_N = np.arange(600) < 400
    result = train_and_score(Sample("x", mag_NC, redshift_N, train_N, ~train_N), seed=0)
    assert result.n_train == 400 and result.redshift_N.size == 170
    assert result.redshift_N.max() < 1.5
    assert result.scores["sigma_nmad"].value < result.baseline["sigma_nmad"].value


def test_section(objects, reference):
    section = photoz_section(objects, reference, seed=0)
    by_name = {row["sample"]: row for row in table_rows(section, "scores")}
    assert by_name["all objects, all bands"]["verdict"].ok is not None
    real = by_name["real: zCOSMOS, griz"]
    # 1200 rows, of which 60 are not secure and 30 are stars.
    assert real["n_train"] + real["n_test"] == pytest.approx(1110, abs=3)
    assert real["sigma_nmad"].error > 0 and real["outlier_rate_percent"].error > 0
    bright = next(row for name, row in by_name.items() if name.startswith("real: zCOSMOS, griz, i <"))
    assert bright["n_test"] < real["n_test"] and bright["n_train"] == real["n_train"]
    assert by_name["galaxies, griz"]["verdict"].ok is not None


def test_section_without_real_data_or_training_galaxies(objects):
    alone = photoz_section(objects, None, seed=0)
    assert "--reference" in alone.left_out and len(alone.tables[0].rows) == 3
    untrained = dataclasses.replace(objects, split_N=np.full(len(objects), "val"))
    section = photoz_section(untrained, None, seed=0)
    assert section.left_out and not section.tables
