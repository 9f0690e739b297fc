"""Masks: number of masked tokens, whole-modality dropout, and the distinction of absent and masked."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mmae.model.batch import Batch
from mmae.model.config import MaskConfig
from mmae.model.draws import Draws
from mmae.model.indexing import gather_tokens, visible_order
from mmae.model.masking import INPUT_MODES, draw_visible, fixed_visible, random_visible
from mmae.model.view import Visible
from tests.model.galaxies import random_batch, without

OPEN = (0.0, 0.0)  # mask ratio: nothing masked


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(batch: Batch, n_tokens: dict[str, int], config: MaskConfig, seed: int) -> Visible:
    return draw_visible(batch, n_tokens, config, Draws(seed, n=len(batch)))


def hidden_by(present_B: torch.Tensor, n_tokens: int, ratio: float, seed: int) -> torch.Tensor:
    return random_visible(present_B, torch.rand(len(present_B), n_tokens, generator=seeded(seed)), ratio)


@pytest.mark.parametrize(
    ("n_tokens", "ratio", "masked"),
    [(64, 0.75, 48), (32, 0.75, 24), (122, 0.9, 110), (10, 0.0, 0), (10, 0.99, 10), (1, 0.3, 0)],
)
def test_number_of_masked_tokens_is_exact(n_tokens, ratio, masked):
    visible = hidden_by(torch.ones(7, dtype=torch.bool), n_tokens, ratio, 0)
    assert (~visible).sum(-1).tolist() == [masked] * 7


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 80), st.floats(0, 1, exclude_max=True), st.lists(st.booleans(), max_size=6), st.integers(0, 2**31)
)
def test_present_galaxies_are_masked_by_the_ratio_and_absent_ones_are_hidden(n_tokens, ratio, present, seed):
    present_B = torch.tensor(present, dtype=torch.bool)
    visible = hidden_by(present_B, n_tokens, ratio, seed)
    assert visible.shape == (len(present), n_tokens) and visible.dtype == torch.bool
    assert not visible[~present_B].any()
    hidden = (~visible[present_B]).sum(-1)
    assert hidden.unique().numel() <= 1  # the same for every galaxy
    assert all(abs(h - ratio * n_tokens) <= 0.5 + 1e-9 for h in hidden.tolist())


def test_tokens_are_masked_uniformly_and_galaxies_independently():
    n, n_tokens, ratio = 4000, 16, 0.75
    visible = hidden_by(torch.ones(n, dtype=torch.bool), n_tokens, ratio, 1)
    share = visible.float().mean(0)
    assert (share - 0.25).abs().max() < 5 * (0.25 * 0.75 / n) ** 0.5
    # C(16, 4) = 1820 masks: independent galaxies use nearly all of them.
    assert len({tuple(row) for row in visible.tolist()}) > 1000


def test_ratio_zero_masks_nothing():
    config = MaskConfig(image_ratio=OPEN, spectrum_ratio=OPEN, drop_spectrum=0.0)
    visible = drawn(random_batch(5), {"image": 16, "spectrum": 7}, config, 3)
    assert visible["image"].all() and visible["spectrum"].all()
    assert visible["image"].shape == (5, 16) and visible["spectrum"].shape == (5, 7)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=8),
    st.integers(0, 10),
    st.integers(0, 10),
    st.sampled_from(["sample", "batch"]),
    st.integers(0, 10_000),
)
def test_every_galaxy_keeps_a_visible_modality(present, tenths, more, unit, seed):
    drop_image = tenths / 10
    config = MaskConfig(
        image_ratio=OPEN,
        spectrum_ratio=OPEN,
        drop_image=drop_image,
        drop_spectrum=min(more / 10, 1 - drop_image),
        drop_unit=unit,
    )
    batch = random_batch(len(present))
    batch = without(
        batch,
        image=[i for i, (has, _) in enumerate(present) if not has],
        spectrum=[i for i, (_, has) in enumerate(present) if not has],
    )
    visible = drawn(batch, {"image": 4, "spectrum": 3}, config, seed)
    for i, (image, spectrum) in enumerate(present):
        image_T, spectrum_T = visible["image"][i], visible["spectrum"][i]
        assert not (image_T.any() and not image) and not (spectrum_T.any() and not spectrum)
        if image and not spectrum:
            assert image_T.all()
        if spectrum and not image:
            assert spectrum_T.all()
        if image and spectrum:
            assert image_T.all() or spectrum_T.all()


def test_modalities_are_dropped_with_the_given_probability():
    n = 4000
    config = MaskConfig(image_ratio=OPEN, spectrum_ratio=OPEN, drop_image=0.2, drop_spectrum=0.5)
    visible = drawn(random_batch(n), {"image": 2, "spectrum": 2}, config, 5)
    for tokens_BT, drop in ((visible["image"], 0.2), (visible["spectrum"], 0.5)):
        shown_B = tokens_BT[:, 0]
        assert torch.equal(shown_B, tokens_BT[:, 1])  # all tokens or none
        assert abs((~shown_B).float().mean() - drop) < 5 * (drop * (1 - drop) / n) ** 0.5


def test_additional_copies_of_a_repeated_galaxy_show_the_spectrum():
    """Hidden spectra of all copies together are as frequent as of a galaxy that occurs once."""
    config = MaskConfig(image_ratio=OPEN, spectrum_ratio=OPEN, drop_image=0.1, drop_spectrum=0.8)
    batch = random_batch(2).map(lambda tensor: tensor[:1].expand(20_000, *tensor.shape[1:]))
    batch = dataclasses.replace(batch, weight_B=torch.full((20_000,), 0.25), object_id=["g"] * 20_000)
    visible = drawn(batch, {"image": 4, "spectrum": 3}, config, 2)
    assert (~visible["spectrum"][:, 0]).float().mean().item() == pytest.approx(0.8 / 4, abs=0.02)
    assert (~visible["image"][:, 0]).float().mean().item() == pytest.approx(0.1, abs=0.02)


def test_certain_and_complementary_drops_leave_exactly_one_modality():
    for drop_image in (0.0, 0.1, 0.5, 0.9, 1.0):
        config = MaskConfig(image_ratio=OPEN, spectrum_ratio=OPEN, drop_image=drop_image, drop_spectrum=1 - drop_image)
        visible = drawn(random_batch(300), {"image": 1, "spectrum": 1}, config, 6)
        assert (visible["image"][:, 0] ^ visible["spectrum"][:, 0]).all(), drop_image


def test_drop_unit_batch_hides_the_spectrum_of_all_or_of_none():
    config = MaskConfig(image_ratio=OPEN, spectrum_ratio=OPEN, drop_spectrum=0.5, drop_unit="batch")
    shares = [
        drawn(random_batch(6), {"image": 2, "spectrum": 2}, config, s)["spectrum"].float().mean().item()
        for s in range(60)
    ]
    assert set(shares) == {0.0, 1.0}
    assert 0.2 < sum(shares) / len(shares) < 0.8  # 5 sigma about one half
    per_galaxy = dataclasses.replace(config, drop_unit="sample")
    visible = drawn(random_batch(60), {"image": 2, "spectrum": 2}, per_galaxy, 0)
    assert 0 < visible["spectrum"].float().mean() < 1


def test_ratios_are_drawn_from_their_ranges():
    """One draw per batch and modality, so that galaxies need no padding."""
    config = MaskConfig(image_ratio=(0.25, 0.75), spectrum_ratio=(0.5, 0.9), drop_spectrum=0.0)
    images, spectra = [], []
    for seed in range(80):
        visible = drawn(random_batch(3), {"image": 100, "spectrum": 100}, config, seed)
        for hidden, name in ((images, "image"), (spectra, "spectrum")):
            (count,) = (~visible[name]).sum(-1).unique()
            hidden.append(count.item())
    for hidden, low, high in ((images, 25, 75), (spectra, 50, 90)):
        assert low <= min(hidden) < low + 6 and high - 6 < max(hidden) <= high
    # The two draws are independent.
    places = [((i - 25) / 50, (s - 50) / 40) for i, s in zip(images, spectra, strict=True)]
    assert max(abs(i - s) for i, s in places) > 0.2


def test_masks_repeat_with_the_seed():
    config, batch = (
        MaskConfig(image_ratio=(0.2, 0.8), spectrum_ratio=(0.2, 0.8), drop_image=0.3, drop_spectrum=0.3),
        random_batch(8),
    )

    def draw(seed):
        visible = drawn(batch, {"image": 16, "spectrum": 8}, config, seed)
        return torch.cat([visible["image"], visible["spectrum"]], 1)

    assert torch.equal(draw(11), draw(11))
    assert not torch.equal(draw(11), draw(12))


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"image_ratio": (0.5, 1.0)}, "image_ratio"),
        ({"image_ratio": (-0.1, 0.5)}, "image_ratio"),
        ({"image_ratio": (0.7, 0.3)}, "image_ratio"),
        ({"spectrum_ratio": (1.5, 1.5)}, "spectrum_ratio"),
        ({"spectrum_ratio": (0.1, float("nan"))}, "spectrum_ratio"),
        ({"drop_image": -0.1}, "drop_image"),
        ({"drop_spectrum": 1.1}, "drop_spectrum"),
        ({"drop_image": 0.6, "drop_spectrum": 0.6}, r"drop_image \+ drop_spectrum"),
    ],
)
def test_invalid_masks_are_refused_by_name(values, match):
    with pytest.raises(ValueError, match=match):
        MaskConfig(**values)


def test_error_of_an_invalid_ratio_names_value_and_range():
    with pytest.raises(ValueError, match=r"\(0\.5, 1\.0\).*\[0, 1\)"):
        MaskConfig(image_ratio=(0.5, 1.0))


@pytest.mark.parametrize(
    ("mode", "image", "spectrum"),
    [
        ("image", [1, 0, 1, 0], [0, 0, 0, 0]),
        ("spectrum", [0, 0, 0, 0], [1, 1, 0, 0]),
        ("both", [1, 0, 1, 0], [1, 1, 0, 0]),
    ],
)
def test_inference_shows_the_present_modalities_of_the_mode(mode, image, spectrum):
    batch = without(random_batch(4), image=[1, 3], spectrum=[2, 3])
    visible = fixed_visible(batch, {"image": 9, "spectrum": 5}, INPUT_MODES[mode])
    assert visible["image"].tolist() == [[bool(v)] * 9 for v in image]
    assert visible["spectrum"].tolist() == [[bool(v)] * 5 for v in spectrum]


def test_inference_masks_follow_ratio_and_generator():
    batch = random_batch(4)
    first, again = (
        fixed_visible(
            batch, {"image": 16, "spectrum": 8}, INPUT_MODES["both"], {"image": 0.75, "spectrum": 0.5}, seeded(9)
        )
        for _ in range(2)
    )
    assert first["image"].sum(-1).tolist() == [4] * 4 and first["spectrum"].sum(-1).tolist() == [4] * 4
    assert torch.equal(first["image"], again["image"]) and torch.equal(first["spectrum"], again["spectrum"])


@settings(deadline=None, max_examples=80)
@given(arrays(bool, st.tuples(st.integers(0, 6), st.integers(1, 12))))
def test_visible_order_and_gather_tokens_give_exactly_the_visible_tokens(visible):
    visible_BT = torch.from_numpy(visible)
    n, n_tokens = visible_BT.shape
    # Every token has its own number, which identifies the gathered tokens.
    tokens_BTP = torch.arange(n * n_tokens).reshape(n, n_tokens, 1).expand(-1, -1, 3)
    n_visible = max((int(v.sum()) for v in visible), default=0)
    order_BV = visible_order(visible_BT, n_visible)
    valid_BV = visible_BT.gather(1, order_BV)
    gathered_BVP = gather_tokens(tokens_BTP, order_BV)
    assert order_BV.shape == gathered_BVP.shape[:2] == (n, n_visible)
    for i in range(n):
        assert sorted(gathered_BVP[i, valid_BV[i], 2].tolist()) == [
            i * n_tokens + t for t in range(n_tokens) if visible[i, t]
        ]
        # Padding tokens are hidden, and no token occurs twice.
        assert not visible_BT[i, order_BV[i, ~valid_BV[i]]].any()
        assert order_BV[i].unique().numel() == order_BV.shape[1]
