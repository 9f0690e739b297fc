"""The masked autoencoder: what it may see, what counts in the loss, and that it learns."""

from __future__ import annotations

import copy
import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmae.model.build import build_model
from mmae.model.masking import Visible, fixed_visible
from mmae.model.mmae import MMAE, MMAEConfig, alike, chosen
from mmae.model.redshift import bin_edges
from mmae.model.tokens import visible_pixels
from tests.model.galaxies import (
    FULL_SPEC,
    SPEC,
    TINY,
    all_tokens,
    copied,
    everything,
    random_batch,
    random_masks,
    rows,
    tiny,
    without,
)

CLOSE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture(scope="module")
def model() -> MMAE:
    torch.manual_seed(4)
    model = build_model(TINY, SPEC)
    for seed in range(30):  # batch normalisation as after some training
        model(random_batch(8, seed=seed), masks(model, 8, seed))
    for modality in model.modalities.values():  # that begin at zero
        torch.nn.init.normal_(modality.to_patch[-1].weight, std=0.2)
    return model.eval()


def test_nothing_is_reconstructed_before_anything_is_learned():
    model = build_model(TINY, SPEC).eval()
    batch, visible = random_batch(4), masks(model, 4)
    visible["spectrum"][:, 0] = visible["image"][:, 0] = True
    estimate = model.estimate(batch, visible)
    assert (estimate.image_BCHW == estimate.image_BCHW[:1, :, :1, :1]).all()  # the mean of each band
    assert (estimate.flux_BL == estimate.flux_BL[:, :1]).all()  # the level of each spectrum


def masks(model: MMAE, n: int, seed: int = 0) -> Visible:
    return random_masks(n, model.n_tokens, seed)


def visible_samples(visible: Visible) -> torch.Tensor:
    """Which spectrum samples the encoder sees: (B, L)."""
    return visible["spectrum"].repeat_interleave(TINY.modalities.spectrum.patch, 1)[:, : SPEC.n_wavelengths]


def test_token_counts(model):
    assert model.n_tokens == {"image": 16, "spectrum": 7}  # 50 samples: the last patch is filled up
    (group,) = model.look(random_batch(3), all_tokens(random_batch(3), model.n_tokens, True)).groups
    assert group.token_BVD.shape == (3, 1 + 16 + 7, TINY.width) and group.valid_BV is None


def test_hidden_tokens_cost_nothing(model):
    visible = masks(model, 3)
    (group,) = model.look(random_batch(3), visible).groups
    most = visible["image"].sum(-1).max() + visible["spectrum"].sum(-1).max()
    assert group.token_BVD.shape[1] == 1 + most
    assert torch.equal(group.valid_BV.sum(-1), 1 + visible["image"].sum(-1) + visible["spectrum"].sum(-1))


def test_a_galaxy_does_not_wait_for_modalities_it_does_not_show(model):
    batch = without(random_batch(5), spectrum=[1, 4], image=[3])
    groups = model.look(batch, all_tokens(batch, model.n_tokens, True)).groups
    found = {tuple(group.row_B.tolist()): group.token_BVD.shape[1] for group in groups}
    assert found == {(1, 4): 1 + 16, (3,): 1 + 7, (0, 2): 1 + 16 + 7}
    assert all(group.valid_BV is None for group in groups)


def test_hidden_image_pixels_influence_nothing(model):
    batch, visible = random_batch(4), masks(model, 4)
    other = copied(batch)
    hidden_BHW = ~visible_pixels(visible["image"], SPEC.image_size)
    other.values["image"] += 50 * hidden_BHW[:, None] * torch.rand(batch.image_BCHW.shape)
    assert not torch.equal(other.image_BCHW, batch.image_BCHW)
    for a, b in zip(everything(model, batch, visible), everything(model, other, visible), strict=True):
        assert torch.equal(a, b)


def test_hidden_spectrum_samples_influence_nothing(model):
    """Not even through the level and scale by which a spectrum is normalised."""
    batch, visible = random_batch(6), masks(model, 6)
    visible["spectrum"][:, 0] = True  # something of every spectrum is seen
    other = copy.deepcopy(batch)
    hidden_BL = ~visible_samples(visible)
    other.flux_BL[hidden_BL] = 100 - 30 * batch.flux_BL[hidden_BL]
    other.ivar_BL[hidden_BL] *= 7
    for a, b in zip(everything(model, batch, visible), everything(model, other, visible), strict=True):
        assert torch.equal(a, b)


def test_gradients_add_up_in_a_fixed_order(model):
    """The gradient of indexing a parameter accumulates in thread order on a CPU: runs would differ."""
    batch = random_batch(4)
    seen, open_nodes = set(), [model(batch, masks(model, 4)).total.grad_fn]
    while open_nodes:
        node = open_nodes.pop()
        if node is not None and node not in seen:
            seen.add(node)
            open_nodes += [following for following, _ in node.next_functions]
    names = {node.name() for node in seen}
    assert "GatherBackward0" in names  # the walk did reach the picking of tokens
    assert not {name for name in names if name.startswith(("Index", "Embedding"))}


def test_a_wholly_hidden_spectrum_tells_the_redshift_nothing(model):
    """Not even by its brightness, which is of the whole spectrum."""
    batch = random_batch(4)
    other = copied(batch)
    other.values["flux"], other.values["ivar"] = 30 * batch.flux_BL.flip(-1) + 5, batch.ivar_BL.flip(-1) / 7
    visible = masks(model, 4) | {"spectrum": torch.zeros(4, model.n_tokens["spectrum"], dtype=torch.bool)}
    for a, b in zip(model.redshift(batch, visible), model.redshift(other, visible), strict=True):
        assert torch.equal(a, b)
    images = [model.estimate(x, visible).image_BCHW for x in (batch, other)]
    assert torch.equal(*images)


@pytest.mark.parametrize("change", ["image", "flux", "ivar", "place"])
def test_visible_tokens_matter(model, change):
    batch = random_batch(4)
    visible = all_tokens(batch, model.n_tokens, True)
    other = copied(batch)
    if change == "image":
        other.image_BCHW[:, 0, 4:8, 4:8] += 5
    elif change == "flux":
        other.flux_BL[:, 20:24] += 3
    elif change == "ivar":
        other.ivar_BL[:, 20:24] += 5
    else:  # the same tokens in other places
        other.values["image"] = batch.image_BCHW.roll(4, -1)
    before, after = everything(model, batch, visible), everything(model, other, visible)
    for a, b in zip(before, after, strict=True):
        assert ((a - b).abs().reshape(4, -1).amax(1) > 3e-6).all()


@pytest.mark.parametrize("modality", ["image", "spectrum"])
def test_a_visible_token_knows_its_place(model, modality):
    """All patches are alike: which one of them is visible can be told by its position only."""
    batch = random_batch(1)
    batch.image_BCHW[:] = 1.0
    batch.values["flux"] = torch.tensor([1.0, 3.0]).repeat(25)[None]  # a patch of 8 is four periods
    batch.values["ivar"] = torch.ones(1, 50)
    encoded = []
    for place in range(6):  # the seventh spectrum patch is filled up and so unlike the others
        visible = all_tokens(batch, model.n_tokens, False)
        visible[modality][0, place] = True
        encoded.append(model.look(batch, visible).groups[0].token_BVD)
    assert all(not torch.allclose(a, b, atol=1e-3) for a, b in itertools.combinations(encoded, 2))


def test_the_brightness_of_a_spectrum_is_seen(model):
    batch = random_batch(3)
    brighter = copied(batch)
    brighter.values["flux"], brighter.values["ivar"] = 5 * batch.flux_BL, batch.ivar_BL / 25
    visible = all_tokens(batch, model.n_tokens, True)
    points = [model.redshift(b, visible)[0] for b in (batch, brighter)]
    assert ((points[0] - points[1]).abs() > 1e-5).all()


def test_image_loss_is_the_error_of_hidden_measured_pixels(model):
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


@pytest.mark.parametrize("modality", ["image", "spectrum"])
def test_a_position_is_decoded_by_its_own_query(model, modality):
    """Moving the query of the second patch changes the second patch of its modality, nothing else."""
    batch, visible = random_batch(2), masks(model, 2)
    before = model.estimate(batch, visible)
    moved = copy.deepcopy(model)
    with torch.no_grad():
        moved.modalities[modality].query_TE[1] += torch.randn(TINY.decoder_width)
    after = moved.estimate(batch, visible)
    image = (after.image_BCHW != before.image_BCHW).any(0).any(0)
    flux = (after.flux_BL != before.flux_BL).any(0)
    expected_image, expected_flux = torch.zeros_like(image), torch.zeros_like(flux)
    if modality == "image":
        expected_image[:4, 4:8] = True
    else:
        expected_flux[8:16] = True
    assert torch.equal(image, expected_image) and torch.equal(flux, expected_flux)


def test_estimate_tells_what_was_seen(model):
    batch, visible = random_batch(3), masks(model, 3)
    estimate = model.estimate(batch, visible)
    assert torch.equal(estimate.visible_BHW, visible_pixels(visible["image"], SPEC.image_size))
    assert torch.equal(estimate.visible_BL, visible_samples(visible))
    assert estimate.image_BCHW.shape == batch.image_BCHW.shape
    assert estimate.flux_BL.shape == batch.flux_BL.shape


def test_estimate_is_in_the_units_of_the_flux(model):
    """A spectrum ten times as bright comes back ten times as bright, but for what brightness tells."""
    batch, visible = random_batch(3), masks(model, 3)
    with torch.no_grad():
        model_without_brightness = build_model(TINY, SPEC).eval()
        model_without_brightness.modalities["spectrum"].brightness.weight.zero_()
    brighter = copied(batch)
    brighter.values["flux"], brighter.values["ivar"] = 10 * batch.flux_BL, batch.ivar_BL / 100
    here, there = (model_without_brightness.estimate(b, visible).flux_BL for b in (batch, brighter))
    torch.testing.assert_close(there, 10 * here, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(("share", "asked"), [(1.0, 8), (0.5, 4), (0.3, 3)])
def test_a_share_of_a_training_batch_is_reconstructed(share, asked):
    torch.manual_seed(1)
    model = build_model(tiny(reconstructed=share), SPEC).train()
    batch, visible = random_batch(8), masks(model, 8)
    visible["spectrum"][7] = False  # the only one of its group, which may have nothing to reconstruct

    def parts(galaxy: int | None, training: bool = True) -> dict[str, float]:
        changed = copied(batch)
        if galaxy is not None:
            hidden_HW = ~visible_pixels(visible["image"], SPEC.image_size)[galaxy]
            changed.image_BCHW[galaxy, :, hidden_HW] += 1
            changed.flux_BL[galaxy, ~visible_samples(visible)[galaxy]] += 1
        return {name: loss.item() for name, loss in model.train(training)(changed, visible).parts.items()}

    for galaxy in range(8):
        as_it_was, changed = parts(None), parts(galaxy)
        assert {n for n in changed if changed[n] != as_it_was[n]} == (
            {"image", "spectrum"} if galaxy < asked else set()
        )
    assert parts(7, training=False)["image"] != parts(None, training=False)["image"]  # validation asks for all
    later = copied(batch)
    later.redshift_B[7] += 0.5
    assert model.train()(later, visible).parts["redshift"].item() != parts(None)["redshift"]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.floats(0.05, 1.0), st.integers(0, 99))
def test_half_of_the_chosen_show_the_most_and_each_group_gives_its_first(n_galaxies, share, seed):
    generator = torch.Generator().manual_seed(seed)
    visible = {
        name: torch.rand(n_galaxies, 3, generator=generator) < 0.4 for name in ("image", "spectrum", "magnitudes")
    }
    is_chosen = chosen(visible, share)
    n_shown = torch.stack([tokens.any(-1) for tokens in visible.values()]).sum(0)
    n = math.ceil(share * n_galaxies)
    assert is_chosen.sum() == n
    assert (
        n_shown[is_chosen].sort(descending=True).values[: n // 2].tolist()
        == n_shown.sort(descending=True).values[: n // 2].tolist()
    )
    for group in alike(visible):
        assert is_chosen[group].tolist() == sorted(is_chosen[group].tolist(), reverse=True)


def test_total_weighs_the_parts():
    config = tiny(image={"weight": 2.0}, spectrum={"weight": 0.5}, redshift_weight=3.0)
    model = build_model(config, SPEC).eval()
    losses = model(random_batch(4), masks(model, 4))
    expected = 2 * losses.parts["image"] + 0.5 * losses.parts["spectrum"] + 3 * losses.parts["redshift"]
    torch.testing.assert_close(losses.total, expected)
    assert min(losses.parts["image"], losses.parts["spectrum"], losses.parts["redshift"]) > 0


def test_absent_modalities_are_no_targets(model):
    """Galaxies that lack a modality leave the loss of that modality as it is without them."""
    batch, visible = without(random_batch(6), image=[0, 1], spectrum=[2], redshift=[3, 4]), masks(model, 6)
    visible["image"][:2] = False
    visible["spectrum"][2] = False
    for name, kept in (("image", [2, 3, 4, 5]), ("spectrum", [0, 1, 3, 4, 5]), ("redshift", [0, 1, 2, 5])):
        fewer = {which: tokens[kept] for which, tokens in visible.items()}
        torch.testing.assert_close(
            model(batch, visible).parts[name], model(rows(batch, kept), fewer).parts[name], **CLOSE
        )


def test_a_galaxy_does_not_depend_on_the_rest_of_the_batch(model):
    batch, visible = without(random_batch(5), spectrum=[3]), masks(model, 5)
    visible["spectrum"][3] = False
    visible["image"][0, 1:] = False  # far fewer visible tokens than the others: filled up
    together = everything(model, batch, visible)
    for i in range(5):
        one = {which: tokens[[i]] for which, tokens in visible.items()}
        for all_of_them, alone in zip(together, everything(model, rows(batch, [i]), one), strict=True):
            torch.testing.assert_close(all_of_them[[i]], alone, **CLOSE)


def test_redshift_alone_equals_the_estimate(model):
    batch, visible = random_batch(3), masks(model, 3)
    estimate = model.estimate(batch, visible)
    point, low, high = model.redshift(batch, visible)
    assert torch.equal(point, estimate.redshift_B)
    assert torch.equal(low, estimate.redshift_low_B) and torch.equal(high, estimate.redshift_high_B)
    assert (low < point).all() and (point < high).all()


def test_embedding_is_the_mean_of_what_is_visible(model):
    batch, visible = without(random_batch(4), image=[3], spectrum=[2, 3]), masks(model, 4)
    visible["image"][3] = False
    visible["spectrum"][2:] = False
    embedding = model.embedding(batch, visible)
    assert embedding.shape == (4, TINY.width) and torch.isfinite(embedding).all()
    for i in range(4):
        one = {which: tokens[[i]] for which, tokens in visible.items()}
        (group,) = model.look(rows(batch, [i]), one).groups
        assert group.valid_BV is None  # alone, nothing is filled up
        torch.testing.assert_close(embedding[i], group.token_BVD[0].mean(0), **CLOSE)
    assert not torch.allclose(embedding[0], embedding[1], atol=1e-3)


def test_hidden_content_does_not_reach_the_embedding(model):
    """The tokens that fill up a batch are hidden ones: theirs must not count either."""
    batch, visible = random_batch(4), masks(model, 4)
    visible["image"][0, 1:] = False
    other = copied(batch)
    other.values["image"] += 50 * ~visible_pixels(visible["image"], SPEC.image_size)[:, None]
    other.flux_BL[~visible_samples(visible)] += 100
    assert torch.equal(model.embedding(batch, visible), model.embedding(other, visible))


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"image": {"patch": 32}}, r"image.patch is 32 .*16 pixels"),
        ({"image": {"patch": 5}}, "5: it must be a power of two"),
        ({"spectrum": {"patch": 51}}, r"spectrum.patch is 51.*50 samples"),
        ({"image": {"patch": 0}}, "image.patch is 0"),
        ({"depth": 0}, "depth is 0"),
        ({"width": 20}, r"width is 20.*multiple of.*8"),
        ({"decoder_width": 12}, "decoder_width is 12"),
    ],
)
def test_sizes_that_do_not_fit_are_refused_with_the_number(values, says):
    with pytest.raises(ValueError, match=says):
        build_model(tiny(**values), SPEC)


def test_default_model_on_the_full_grid_has_the_stated_tokens():
    model = build_model(MMAEConfig(), FULL_SPEC)
    assert model.n_tokens == {"image": 64, "spectrum": 122}


def test_a_tiny_model_overfits_eight_galaxies():
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
    # The label is a Gaussian of one bin: its entropy, about 1.4, is the floor.
    assert last.parts["redshift"] < 1.7 < 2.5 < first.parts["redshift"]
    point, _, _ = model.eval().redshift(batch, visible)
    assert ((point - batch.redshift_B).abs() / (1 + batch.redshift_B)).max() < 0.1


def test_one_reading_is_redshift_and_embedding(model):
    batch, visible = random_batch(4), masks(model, 4)
    nothing = fixed_visible(batch, model.n_tokens, ("image",), 1.0)
    _, reading, _ = model.read(batch, [nothing, visible, nothing])  # one mask does not touch the next
    assert torch.equal(reading.redshift_B, model.redshift(batch, visible)[0])
    assert torch.equal(reading.embedding_BD, model.embedding(batch, visible))
    torch.testing.assert_close(reading.probability_BK.sum(-1), torch.ones(4))
    below_BK = reading.probability_BK.cumsum(-1)
    edges = torch.expm1(bin_edges(TINY.redshift))[1:]
    for i in range(4):  # half of p(z) lies below the point estimate
        above = int((below_BK[i] < 0.5).sum())
        assert edges[above - 1] <= reading.redshift_B[i] <= edges[above]
