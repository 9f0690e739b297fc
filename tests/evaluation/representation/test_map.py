"""The map is a PCA of the training galaxies."""

from __future__ import annotations

import numpy as np

from mmae.evaluation.representation.map import principal_plane
from mmae.evaluation.representation.targets import Features


def test_map_agrees_with_a_singular_value_decomposition():
    rng = np.random.default_rng(2)
    mix = rng.normal(size=(5, 5))
    train_ND, test_MD = rng.normal(size=(200, 5)) @ mix + 7, rng.normal(size=(30, 5)) @ mix + 7
    plane = principal_plane(Features(train_ND, test_MD))
    mean, std = train_ND.mean(0), train_ND.std(0)
    _, s, v = np.linalg.svd((train_ND - mean) / std)
    expected = (test_MD - mean) / std @ v[:2].T
    for k in range(2):  # the sign of a component is arbitrary
        np.testing.assert_allclose(np.abs(plane.xy_M2[:, k]), np.abs(expected[:, k]), rtol=1e-6)
    np.testing.assert_allclose(plane.variance_2, s[:2] ** 2 / (s**2).sum())


def test_map_does_not_depend_on_the_other_test_galaxies():
    rng = np.random.default_rng(3)
    train_ND, test_MD = rng.normal(size=(60, 4)), rng.normal(size=(5, 4))
    other_MD = test_MD.copy()
    other_MD[1:] *= 100
    first, second = (principal_plane(Features(train_ND, x)) for x in (test_MD, other_MD))
    np.testing.assert_allclose(first.xy_M2[0], second.xy_M2[0])
    assert np.abs(second.xy_M2[1:]).max() > 10
