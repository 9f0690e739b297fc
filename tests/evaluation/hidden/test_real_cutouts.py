"""Parts of the benchmark on real cutouts, on images that are made here."""

from __future__ import annotations

import numpy as np

from benchmarks.models.real_cutouts import real_batch, taken, variance, visible_mean
from mmae.evaluation.hidden.image_measures import Masked
from mmae.evaluation.hidden.image_scores import sample_of
from mmae.evaluation.hidden.parts import observed_images
from mmae.realism.reference import RealImages
from tests.evaluation.images.cutouts import PATCH, SPEC, patches, round_galaxies

IMAGES = round_galaxies(4, 0).astype(np.float32)


def test_images_of_a_batch_are_those_given():
    batch = real_batch(IMAGES, SPEC)
    np.testing.assert_array_equal(observed_images(batch), IMAGES)
    assert batch.present["image"].all() and not batch.present["spectrum"].any() and not batch.redshift_known_B.any()


def test_variance_is_that_of_the_weights_and_of_the_sky_outside():
    weight = np.full(IMAGES.shape, 25.0, np.float32)
    weight[:, :, :10] = 0
    weight[:, :, 30:32] = 4.0  # bright pixels have more noise
    found = variance(RealImages(IMAGES, weight, np.arange(4)))
    for row, expected in ((0, 1 / 25), (20, 1 / 25), (30, 1 / 4)):
        np.testing.assert_allclose(found[:, :, row], expected)


def test_mean_of_the_visible_pixels():
    visible = patches(4, 1)
    masked = Masked(np.where(visible[:, None], IMAGES, 1e6), visible, PATCH, SPEC)
    np.testing.assert_allclose(visible_mean(masked)[0, 2, 0, 0], IMAGES[0, 2][visible[0]].mean(), rtol=1e-5)


def test_some_galaxies_of_a_sample():
    masked = Masked(IMAGES, patches(4, 1), PATCH, SPEC)
    sample = sample_of(masked, None, np.ones(IMAGES.shape), np.array([True, False, False, True]))
    found = taken(sample, np.array([3, 1, 1]))
    np.testing.assert_array_equal(found.observed.flux_NC, sample.observed.flux_NC[[3, 1, 1]])
    assert found.point_N.tolist() == [True, False, False]
