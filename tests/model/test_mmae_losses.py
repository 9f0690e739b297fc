"""The masked autoencoder: targets, losses, reconstructions and gradients."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from mmae.model.build import build_model
from mmae.model.mmae import MMAE
from mmae.model.tokens import visible_pixels
from mmae.model.view import view_of
from tests.model.galaxies import (
    CLOSE,
    SPEC,
    TINY,
    all_tokens,
    copied,
    masks,
    random_batch,
    rows,
    tiny,
    visible_samples,
    warmed_up,
    without,
)


@pytest.fixture(scope="module")
def model() -> MMAE:
    return warmed_up()


def test_untrained_model_reconstructs_constants():
    model = build_model(TINY, SPEC).eval()
    batch, visible = random_batch(4), masks(model, 4)
    visible["spectrum"][:, 0] = visible["image"][:, 0] = True
    estimate = model.estimate(batch, visible)
    assert (estimate.image_BCHW == estimate.image_BCHW[:1, :, :1, :1]).all()  # the mean of each band
    assert (estimate.flux_BL == estimate.flux_BL[:, :1]).all()  # the level of each spectrum


def test_image_loss_is_the_mse_of_hidden_present_pixels(model):
    batch, visible = without(random_batch(5), image=[1]), masks(model, 5)
    visible["image"][1] = False
    losses, estimate = model(batch, visible), model.estimate(batch, visible)
    scale = [np.array(v)[:, None, None] for v in (SPEC.band_noise, SPEC.arcsinh_mean, SPEC.arcsinh_std)]
    normal = [
        (np.arcsinh(x.double().numpy() / scale[0]) - scale[1]) / scale[2]
        for x in (batch.image_BCHW, estimate.image_BCHW)
    ]
    hidden = ~estimate.visible_BHW.numpy() & batch.present["image"].numpy()[:, None, None]
    error = ((normal[0] - normal[1]) ** 2).mean(1)[hidden]
    np.testing.assert_allclose(losses.parts["image"].item(), error.mean(), rtol=1e-4)


def test_spectrum_loss_is_chi_square_per_hidden_good_pixel(model):
    batch, visible = without(random_batch(5), spectrum=[2]), masks(model, 5)
    visible["spectrum"][2] = False
    losses, estimate = model(batch, visible), model.estimate(batch, visible)
    flux, ivar, predicted = (x.double().numpy() for x in (batch.flux_BL, batch.ivar_BL, estimate.flux_BL))
    chi_square, n = 0.0, 0
    for i in (0, 1, 3, 4):
        hidden = ~estimate.visible_BL[i].numpy()
        weight = ivar[i] * ~hidden
        rms = np.average((flux[i] - np.average(flux[i], weights=weight)) ** 2, weights=weight) ** 0.5
        used = (ivar[i] > 0) & hidden
        variance = 1 / ivar[i][used] + (TINY.modalities.spectrum.error_floor * rms) ** 2
        chi_square += ((flux[i] - predicted[i])[used] ** 2 / variance).sum()
        n += used.sum()
    np.testing.assert_allclose(losses.parts["spectrum"].item(), chi_square / n, rtol=1e-3)


def test_repeated_galaxies_without_a_spectrum_count_less(model):
    """The redshift loss is the mean over galaxies with these weights."""
    batch, visible = without(random_batch(4), spectrum=[0, 1]), masks(model, 4)
    visible["spectrum"][:2] = False
    batch.weight_B = torch.tensor([0.25, 1.0, 0.25, 1.0])
    one_by_one = torch.stack(
        [model(rows(batch, [i]), {n: seen[[i]] for n, seen in visible.items()}).parts["redshift"] for i in range(4)]
    )
    weight_B = torch.tensor([0.25, 1.0, 1.0, 1.0])
    expected = (one_by_one * weight_B).sum() / weight_B.sum()
    torch.testing.assert_close(model(batch, visible).parts["redshift"], expected, **CLOSE)


@pytest.mark.parametrize("modality", ["image", "spectrum"])
def test_each_token_is_decoded_from_its_own_query(modality):
    """The second query changes only its patch, and half a patch around it in the image, if patches do not attend
    to each other."""
    torch.manual_seed(0)
    model = warmed_up(tiny(image={"mixing": 0}))
    batch, visible = random_batch(2), masks(model, 2)
    before = model.estimate(batch, visible)
    changed = copy.deepcopy(model)
    with torch.no_grad():
        changed.modalities[modality].query_TE[1] += torch.randn(TINY.decoder_width)
    after = changed.estimate(batch, visible)
    image = (after.image_BCHW != before.image_BCHW).any(0).any(0)
    flux = (after.flux_BL != before.flux_BL).any(0)
    expected_image, expected_flux = torch.zeros_like(image), torch.zeros_like(flux)
    if modality == "image":
        expected_image[:6, 2:10] = True
    else:
        expected_flux[8:16] = True
    assert torch.equal(image, expected_image) and torch.equal(flux, expected_flux)


def test_patches_of_an_image_attend_to_each_other(model):
    """Changing the query of one patch changes all of them."""
    batch, visible = random_batch(2), masks(model, 2)
    before = model.estimate(batch, visible).image_BCHW
    changed = copy.deepcopy(model)
    with torch.no_grad():
        changed.modalities["image"].query_TE[1] += torch.randn(TINY.decoder_width)
    different_HW = (changed.estimate(batch, visible).image_BCHW != before).any(0).any(0)
    assert different_HW.all()


def test_estimate_contains_masks_of_visible_samples(model):
    batch, visible = random_batch(3), masks(model, 3)
    estimate = model.estimate(batch, visible)
    assert torch.equal(estimate.visible_BHW, visible_pixels(visible["image"], SPEC.image_size))
    assert torch.equal(estimate.visible_BL, visible_samples(visible))
    assert estimate.image_BCHW.shape == batch.image_BCHW.shape
    assert estimate.flux_BL.shape == batch.flux_BL.shape


def test_reconstructed_flux_scales_with_the_input_flux(model):
    """In a model without the brightness embedding."""
    batch, visible = random_batch(3), masks(model, 3)
    with torch.no_grad():
        model_without_brightness = build_model(TINY, SPEC).eval()
        model_without_brightness.modalities["spectrum"].brightness.weight.zero_()
    brighter = copied(batch)
    brighter.values["flux"], brighter.values["ivar"] = 10 * batch.flux_BL, batch.ivar_BL / 100
    here, there = (model_without_brightness.estimate(b, visible).flux_BL for b in (batch, brighter))
    torch.testing.assert_close(there, 10 * here, rtol=1e-4, atol=1e-3)


def test_losses_of_a_masked_share_are_those_of_its_galaxies(model):
    """Some galaxies are shown masked; the redshift is read from whole views of all."""
    batch, part, whole = random_batch(6), masks(model, 4), all_tokens(random_batch(6), model.n_tokens, True)
    both = model(batch, view_of(part, of=np.array([0, 2, 3, 5])), whole)
    alone, every = model(rows(batch, [0, 2, 3, 5]), part), model(batch, whole)
    for name in ("image", "spectrum"):
        torch.testing.assert_close(both.parts[name], alone.parts[name], **CLOSE)
    torch.testing.assert_close(both.parts["redshift_masked"], alone.parts["redshift"], **CLOSE)
    torch.testing.assert_close(both.parts["redshift"], every.parts["redshift"], **CLOSE)


def test_reconstructions_from_a_whole_image_do_not_use_the_stem(model):
    """The stem learns from redshifts alone; a decoder of its tokens is not trained."""
    changed = copy.deepcopy(model)
    batch, visible = random_batch(3), all_tokens(random_batch(3), model.n_tokens, True)
    visible["spectrum"][:] = False
    with torch.no_grad():
        for parameter in changed.modalities["image"].stem.parameters():
            parameter.mul_(1.5)
    before, after = model.estimate(batch, visible), changed.estimate(batch, visible)
    assert not torch.equal(before.redshift_B, after.redshift_B)
    assert torch.equal(before.flux_BL, after.flux_BL) and torch.equal(before.image_BCHW, after.image_BCHW)


def test_total_loss_is_the_weighted_sum_of_the_parts():
    config = tiny(image={"weight": 2.0}, spectrum={"weight": 0.5}, redshift_weight=3.0)
    model = build_model(config, SPEC).eval()
    losses = model(random_batch(4), masks(model, 4))
    expected = 2 * losses.parts["image"] + 0.5 * losses.parts["spectrum"] + 3 * losses.parts["redshift"]
    torch.testing.assert_close(losses.total, expected)
    assert min(losses.parts["image"], losses.parts["spectrum"], losses.parts["redshift"]) > 0


def test_absent_modalities_are_no_targets(model):
    """The loss of a modality is that of the batch without the galaxies that lack it."""
    batch, visible = without(random_batch(6), image=[0, 1], spectrum=[2], redshift=[3, 4]), masks(model, 6)
    visible["image"][:2] = False
    visible["spectrum"][2] = False
    for name, kept in (("image", [2, 3, 4, 5]), ("spectrum", [0, 1, 3, 4, 5]), ("redshift", [0, 1, 2, 5])):
        fewer = {which: tokens[kept] for which, tokens in visible.items()}
        torch.testing.assert_close(
            model(batch, visible).parts[name], model(rows(batch, kept), fewer).parts[name], **CLOSE
        )


def test_no_gradient_accumulates_in_thread_order(model):
    """The gradient of indexing accumulates in thread order on a CPU, so that runs would differ in the last bits."""
    batch = random_batch(4)
    visited, open_nodes = set(), [model(batch, masks(model, 4)).total.grad_fn]
    while open_nodes:
        node = open_nodes.pop()
        if node is not None and node not in visited:
            visited.add(node)
            open_nodes += [following for following, _ in node.next_functions]
    names = {node.name() for node in visited}
    assert "GatherBackward0" in names  # the walk has reached the gathering of tokens
    assert not {name for name in names if name.startswith(("Index", "Embedding"))}


def test_tiny_model_overfits_eight_galaxies():
    torch.manual_seed(0)
    model = build_model(TINY, SPEC)
    batch, visible = random_batch(8), masks(model, 8)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    history = []
    for _ in range(60):
        losses = model(batch, visible)
        optimiser.zero_grad()
        losses.total.backward()
        optimiser.step()
        history.append(losses)
    first, last = history[0], history[-1]
    assert last.parts["image"] < first.parts["image"] / 5
    assert last.parts["spectrum"] < first.parts["spectrum"] / 1.5
    # The minimum is the entropy of the label, a Gaussian of one fine bin: about 1.4.
    assert last.parts["redshift"] < 1.7 < 2.5 < first.parts["redshift"]
    point, _, _ = model.eval().redshift(batch, visible)
    assert ((point - batch.redshift_B).abs() / (1 + batch.redshift_B)).max() < 0.1
