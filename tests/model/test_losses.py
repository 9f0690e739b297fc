"""Losses against values computed by hand, and finite losses and gradients for all combinations of absent modalities."""

from __future__ import annotations

import pytest
import torch

from mmae.model.build import build_model
from mmae.model.losses import masked_chi_square, masked_mse
from tests.model.galaxies import SPEC, TINY, all_tokens, estimates, random_batch, random_masks, without


def test_masked_mse_by_hand():
    prediction = torch.tensor([[[1.0, 1.0], [0.0, 0.0]], [[9.0, 9.0], [2.0, 0.0]]])
    is_target = torch.tensor([[True, False], [False, True]])
    # Token (0,0): squared errors 1, 1; token (1,1): 4, 0; the other tokens are not targets.
    assert masked_mse(prediction, torch.zeros(2, 2, 2), is_target).item() == pytest.approx((1 + 2) / 2)
    assert masked_mse(prediction, torch.zeros(2, 2, 2), torch.zeros(2, 2, dtype=torch.bool)).item() == 0


def test_masked_chi_square_by_hand():
    prediction = torch.tensor([[[1.0, 2.0], [5.0, 5.0]]])
    target = torch.zeros(1, 2, 2)
    is_target = torch.tensor([[True, False]])
    good = torch.full((1, 2, 2), 4.0)
    assert masked_chi_square(prediction, target, good, is_target, 0.0).item() == pytest.approx((4 + 16) / 2)
    # sigma^2 = 1/4 + 0.5^2 = 1/2
    assert masked_chi_square(prediction, target, good, is_target, 0.5).item() == pytest.approx((2 + 8) / 2)
    one_bad = torch.tensor([[[4.0, 0.0], [4.0, 4.0]]])
    assert masked_chi_square(prediction, target, one_bad, is_target, 0.0).item() == pytest.approx(4.0)
    assert masked_chi_square(prediction, target, 0 * good, is_target, 0.1).item() == 0


EVERY = [0, 1, 2, 3]
ABSENT = {
    "complete": {},
    "some without image": {"image": [0, 2]},
    "some without spectrum": {"spectrum": [1]},
    "some without redshift": {"redshift": [3]},
    "one with neither": {"image": [0], "spectrum": [0]},
    "no image": {"image": EVERY},
    "no spectrum": {"spectrum": EVERY},
    "no redshift": {"redshift": EVERY},
    "nothing at all": {"image": EVERY, "spectrum": EVERY, "redshift": EVERY},
}


@pytest.mark.parametrize("shown", ["half", "all", "nothing"])
@pytest.mark.parametrize("absent", ABSENT)
def test_losses_and_gradients_are_finite(absent, shown):
    model = build_model(TINY, SPEC)
    batch = without(random_batch(4), **ABSENT[absent])
    visible = all_tokens(batch, model.n_tokens, shown != "nothing")
    if shown == "half":
        half = random_masks(4, model.n_tokens)
        visible = {name: visible[name] & half[name] for name in visible}
    losses = model(batch, visible, all_tokens(batch, model.n_tokens, True))
    losses.total.backward()
    assert losses.parts.keys() == {"image", "spectrum", "redshift", "redshift_masked"}
    assert all(torch.isfinite(part) for part in (losses.total, *losses.parts.values()))
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None or absent != "complete" or shown != "half", name
        assert parameter.grad is None or torch.isfinite(parameter.grad).all(), name
    # A loss is zero exactly where there are no targets.
    hidden = shown != "all"
    assert (losses.parts["image"] > 0) == (hidden and bool(batch.present["image"].any()))
    assert (losses.parts["spectrum"] > 0) == (hidden and bool(batch.present["spectrum"].any()))
    assert (losses.parts["redshift"] > 0) == bool(batch.redshift_known_B.any())
    assert all(torch.isfinite(x).all() for x in estimates(model, batch, visible))
