"""The published model: number of parameters, masks and loss."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from mmae.model.build import build_model
from mmae.model.config import PaperConfig
from mmae.model.losses import paper_redshift_loss
from mmae.model.masking import fixed_visible
from mmae.model.paper import PaperMMAE
from tests.model.galaxies import (
    CLOSE,
    FULL_SPEC,
    SPEC,
    TINY_PAPER,
    all_tokens,
    copied,
    masks,
    random_batch,
    rows,
    without,
)


@pytest.fixture(scope="module")
def published() -> PaperMMAE:
    torch.manual_seed(1)
    return build_model(PaperConfig(), FULL_SPEC).eval()


@pytest.fixture(scope="module")
def tiny() -> PaperMMAE:
    torch.manual_seed(2)
    return build_model(TINY_PAPER, SPEC).eval()


def pooled_and_normalised(flux_L: np.ndarray, ivar_L: np.ndarray, pool: int) -> np.ndarray:
    mean = np.average(flux_L, weights=ivar_L)
    rms = np.average((flux_L - mean) ** 2, weights=ivar_L) ** 0.5
    normal = np.where(ivar_L > 0, (flux_L - mean) / rms, 0)
    return np.array([normal[i : i + pool].mean() for i in range(0, len(normal) - pool + 1, pool)])


def test_published_number_of_parameters(published):
    assert sum(p.numel() for p in published.parameters()) == 16_364_036


def test_published_token_counts(published):
    assert (published.n_tokens, published.n_pooled) == ({"image": 64, "spectrum": 32}, 259)


def test_estimate_on_the_full_grid(published):
    batch = random_batch(2, FULL_SPEC)
    visible = all_tokens(batch, {"image": 64, "spectrum": 32}, True)
    visible["image"][:, :48] = False
    visible["spectrum"][:, 1:] = False
    estimate = published.estimate(batch, visible)
    assert estimate.redshift_B.shape == (2,)
    assert estimate.redshift_low_B is None and estimate.redshift_high_B is None
    assert estimate.image_BCHW.shape == (2, 5, 64, 64) and estimate.flux_BL.shape == (2, 7781)
    # Constant over 30 samples; the 11 samples after the last pool (259 x 30 = 7770) repeat its value.
    steps = estimate.flux_BL[:, :7770].reshape(2, 259, 30)
    assert torch.equal(steps, steps[:, :, :1].expand(-1, -1, 30))
    assert (steps[:, 1:, 0] != steps[:, :-1, 0]).any()
    assert torch.equal(estimate.flux_BL[:, 7770:], estimate.flux_BL[:, 7769:7770].expand(-1, 11))
    # 8 pooled samples of 30 are one token; 48 of 64 tokens are 6 of 8 rows of patches.
    assert estimate.visible_BL[:, :240].all() and not estimate.visible_BL[:, 240:].any()
    assert not estimate.visible_BHW[:, :48].any() and estimate.visible_BHW[:, 48:].all()


def test_grid_without_remainder_samples():
    spec = dataclasses.replace(SPEC, n_wavelengths=48)
    model = build_model(TINY_PAPER, spec).eval()
    batch = random_batch(2, spec)
    assert model.estimate(batch, masks(model, 2)).flux_BL.shape == (2, 48)


def test_reconstructed_flux_scales_with_the_input_flux(tiny):
    batch, visible = random_batch(3), masks(tiny, 3)
    other = copied(batch)
    other.values["flux"] = torch.where(batch.ivar_BL > 0, 10 * batch.flux_BL + 4, 0)
    other.values["ivar"] = batch.ivar_BL / 100
    here, there = (tiny.estimate(b, visible).flux_BL for b in (batch, other))
    torch.testing.assert_close(there, 10 * here + 4, rtol=1e-4, atol=1e-3)


def test_fully_masked_input_has_no_influence(tiny):
    first, second = random_batch(3, seed=1), random_batch(3, seed=2)
    nothing = all_tokens(first, tiny.n_tokens, False)
    a, b = tiny.estimate(first, nothing), tiny.estimate(second, nothing)
    assert torch.equal(a.redshift_B, b.redshift_B) and torch.equal(a.image_BCHW, b.image_BCHW)
    assert a.redshift_B.max() - a.redshift_B.min() < 1e-6


def test_position_of_a_masked_token_has_no_influence(tiny):
    """Masked tokens are zero including their position embedding."""
    batch = random_batch(2)
    first = all_tokens(batch, tiny.n_tokens, False)
    for name in first:  # without a visible token it would be an image or spectrum of zeros, with positions
        first[name][:, 0] = True
    before = tiny.redshift(batch, first)[0]
    moved = build_model(TINY_PAPER, SPEC).eval()
    moved.load_state_dict(tiny.state_dict())
    with torch.no_grad():
        for position in (moved.image_position, moved.spectrum_position):
            position[:, 1:].add_(torch.randn_like(position[:, 1:]))
    assert torch.equal(moved.redshift(batch, first)[0], before)
    shown = all_tokens(batch, tiny.n_tokens, True)
    assert not torch.allclose(moved.redshift(batch, shown)[0], tiny.redshift(batch, shown)[0], atol=1e-5)


def test_masked_tokens_enter_the_encoder_as_zeros(tiny):
    """All tokens are encoded: the number of masked tokens reaches the model."""
    batch = random_batch(2)
    shown = all_tokens(batch, tiny.n_tokens, True)
    tokens = []
    with torch.no_grad():
        hook = tiny.image_encoder.register_forward_pre_hook(lambda _, args: tokens.append(args[0]))
        half = shown | {"image": shown["image"].clone()}
        half["image"][:, ::2] = False
        tiny(batch, half)
        hook.remove()
    assert tokens[0].shape == (2, 16, 16)
    assert not tokens[0][:, ::2].any() and tokens[0][:, 1::2].abs().sum(-1).min() > 0


def test_visible_tokens_and_their_positions_have_influence(tiny):
    batch = random_batch(2)
    shown = all_tokens(batch, tiny.n_tokens, True)
    before = tiny.redshift(batch, shown)[0]
    for name, value in (
        ("image", batch.image_BCHW.roll(4, -1)),
        ("flux", batch.flux_BL.roll(6, -1)),
        ("image", batch.image_BCHW * 1.2),
    ):
        other = dataclasses.replace(batch, values=batch.values | {name: value})
        if name == "flux":
            other.values["ivar"] = batch.ivar_BL.roll(6, -1)
        assert (tiny.redshift(other, shown)[0] != before).all(), name


def test_hidden_pixels_have_no_influence(tiny):
    batch = random_batch(3)
    visible = all_tokens(batch, tiny.n_tokens, True)
    visible["image"][:, :8] = False  # the upper half of the image
    other = copied(batch)
    other.image_BCHW[:, :, :8] += 20
    a, b = tiny.estimate(batch, visible), tiny.estimate(other, visible)
    assert torch.equal(a.redshift_B, b.redshift_B) and torch.equal(a.flux_BL, b.flux_BL)


@pytest.mark.parametrize(("pool", "other"), [("image_pool", "spectrum"), ("spectrum_pool", "image")])
def test_pooled_tokens_of_one_modality_depend_on_the_other(tiny, pool, other):
    batch = random_batch(2)
    shown = all_tokens(batch, tiny.n_tokens, True)
    hidden = all_tokens(batch, tiny.n_tokens, True)
    hidden[other][:] = False
    tokens = []
    hook = getattr(tiny, pool).register_forward_pre_hook(lambda _, args: tokens.append(args[0]))
    for visible in (shown, hidden):
        tiny.redshift(batch, visible)
    hook.remove()
    assert not torch.allclose(*tokens, atol=1e-4)


def test_published_loss_weights(tiny):
    losses = tiny(random_batch(4), masks(tiny, 4))
    expected = 0.1 * losses.parts["image"] + 0.01 * losses.parts["spectrum"] + 1.0 * losses.parts["redshift"]
    torch.testing.assert_close(losses.total, expected)
    assert min(losses.parts["image"], losses.parts["spectrum"], losses.parts["redshift"]) > 0


def test_losses_by_hand():
    """For a model with reconstructions 0 and redshift 0.3 for any input."""
    model = build_model(TINY_PAPER, SPEC).eval()
    with torch.no_grad():
        for head, bias in ((model.image_decoder, 0.0), (model.spectrum_decoder, 0.0), (model.redshift_head, 0.3)):
            head[-1].weight.zero_()
            head[-1].bias.fill_(bias)
    batch = random_batch(2)
    batch.image_BCHW[:] = 2.0
    batch.image_BCHW[:, :, :8] = 3.0  # the upper half, which is masked below
    batch.redshift_B[:] = torch.tensor([0.3, 1.0])  # dz = 0 and -0.35
    visible = all_tokens(batch, {"image": 16, "spectrum": 8}, True)
    visible["image"][:, :8] = False
    visible["spectrum"][:, 4:] = False
    losses = model(batch, visible)
    pooled = np.array(
        [
            pooled_and_normalised(f.double().numpy(), i.double().numpy(), 3)
            for f, i in zip(batch.flux_BL, batch.ivar_BL, strict=True)
        ]
    )
    spectrum = (pooled[:, 8:16] ** 2).mean()  # tokens 4 to 7 are pooled samples 8 to 15
    redshift = 0.5 * (1 - 1 / (1 + (0.35 / 0.15) ** 2))
    np.testing.assert_allclose(losses.parts["image"].item(), 9.0, rtol=1e-6)
    np.testing.assert_allclose(losses.parts["spectrum"].item(), spectrum, rtol=1e-4)
    np.testing.assert_allclose(losses.parts["redshift"].item(), redshift, rtol=1e-5)
    np.testing.assert_allclose(losses.total.item(), 0.1 * 9 + 0.01 * spectrum + redshift, rtol=1e-5)


@pytest.mark.parametrize(
    ("z", "predicted", "loss"),
    [
        (0.0, 0.0, 0.0),
        (1.0, 1.0, 0.0),
        (0.0, 0.15, 0.5),
        (0.0, -0.15, 0.5),
        (1.0, 1.3, 0.5),
        (0.0, 0.45, 0.9),
        (0.0, 1e4, 1.0),
    ],
)
def test_redshift_loss_by_hand(z, predicted, loss):
    value = paper_redshift_loss(torch.tensor([predicted]), torch.tensor([z]), torch.tensor([True]))
    assert value.item() == pytest.approx(loss, abs=1e-6)


def test_redshift_loss_ignores_unknown_redshifts():
    predicted, z = torch.tensor([0.15, 7.0]), torch.zeros(2)
    assert paper_redshift_loss(predicted, z, torch.tensor([True, False])).item() == pytest.approx(0.5)
    assert paper_redshift_loss(predicted, z, torch.zeros(2, dtype=torch.bool)).item() == 0


EVERY = [0, 1, 2]


@pytest.mark.parametrize(
    "absent",
    [
        {},
        {"image": [0]},
        {"spectrum": [1]},
        {"redshift": [2]},
        {"image": EVERY},
        {"spectrum": EVERY},
        {"image": EVERY, "spectrum": EVERY, "redshift": EVERY},
    ],
)
def test_absent_modalities_give_finite_losses_and_gradients(absent):
    model = build_model(TINY_PAPER, SPEC)
    batch = without(random_batch(3), **absent)
    visible = all_tokens(batch, model.n_tokens, True)
    visible["image"][:, ::2] = False
    visible["spectrum"][:, ::2] = False
    losses = model(batch, visible)
    losses.total.backward()
    assert torch.isfinite(losses.total)
    assert (losses.parts["image"] > 0) == bool(batch.present["image"].any())
    assert (losses.parts["spectrum"] > 0) == bool(batch.present["spectrum"].any())
    assert (losses.parts["redshift"] > 0) == bool(batch.redshift_known_B.any())
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name


def test_galaxies_of_a_batch_are_independent(tiny):
    batch, visible = without(random_batch(3), spectrum=[1]), masks(tiny, 3)
    together = tiny.redshift(batch, visible)[0]
    for i in range(3):
        alone = tiny.redshift(rows(batch, [i]), {which: tokens[[i]] for which, tokens in visible.items()})[0]
        torch.testing.assert_close(alone, together[[i]], **CLOSE)


def test_embedding_is_the_input_of_the_redshift_head(tiny):
    batch, visible = without(random_batch(4), image=[3], spectrum=[1, 3]), masks(tiny, 4)
    visible["image"][3] = False
    visible["spectrum"][[1, 3]] = False
    embedding = tiny.embedding(batch, visible)
    assert embedding.shape == (4, 2 * TINY_PAPER.width) and torch.isfinite(embedding).all()
    torch.testing.assert_close(tiny.redshift_head(embedding)[:, 0], tiny.redshift(batch, visible)[0])
    for i in range(4):
        alone = tiny.embedding(rows(batch, [i]), {which: tokens[[i]] for which, tokens in visible.items()})
        torch.testing.assert_close(alone, embedding[[i]], **CLOSE)


def test_hidden_content_does_not_change_the_embedding(tiny):
    batch = random_batch(3)
    visible = all_tokens(batch, tiny.n_tokens, True)
    visible["image"][:, :8] = False  # the upper half of the image
    visible["spectrum"][:] = False  # the whole: the published model normalises the visible part by all samples
    other = copied(batch)
    other.image_BCHW[:, :, :8] += 20
    other.values["flux"] = 3 * batch.flux_BL.flip(-1)
    assert torch.equal(tiny.embedding(batch, visible), tiny.embedding(other, visible))


@pytest.mark.parametrize(
    ("values", "match"),
    [({"image_patch": 7}, r"image_patch.*7.*16"), ({"spectrum_patch": 17}, r"spectrum_patch.*17.*16")],
)
def test_invalid_patch_sizes_are_refused(values, match):
    with pytest.raises(ValueError, match=match):
        build_model(dataclasses.replace(TINY_PAPER, **values), SPEC)


def test_reading_equals_redshift_and_embedding(tiny):
    batch, visible = random_batch(3), masks(tiny, 3)
    nothing = fixed_visible(batch, tiny.n_tokens, ("image",), 1.0)
    _, reading = tiny.read(batch, [nothing, visible])
    torch.testing.assert_close(reading.redshift_B, tiny.redshift(batch, visible)[0])
    assert torch.equal(reading.embedding_BD, tiny.embedding(batch, visible)) and reading.probability_BK is None
