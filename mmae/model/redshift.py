"""p(z) as a histogram in ln(1+z). Legend of suffixes: batch.py; K redshift bins, Z fine bins, M bins of a label."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmae.model.blocks import CrossBlock
from mmae.model.losses import mean_over_targets
from mmae.model.part_configs import RedshiftConfig
from mmae.model.precision import at_least_float32

COARSE = 6  # minimum number of bins of a coarse level of a redshift head
LABEL_REACH = 3.0  # the training label is cut off at this many standard deviations
PEAK_HALF_WIDTH = 16  # of the peak of p(z) about its maximum, in fine bins: 1,500 km/s


class RedshiftHead(nn.Module):
    """Attention pooling with one learned query, and an MLP of two layers to bin logits.

    Two layers, because logits linear in a few dozen numbers cannot form narrow peaks in any of hundreds of bins.
    A logit is a sum over bins of several widths, so that coarse redshift information is learned from all galaxies of a
    redshift range.
    """

    def __init__(self, width: int, heads: int, config: RedshiftConfig):
        super().__init__()
        self.query = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.read = CrossBlock(width, heads, 2.0, width)
        self.levels = bins_of_levels(config.bins)
        self.hidden = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, config.bins), nn.GELU())
        self.logits = nn.Linear(config.bins, sum(self.levels))

    def forward(self, tokens_BVD: Tensor, valid_BV: Tensor | None) -> Tensor:
        pooled_BD = self.read(self.query, tokens_BVD, valid_BV)[:, 0]
        logits = self.logits(self.hidden(pooled_BD)).split(self.levels, -1)
        return cast(Tensor, sum(interpolate_bins(level_BK, self.levels[0]) for level_BK in logits))


def bins_of_levels(bins: int) -> list[int]:
    """Number of bins of each level: halved from level to level while at least COARSE remain."""
    levels = [bins]
    while levels[-1] >= 2 * COARSE:
        levels.append(levels[-1] // 2)
    return levels


def interpolate_bins(logits_BK: Tensor, bins: int) -> Tensor:
    """Linear interpolation to another number of equal bins, (B, bins); constant beyond the outermost bin centres."""
    return F.interpolate(at_least_float32(logits_BK)[:, None], bins, mode="linear")[:, 0]


def bin_edges(config: RedshiftConfig, device: torch.device | None = None) -> Tensor:
    """The K + 1 edges in ln(1+z)."""
    return torch.linspace(0, math.log1p(config.z_max), config.bins + 1, device=device)


def refined(logits_BK: Tensor, config: RedshiftConfig) -> Tensor:
    """Logits of the fine bins, (B, Z), from logits of the redshift bins."""
    return interpolate_bins(logits_BK, config.fine_bins)


def bin_probability(logits_BZ: Tensor, config: RedshiftConfig) -> Tensor:
    """Probability of the redshift bins, (B, K), from logits of the fine bins."""
    return logits_BZ.softmax(-1).unflatten(-1, (config.bins, -1)).sum(-1)


def most_probable(logits_BZ: Tensor, config: RedshiftConfig) -> tuple[Tensor, Tensor]:
    """The highest peak of p(z): fine bins within PEAK_HALF_WIDTH of the most probable one.

    Returns:
        The mean of ln(1+z) over the peak, (B,), and the probability of the peak, (B,).
    """
    probability_BZ, bin_B = logits_BZ.softmax(-1), logits_BZ.argmax(-1)
    bin_Z = torch.arange(logits_BZ.shape[1], device=logits_BZ.device)
    peak_BZ = probability_BZ * ((bin_Z - bin_B[:, None]).abs() <= PEAK_HALF_WIDTH)
    certainty_B = peak_BZ.sum(-1)
    return (peak_BZ @ (bin_Z + 0.5).to(peak_BZ.dtype)) / certainty_B * config.fine_width, certainty_B


def redshift_loss(logits_BZ: Tensor, redshift_B: Tensor, weight_B: Tensor, config: RedshiftConfig) -> Tensor:
    """Weighted mean cross entropy of p(z); 0 when all weights are 0.

    The label is a Gaussian with a standard deviation of `label_width` fine bins, truncated at LABEL_REACH. Redshifts
    outside the bins count in the outermost bin.

    Args:
        weight_B: 0 for galaxies without a redshift.
    """
    position_B = (torch.log1p(redshift_B) / config.fine_width).clamp(0, config.fine_bins)
    reach = math.ceil(LABEL_REACH * config.label_width)
    bin_BM = position_B.floor().long()[:, None] + torch.arange(-reach, reach + 1, device=position_B.device)
    weight_BM = torch.exp(-0.5 * ((bin_BM + 0.5 - position_B[:, None]) / config.label_width).square())
    weight_BM = weight_BM / weight_BM.sum(-1, keepdim=True)
    log_p_BM = F.log_softmax(logits_BZ, -1).gather(1, bin_BM.clamp(0, config.fine_bins - 1))
    loss_B = -(weight_BM * log_p_BM).sum(-1)
    return mean_over_targets((loss_B * weight_B).sum(), weight_B.sum())


def redshift_quantile(logits_BZ: Tensor, quantile: float, config: RedshiftConfig) -> Tensor:
    """Quantile of p(z), interpolated linearly within a fine bin: (B,).

    The median (0.5) is the point estimate, because it minimises the expected absolute error.
    """
    (found_B,) = redshift_quantiles(logits_BZ, (quantile,), config)
    return found_B


def redshift_quantiles(logits_BZ: Tensor, quantiles: Sequence[float], config: RedshiftConfig) -> list[Tensor]:
    """Several quantiles of p(z), each as `redshift_quantile`."""
    probability_BZ = logits_BZ.softmax(-1)
    cdf_BZ = probability_BZ.cumsum(-1)
    quantile_BQ = cdf_BZ.new_tensor(quantiles).expand(len(cdf_BZ), -1).contiguous()
    index_BQ = torch.searchsorted(cdf_BZ, quantile_BQ).clamp(max=config.fine_bins - 1)
    upper_BQ, mass_BQ = cdf_BZ.gather(1, index_BQ), probability_BZ.gather(1, index_BQ)
    fraction_BQ = ((quantile_BQ - (upper_BQ - mass_BQ)) / mass_BQ.clamp(min=1e-12)).clamp(0, 1)
    return list(torch.expm1((index_BQ + fraction_BQ) * config.fine_width).unbind(1))


def redshift_interval(logits_BZ: Tensor, config: RedshiftConfig) -> tuple[Tensor, Tensor, Tensor]:
    """Median, 16th and 84th percentile of p(z)."""
    low_B, median_B, high_B = redshift_quantiles(logits_BZ, (0.16, 0.5, 0.84), config)
    return median_B, low_B, high_B


def point_and_probability(logits_BZ: Tensor, config: RedshiftConfig) -> tuple[Tensor, Tensor]:
    """Median of p(z), (B,), and probability of the redshift bins, (B, K)."""
    return redshift_quantile(logits_BZ, 0.5, config), bin_probability(logits_BZ, config)
