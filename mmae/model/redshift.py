"""Redshift as a distribution over bins. Legend of suffixes: batch.py; K redshift bins, Z fine bins, M of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmae.model.blocks import CrossBlock

COARSE = 6  # bins of the coarsest level of a redshift head, at least
LABEL_REACH = 3.0  # standard deviations of the training label that count
SAME_REDSHIFT = 16  # fine bins on either side of the most probable one that are no other redshift: 1,500 km/s


@dataclass(frozen=True)
class RedshiftConfig:
    """p(z) on equal bins of ln(1+z), in which a scatter of dz/(1+z) has the same size everywhere."""

    z_max: float = 6.0
    """Upper edge of the last bin; brighter quasars than z = 6 are not in DESI-DR1."""
    bins: int = 384
    """Bins that a network gives a number for, and that p(z) is told in; between their middles ln p is linear."""
    refinement: int = 16
    """Fine bins in each of them, for redshifts as precise as a spectrum's."""
    label_width: float = 1.0
    """Gaussian width of the training label, in fine bins."""

    def __post_init__(self) -> None:
        if self.bins < 2 or self.z_max <= 0 or self.label_width <= 0 or self.refinement < 1:
            raise ValueError(
                f"redshift needs bins >= 2, z_max > 0, refinement >= 1 and label_width > 0, "
                f"not {self.bins}, {self.z_max}, {self.refinement}, {self.label_width}."
            )

    @property
    def fine_bins(self) -> int:
        """Z"""
        return self.bins * self.refinement

    @property
    def fine_width(self) -> float:
        """Width of a fine bin in ln(1+z)."""
        return math.log1p(self.z_max) / self.fine_bins


class RedshiftHead(nn.Module):
    """One learned query reads all encoded tokens; two layers turn it into bin logits.

    Not one: logits that are linear in a few dozen numbers cannot be narrow peaks anywhere among hundreds of bins.
    A logit is a sum over bins of several widths: what holds for a range of redshifts is learned from all galaxies in it.
    """

    def __init__(self, width: int, heads: int, config: RedshiftConfig):
        super().__init__()
        self.query = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.read = CrossBlock(width, heads, 2.0, width)
        self.levels = bins_of_levels(config.bins)
        self.logits = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, config.bins), nn.GELU(), nn.Linear(config.bins, sum(self.levels))
        )

    def forward(self, tokens_BVD: Tensor, valid_BV: Tensor | None) -> Tensor:
        logits = self.logits(self.read(self.query, tokens_BVD, valid_BV)[:, 0]).split(self.levels, -1)
        return sum(interpolated(level_BK, self.levels[0]) for level_BK in logits)


def bins_of_levels(bins: int) -> list[int]:
    """The bins, and half as many of twice the width, until fewer than COARSE are left."""
    levels = [bins]
    while levels[-1] >= 2 * COARSE:
        levels.append(levels[-1] // 2)
    return levels


def interpolated(logits_BK: Tensor, bins: int) -> Tensor:
    """Told in other bins of equal width, (B, bins): linear between their middles, constant beyond the outermost."""
    return F.interpolate(logits_BK.float()[:, None], bins, mode="linear")[:, 0]


def bin_edges(config: RedshiftConfig, device: torch.device | None = None) -> Tensor:
    """The K + 1 edges in ln(1+z)."""
    return torch.linspace(0, math.log1p(config.z_max), config.bins + 1, device=device)


def refined(logits_BK: Tensor, config: RedshiftConfig) -> Tensor:
    """Logits of the fine bins, (B, Z)."""
    return interpolated(logits_BK, config.fine_bins)


def bin_probability(logits_BZ: Tensor, config: RedshiftConfig) -> Tensor:
    """p(z) in the bins, (B, K), from logits of the fine ones."""
    return logits_BZ.softmax(-1).unflatten(-1, (config.bins, -1)).sum(-1)


def most_probable(logits_BZ: Tensor, config: RedshiftConfig) -> tuple[Tensor, Tensor]:
    """ln(1+z) about the most probable fine bin, their mean: (B,), and the probability of the bins about it, (B,)."""
    probability_BZ, bin_B = logits_BZ.softmax(-1), logits_BZ.argmax(-1)
    bin_Z = torch.arange(logits_BZ.shape[1], device=logits_BZ.device)
    near_BZ = probability_BZ * ((bin_Z - bin_B[:, None]).abs() <= SAME_REDSHIFT)
    certainty_B = near_BZ.sum(-1)
    return (near_BZ @ (bin_Z + 0.5)) / certainty_B * config.fine_width, certainty_B


def redshift_loss(logits_BZ: Tensor, redshift_B: Tensor, known_B: Tensor, config: RedshiftConfig) -> Tensor:
    """Mean cross entropy of p(z) over the galaxies with a redshift; 0 when there is none.

    The label is a Gaussian of `label_width` fine bins: neighbours share the truth. A redshift beyond the bins is
    counted in the outermost.
    """
    place_B = (torch.log1p(redshift_B) / config.fine_width).clamp(0, config.fine_bins)
    reach = math.ceil(LABEL_REACH * config.label_width)
    bin_BM = place_B.floor().long()[:, None] + torch.arange(-reach, reach + 1, device=place_B.device)
    weight_BM = torch.exp(-0.5 * ((bin_BM + 0.5 - place_B[:, None]) / config.label_width).square())
    weight_BM = weight_BM / weight_BM.sum(-1, keepdim=True)
    log_p_BM = F.log_softmax(logits_BZ, -1).gather(1, bin_BM.clamp(0, config.fine_bins - 1))
    loss_B = -(weight_BM * log_p_BM).sum(-1)
    return (loss_B * known_B).sum() / known_B.sum().clamp(min=1)


def redshift_quantile(logits_BZ: Tensor, quantile: float, config: RedshiftConfig) -> Tensor:
    """The redshift below which `quantile` of p(z) lies, linear within a fine bin: (B,).

    The median (0.5) is the point estimate: the one that the absolute error calls for.
    """
    probability_BZ = logits_BZ.softmax(-1)
    cdf_BZ = probability_BZ.cumsum(-1)
    index_B1 = (cdf_BZ < quantile).sum(-1, keepdim=True).clamp(max=config.fine_bins - 1)
    upper_B, mass_B = cdf_BZ.gather(1, index_B1)[:, 0], probability_BZ.gather(1, index_B1)[:, 0]
    fraction_B = ((quantile - (upper_B - mass_B)) / mass_B.clamp(min=1e-12)).clamp(0, 1)
    return torch.expm1((index_B1[:, 0] + fraction_B) * config.fine_width)


def redshift_interval(logits_BZ: Tensor, config: RedshiftConfig) -> tuple[Tensor, Tensor, Tensor]:
    """Median, 16th and 84th percentile of p(z)."""
    low_B, median_B, high_B = (redshift_quantile(logits_BZ, q, config) for q in (0.16, 0.5, 0.84))
    return median_B, low_B, high_B


def point_and_probability(logits_BZ: Tensor, config: RedshiftConfig) -> tuple[Tensor, Tensor]:
    """Median of p(z), (B,), and p(z) in the bins, (B, K)."""
    return redshift_quantile(logits_BZ, 0.5, config), bin_probability(logits_BZ, config)
