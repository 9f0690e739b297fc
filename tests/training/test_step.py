"""One optimiser step: schedule, randomness, clipping, weight decay."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmae.config import ComputeConfig, OptimConfig, RunConfig
from mmae.loader.sampler import Portion
from mmae.model.config import MaskConfig, ModelConfig
from mmae.model.draws import Draws
from mmae.model.modalities.image import flip_and_turn
from mmae.training.step import (
    NonFiniteLoss,
    TrainState,
    create_state,
    dropout_seed,
    learning_rate,
    masked_rows,
    require_finite,
    training_step,
)
from tests.model.galaxies import SPEC, TINY, TINY_PAPER, copied, random_batch

CPU = torch.device("cpu")
RUN = RunConfig(
    model=TINY,
    masks=MaskConfig(image_ratio=(0.2, 0.8), spectrum_ratio=(0.2, 0.8), drop_image=0.2, drop_spectrum=0.4),
    redshift_masks=MaskConfig(image_ratio=(0.0, 0.0), spectrum_ratio=(0.0, 0.0), drop_image=0.0, drop_spectrum=0.5),
    optim=OptimConfig(steps=20, learning_rate=3e-3, warmup_steps=2, ema_decay=0.9),
)


def train(config: RunConfig, steps: int) -> tuple[TrainState, list[float]]:
    state = create_state(config, SPEC, CPU)
    losses = [training_step(state, random_batch(6, seed=s), config)[0].total.item() for s in range(steps)]
    return state, losses


def with_optim(**values) -> RunConfig:
    return dataclasses.replace(RUN, optim=dataclasses.replace(RUN.optim, **values))


def test_learning_rate_end_points():
    optim = OptimConfig(steps=110, learning_rate=1e-2, final_learning_rate=1e-4, warmup_steps=10)
    assert learning_rate(0, optim) == pytest.approx(1e-3)  # not zero: the first step must have an effect
    assert learning_rate(4, optim) == pytest.approx(5e-3)
    assert learning_rate(9, optim) == learning_rate(10, optim) == pytest.approx(1e-2)
    assert learning_rate(60, optim) == pytest.approx((1e-2 + 1e-4) / 2)  # half of the way down
    assert learning_rate(110, optim) == learning_rate(500, optim) == pytest.approx(1e-4)
    rates = [learning_rate(s, optim) for s in range(111)]
    assert rates[:10] == sorted(rates[:10]) and rates[10:] == sorted(rates[10:], reverse=True)


def test_learning_rate_of_the_paper_is_constant():
    optim = OptimConfig(steps=50, learning_rate=1e-4, final_learning_rate=1e-4, warmup_steps=0)
    assert {learning_rate(s, optim) for s in range(60)} == {1e-4}


def test_learning_rate_with_warm_up_longer_than_the_run():
    optim = OptimConfig(steps=5, learning_rate=1e-3, warmup_steps=10)
    assert [learning_rate(s, optim) for s in range(5)] == pytest.approx([1e-4, 2e-4, 3e-4, 4e-4, 5e-4])


def test_every_step_uses_its_learning_rate():
    state, _ = train(RUN, 4)
    assert {g["lr"] for g in state.optimisers[0].param_groups} == {learning_rate(3, RUN.optim)}


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 6), st.integers(1, 4), st.integers(1, 6), st.integers(0, 1000))
def test_turned_images_keep_their_pixels_and_bands(n, n_bands, size, seed):
    image = torch.randn(n, n_bands, size, size)
    turned = flip_and_turn(image, Draws(seed, n=n))
    assert torch.equal(turned.flatten(2).sort().values, image.flatten(2).sort().values)


def test_all_bands_turn_together():
    image = torch.rand(40, 1, 5, 5).expand(-1, 3, -1, -1)
    turned = flip_and_turn(image, Draws(1, n=40))
    assert torch.equal(turned[:, 0], turned[:, 1]) and torch.equal(turned[:, 0], turned[:, 2])


def test_all_eight_orientations_occur_equally_often():
    n = 4000
    image = torch.tensor([[1.0, 2.0, 0.0], [3.0, 0.0, 0.0], [0.0, 0.0, 0.0]])  # no symmetry
    turned = flip_and_turn(image.expand(n, 1, 3, 3), Draws(2, n=n))
    kinds, counts = turned.reshape(n, 9).unique(dim=0, return_counts=True)
    group = {tuple(torch.rot90(x, k).flatten().tolist()) for x in (image, image.T) for k in range(4)}
    assert {tuple(k) for k in kinds.tolist()} == group and len(group) == 8
    assert (counts / n - 1 / 8).abs().max() < 5 * (1 / 8 * 7 / 8 / n) ** 0.5


def test_dropout_depends_on_seed_step_and_rank():
    places = [(seed, step, rank) for seed in (0, 1, 7) for step in (0, 1, 2, 500) for rank in (0, 1, 2)]
    assert len({dropout_seed(*place) for place in places}) == len(places)


@settings(deadline=None)
@given(st.integers(1, 200), st.integers(1, 20), st.integers(1, 8))
def test_masked_galaxies_are_a_fraction_of_every_part_of_the_batch(n, twentieths, world):
    share = twentieths / 20
    row_N = masked_rows(n, share)
    assert abs(len(row_N) - share * n) < 1 and row_N[0] == 0
    for rank in range(world):
        mine = Portion(rank, world).rows(n)
        masked = ((row_N >= mine.start) & (row_N < mine.stop)).sum()
        assert abs(masked - share * (mine.stop - mine.start)) < 1 + 1e-9


def test_same_seed_gives_the_same_losses():
    first, again = train(RUN, 5)[1], train(RUN, 5)[1]
    assert first == again


def test_losses_do_not_depend_on_the_global_generator():
    config = dataclasses.replace(RUN, model=TINY_PAPER, redshift_masks=None)
    losses = []
    for noise in (1, 2):
        state = create_state(config, SPEC, CPU)
        torch.manual_seed(noise)
        losses.append([training_step(state, random_batch(4), config)[0].total.item() for _ in range(2)])
    assert losses[0] == losses[1]


def test_another_seed_gives_other_losses():
    assert train(dataclasses.replace(RUN, seed=1), 3)[1] != train(RUN, 3)[1]


def test_initial_weights_depend_on_the_seed_only():
    def weights(seed):
        torch.rand(seed + 3)
        state = create_state(dataclasses.replace(RUN, seed=seed), SPEC, CPU)
        return torch.cat([p.detach().flatten() for p in state.model.parameters()])

    assert torch.equal(weights(0), weights(0)) and not torch.equal(weights(0), weights(1))


def gradient_norm(state: TrainState) -> float:
    return math.sqrt(sum(p.grad.square().sum().item() for p in state.model.parameters()))


def test_clipping_bounds_the_gradient_and_returns_the_norm_before_clipping():
    config = with_optim(clip=1e-2)
    state = create_state(config, SPEC, CPU)
    _, norm = training_step(state, random_batch(6), config)
    assert norm > 0.1  # otherwise nothing is clipped
    assert gradient_norm(state) == pytest.approx(1e-2, rel=1e-3)
    config = with_optim(clip=1e6)
    state = create_state(config, SPEC, CPU)
    _, free_norm = training_step(state, random_batch(6), config)
    assert gradient_norm(state) == pytest.approx(free_norm.item(), rel=1e-5) == pytest.approx(norm.item())


def decayed_parameters(model: ModelConfig) -> tuple[dict[str, torch.Tensor], set[str]]:
    """All parameters, and the names of those on which weight decay acts, by the factor 1 - 0.1 * 0.5.

    With zero gradients AdamW changes a parameter by its decay alone.
    """
    config = dataclasses.replace(with_optim(weight_decay=0.5, learning_rate=0.1), model=model, redshift_masks=None)
    state = create_state(config, SPEC, CPU)
    with torch.no_grad():  # biases are initialised to zero, which decay does not change
        for p in state.model.parameters():
            p.add_(0.3)
    before = {n: p.detach().clone() for n, p in state.model.named_parameters()}
    for p in state.model.parameters():
        p.grad = torch.zeros_like(p)
    state.optimisers[0].step()
    decayed = set()
    for name, p in state.model.named_parameters():
        if not torch.equal(p, before[name]):
            torch.testing.assert_close(p.detach(), before[name] * (1 - 0.1 * 0.5))
            decayed.add(name)
    return before, decayed


def test_weight_decay_acts_on_matrices_only():
    before, decayed = decayed_parameters(TINY)
    spared = before.keys() - decayed
    assert decayed and all(before[n].ndim == 2 for n in decayed)
    assert all(before[n].ndim != 2 or "position" in n or "query" in n or "template" in n for n in spared)
    for word in ("bias", "norm", "position", "modality", "register"):
        assert not [n for n in decayed if word in n]
    assert not {"modalities.image.query_TE", "modalities.spectrum.position_TD", "redshift_head.query"} & decayed
    assert {n for n in before if n.endswith(("logits.1.weight", "logits.3.weight"))} <= decayed


PAPER_SLOW = {"image_position", "spectrum_position", "image_pool.query", "spectrum_pool.query"}


def test_weight_decay_of_the_paper_acts_on_all_but_positions_and_queries():
    before, decayed = decayed_parameters(TINY_PAPER)
    assert before.keys() - decayed == PAPER_SLOW


def test_positions_and_queries_of_the_paper_learn_at_a_tenth_of_the_rate():
    """The first step of AdamW without decay moves every number by its learning rate."""
    config = dataclasses.replace(
        with_optim(weight_decay=0.0, learning_rate=0.02, warmup_steps=0), model=TINY_PAPER, redshift_masks=None
    )
    state = create_state(config, SPEC, CPU)
    before = {n: p.detach().clone() for n, p in state.model.named_parameters()}
    training_step(state, random_batch(6), config)
    moved = {n: (p.detach() - before[n]).abs().median().item() for n, p in state.model.named_parameters()}
    slow = {n for n, step in moved.items() if step == pytest.approx(0.002, rel=0.05)}
    fast = {n for n, step in moved.items() if step == pytest.approx(0.02, rel=0.05)}
    assert slow == PAPER_SLOW and fast == before.keys() - PAPER_SLOW
    assert [g["lr"] for g in state.optimisers[0].param_groups] == pytest.approx([0.02, 0.002])


def test_a_model_without_own_rules_trains_as_with_one_rate_in_two_plain_groups():
    """To the last bit."""
    state, plain = create_state(RUN, SPEC, CPU), create_state(RUN, SPEC, CPU)
    named = dict(plain.model.named_parameters())
    matrices = [n for n, p in named.items() if p.ndim == 2 and n.endswith("weight")]
    plain.optimisers = [
        torch.optim.AdamW(
            [
                {"params": [named[n] for n in matrices], "weight_decay": RUN.optim.weight_decay, "rate_factor": 1},
                {"params": [p for n, p in named.items() if n not in matrices], "weight_decay": 0.0, "rate_factor": 1},
            ],
            fused=True,
        )
    ]
    for seed in range(3):
        for one in (state, plain):
            training_step(one, random_batch(6, seed=seed), RUN)
    assert [n for n, p in state.model.named_parameters() if not torch.equal(p, named[n])] == []


def test_muon_updates_the_matrices_of_inner_layers_by_orthogonal_matrices():
    """A step without decay: the largest singular value of an update does not depend on the size of the gradient."""
    config = with_optim(muon_learning_rate=2e-3, muon_decoder_factor=3.0, weight_decay=0.0, warmup_steps=0)
    state = create_state(config, SPEC, CPU)
    training_step(state, random_batch(6), config)  # layers initialised to zero pass gradients from the second step
    before = {n: p.detach().clone() for n, p in state.model.named_parameters()}
    training_step(state, random_batch(6), config)
    by_muon = {id(p) for g in state.optimisers[1].param_groups for p in g["params"]}
    for name, p in state.model.named_parameters():
        inner = any(
            part in name
            for part in ("encoder.", "decoder.", "mixing.", "stem.", "stem_to_token", "read.", "head.hidden")
        )
        assert (id(p) in by_muon) == (inner and p.ndim == 2)
        if id(p) in by_muon and not torch.equal(
            p, before[name]
        ):  # layers that no galaxy of the batch needs have no gradient
            size_N = torch.linalg.svdvals(p.detach() - before[name])
            factor = 3.0 if "decoder." in name or "mixing." in name else 1.0
            scale = (
                0.2 * factor * 2e-3 * max(p.shape) ** 0.5
            )  # Liu et al. 2025: the root mean square of an AdamW update
            assert 0.5 * scale < size_N.max() < 1.3 * scale


@pytest.mark.parametrize("muon", [0.0, 2e-3])
def test_every_parameter_is_optimised_once(muon):
    state = create_state(with_optim(muon_learning_rate=muon), SPEC, CPU)
    listed = [id(p) for o in state.optimisers for g in o.param_groups for p in g["params"]]
    assert sorted(listed) == sorted(id(p) for p in state.model.parameters())


def test_steps_change_every_parameter_and_are_counted():
    state = create_state(RUN, SPEC, CPU)
    before = {n: p.detach().clone() for n, p in state.model.named_parameters()}
    for seed in range(2):  # layers initialised to zero pass gradients from the second step
        training_step(state, random_batch(8, seed=seed), RUN)
    assert state.step == 2
    assert [n for n, p in state.model.named_parameters() if torch.equal(p, before[n])] == []


@pytest.mark.parametrize(("decay", "kept"), [(0.02, (0.02, 0.02)), (0.75, (2 / 51, 3 / 52))])
def test_weights_are_averaged_with_the_decay_or_over_a_fiftieth_of_the_steps(decay, kept):
    config = with_optim(ema_decay=decay, augment=False)
    state = create_state(config, SPEC, CPU)
    expected = None
    for s in range(3):
        training_step(state, random_batch(6, seed=s), config)
        raw = state.model.modalities["image"].pixels_to_token.weight.detach().clone()
        # The first update copies, later ones average.
        expected = raw if expected is None else kept[s - 1] * expected + (1 - kept[s - 1]) * raw
    torch.testing.assert_close(state.best_weights.modalities["image"].pixels_to_token.weight.detach(), expected)
    assert state.best_weights is not state.model


def test_integer_buffers_are_copied_and_not_averaged():
    """0.75 * 7 + 0.25 * 7, truncated to an integer, can be 6."""
    config = with_optim(ema_decay=0.9)
    state, _ = train(config, 3)
    whole_numbers = {n: b for n, b in state.model.named_buffers() if not b.is_floating_point()}
    averaged = dict(state.best_weights.named_buffers())
    assert {"edge_cell_1X", "num_batches_tracked"} <= {n.rpartition(".")[2] for n in whole_numbers}
    assert [n for n, b in whole_numbers.items() if not torch.equal(b, averaged[n])] == []


def test_without_averaging_the_best_weights_are_the_raw_weights():
    state = create_state(with_optim(ema_decay=0.0), SPEC, CPU)
    assert state.averaged is None and state.best_weights is state.model


def test_a_step_does_not_change_the_batch():
    """A cached batch is used in several epochs."""
    batch = random_batch(8)
    before = copied(batch)
    training_step(create_state(RUN, SPEC, CPU), batch, RUN)
    assert torch.equal(batch.image_BCHW, before.image_BCHW)


def test_fifty_steps_lower_the_loss():
    config = with_optim(steps=50, learning_rate=1e-2, augment=False)
    state = create_state(config, SPEC, CPU)
    losses = [training_step(state, random_batch(8), config)[0].total.item() for _ in range(50)]
    assert sum(losses[-5:]) < 0.75 * sum(losses[:5])


@pytest.mark.parametrize("model", [TINY, TINY_PAPER])
def test_bfloat16_gives_nearly_the_same_loss(model):
    losses = []
    for precision in ("float32", "bfloat16", "auto"):
        config = dataclasses.replace(
            RUN,
            model=model,
            redshift_masks=None if model is TINY_PAPER else RUN.redshift_masks,
            compute=ComputeConfig(precision=precision),
        )
        loss = training_step(create_state(config, SPEC, CPU), random_batch(6), config)[0].total.item()
        losses.append(loss)
    assert losses[0] != losses[1] and losses[1] == pytest.approx(losses[0], rel=0.02)
    assert losses[2] == losses[0]  # auto on a CPU is float32


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_stops_the_run_with_its_step(loss):
    with pytest.raises(NonFiniteLoss, match=r"at step 417.*optim\.learning_rate"):
        require_finite(loss, 417)


def test_a_finite_loss_passes():
    require_finite(1e30, 3)


@pytest.mark.parametrize("seed", [2**31 - 1, 2**32 - 1])
def test_any_seed_can_be_used(seed):
    """2**32 - 1 is the largest seed of NumPy and a common choice of seed generators."""
    torch.manual_seed(dropout_seed(seed, 10_000, 3))
    assert 0 <= Draws(seed, 10_000, n=1).batch() < 1
