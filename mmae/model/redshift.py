"""Redshift as a distribution over bins. Legend of suffixes: batch.py; K redshift bins."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmae.model.blocks import CrossBlock


@dataclass(frozen=True)
class RedshiftConfig:
    """p(z) on equal bins of ln(1+z), in which a scatter of dz/(1+z) has the same size everywhere."""

    z_max: float = 6.0
    """Upper edge of the last bin; brighter quasars than z = 6 are not in DESI-DR1."""
    bins: int = 192
    label_width: float = 1.0
    """Gaussian width of the training label, in bins: neighbouring bins share the truth."""

    def __post_init__(self) -> None:
        if self.bins < 2 or self.z_max <= 0 or self.label_width <= 0:
            raise ValueError(
                f"redshift needs bins >= 2, z_max > 0 and label_width > 0, "
                f"not {self.bins}, {self.z_max}, {self.label_width}."
            )

    @property
    def bin_width(self) -> float:
        """Width of a bin in ln(1+z)."""
        return math.log1p(self.z_max) / self.bins


class RedshiftHead(nn.Module):
    """One learned query reads all encoded tokens; an MLP turns it into bin logits."""

    def __init__(self, width: int, heads: int, config: RedshiftConfig):
        super().__init__()
        self.config = config
        self.query = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.read = CrossBlock(width, heads, 2.0, width)
        self.logits = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, config.bins))

    def forward(self, tokens_BVD: Tensor, valid_BV: Tensor) -> Tensor:
        query_B1D = self.query.expand(len(tokens_BVD), -1, -1)
        return self.logits(self.read(query_B1D, tokens_BVD, valid_BV)[:, 0])


def bin_edges(config: RedshiftConfig, device: torch.device | None = None) -> Tensor:
    """The K + 1 edges in ln(1+z)."""
    return torch.linspace(0, math.log1p(config.z_max), config.bins + 1, device=device)


def label_probability(redshift_B: Tensor, config: RedshiftConfig) -> Tensor:
    """The training label: the mass of a Gaussian about ln(1+z) in every bin, (B, K).

    A redshift above z_max is counted in the last bin.
    """
    edges_K1 = bin_edges(config, redshift_B.device)
    x_B = torch.log1p(redshift_B).clamp(0, math.log1p(config.z_max))
    sigma = config.label_width * config.bin_width
    cdf_BK1 = torch.special.ndtr((edges_K1 - x_B[:, None]) / sigma)
    mass_BK = cdf_BK1.diff(dim=-1)
    return mass_BK / mass_BK.sum(-1, keepdim=True)


def redshift_loss(logits_BK: Tensor, redshift_B: Tensor, known_B: Tensor, config: RedshiftConfig) -> Tensor:
    """Mean cross entropy of p(z) over the galaxies with a redshift; 0 when there is none."""
    label_BK = label_probability(redshift_B, config)
    loss_B = -(label_BK * F.log_softmax(logits_BK.float(), -1)).sum(-1)
    return (loss_B * known_B).sum() / known_B.sum().clamp(min=1)


def redshift_quantile(logits_BK: Tensor, quantile: float, config: RedshiftConfig) -> Tensor:
    """The redshift below which `quantile` of p(z) lies, linear within a bin: (B,).

    The median (0.5) is the point estimate: the one that the absolute error calls for.
    """
    probability_BK = logits_BK.float().softmax(-1)
    cdf_BK = probability_BK.cumsum(-1)
    index_B1 = (cdf_BK < quantile).sum(-1, keepdim=True).clamp(max=config.bins - 1)
    upper_B, mass_B = cdf_BK.gather(1, index_B1)[:, 0], probability_BK.gather(1, index_B1)[:, 0]
    fraction_B = ((quantile - (upper_B - mass_B)) / mass_B.clamp(min=1e-12)).clamp(0, 1)
    return torch.expm1((index_B1[:, 0] + fraction_B) * config.bin_width)
