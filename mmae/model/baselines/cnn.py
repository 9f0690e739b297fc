"""A convolutional network from image to p(z): what photometric redshifts from images are usually made with.

Inception modules on all bands, after Szegedy et al. (2015) and Pasquet et al. (2019, A&A 621, A26); the same
stretch of the pixels, the same bins and the same loss as the MMAE.
Legend of suffixes: batch.py; F feature maps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from mmae.model import tokens as tk
from mmae.model.batch import Batch, InputSpec
from mmae.model.masking import Visible
from mmae.model.outputs import Estimate, Losses, Reading
from mmae.model.redshift import RedshiftConfig, redshift_loss, redshift_quantile


@dataclass(frozen=True)
class CNNConfig:
    """An Inception network on images."""

    kind: Literal["cnn"] = "cnn"
    width: int = 32
    """Feature maps of each of a module's four branches at full resolution; twice as many after each halving."""
    depth: int = 2
    """Modules before each halving of the resolution."""
    halvings: int = 3
    hidden: int = 256
    redshift_weight: float = 1.0
    redshift: RedshiftConfig = field(default_factory=RedshiftConfig)

    def __post_init__(self) -> None:
        for name in ("width", "depth", "halvings", "hidden"):
            if getattr(self, name) < 1:
                raise ValueError(f"model.{name} is {getattr(self, name)}: it must be at least 1.")


class Inception(nn.Module):
    """1 x 1, 3 x 3 and 5 x 5 convolutions and a pooled branch side by side: (B, F, H, W) -> (B, 4 width, H, W)."""

    def __init__(self, n_in: int, width: int):
        super().__init__()

        def convolution(n: int, size: int) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(n, width, size, padding=size // 2, bias=False), nn.BatchNorm2d(width), nn.ReLU()
            )

        self.branches = nn.ModuleList([
            convolution(n_in, 1),
            nn.Sequential(convolution(n_in, 1), convolution(width, 3)),
            nn.Sequential(convolution(n_in, 1), convolution(width, 5)),
            nn.Sequential(nn.AvgPool2d(3, 1, 1), convolution(n_in, 1)),
        ])

    def forward(self, x_BFHW: Tensor) -> Tensor:
        return torch.cat([branch(x_BFHW) for branch in self.branches], 1)


class CNN(nn.Module):
    """The model of the `cnn` recipe. Its image is one token: seen as a whole, or not at all."""

    def __init__(self, config: CNNConfig, spec: InputSpec):
        super().__init__()
        if spec.image_size < 2 ** (config.halvings + 1):
            raise ValueError(
                f"model.halvings is {config.halvings}: an image of {spec.image_size} pixels cannot be halved "
                f"that often after the first layer."
            )
        self.config, self.spec = config, spec
        self.n_tokens = {"image": 1}
        for name in ("band_noise", "arcsinh_mean", "arcsinh_std"):
            self.register_buffer(name, torch.tensor(getattr(spec, name)), persistent=False)
        stem = 2 * config.width
        layers: list[nn.Module] = [
            nn.Conv2d(spec.n_bands, stem, 5, stride=2, padding=2, bias=False), nn.BatchNorm2d(stem), nn.ReLU()
        ]
        n_in = stem
        for halving in range(config.halvings):
            width = config.width * 2**halving
            for _ in range(config.depth):
                layers.append(Inception(n_in, width))
                n_in = 4 * width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.hidden = nn.Sequential(nn.Linear(n_in, config.hidden), nn.ReLU())
        self.logits = nn.Linear(config.hidden, config.redshift.bins)

    def _embedded(self, batch: Batch, visible: Visible) -> Tensor:
        image_BCHW = tk.normalise_image(batch.image_BCHW, self.band_noise, self.arcsinh_mean, self.arcsinh_std)
        return self.hidden(self.features(image_BCHW * visible["image"][:, :, None, None]))

    def forward(self, batch: Batch, visible: Visible) -> Losses:
        """The entropy of p(z)."""
        logits_BK = self.logits(self._embedded(batch, visible))
        # A galaxy without image says nothing but the distribution of all redshifts.
        known_B = batch.redshift_known_B & visible["image"][:, 0]
        loss = redshift_loss(logits_BK, batch.redshift_B, known_B, self.config.redshift)
        return Losses(self.config.redshift_weight * loss, {"redshift": loss})

    @torch.no_grad()
    def embedding(self, batch: Batch, visible: Visible) -> Tensor:
        """The last layer before p(z), (B, hidden)."""
        return self._embedded(batch, visible).float()

    @torch.no_grad()
    def read(self, batch: Batch, visibles: Sequence[Visible]) -> list[Reading]:
        """Redshift, p(z) and embedding under each of several masks."""
        readings = []
        for visible in visibles:
            embedding_BD = self._embedded(batch, visible)
            logits_BK = self.logits(embedding_BD).float()
            point_B = redshift_quantile(logits_BK, 0.5, self.config.redshift)
            readings.append(Reading(point_B, logits_BK.softmax(-1), embedding_BD.float()))
        return readings

    @torch.no_grad()
    def redshift(self, batch: Batch, visible: Visible) -> tuple[Tensor, Tensor, Tensor]:
        """Median, 16th and 84th percentile of p(z)."""
        logits_BK = self.logits(self._embedded(batch, visible)).float()
        low_B, median_B, high_B = (redshift_quantile(logits_BK, q, self.config.redshift) for q in (0.16, 0.5, 0.84))
        return median_B, low_B, high_B

    @torch.no_grad()
    def estimate(self, batch: Batch, visible: Visible) -> Estimate:
        """The redshift with its 68% interval; this model reconstructs nothing."""
        return Estimate(*self.redshift(batch, visible), {}, {})
