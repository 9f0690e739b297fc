"""Levels of the learning curves equal the loss and the scatter of what the baselines predict."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from mmae.inference.filling import symmetric
from mmae.model import tokens as tk
from mmae.model.build import build_model
from mmae.model.losses import masked_mse
from mmae.model.masking import fixed_visible
from mmae.training.baselines import filled_loss, median_scatter
from tests.model.galaxies import SPEC, TINY, TINY_PAPER, random_batch, without
from tests.model.test_baselines import CNN


def test_the_filled_loss_is_the_loss_of_the_filled_images():
    """The loss function of the model, applied to images that were filled by symmetry; one galaxy has no image."""
    model, batch = build_model(TINY, SPEC), without(random_batch(5), image=[2])
    batch.values["image"][1, 0, :4] = torch.nan  # not observed
    visible = fixed_visible(batch, model.n_tokens, ("image",), 0.5, torch.Generator().manual_seed(1))
    image = model.modalities["image"]
    prepared = image.prepare(batch, visible["image"])
    shown = prepared.observed_BCHW & image.visible_samples(visible["image"])[:, None]
    filled = torch.from_numpy(symmetric(prepared.image_BCHW.numpy(), shown.numpy()))
    expected = masked_mse(
        *(tk.patchify_image(i, 4) for i in (filled, prepared.image_BCHW)),
        ~visible["image"] & batch.present["image"][:, None],
        tk.patchify_image(prepared.observed_BCHW, 4),
    )
    assert filled_loss(model, batch, visible) == pytest.approx(expected.item(), rel=1e-5) and expected > 0


@pytest.mark.parametrize("config", [CNN, TINY_PAPER])
def test_a_model_with_another_loss_has_no_level(config):
    model, batch = build_model(config, SPEC), random_batch(2)
    assert filled_loss(model, batch, fixed_visible(batch, model.n_tokens, ("image",))) is None


def test_the_scatter_of_the_training_median(tmp_path):
    file = tmp_path / "train.parquet"
    pq.write_table(pa.table({"redshift": pa.array([0.1, None, 0.3, 0.8])}), file)
    survey = SimpleNamespace(files=lambda split: [str(file)])
    z = np.array([0.2, 0.4, np.nan, 1.0, 0.3])
    dz = (0.3 - z[np.isfinite(z)]) / (1 + z[np.isfinite(z)])
    expected = 1.4826 * np.median(np.abs(dz - np.median(dz)))
    assert median_scatter(survey, z) == pytest.approx(expected)
    assert np.isnan(median_scatter(survey, np.full(3, np.nan)))
