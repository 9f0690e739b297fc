"""p(z) in bins and fine bins of ln(1+z): labels, quantiles and the loss."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import norm

from mmae.model.part_configs import RedshiftConfig
from mmae.model.redshift import (
    RedshiftHead,
    bin_edges,
    bin_probability,
    most_probable,
    redshift_loss,
    redshift_quantile,
    refined,
)

CONFIG = RedshiftConfig(bins=192, refinement=1)
SOME = RedshiftConfig(z_max=3.0, bins=4, refinement=3)
logits_of_some = arrays(np.float32, (3, SOME.fine_bins), elements=st.floats(-10, 10, width=32))
KNOWN = torch.ones(1)


def z_edges(config: RedshiftConfig, bins: int | None = None) -> np.ndarray:
    """Equal steps of ln(1+z) from 0 to z_max."""
    return np.geomspace(1, 1 + config.z_max, (bins or config.fine_bins) + 1) - 1


def test_bins_are_equal_in_log_one_plus_z():
    edges = np.expm1(bin_edges(SOME).double().numpy())
    np.testing.assert_allclose(edges, z_edges(SOME, SOME.bins), atol=1e-5)
    assert SOME.fine_bins == 12 and SOME.fine_width == pytest.approx(math.log(4) / 12)


@settings(deadline=None, max_examples=40)
@given(arrays(np.float32, (3, SOME.bins), elements=st.floats(-10, 10, width=32)))
def test_fine_logits_are_interpolated_linearly_between_bin_centres(logits):
    fine = refined(torch.from_numpy(logits), SOME).numpy()
    middle, fine_middle = (np.arange(n) / n + 0.5 / n for n in (SOME.bins, SOME.fine_bins))
    expected = [np.interp(fine_middle, middle, row) for row in logits.astype(float)]
    np.testing.assert_allclose(fine, expected, atol=1e-5)


@pytest.mark.parametrize("bins, levels", [(4, [4]), (24, [24, 12, 6]), (50, [50, 25, 12, 6])])
def test_logits_are_sums_over_bins_of_several_widths(bins, levels):
    torch.manual_seed(3)
    head = RedshiftHead(12, 3, RedshiftConfig(bins=bins))
    bias = head.logits.bias.detach().double().numpy()
    head.logits.weight.data.zero_()
    found_BK = head(torch.randn(2, 5, 12), None).detach().numpy()
    assert len(bias) == sum(levels)
    expected_K, start = np.zeros(bins), 0
    for n in levels:
        expected_K += np.interp((np.arange(bins) + 0.5) / bins, (np.arange(n) + 0.5) / n, bias[start : start + n])
        start += n
    np.testing.assert_allclose(found_BK, [expected_K, expected_K], atol=1e-5)


@settings(deadline=None, max_examples=40)
@given(logits_of_some)
def test_bin_probability_is_the_sum_over_its_fine_bins(logits):
    p = np.exp(logits.astype(float) - logits.max(-1, keepdims=True))
    expected = (p / p.sum(-1, keepdims=True)).reshape(3, SOME.bins, SOME.refinement).sum(-1)
    np.testing.assert_allclose(bin_probability(torch.from_numpy(logits), SOME).numpy(), expected, atol=1e-5)


@settings(deadline=None, max_examples=80)
@given(st.floats(0.001, 5.9), st.sampled_from([0.5, 1.0, 3.0]), arrays(np.float64, 192, elements=st.floats(-5, 5)))
def test_loss_is_the_cross_entropy_with_a_gaussian_label(z, label_width, logits):
    config = RedshiftConfig(bins=192, refinement=1, label_width=label_width)
    middle = (np.arange(config.fine_bins) + 0.5) * config.fine_width
    label = norm.pdf(middle, np.log1p(z), label_width * config.fine_width)
    place = np.log1p(z) / config.fine_width
    assume(4 * label_width < place < 192 - 4 * label_width)  # at the ends the outermost bin contains the rest
    log_p = logits - np.log(np.exp(logits).sum())
    expected = -(label / label.sum() * log_p).sum()
    got = redshift_loss(torch.from_numpy(logits).float()[None], torch.tensor([z]), KNOWN, config).item()
    assert got == pytest.approx(expected, abs=0.05)  # the label ends at three sigma


@pytest.mark.parametrize("z", [0.0, 6.0, 7.5, 100.0])
def test_redshifts_outside_the_bins_count_in_the_outermost_bin(z):
    expected_bin = 0 if z == 0 else CONFIG.fine_bins - 1
    loss = redshift_loss(torch.zeros(1, CONFIG.fine_bins), torch.tensor([z]), KNOWN, CONFIG)
    assert loss.item() == pytest.approx(math.log(CONFIG.fine_bins), rel=1e-5)
    logits = torch.zeros(1, CONFIG.fine_bins, requires_grad=True)
    redshift_loss(logits, torch.tensor([z]), KNOWN, CONFIG).backward()
    assert logits.grad.argmin().item() == expected_bin


@settings(deadline=None, max_examples=60)
@given(logits_of_some, st.floats(0.02, 0.98))
def test_quantiles_equal_those_of_numpy(logits, quantile):
    got = redshift_quantile(torch.from_numpy(logits), quantile, SOME).double().numpy()
    for row, value in zip(logits.astype(float), got, strict=True):
        p = np.exp(row - row.max())
        cdf = np.concatenate([[0], np.cumsum(p / p.sum())])
        x = np.interp(quantile, cdf, np.log1p(z_edges(SOME)))
        # A bin that holds next to nothing lets the quantile slide over it: compare the cdf instead.
        reached = np.interp(np.log1p(value), np.log1p(z_edges(SOME)), cdf)
        assert abs(reached - quantile) < 1e-4 and (abs(np.expm1(x) - value) < 1e-2 or p.min() / p.sum() < 1e-3)


def test_median_of_a_uniform_distribution_is_the_middle():
    median = redshift_quantile(torch.zeros(1, SOME.fine_bins), 0.5, SOME).item()
    assert median == pytest.approx(math.sqrt(4) - 1, abs=1e-5)  # half of ln 4


@pytest.mark.parametrize("index", [0, 1, 95, 190, 191])
def test_median_of_a_one_hot_distribution_is_the_middle_of_the_bin(index):
    logits = torch.full((1, CONFIG.fine_bins), -100.0)
    logits[0, index] = 0
    low, median, high = (redshift_quantile(logits, q, CONFIG).item() for q in (0.16, 0.5, 0.84))
    edges = z_edges(CONFIG)
    assert edges[index] < low < median < high < edges[index + 1]
    assert math.log1p(median) / CONFIG.fine_width == pytest.approx(index + 0.5, abs=1e-3)


@settings(deadline=None, max_examples=60)
@given(logits_of_some)
def test_quantiles_are_ordered_and_inside_the_range(logits):
    low, median, high = (redshift_quantile(torch.from_numpy(logits), q, SOME) for q in (0.16, 0.5, 0.84))
    assert (0 <= low).all() and (low <= median).all() and (median <= high).all() and (high <= SOME.z_max + 1e-5).all()


@settings(deadline=None, max_examples=40)
@given(st.floats(0.01, 2.9), logits_of_some)
def test_cross_entropy_is_minimal_for_the_label(z, logits):
    """The minimum is the entropy of the label."""
    z_B = torch.tensor([z])
    start = torch.zeros(1, SOME.fine_bins, requires_grad=True)
    redshift_loss(start, z_B, KNOWN, SOME).backward()
    label = 1 / SOME.fine_bins - start.grad  # the gradient of the softmax is p - label
    minimum = redshift_loss(label.clamp(min=1e-30).log(), z_B, KNOWN, SOME).item()
    for row in torch.from_numpy(logits):
        assert redshift_loss(row[None], z_B, KNOWN, SOME).item() >= minimum - 1e-5
    assert label.sum().item() == pytest.approx(1, abs=1e-5)
    entropy = -(label * label.clamp(min=1e-30).log()).sum().item()
    assert minimum == pytest.approx(entropy, abs=1e-5)


def test_minimising_the_loss_gives_the_true_redshift():
    z_B = torch.tensor([0.8])
    logits = torch.zeros(1, CONFIG.fine_bins, requires_grad=True)
    optimiser = torch.optim.Adam([logits], lr=0.3)
    for _ in range(100):
        optimiser.zero_grad()
        redshift_loss(logits, z_B, KNOWN, CONFIG).backward()
        optimiser.step()
    assert redshift_quantile(logits.detach(), 0.5, CONFIG).item() == pytest.approx(0.8, abs=0.01)


def test_most_probable_redshift_and_probability_of_the_peak():
    config = RedshiftConfig(z_max=3.0, bins=50, refinement=4)
    log_p = torch.full((2, 200), -40.0)
    log_p[0, 50], log_p[0, 52], log_p[0, 120] = math.log(0.5), math.log(0.2), math.log(0.3)
    log_p[1, 199] = 0.0
    shift, certainty = most_probable(log_p, config)
    expected = torch.tensor([(0.5 * 50.5 + 0.2 * 52.5) / 0.7, 199.5]) * config.fine_width
    torch.testing.assert_close(shift, expected)
    torch.testing.assert_close(certainty, torch.tensor([0.7, 1.0]))


def test_loss_is_the_mean_over_known_redshifts():
    logits = torch.zeros(3, SOME.fine_bins)
    logits[1, 0] = 50.0  # the second prediction is wrong, but its redshift is unknown
    z_B = torch.tensor([0.5, 2.5, 1.0])
    known = torch.tensor([1.0, 0.0, 1.0])
    assert redshift_loss(logits, z_B, known, SOME).item() == pytest.approx(math.log(12), rel=1e-5)
    assert redshift_loss(logits, z_B, torch.zeros(3), SOME).item() == 0


@pytest.mark.parametrize(
    ("field", "value"), [("bins", 1), ("z_max", 0.0), ("label_width", 0.0), ("z_max", -1.0), ("refinement", 0)]
)
def test_invalid_bins_are_refused(field, value):
    with pytest.raises(ValueError, match=f"{field} {value}"):
        RedshiftConfig(**{field: value})
