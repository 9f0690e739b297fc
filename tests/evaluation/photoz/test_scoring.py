"""Selection of galaxies for the scores, and scores by stratum."""

from __future__ import annotations

import numpy as np
import pytest

from mmae.core.errors import InputError
from mmae.evaluation.photoz import scoring
from mmae.evaluation.photoz.scoring import score_predictions
from mmae.evaluation.photoz.strata import MIN_GALAXIES, Family, Stratum
from mmae.metrics.photoz import point_scores
from mmae.metrics.redshift import ALL_Z, BASELINE, LOW_Z


@pytest.fixture
def sky():
    rng = np.random.default_rng(8)
    z = rng.uniform(0, 1.5, 200)
    z[:20] = np.nan
    image, spectrum = z + 0.03 * rng.standard_normal(200), z + 0.001 * rng.standard_normal(200)
    image[10:60] = np.nan
    spectrum[100] = np.inf
    return z, {"image": image, "spectrum": spectrum}


def strata_of(*members) -> Family:
    return Family("part", "part", tuple(Stratum(str(k), m, float(k)) for k, m in enumerate(members)))


def test_mode_is_scored_on_galaxies_with_a_redshift_and_a_prediction(sky):
    z, predictions = sky
    table = score_predictions(z, predictions, [], z_train=None, seed=2, resamples=50).table
    assert list(table) == ["image", "spectrum"]
    assert table["image"][ALL_Z] == point_scores(z[60:], predictions["image"][60:], seed=2, resamples=50) | {
        "not_finite": table["image"][ALL_Z]["not_finite"]
    }
    low = 60 + np.flatnonzero(z[60:] < 0.4)
    assert table["image"][LOW_Z]["rms"] == point_scores(z[low], predictions["image"][low], seed=2, resamples=50)["rms"]
    # An infinite prediction is a failed prediction, not a missing modality.
    assert table["spectrum"][ALL_Z]["outlier_rate"].n == 180
    assert table["spectrum"][ALL_Z]["not_finite"].value == 1


def test_baseline_is_the_training_median_for_every_galaxy_with_a_redshift(sky):
    z, predictions = sky
    train = np.array([0.3, 0.5, np.nan, 0.9])
    table = score_predictions(z, predictions, [], z_train=train, seed=2, resamples=20).table
    assert list(table)[-1] == BASELINE
    dz = (0.5 - z[20:]) / (1 + z[20:])
    assert table[BASELINE][ALL_Z]["rms"].value == pytest.approx(np.sqrt(np.mean(dz**2)))
    assert table[BASELINE][ALL_Z]["rms"].n == 180


def test_strata_with_enough_galaxies_are_scored(sky):
    z, predictions = sky
    first, few, most = np.zeros((3, 200), bool)
    first[: 60 + MIN_GALAXIES] = few[: 59 + MIN_GALAXIES] = most[50:] = True
    scored = score_predictions(z, predictions, [strata_of(first, few, most)], z_train=[0.1], seed=1, resamples=20)
    (family,) = scored.families
    assert list(family.of_mode) == ["image", "spectrum"]  # the baseline has no strata
    exact, too_few, rest = family.of_mode["image"]
    assert (exact.n, too_few.n, rest.n) == (MIN_GALAXIES, MIN_GALAXIES - 1, 140)
    assert too_few.scores is None and (too_few.label, too_few.centre) == ("1", 1.0)
    for stratum, of_N in ((exact, slice(60, 60 + MIN_GALAXIES)), (rest, slice(60, 200))):
        expected = point_scores(z[of_N], predictions["image"][of_N], seed=1, resamples=20)
        assert stratum.scores["sigma_nmad"] == expected["sigma_nmad"]
        assert stratum.scores["outlier_rate"] == expected["outlier_rate"]
    assert family.of_mode["spectrum"][0].n == 40 + MIN_GALAXIES


def test_strata_use_fewer_resamples(sky, monkeypatch):
    z, predictions = sky
    calls = []
    monkeypatch.setattr(
        scoring, "point_scores", lambda z, p, *, seed, resamples: calls.append((z.size, resamples)) or {}
    )
    everything = [strata_of(np.ones(200, bool))]
    for resamples in (1000, 50):
        score_predictions(z, {"image": predictions["image"]}, everything, z_train=None, seed=0, resamples=resamples)
    assert [r for n, r in calls if n == 140] == [1000, scoring.STRATA_RESAMPLES, 50, 50]


def test_modes_without_galaxies_have_no_scores(sky):
    z, predictions = sky
    nothing = {"spectrum": np.full(200, np.nan), "both": np.where(np.isnan(z), 0.5, np.nan)}
    assert list(score_predictions(z, predictions | nothing, [], z_train=None, seed=0, resamples=5).table) == ["image"]
    assert score_predictions(z, nothing, [], z_train=z, seed=0, resamples=5).table == {}


def test_prediction_of_different_length_is_refused(sky):
    z, predictions = sky
    with pytest.raises(InputError, match=r"'image'.*\(199,\).*200"):
        score_predictions(z, {"image": predictions["image"][1:]}, [], z_train=None, seed=0, resamples=5)
