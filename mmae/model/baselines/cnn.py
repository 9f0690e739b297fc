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
from mmae.model.inception import inception_trunk
from mmae.model.masking import Visible
from mmae.model.outputs import Estimate, Losses, Reading
from mmae.model.recalibration import Recalibration
from mmae.model.redshift import RedshiftConfig, point_and_probability, redshift_interval, redshift_loss, refined


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


SIZES = (1, 3, 5)  # of the convolutions side by side


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
        trunk, n_features = inception_trunk(spec.n_bands, config.width, config.depth, config.halvings, SIZES)
        self.features = nn.Sequential(trunk, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.hidden = nn.Sequential(nn.Linear(n_features, config.hidden), nn.ReLU())
        self.logits = nn.Linear(config.hidden, config.redshift.bins)
        self.recalibration = Recalibration(len(self.n_tokens), config.redshift.bins)

    def _embedded(self, batch: Batch, visible: Visible) -> Tensor:
        image_BCHW = tk.normalise_image(batch.image_BCHW, self.band_noise, self.arcsinh_mean, self.arcsinh_std)
        shown_BCHW = image_BCHW * visible["image"][:, :, None, None]
        return self.hidden(self.features(shown_BCHW.contiguous(memory_format=torch.channels_last)))

    def forward(self, batch: Batch, visible: Visible) -> Losses:
        """The entropy of p(z)."""
        logits_BZ = refined(self.logits(self._embedded(batch, visible)), self.config.redshift)
        # A galaxy without image says nothing but the distribution of all redshifts.
        known_B = batch.redshift_known_B & visible["image"][:, 0]
        loss = redshift_loss(logits_BZ, batch.redshift_B, known_B, self.config.redshift)
        return Losses(self.config.redshift_weight * loss, {"redshift": loss})

    def _reading(self, embedding_BD: Tensor, visible: Visible) -> Tensor:
        """Recalibrated logits of the fine bins."""
        return self.recalibration(refined(self.logits(embedding_BD), self.config.redshift), visible)

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
            logits_BZ = self._reading(embedding_BD, visible)
            readings.append(Reading(*point_and_probability(logits_BZ, self.config.redshift), embedding_BD.float()))
        return readings

    @torch.no_grad()
    def redshift(self, batch: Batch, visible: Visible) -> tuple[Tensor, Tensor, Tensor]:
        """Median, 16th and 84th percentile of p(z)."""
        logits_BZ = self._reading(self._embedded(batch, visible), visible)
        return redshift_interval(logits_BZ, self.config.redshift)

    @torch.no_grad()
    def estimate(self, batch: Batch, visible: Visible) -> Estimate:
        """The redshift with its 68% interval; this model reconstructs nothing."""
        return Estimate(*self.redshift(batch, visible), {}, {})
