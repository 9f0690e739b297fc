"""p(z) bent by where the truth fell in it. Shape suffixes as in mmae/model/batch.py."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mmae.model.masking import shown_set
from mmae.model.recalibration import PARTS, PRIOR, Recalibration

BINS = 40
some_logits = arrays(np.float32, (3, BINS), elements=st.floats(-30, 30, width=32))
IMAGE, SPECTRUM, BOTH = 1, 2, 3  # sets of modalities


def visible(image: float, spectrum: float, n: int = 3) -> dict[str, torch.Tensor]:
    """Shares of eight image and four spectrum tokens."""
    return {name: (torch.arange(tokens) < share * tokens).expand(n, -1)
            for name, share, tokens in (("image", image, 8), ("spectrum", spectrum, 4))}


def learned(which: int, pit: np.ndarray) -> Recalibration:
    recalibration = Recalibration(2)
    recalibration.learn(torch.full((len(pit),), which), torch.from_numpy(pit))
    return recalibration


def cdf(logits: torch.Tensor) -> np.ndarray:
    return logits.double().softmax(-1).cumsum(-1).numpy()


def known_cdf(pit: np.ndarray, at: np.ndarray, share: float = 1.0) -> np.ndarray:
    """The part of the truths below, at twenty quantiles, where `PRIOR` lie as they should."""
    level = np.linspace(0, 1, PARTS + 1)
    knot = np.quantile(pit, level)
    knot[0], knot[-1] = 0, 1
    weight = share * pit.size / (pit.size + PRIOR)
    return np.interp(at, (1 - weight) * level + weight * knot, level)


def test_sets_of_modalities_have_numbers_of_their_own():
    numbers = [int(shown_set(visible(*shares))[0]) for shares in ((0, 0), (1, 0), (0, 1), (1, 1), (0.5, 0.25))]
    assert numbers == [0, IMAGE, SPECTRUM, BOTH, BOTH]


@settings(deadline=None, max_examples=40)
@given(some_logits)
def test_nothing_changes_before_anything_is_learned(logits):
    logits = torch.from_numpy(logits)
    bent = Recalibration(2)(logits, visible(1, 1))
    torch.testing.assert_close(bent.softmax(-1), logits.softmax(-1), atol=1e-6, rtol=1e-4)


@settings(deadline=None, max_examples=60)
@given(some_logits, arrays(np.float64, 200, elements=st.floats(0, 1)))
def test_the_cdf_becomes_the_part_of_truths_below_it(logits, pit):
    before = torch.from_numpy(logits)
    after = learned(BOTH, pit)(before, visible(1, 1))
    np.testing.assert_allclose(cdf(after), known_cdf(pit, cdf(before)), atol=1e-5)


@settings(deadline=None, max_examples=30)
@given(some_logits, st.sampled_from([0.25, 0.5, 0.75]))
def test_what_is_hidden_is_left_out_of_the_correction(logits, share):
    pit = np.full(300, 0.45)
    before = torch.from_numpy(logits)
    after = learned(IMAGE, pit)(before, visible(share, 0))
    np.testing.assert_allclose(cdf(after), known_cdf(pit, cdf(before), share), atol=1e-5)


def test_each_set_has_its_own_correction():
    recalibration = learned(IMAGE, np.full(300, 0.45))
    flat = torch.zeros(3, BINS)
    for shares in ((0, 1), (1, 1), (0, 0)):
        torch.testing.assert_close(recalibration(flat, visible(*shares)).softmax(-1), flat.softmax(-1))
    assert recalibration(flat, visible(1, 0)).softmax(-1).max() > 5 / BINS


def test_truths_in_the_middle_make_p_narrow_and_at_the_ends_broad():
    x = torch.linspace(-4, 4, BINS)
    bell = (-0.5 * x**2).expand(3, -1)
    rng = np.random.default_rng(0)

    def spread(pit: np.ndarray) -> float:
        p = learned(IMAGE, pit)(bell, visible(1, 0))[0].softmax(-1)
        return float((p * x**2).sum().sqrt())

    assert spread(rng.beta(3, 3, 2000)) < 0.75 < 1.2 < spread(rng.beta(0.5, 0.5, 2000))


def test_few_truths_change_little_and_none_nothing():
    flat = torch.zeros(1, BINS)
    for n, least, most in ((0, 0, 1e-6), (3, 0.01, 0.05), (3000, 0.4, 0.5)):
        change = np.abs(cdf(learned(IMAGE, np.full(n, 0.5))(flat, visible(1, 0, 1))) - cdf(flat)).max()
        assert least <= change <= most


def test_what_was_learned_is_kept_with_the_weights_and_can_be_forgotten():
    recalibration = learned(BOTH, np.full(300, 0.1))
    again = Recalibration(2)
    again.load_state_dict(recalibration.state_dict())
    logits = torch.randn(3, BINS, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(again(logits, visible(1, 1)), recalibration(logits, visible(1, 1)))
    again.forget()
    torch.testing.assert_close(again(logits, visible(1, 1)).softmax(-1), logits.softmax(-1))


def test_far_tails_stay_finite():
    logits = torch.full((1, BINS), -200.0)
    logits[0, 3] = 200.0
    assert torch.isfinite(learned(IMAGE, np.full(50, 0.2))(logits, visible(1, 0, 1))).all()
