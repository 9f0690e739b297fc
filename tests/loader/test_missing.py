"""Missing pixels on the way from a Parquet row to a batch, and through the augmentation."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mmae.loader.collate import to_batch
from mmae.model.draws import Draws
from mmae.model.modalities.image import flip_and_turn
from mmae.survey.schema import Galaxy, SurveySpec, check_galaxy, to_table

SPEC = SurveySpec(image_size=4, n_wavelengths=3)
VALUES = st.sampled_from([np.nan, -1.5, 0.0, 0.25, 1000.0])  # exact in float16


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@settings(max_examples=30, deadline=None)
@given(arrays(np.float32, (3, *SPEC.image_shape), elements=VALUES))
def test_missing_pixels_are_nan_in_the_batch(dtype, images):
    spec = replace(SPEC, image_dtype=dtype)
    galaxies = [
        Galaxy(f"g{i}", image_CHW=image, flux_L=np.ones(3), ivar_L=np.ones(3)) for i, image in enumerate(images)
    ]
    kept = [check_galaxy(galaxy, spec, "here").galaxy for galaxy in galaxies]
    batch = to_batch(to_table(kept, ["train"] * 3, spec), spec)
    for i, image in enumerate(images):
        accepted = bool(np.nan_to_num(image).any())  # something was observed, and not zero everywhere
        assert bool(batch.present["image"][i]) == accepted
        np.testing.assert_array_equal(batch.values["image"][i].numpy(), image if accepted else np.zeros_like(image))


def test_augmentation_moves_missing_pixels_with_their_image():
    images = torch.arange(32 * 2 * 4 * 4.0).reshape(32, 2, 4, 4)
    missing = torch.zeros_like(images, dtype=torch.bool)
    missing[:, 0, :, 1] = missing[:, 1, 0] = True
    turned = flip_and_turn(images.masked_fill(missing, torch.nan), Draws(0, n=len(images)))
    expected = flip_and_turn(images, Draws(0, n=len(images)))
    where = flip_and_turn(missing.float(), Draws(0, n=len(images))).bool()
    torch.testing.assert_close(turned, expected.masked_fill(where, torch.nan), equal_nan=True)
