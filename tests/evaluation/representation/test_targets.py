"""Targets of the probes, and the galaxies common to all inputs."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmae.core.errors import InputError
from mmae.evaluation.representation.targets import MAGNITUDES, Features, common_sample, targets_of
from tests.evaluation.representation.galaxies import random_catalogue, random_features, random_targets

TRAIN, TEST = random_targets(90, 1), random_targets(50, 2)


def holes(vectors_ND: np.ndarray, rows) -> np.ndarray:
    vectors_ND = vectors_ND.copy()
    vectors_ND[rows] = np.nan
    return vectors_ND


def test_type_is_the_target_class_in_a_simulated_survey():
    catalogue = random_catalogue(3)
    assert (targets_of(catalogue).type_N == "EXP").all() and targets_of(catalogue).type_name == "morphological type"
    simulated = targets_of(dataclasses.replace(catalogue, kind_N=np.array(["", "LRG", "QSO"], object)))
    assert simulated.type_N.tolist() == ["", "LRG", "QSO"] and simulated.type_name == "target class"


@pytest.mark.parametrize(
    ("bands", "band", "column"),
    [(("g", "r", "i", "z", "y"), "i", 2), (("g", "r", "z"), "r", 1), (("u", "g"), "", None)],
)
def test_target_magnitude_is_i_or_else_r(bands, band, column):
    mag_NC = np.arange(4.0 * len(bands)).reshape(4, -1)
    found = targets_of(random_catalogue(4, bands=bands, mag_NC=mag_NC))
    assert found.band == band
    np.testing.assert_array_equal(found.magnitude_N, np.full(4, np.nan) if column is None else mag_NC[:, column])


def test_star_formation_indicator_is_passed_through():
    assert np.isnan(targets_of(random_catalogue(4)).star_formation_N).all()
    found = targets_of(random_catalogue(4), np.arange(4), "Dn4000")
    assert found.star_formation_N.tolist() == [0, 1, 2, 3] and found.star_formation_name == "Dn4000"
    with pytest.raises(InputError, match=r"Dn4000.*\(3,\).*\b4\b"):
        targets_of(random_catalogue(4), np.arange(3), "Dn4000")


@settings(max_examples=20, deadline=None)
@given(st.sets(st.integers(0, 89), max_size=20), st.sets(st.integers(0, 89), max_size=20))
def test_all_inputs_are_of_the_same_galaxies(no_image, no_spectrum):
    """Each vector contains the redshift of its galaxy, to check the order."""
    z_ND, z_MD = (np.repeat(t.redshift_N[:, None], 2, 1) for t in (TRAIN, TEST))
    sample = common_sample(
        {
            "image": Features(holes(z_ND, list(no_image)), z_MD),
            "spectrum": Features(holes(z_ND, list(no_spectrum)), holes(z_MD, [7, 8])),
        },
        TRAIN,
        TEST,
    )
    kept = sorted(set(range(90)) - no_image - no_spectrum)
    np.testing.assert_array_equal(sample.train.redshift_N, TRAIN.redshift_N[kept])
    np.testing.assert_array_equal(sample.test.redshift_N, np.delete(TEST.redshift_N, [7, 8]))
    for mode in ("image", "spectrum"):
        features = sample.features[mode]
        np.testing.assert_array_equal(features.train_ND[:, 0], sample.train.redshift_N)
        np.testing.assert_array_equal(features.test_MD[:, 1], sample.test.redshift_N)
    assert list(sample.features) == ["image", "spectrum", MAGNITUDES] and not sample.left_out


def test_magnitudes_and_colours_are_a_further_input():
    sample = common_sample({"image": random_features(TRAIN, TEST)}, TRAIN, TEST)
    mag_MC = TEST.mag_NC
    expected = np.concatenate([mag_MC, -np.diff(mag_MC, axis=1)], axis=1)
    np.testing.assert_allclose(sample.features[MAGNITUDES].test_MD, expected)


@pytest.mark.parametrize("split", ["train", "test"])
def test_mode_with_few_galaxies_is_left_out(split):
    features = random_features(TRAIN, TEST)
    few = (
        Features(holes(features.train_ND, slice(49, None)), features.test_MD)
        if split == "train"
        else Features(features.train_ND, holes(features.test_MD, slice(19, None)))
    )
    sample = common_sample({"image": features, "spectrum": few}, TRAIN, TEST)
    assert list(sample.features) == ["image", MAGNITUDES]
    assert (len(sample.train), len(sample.test)) == (90, 50)
    numbers = "49 training and 50 test" if split == "train" else "90 training and 19 test"
    assert len(sample.left_out) == 1 and f"Mode spectrum: {numbers}" in sample.left_out[0]


def test_impossible_redshifts_become_nan():
    train = dataclasses.replace(TRAIN, redshift_N=np.r_[-1.0, -7.0, TRAIN.redshift_N[2:]])
    sample = common_sample({"image": random_features(TRAIN, TEST)}, train, TEST)
    assert np.isnan(sample.train.redshift_N).tolist() == [True, True] + 88 * [False]


def test_inconsistent_input_is_refused():
    features = random_features(TRAIN, TEST)
    broken = features.test_MD.copy()
    broken[3, 2] = np.inf
    for bad, named in (
        (Features(features.train_ND[1:], features.test_MD), r"'image', training.*\(89, 6\).*90"),
        (Features(features.train_ND, broken), "'image', test, row 3"),
    ):
        with pytest.raises(InputError, match=named):
            common_sample({"image": bad}, TRAIN, TEST)
    for name in ("type_name", "band", "star_formation_name"):
        with pytest.raises(InputError, match=f"{name}.*'other'"):
            common_sample({"image": features}, TRAIN, dataclasses.replace(TEST, **{name: "other"}))
