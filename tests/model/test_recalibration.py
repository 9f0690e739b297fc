"""Recalibration of p(z) by the PIT of the true redshifts. Shape suffixes as in mmae/model/batch.py."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import minimize_scalar

from mmae.model.masking import shown_set
from mmae.model.recalibration import PARTS, PRIOR, Recalibration, fit_uniform_fraction

BINS, FINE = 40, 4
IMAGE, SPECTRUM, BOTH = 1, 2, 3  # sets of modalities
some_logits = arrays(np.float32, (3, BINS * FINE), elements=st.floats(-30, 30, width=32))
some_pit = arrays(np.float64, 200, elements=st.floats(0, 0.999))


def visible(image: float, spectrum: float, n: int = 3) -> dict[str, torch.Tensor]:
    """Masks with these visible fractions of eight image and four spectrum tokens."""
    return {
        name: (torch.arange(tokens) < share * tokens).expand(n, -1)
        for name, share, tokens in (("image", image, 8), ("spectrum", spectrum, 4))
    }


def gaussian(width: float, n: int = 1) -> torch.Tensor:
    """A Gaussian p(z) at the centre, as bin probabilities; width in bins."""
    return torch.softmax(-0.5 * ((torch.arange(BINS) - BINS / 2 + 0.5) / width).square(), -1).expand(n, -1)


def fine(p_BK: torch.Tensor) -> torch.Tensor:
    """Logits of fine bins with these bin probabilities."""
    return p_BK.log().repeat_interleave(FINE, -1)


def learn(recalibration: Recalibration, which: int, p_NK: torch.Tensor, pit: np.ndarray) -> None:
    """Fit to galaxies with F(z_true) = `pit`."""
    cdf_NK = p_NK.double().cumsum(-1)
    pit_N1 = torch.from_numpy(pit)[:, None]
    bin_N1 = torch.searchsorted(cdf_NK, pit_N1, right=True).clamp(max=BINS - 1)
    mass_N1 = p_NK.double().gather(1, bin_N1)
    place_N1 = (pit_N1 - (cdf_NK.gather(1, bin_N1) - mass_N1)) / mass_N1
    recalibration.learn(torch.full((len(pit),), which), p_NK, bin_N1[:, 0], place_N1[:, 0].clamp(0, 1))


def learned(which: int, p_NK: torch.Tensor, pit: np.ndarray) -> Recalibration:
    recalibration = Recalibration(2, BINS)
    learn(recalibration, which, p_NK, pit)
    return recalibration


def flat(n: int) -> torch.Tensor:
    return torch.full((n, BINS), 1 / BINS)


def cdf(logits: torch.Tensor) -> np.ndarray:
    return logits.double().softmax(-1).cumsum(-1).numpy()


def expected_cdf(pit: np.ndarray, at: np.ndarray, share: float = 1.0) -> np.ndarray:
    """CDF of the PIT at `at`, linear between twenty quantiles, with `PRIOR` calibrated galaxies added."""
    level = np.linspace(0, 1, PARTS + 1)
    knot = np.quantile(pit, level)
    knot[0], knot[-1] = 0, 1
    weight = share * pit.size / (pit.size + PRIOR)
    return np.interp(at, (1 - weight) * level + weight * knot, level)


def test_numbers_of_sets_of_modalities():
    numbers = [int(shown_set(visible(*shares))[0]) for shares in ((0, 0), (1, 0), (0, 1), (1, 1), (0.5, 0.25))]
    assert numbers == [0, IMAGE, SPECTRUM, BOTH, BOTH]


@settings(deadline=None, max_examples=40)
@given(some_logits)
def test_identity_before_learning(logits):
    logits = torch.from_numpy(logits)
    after = Recalibration(2, BINS)(logits, visible(1, 1))
    torch.testing.assert_close(after.softmax(-1), logits.softmax(-1), atol=1e-6, rtol=1e-4)


@settings(deadline=None, max_examples=60)
@given(some_logits, some_pit)
def test_recalibrated_cdf_is_the_cdf_of_the_pit(logits, pit):
    before = torch.from_numpy(logits)
    # A flat p(z) needs no uniform part; each PIT value is in the narrow and in the broad half.
    after = learned(BOTH, flat(400), np.tile(pit, 2))(before, visible(1, 1))
    np.testing.assert_allclose(cdf(after), expected_cdf(pit, cdf(before)), atol=1e-5)


@settings(deadline=None, max_examples=30)
@given(some_logits, st.sampled_from([0.25, 0.5, 0.75]))
def test_recalibration_is_scaled_by_the_visible_fraction(logits, share):
    before = torch.from_numpy(logits)
    after = learned(IMAGE, flat(600), np.full(600, 0.45))(before, visible(share, 0))
    np.testing.assert_allclose(cdf(after), expected_cdf(np.full(300, 0.45), cdf(before), share), atol=1e-5)


def test_sets_of_modalities_are_recalibrated_separately():
    recalibration = learned(IMAGE, flat(600), np.full(600, 0.45))
    logits = fine(flat(3))
    for shares in ((0, 1), (1, 1), (0, 0)):
        torch.testing.assert_close(recalibration(logits, visible(*shares)).softmax(-1), logits.softmax(-1))
    assert recalibration(logits, visible(1, 0)).softmax(-1).max() > 5 / BINS / FINE


def test_narrow_and_broad_pz_are_recalibrated_separately_and_interpolated():
    rng = np.random.default_rng(0)
    p_NK = torch.cat([gaussian(2.0, 2000), gaussian(5.0, 2000)])
    middle, ends = rng.beta(3, 3, 2000), rng.beta(0.7, 0.7, 2000)  # narrow p(z) are too broad, broad p(z) too narrow
    recalibration = learned(IMAGE, p_NK, np.concatenate([middle, ends]))

    def gain(width: float) -> float:
        """Standard deviation after over standard deviation before."""
        logits = fine(gaussian(width))
        x = torch.linspace(-1, 1, BINS * FINE)
        before, after = (
            float((y.softmax(-1) * x.square()).sum().sqrt()) for y in (logits, recalibration(logits, visible(1, 0, 1)))
        )
        return after / before

    assert gain(1.5) < 0.8 and gain(2.0) < 0.8 < 0.85 < gain(3.2) < 1 < 1.1 < gain(5.0)


def test_outliers_get_their_fraction_of_probability():
    n, lost = 4000, BINS
    p_NK = gaussian(1.0, n)
    bins = torch.multinomial(p_NK[0], n, replacement=True, generator=torch.Generator().manual_seed(0))
    bins[:lost] = torch.arange(BINS)  # one in a hundred is uniform
    assert float(p_NK[0, :8].sum()) < 1e-30
    recalibration = Recalibration(2, BINS)
    place = torch.rand(n, generator=torch.Generator().manual_seed(1))
    recalibration.learn(torch.full((n,), IMAGE), p_NK, bins, place)
    for share in (1, 0.25):
        after = recalibration(fine(gaussian(1.0)), visible(share, 0, 1)).softmax(-1)[0]
        for tail in (after[: 8 * FINE], after[-8 * FINE :]):
            assert 0.7 * 8 / n < float(tail.sum()) < 1.4 * 8 / n


@settings(deadline=None, max_examples=40)
@given(arrays(np.float64, 60, elements=st.floats(0, 1)), st.floats(0.001, 0.1))
def test_uniform_fraction_maximises_the_likelihood(p, even):
    def cost(share: float) -> float:
        with np.errstate(divide="ignore"):
            return -np.log((1 - share) * p + share * even).sum() - PRIOR * np.log1p(-share)

    found = fit_uniform_fraction(torch.from_numpy(p), even)
    best = minimize_scalar(cost, bounds=(0, 1), method="bounded", options={"xatol": 1e-9})
    assert cost(found) <= best.fun + 1e-6


def test_small_samples_change_little():
    logits = fine(flat(1))
    for n, least, most in ((0, 0, 1e-6), (1, 0, 1e-6), (6, 0.01, 0.05), (6000, 0.4, 0.5)):
        changed = learned(IMAGE, flat(n), np.full(n, 0.5))(logits, visible(1, 0, 1))
        assert least <= np.abs(cdf(changed) - cdf(logits)).max() <= most


def test_recalibration_is_part_of_the_state_dict_and_can_be_reset():
    recalibration = learned(BOTH, gaussian(1.0, 300), np.full(300, 0.1))
    again = Recalibration(2, BINS)
    again.load_state_dict(recalibration.state_dict())
    logits = torch.randn(3, BINS * FINE, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(again(logits, visible(1, 1)), recalibration(logits, visible(1, 1)))
    again.forget()
    torch.testing.assert_close(again(logits, visible(1, 1)).softmax(-1), logits.softmax(-1))


def test_logits_of_far_tails_are_finite():
    logits = torch.full((1, BINS * FINE), -200.0)
    logits[0, 3] = 200.0
    assert torch.isfinite(learned(IMAGE, flat(50), np.full(50, 0.2))(logits, visible(1, 0, 1))).all()
