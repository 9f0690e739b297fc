"""Images: pixels that were not observed, and images of which nothing is hidden."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mmae.model.build import build_model
from mmae.model.draws import Draws
from mmae.model.masking import Visible
from mmae.model.mmae import MMAE
from mmae.model.modalities.image import INCOMPLETE, remove_parts
from tests.model.galaxies import CLOSE, SPEC, TINY, all_tokens, copied, estimates, random_batch, random_masks, warmed_up


@pytest.fixture(scope="module")
def model() -> MMAE:
    return warmed_up()


def missing_pixels(seed: int, n: int) -> Tensor:
    """A band of the first galaxy, a corner of the second, single pixels of the others."""
    missing_BCHW = torch.rand(n, SPEC.n_bands, 16, 16, generator=torch.Generator().manual_seed(seed)) < 0.2
    missing_BCHW[0] = False
    missing_BCHW[0, 1] = True
    missing_BCHW[1] = False
    missing_BCHW[1, :, :6, :6] = True
    return missing_BCHW


def views(model: MMAE, n: int) -> dict[str, Visible]:
    return {"masked": random_masks(n, model.n_tokens), "whole": all_tokens(random_batch(n), model.n_tokens, True)}


@pytest.mark.parametrize("view", ["masked", "whole"])
def test_estimates_of_images_with_missing_pixels_are_finite(model, view):
    batch = random_batch(4)
    batch.values["image"] = batch.image_BCHW.masked_fill(missing_pixels(0, 4), torch.nan)
    assert all(torch.isfinite(values).all() for values in estimates(model, batch, views(model, 4)[view]))


@pytest.mark.parametrize("view", ["masked", "whole"])
def test_a_missing_band_is_not_a_band_of_zeros(model, view):
    missing, zero = random_batch(4), random_batch(4)
    missing.values["image"][:, 1] = torch.nan
    zero.values["image"][:, 1] = 0
    visible = views(model, 4)[view]
    for a, b in zip(model.redshift(missing, visible), model.redshift(zero, visible), strict=True):
        assert not torch.isclose(a, b).any()


def test_missing_pixels_are_no_targets(model):
    """The loss is that of the other hidden pixels: reconstructions of missing pixels do not enter it."""
    batch, missing_BCHW = random_batch(4), missing_pixels(1, 4)
    visible = random_masks(4, model.n_tokens)
    visible["spectrum"][:] = True
    batch.values["image"] = batch.image_BCHW.masked_fill(missing_BCHW, torch.nan)
    image = model.modalities["image"]
    loss = model.train(False)(batch, visible).parts["image"]
    estimate = model.estimate(batch, visible)
    counted_BCHW = ~estimate.visible_BHW[:, None] & ~missing_BCHW
    arcsinh = [
        torch.arcsinh(x / image.band_noise[:, None, None]) / image.arcsinh_std[:, None, None]
        for x in (estimate.image_BCHW, batch.image_BCHW)
    ]
    expected = (arcsinh[0] - arcsinh[1])[counted_BCHW].square().mean()
    torch.testing.assert_close(loss, expected, rtol=1e-3, atol=1e-4)


def test_brightness_of_a_patch_is_that_of_its_observed_pixels(model):
    """A patch of constant flux has the same brightness with and without missing pixels."""
    image, batch = model.modalities["image"], random_batch(2)
    batch.values["image"][:] = torch.tensor([0.3, 0.7])[:, None, None]
    batch.values["image"][1, :, ::2, ::3] = torch.nan
    prepared = image.prepare(batch, random_masks(2, model.n_tokens)["image"])
    both_BTM = image._photometry(prepared, torch.arange(2), 4)
    torch.testing.assert_close(both_BTM[0], both_BTM[1])


def test_a_missing_band_has_no_colours(model):
    image, batch = model.modalities["image"], random_batch(2)
    batch.values["image"][1, 1] = torch.nan
    prepared = image.prepare(batch, random_masks(2, model.n_tokens)["image"])
    C = SPEC.n_bands
    for feature_BTM in (
        image._photometry(prepared, torch.arange(2), 4),
        image._aperture_photometry(prepared, torch.arange(2)),
    ):
        colour_BTC = feature_BTM[..., C : 2 * C - 1]
        assert not colour_BTC[1, :, :2].any() and colour_BTC[0].any() and not feature_BTM[1, :, 1].any()


def test_whole_images_use_the_stem_and_others_do_not():
    torch.manual_seed(0)
    model = build_model(TINY, SPEC)
    batch, all_views = random_batch(4), views(model, 4)

    def layers(view: str) -> set[str]:
        model.zero_grad()
        model.encode(batch, all_views[view]).logits_BZ.square().sum().backward()
        image = model.modalities["image"].named_parameters()
        return {name.partition(".")[0] for name, p in image if p.grad is not None and p.grad.any()}

    whole, masked = layers("whole"), layers("masked")
    assert {"stem", "stem_to_token"} <= whole and not {"stem", "stem_to_token"} & masked
    assert "pixels_to_token" in masked and "pixels_to_token" not in whole


def test_a_whole_image_is_read_alike_beside_masked_ones(model):
    """Galaxies of one batch with and without hidden patches do not affect each other."""
    batch, visible = random_batch(4), random_masks(4, model.n_tokens)
    visible["image"][1] = True
    together = model.redshift(batch, visible)[0]
    rows = copied(batch).map(lambda values: values[1:2])
    rows.object_id = rows.object_id[1:2]
    alone = model.redshift(rows, {name: seen[1:2] for name, seen in visible.items()})[0]
    torch.testing.assert_close(together[1:2], alone, **CLOSE)


def test_whole_images_are_embedded_together_whatever_else_is_visible():
    """Batch normalisation takes its statistics from all of them: those of a few galaxies would be noisy."""
    torch.manual_seed(0)
    model = build_model(TINY, SPEC).train()
    n_images = []
    model.modalities["image"].stem.register_forward_hook(lambda _, inputs, __: n_images.append(len(inputs[0])))
    batch = random_batch(6)
    visible = all_tokens(batch, model.n_tokens, True)
    visible["spectrum"][:2] = False
    visible["spectrum"][2, 1:] = False
    visible["image"][5, 0] = False
    model.encode(batch, visible)
    assert n_images == [5]


def test_parts_of_some_images_are_removed():
    images_BCHW = torch.rand(4000, 3, 8, 8)
    found_BCHW = remove_parts(images_BCHW, Draws(0, n=len(images_BCHW)))
    lost_BCHW = found_BCHW.isnan()
    assert torch.equal(found_BCHW[~lost_BCHW], images_BCHW[~lost_BCHW])
    assert not lost_BCHW.all((1, 2, 3)).any()  # something is left of each image
    incomplete = lost_BCHW.any((1, 2, 3)).float().mean().item()
    assert 0.8 * INCOMPLETE < incomplete < INCOMPLETE + 0.02  # a narrow stripe may contain no pixel
    whole_bands_B = lost_BCHW.all((2, 3)).any(1) & ~(lost_BCHW.any((2, 3)) & ~lost_BCHW.all((2, 3))).any(1)
    one_band_B = (lost_BCHW.any((2, 3)).sum(1) == 1) & ~lost_BCHW.all((2, 3)).any(1)
    corner_B = lost_BCHW[:, :, 0, 0].all(1) & ~lost_BCHW[:, :, -1, -1].any(1)
    for kind_B in (whole_bands_B, one_band_B, corner_B):
        assert kind_B.float().mean() > 0.5 * INCOMPLETE / 3


def test_parts_removed_repeat_with_the_seed_and_keep_an_image_of_one_band():
    images_BCHW = torch.rand(50, 2, 8, 8)
    first, again = (remove_parts(images_BCHW, Draws(3, n=len(images_BCHW))) for _ in range(2))
    assert torch.equal(first.isnan(), again.isnan()) and first.isnan().any()
    assert not remove_parts(images_BCHW[:, :1], Draws(3, n=len(images_BCHW))).isnan().any()
