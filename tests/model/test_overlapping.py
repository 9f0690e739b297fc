"""Images from overlapping patches. Legend of suffixes: mmae/model/batch.py; T patches, E decoder width."""

from __future__ import annotations

import torch

from mmae.model.overlapping import OverlappingPatches

SIDE, PATCH, WIDTH, BANDS = 4, 8, 12, 2


def layer() -> OverlappingPatches:
    torch.manual_seed(0)
    layer = OverlappingPatches(WIDTH, BANDS, SIDE, PATCH)
    torch.nn.init.normal_(layer.weight)
    torch.nn.init.normal_(layer.bias_C)
    return layer


def test_an_untrained_layer_predicts_zero():
    image_BCHW = OverlappingPatches(WIDTH, BANDS, SIDE, PATCH)(torch.randn(3, SIDE * SIDE, WIDTH))
    assert image_BCHW.shape == (3, BANDS, SIDE * PATCH, SIDE * PATCH)
    assert not image_BCHW.any()


def test_equal_predictions_of_all_pixels_make_a_flat_image():
    """The weights of overlapping squares add up to one, at the edges of the image too."""
    flat = layer()
    with torch.no_grad():
        flat.weight.copy_(flat.weight[:, :, :1, :1].expand_as(flat.weight))
    image_BCHW = flat(torch.randn(1, 1, WIDTH).expand(1, SIDE * SIDE, WIDTH))
    torch.testing.assert_close(image_BCHW, image_BCHW[:, :, :1, :1].expand_as(image_BCHW))


def test_a_query_reaches_half_a_patch_beyond_its_own():
    decoded_BTE = torch.randn(1, SIDE * SIDE, WIDTH)
    changed_BTE = decoded_BTE.clone()
    changed_BTE[:, SIDE + 2] = torch.randn(WIDTH)  # second row, third column
    differs_HW = (layer()(decoded_BTE) != layer()(changed_BTE))[0].any(0)
    expected_HW = torch.zeros(SIDE * PATCH, SIDE * PATCH, dtype=torch.bool)
    expected_HW[PATCH // 2 : 5 * PATCH // 2, 3 * PATCH // 2 : 7 * PATCH // 2] = True
    assert torch.equal(differs_HW, expected_HW)


def test_no_step_at_the_border_of_patches():
    """Differences of neighbouring pixels are hardly larger on a border than one pixel beside it, for smooth squares."""
    smooth = layer()
    ramp_P = torch.linspace(-1, 1, 2 * PATCH)
    with torch.no_grad():
        slope, level = torch.randn(2, WIDTH, BANDS, 1, 1)
        smooth.weight.copy_(level + slope * ramp_P[:, None])
    image_BCHW = smooth(torch.randn(50, SIDE * SIDE, WIDTH))
    jump_W = image_BCHW.diff(dim=-1).abs().mean((0, 1, 2))
    border = torch.arange(PATCH - 1, SIDE * PATCH - 1, PATCH)
    beside = (jump_W[border - 1] + jump_W[border + 1]) / 2
    assert (jump_W[border] < 1.15 * beside).all()
