"""The masked autoencoder: tokens, influence of visible and hidden content, redshift and embedding."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch

from mmae.model.build import build_model
from mmae.model.config import MMAEConfig
from mmae.model.masking import fixed_visible
from mmae.model.mmae import MMAE
from mmae.model.redshift import bin_edges
from mmae.model.tokens import visible_pixels
from tests.model.galaxies import (
    CLOSE,
    FULL_SPEC,
    SPEC,
    TINY,
    all_tokens,
    copied,
    estimates,
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


def test_token_counts(model):
    assert model.n_tokens == {"image": 16, "spectrum": 7}  # 50 samples: the last patch is zero-padded
    (group,) = model.encode(random_batch(3), all_tokens(random_batch(3), model.n_tokens, True)).groups
    assert group.token_BVD.shape == (3, 1 + (4 + 1) + 7, TINY.width)  # a whole image: 8 x 8 pixels, apertures
    assert group.valid_BV is None


def test_hidden_tokens_are_not_encoded(model):
    visible = masks(model, 3)
    (group,) = model.encode(random_batch(3), visible).groups
    most = visible["image"].sum(-1).max() + visible["spectrum"].sum(-1).max()
    assert group.token_BVD.shape[1] == 1 + most
    assert torch.equal(group.valid_BV.sum(-1), 1 + visible["image"].sum(-1) + visible["spectrum"].sum(-1))


def test_galaxies_are_not_padded_for_modalities_they_do_not_show(model):
    batch = without(random_batch(5), spectrum=[1, 4], image=[3])
    groups = model.encode(batch, all_tokens(batch, model.n_tokens, True)).groups
    found = {tuple(group.alike.row_B.tolist()): group.token_BVD.shape[1] for group in groups}
    assert found == {(1, 4): 1 + 5, (3,): 1 + 7, (0, 2): 1 + 5 + 7}
    assert all(group.valid_BV is None for group in groups)


def test_hidden_image_pixels_have_no_influence(model):
    batch, visible = random_batch(4), masks(model, 4)
    other = copied(batch)
    hidden_BHW = ~visible_pixels(visible["image"], SPEC.image_size)
    other.values["image"] += 50 * hidden_BHW[:, None] * torch.rand(batch.image_BCHW.shape)
    assert not torch.equal(other.image_BCHW, batch.image_BCHW)
    for a, b in zip(estimates(model, batch, visible), estimates(model, other, visible), strict=True):
        assert torch.equal(a, b)


def test_hidden_spectrum_samples_have_no_influence(model):
    """Also not through mean and rms of the normalisation."""
    batch, visible = random_batch(6), masks(model, 6)
    visible["spectrum"][:, 0] = True  # a visible token in every spectrum
    other = copy.deepcopy(batch)
    hidden_BL = ~visible_samples(visible)
    other.flux_BL[hidden_BL] = 100 - 30 * batch.flux_BL[hidden_BL]
    other.ivar_BL[hidden_BL] *= 7
    for a, b in zip(estimates(model, batch, visible), estimates(model, other, visible), strict=True):
        assert torch.equal(a, b)


def test_fully_hidden_spectrum_has_no_influence(model):
    """Also not through mean and rms, which are those of the whole spectrum."""
    batch = random_batch(4)
    other = copied(batch)
    other.values["flux"], other.values["ivar"] = 30 * batch.flux_BL.flip(-1) + 5, batch.ivar_BL.flip(-1) / 7
    visible = masks(model, 4) | {"spectrum": torch.zeros(4, model.n_tokens["spectrum"], dtype=torch.bool)}
    for a, b in zip(model.redshift(batch, visible), model.redshift(other, visible), strict=True):
        assert torch.equal(a, b)
    images = [model.estimate(x, visible).image_BCHW for x in (batch, other)]
    assert torch.equal(*images)


@pytest.mark.parametrize("change", ["image", "flux", "ivar", "position"])
def test_visible_tokens_have_influence(model, change):
    batch = random_batch(4)
    visible = all_tokens(batch, model.n_tokens, True)
    other = copied(batch)
    if change == "image":
        other.image_BCHW[:, 0, 4:8, 4:8] += 5
    elif change == "flux":
        other.flux_BL[:, 20:24] += 3
    elif change == "ivar":
        other.ivar_BL[:, 20:24] += 5
    else:  # the same tokens at other positions
        other.values["image"] = batch.image_BCHW.roll(4, -1)
    before, after = estimates(model, batch, visible), estimates(model, other, visible)
    for a, b in zip(before, after, strict=True):
        assert (a != b).reshape(4, -1).any(1).all()


@pytest.mark.parametrize("modality", ["image", "spectrum"])
def test_visible_tokens_carry_their_position(model, modality):
    """All patches have the same content, so that tokens differ by position only."""
    batch = random_batch(1)
    batch.image_BCHW[:] = 1.0
    batch.values["flux"] = torch.tensor([1.0, 3.0]).repeat(25)[None]  # a patch of 8 is four periods
    batch.values["ivar"] = torch.ones(1, 50)
    encoded = []
    for token in range(6):  # the seventh spectrum patch is zero-padded and differs from the others
        visible = all_tokens(batch, model.n_tokens, False)
        visible[modality][0, token] = True
        encoded.append(model.encode(batch, visible).groups[0].token_BVD)
    assert all(not torch.allclose(a, b, atol=1e-3) for a, b in itertools.combinations(encoded, 2))


def test_brightness_of_a_spectrum_has_influence(model):
    batch = random_batch(3)
    brighter = copied(batch)
    brighter.values["flux"], brighter.values["ivar"] = 5 * batch.flux_BL, batch.ivar_BL / 25
    visible = all_tokens(batch, model.n_tokens, True)
    points = [model.redshift(b, visible)[0] for b in (batch, brighter)]
    assert (points[0] != points[1]).all()


def test_galaxies_of_a_batch_are_independent(model):
    batch, visible = without(random_batch(5), spectrum=[3]), masks(model, 5)
    visible["spectrum"][3] = False
    visible["image"][0, 1:] = False  # far fewer visible tokens than the others: padded
    together = estimates(model, batch, visible)
    for i in range(5):
        one = {which: tokens[[i]] for which, tokens in visible.items()}
        for batched, alone in zip(together, estimates(model, rows(batch, [i]), one), strict=True):
            torch.testing.assert_close(batched[[i]], alone, **CLOSE)


def test_redshift_equals_that_of_the_estimate(model):
    batch, visible = random_batch(3), masks(model, 3)
    estimate = model.estimate(batch, visible)
    point, low, high = model.redshift(batch, visible)
    assert torch.equal(point, estimate.redshift_B)
    assert torch.equal(low, estimate.redshift_low_B) and torch.equal(high, estimate.redshift_high_B)
    assert (low < point).all() and (point < high).all()


def test_embedding_is_the_mean_of_the_visible_tokens(model):
    batch, visible = without(random_batch(4), image=[3], spectrum=[2, 3]), masks(model, 4)
    visible["image"][3] = False
    visible["spectrum"][2:] = False
    embedding = model.embedding(batch, visible)
    assert embedding.shape == (4, TINY.width) and torch.isfinite(embedding).all()
    for i in range(4):
        one = {which: tokens[[i]] for which, tokens in visible.items()}
        (group,) = model.encode(rows(batch, [i]), one).groups
        assert group.valid_BV is None  # a single galaxy has no padding
        torch.testing.assert_close(embedding[i], group.token_BVD[0].mean(0), **CLOSE)
    assert not torch.allclose(embedding[0], embedding[1], atol=1e-3)


def test_hidden_content_does_not_change_the_embedding(model):
    """Padding tokens are hidden tokens, and must not enter the mean."""
    batch, visible = random_batch(4), masks(model, 4)
    visible["image"][0, 1:] = False
    other = copied(batch)
    other.values["image"] += 50 * ~visible_pixels(visible["image"], SPEC.image_size)[:, None]
    other.flux_BL[~visible_samples(visible)] += 100
    assert torch.equal(model.embedding(batch, visible), model.embedding(other, visible))


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"image": {"patch": 32}}, r"image\.patch.*32.*16"),
        ({"image": {"patch": 5}}, r"image\.patch.*5"),
        ({"spectrum": {"patch": 51}}, r"spectrum\.patch.*51.*50"),
        ({"image": {"patch": 0}}, r"image\.patch.*0"),
        ({"depth": 0}, "depth.*0"),
        ({"width": 20}, "width.*20.*8"),
        ({"decoder_width": 12}, "decoder_width.*12"),
    ],
)
def test_invalid_sizes_are_refused(values, match):
    with pytest.raises(ValueError, match=match):
        build_model(tiny(**values), SPEC)


def test_token_counts_of_the_default_model_on_the_full_grid():
    model = build_model(MMAEConfig(), FULL_SPEC)
    assert model.n_tokens == {"image": 64, "spectrum": 122}


def test_reading_equals_redshift_and_embedding(model):
    batch, visible = random_batch(4), masks(model, 4)
    nothing = fixed_visible(batch, model.n_tokens, ("image",), 1.0)
    _, reading, _ = model.read(batch, [nothing, visible, nothing])  # masks are independent
    assert torch.equal(reading.redshift_B, model.redshift(batch, visible)[0])
    assert torch.equal(reading.embedding_BD, model.embedding(batch, visible))
    torch.testing.assert_close(reading.probability_BK.sum(-1), torch.ones(4))
    below_BK = reading.probability_BK.cumsum(-1)
    edges = torch.expm1(bin_edges(TINY.redshift))[1:]
    for i in range(4):  # the point estimate is the median
        above = int((below_BK[i] < 0.5).sum())
        assert edges[above - 1] <= reading.redshift_B[i] <= edges[above]
