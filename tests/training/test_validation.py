"""Validation losses: a fixed masked fraction, whatever the ratios of the training."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

import mmae.training.loop
from mmae.config import RunConfig
from mmae.model.config import MaskConfig
from mmae.recipes import RECIPES, recipe
from mmae.training.baselines import FILLED_LOSS, MEDIAN_SCATTER
from mmae.training.loop import MIN_LABELS, VALIDATION_RATIO, Loop, short_summary, summary, validation_masks
from mmae.training.step import create_state
from tests.model.galaxies import SPEC, TINY, random_batch


def losses(ratio: tuple[float, float], monkeypatch) -> dict[str, float]:
    """The validation losses of an untrained model with these training masks of the image."""
    masks = MaskConfig(image_ratio=ratio, spectrum_ratio=(0.1, 0.4), drop_image=0.0, drop_spectrum=0.5)
    config = RunConfig(model=TINY, masks=masks)
    monkeypatch.setattr(mmae.training.loop, "batches", lambda *_: [random_batch(16), random_batch(16)])
    monkeypatch.setattr(mmae.training.loop, "median_scatter", lambda *_: 0.2)
    state = create_state(config, SPEC, torch.device("cpu"))
    host = SimpleNamespace(device=torch.device("cpu"), rank=0, world=1, validation=lambda: None)
    metrics, _ = Loop(config, SimpleNamespace(spec=None), state, host).validate(state.model)
    assert metrics[MEDIAN_SCATTER] == 0.2 and "0.2000" not in summary(metrics)  # a level is no score of the model
    return {name: value for name, value in metrics.items() if name.endswith("loss") or name == FILLED_LOSS}


def test_losses_of_the_same_weights_do_not_depend_on_the_mask_ratio_of_the_training(monkeypatch):
    found = losses((0.1, 0.2), monkeypatch)
    assert found == losses((0.75, 0.95), monkeypatch) and found["val/image_loss"] > 0
    assert found[FILLED_LOSS] > 0
    assert losses((0.0, 0.0), monkeypatch)["val/image_loss"] == 0  # a modality of which no part is ever hidden


@pytest.mark.parametrize("name", RECIPES)
def test_validation_changes_the_ratios_of_masked_modalities_only(name):
    masks = recipe(name).masks
    found = validation_masks(masks)
    ratios = {f"{m}_ratio": getattr(masks, f"{m}_ratio") for m in ("image", "spectrum", "magnitudes")}
    for field, ratio in ratios.items():
        assert getattr(found, field) == ((VALIDATION_RATIO, VALIDATION_RATIO) if ratio[1] > 0 else ratio)
    assert replace(found, **ratios) == masks


def test_a_validation_is_summarised_in_one_line():
    scores = {"n": float(MIN_LABELS), "sigma_nmad": 0.0394, "outlier_rate": 0.042}
    both = {"n": float(MIN_LABELS), "sigma_nmad": 0.0123, "outlier_rate": 0.5}
    metrics = {"val/loss": 7.798, "val/image_loss": 0.512, "val/spectrum_loss": 1.034, "val/redshift_loss": 5.5}
    metrics |= {f"val/{mode}/{name}": s[name] for mode, s in (("image", scores), ("both", both)) for name in s}
    line = summary(metrics)
    assert all(number in line for number in ("0.0394", "4.2%", "7.8", "image 0.512", "spectrum 1.03"))
    assert "0.0123" not in line and "\n" not in line and "0.0394" in short_summary(metrics)

    few = metrics | {"val/image/n": MIN_LABELS - 1.0}
    for text in (summary(few), short_summary(few)):
        assert "loss 7.8" in text and "0.0394" not in text
