"""Baseline: a convolutional network from image to p(z), the usual method for photometric redshifts from images.

Inception modules on all bands and the masks of their observed pixels, after Szegedy et al. (2015) and Pasquet et al.
(2019, A&A 621, A26); pixel stretch, redshift bins and loss are those of the MMAE.
Legend of suffixes: batch.py; F feature maps.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmae.model import tokens as tk
from mmae.model.batch import Batch, InputSpec
from mmae.model.config import CNNConfig
from mmae.model.inception import inception_trunk
from mmae.model.outputs import Estimate, Losses, Reading
from mmae.model.recalibration import Recalibration
from mmae.model.redshift import point_and_probability, redshift_interval, redshift_loss, refined
from mmae.model.view import View, Visible, as_view

SIZES = (1, 3, 5)  # kernel sizes of the parallel convolutions


class CNN(nn.Module):
    """The model of the `cnn` recipe. The image is one token, visible or hidden as a whole.

    Raises:
        ValueError: the image is too small for the number of halvings.
    """

    band_noise: Tensor
    arcsinh_mean: Tensor
    arcsinh_std: Tensor

    def __init__(self, config: CNNConfig, spec: InputSpec):
        super().__init__()
        if spec.image_size < 2 ** (config.halvings + 1):
            raise ValueError(
                f"model.halvings is {config.halvings}: too many for an image of {spec.image_size} pixels, "
                f"which needs at least {2 ** (config.halvings + 1)}."
            )
        self.config, self.spec = config, spec
        self.n_tokens = {"image": 1}
        for name in ("band_noise", "arcsinh_mean", "arcsinh_std"):
            self.register_buffer(name, torch.tensor(getattr(spec, name)), persistent=False)
        trunk, n_features = inception_trunk(2 * spec.n_bands, config.width, config.depth, config.halvings, SIZES)
        self.features = nn.Sequential(trunk, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.hidden = nn.Sequential(nn.Linear(n_features, config.hidden), nn.ReLU())
        self.logits = nn.Linear(config.hidden, config.redshift.bins)
        self.recalibration = Recalibration(len(self.n_tokens), config.redshift.bins)

    def _embed(self, batch: Batch, visible: Visible) -> Tensor:
        observed_BCHW = batch.image_BCHW.isfinite()
        image_BCHW = tk.normalise_image(batch.image_BCHW, self.band_noise, self.arcsinh_mean, self.arcsinh_std)
        both_BCHW = torch.cat([image_BCHW.where(observed_BCHW, 0.0), observed_BCHW.to(image_BCHW.dtype)], 1)
        shown_BCHW = both_BCHW * visible["image"][:, :, None, None]
        return self.hidden(self.features(shown_BCHW.contiguous(memory_format=torch.channels_last)))

    def forward(self, batch: Batch, visible: Visible | View) -> Losses:
        """The cross entropy of p(z)."""
        visible = as_view(visible, self.n_tokens).visible
        logits_BZ = refined(self.logits(self._embed(batch, visible)), self.config.redshift)
        # Galaxies without a visible image are left out: they would only teach the overall redshift distribution.
        weight_B = batch.weight_B * (batch.redshift_known_B & visible["image"][:, 0])
        loss = redshift_loss(logits_BZ, batch.redshift_B, weight_B, self.config.redshift)
        return Losses(self.config.redshift_weight * loss, {"redshift": loss})

    def _recalibrated_logits(self, embedding_BD: Tensor, visible: Visible) -> Tensor:
        """Recalibrated logits of the fine bins."""
        return self.recalibration(refined(self.logits(embedding_BD), self.config.redshift), visible)

    @torch.no_grad()
    def embedding(self, batch: Batch, visible: Visible) -> Tensor:
        """The last layer before p(z), (B, hidden)."""
        return self._embed(batch, visible).float()

    @torch.no_grad()
    def read(self, batch: Batch, visibles: Sequence[Visible]) -> list[Reading]:
        """Redshift, p(z) and embedding under each of several masks."""
        readings = []
        for visible in visibles:
            embedding_BD = self._embed(batch, visible)
            logits_BZ = self._recalibrated_logits(embedding_BD, visible)
            point_and_p = point_and_probability(logits_BZ, self.config.redshift)
            readings.append(Reading(*point_and_p, embedding_BD.float(), logits_BZ))
        return readings

    @torch.no_grad()
    def redshift(self, batch: Batch, visible: Visible) -> tuple[Tensor, Tensor, Tensor]:
        """Median, 16th and 84th percentile of p(z)."""
        logits_BZ = self._recalibrated_logits(self._embed(batch, visible), visible)
        return redshift_interval(logits_BZ, self.config.redshift)

    @torch.no_grad()
    def estimate(self, batch: Batch, visible: Visible) -> Estimate:
        """The redshift with its 68% interval; no reconstructions."""
        return Estimate(*self.redshift(batch, visible), {}, {})
