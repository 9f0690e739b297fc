"""p(z) on bins of ln(1+z): labels, quantiles and the loss."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mmae.model.redshift import (
    RedshiftConfig,
    bin_edges,
    label_probability,
    redshift_loss,
    redshift_quantile,
)

CONFIG = RedshiftConfig()
SOME = RedshiftConfig(z_max=3.0, bins=12)
logits_of_some = arrays(np.float32, (3, SOME.bins), elements=st.floats(-10, 10, width=32))
KNOWN = torch.tensor([True])


def z_edges(config: RedshiftConfig) -> np.ndarray:
    """Equal steps of ln(1+z) from 0 to z_max."""
    return np.geomspace(1, 1 + config.z_max, config.bins + 1) - 1


def test_bins_are_equal_in_log_one_plus_z():
    edges = np.expm1(bin_edges(SOME).double().numpy())
    np.testing.assert_allclose(edges, z_edges(SOME), atol=1e-5)
    assert SOME.bin_width == pytest.approx(math.log(4) / 12)


@settings(deadline=None, max_examples=80)
@given(st.floats(0, 6, exclude_max=True), st.sampled_from([0.3, 1.0, 3.0]))
def test_label_sums_to_one_and_peaks_at_the_right_bin(z, label_width):
    config = RedshiftConfig(label_width=label_width)
    label = label_probability(torch.tensor([z]), config)[0]
    assert label.shape == (config.bins,) and (label >= 0).all()
    assert label.sum().item() == pytest.approx(1, abs=1e-5)
    place = math.log1p(z) / config.bin_width
    if abs(place - round(place)) > 0.05:  # on an edge both neighbours are right
        assert label.argmax().item() == math.floor(place)


@pytest.mark.parametrize("label_width", [0.5, 1.0, 4.0])
def test_label_has_the_stated_mean_and_width(label_width):
    config = RedshiftConfig(label_width=label_width)
    label = label_probability(torch.tensor([1.0]), config)[0].double().numpy()
    x = (np.arange(config.bins) + 0.5) * config.bin_width
    mean = (label * x).sum()
    variance = (label * (x - mean) ** 2).sum()
    assert mean == pytest.approx(math.log(2), abs=0.02 * config.bin_width)
    # Sheppard: to sort into bins adds 1/12 of a squared bin.
    assert variance / config.bin_width**2 == pytest.approx(label_width**2 + 1 / 12, rel=0.02)


def test_redshifts_beyond_the_range_count_in_the_last_bin():
    for z in (6.0, 7.5, 100.0):
        label = label_probability(torch.tensor([z]), CONFIG)[0]
        assert label.argmax().item() == CONFIG.bins - 1 and label.sum().item() == pytest.approx(1, abs=1e-5)
        loss = redshift_loss(torch.zeros(1, CONFIG.bins), torch.tensor([z]), KNOWN, CONFIG)
        assert loss.item() == pytest.approx(math.log(CONFIG.bins), rel=1e-5)


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
    median = redshift_quantile(torch.zeros(1, SOME.bins), 0.5, SOME).item()
    assert median == pytest.approx(math.sqrt(4) - 1, abs=1e-5)  # half of ln 4


@pytest.mark.parametrize("chosen", [0, 1, 95, 190, 191])
def test_median_of_a_one_hot_distribution_is_the_middle_of_the_bin(chosen):
    logits = torch.full((1, CONFIG.bins), -100.0)
    logits[0, chosen] = 0
    low, median, high = (redshift_quantile(logits, q, CONFIG).item() for q in (0.16, 0.5, 0.84))
    edges = z_edges(CONFIG)
    assert edges[chosen] < low < median < high < edges[chosen + 1]
    assert math.log1p(median) / CONFIG.bin_width == pytest.approx(chosen + 0.5, abs=1e-3)


@settings(deadline=None, max_examples=60)
@given(logits_of_some)
def test_quantiles_are_ordered_and_inside_the_range(logits):
    low, median, high = (redshift_quantile(torch.from_numpy(logits), q, SOME) for q in (0.16, 0.5, 0.84))
    assert (0 <= low).all() and (low <= median).all() and (median <= high).all() and (high <= SOME.z_max + 1e-5).all()


@settings(deadline=None, max_examples=40)
@given(st.floats(0, 3), logits_of_some)
def test_cross_entropy_is_least_at_the_truth(z, logits):
    z_B = torch.tensor([z])
    label = label_probability(z_B, SOME)
    at_truth = redshift_loss(label.clamp(min=1e-30).log(), z_B, KNOWN, SOME).item()
    for row in torch.from_numpy(logits):
        assert redshift_loss(row[None], z_B, KNOWN, SOME).item() >= at_truth - 1e-5
    entropy = -(label * label.clamp(min=1e-30).log()).sum().item()
    assert at_truth == pytest.approx(entropy, abs=1e-5)


def test_gradient_leads_to_the_truth():
    z_B = torch.tensor([0.8])
    logits = torch.zeros(1, CONFIG.bins, requires_grad=True)
    optimiser = torch.optim.Adam([logits], lr=0.3)
    for _ in range(100):
        optimiser.zero_grad()
        redshift_loss(logits, z_B, KNOWN, CONFIG).backward()
        optimiser.step()
    assert redshift_quantile(logits.detach(), 0.5, CONFIG).item() == pytest.approx(0.8, abs=0.01)


def test_loss_is_the_mean_over_known_redshifts():
    logits = torch.zeros(3, SOME.bins)
    logits[1, 0] = 50.0  # the second galaxy is certain and wrong, but its redshift is unknown
    z_B = torch.tensor([0.5, 2.5, 1.0])
    known = torch.tensor([True, False, True])
    assert redshift_loss(logits, z_B, known, SOME).item() == pytest.approx(math.log(12), rel=1e-5)
    assert redshift_loss(logits, z_B, torch.zeros(3, dtype=torch.bool), SOME).item() == 0


@pytest.mark.parametrize("values", [{"bins": 1}, {"z_max": 0.0}, {"label_width": 0.0}, {"z_max": -1.0}])
def test_impossible_bins_are_refused(values):
    with pytest.raises(ValueError, match="bins >= 2, z_max > 0 and label_width > 0"):
        RedshiftConfig(**values)
