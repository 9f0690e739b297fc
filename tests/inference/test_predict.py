"""Predictions of models with other sets of modalities than image and spectrum."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmae.inference.predict import Predictions, predict_redshifts, reconstruct
from mmae.model.build import build_model
from tests.model.galaxies import SPEC, random_batch, tiny, without
from tests.model.test_baselines import CNN, CONTRASTIVE

CPU = torch.device("cpu")
ALL = tiny(magnitudes={"use": True})
IMAGE_ONLY = tiny(spectrum={"use": False})


def batches():
    return [
        without(random_batch(4, seed=1), image=[0], magnitudes=[0, 2]),
        without(random_batch(3, seed=2), spectrum=[1]),
    ]


@pytest.mark.parametrize(
    ("config", "modes"),
    [
        (ALL, ["image", "spectrum", "both", "magnitudes", "image and magnitudes"]),
        (IMAGE_ONLY, ["image"]),
        (CNN, ["image"]),
        (CONTRASTIVE, ["image", "spectrum", "both"]),
    ],
)
def test_input_modes_follow_the_modalities_of_the_model(config, modes):
    torch.manual_seed(0)
    found = predict_redshifts(build_model(config, SPEC).eval(), batches(), CPU)
    assert list(found.predicted) == modes
    assert found.usable["image"].tolist() == [False, True, True, True, True, True, True]
    assert all(np.isfinite(found.predicted[mode]).all() and len(found.low[mode]) == 7 for mode in modes)
    if "image and magnitudes" in modes:
        assert found.usable["image and magnitudes"].tolist() == [False, True, False, True, True, True, True]
        assert found.predicted["image and magnitudes"][1] != found.predicted["image"][1]
        assert found.predicted["magnitudes"][4] != found.predicted["image and magnitudes"][4]


def test_empty_parts_are_ignored_when_predictions_are_joined():
    model = build_model(IMAGE_ONLY, SPEC).eval()
    one = predict_redshifts(model, batches(), CPU)
    joined = Predictions.joined([predict_redshifts(model, [], CPU), one, predict_redshifts(model, [], CPU)])
    assert joined.object_id == one.object_id and np.array_equal(joined.predicted["image"], one.predicted["image"])


def test_reconstructions_contain_only_modalities_that_the_model_reconstructs():
    found = {
        name: reconstruct(build_model(config, SPEC).eval(), batches(), CPU, examples=2, mask_ratio=0.5, seed=0)
        for name, config in (("all", ALL), ("image", IMAGE_ONLY), ("cnn", CNN))
    }
    assert found["cnn"] is None
    assert len(found["image"].with_image().object_id) == 2 and not found["image"].with_spectrum().object_id
    assert len(found["all"].with_spectrum().object_id) >= 2
