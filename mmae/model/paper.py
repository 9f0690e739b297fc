"""The published model (arXiv:2510.22527), with the published number of parameters: the baseline of every comparison.

All 96 tokens are encoded. A masked token is set to zero after its position embedding was added, so that it carries
no position. One pooled vector is decoded to the whole image and the whole spectrum.

Details that the article does not give follow its authors' code (github.com/astrodatalab/himes_2025):

- Decoders have GELU and dropout after each hidden layer; the redshift head has ReLU and no dropout. The feed-forward
  layers of the cross-attention blocks have dropout after both layers, the attention of the pooling has none.
- Linear layers start from Xavier's uniform distribution (gain 1) with zero bias, the convolution from Kaiming's
  normal distribution by its fan-out (gain sqrt(2), of ReLU). The redshift head, the convolution's bias and the input
  projections of attention (Xavier's distribution as well) keep PyTorch's own start.
- Positions and the queries of the pooling learn at a tenth of the learning rate and without weight decay, which acts
  on all other parameters, biases and norms included.
- A spectrum without a visible token, dropped or not measured, is a spectrum of zeros before the encoder. It is no
  target. In training its tokens are masked like those of any other spectrum; at inference none is masked. (The
  published scores from the image alone are of "100% spectrum masking"; the code of that prediction was not found.)
  The same holds for an image, which the authors never drop.
- A pixel that was not observed, which their images do not have, is zero, the level of the sky, and no target.

Legend of suffixes: batch.py; T = 64 image tokens, S = 32 spectrum tokens, R pooled samples.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmae.model import tokens as tk
from mmae.model.batch import Batch, InputSpec
from mmae.model.config import PaperConfig
from mmae.model.losses import masked_mse, paper_redshift_loss
from mmae.model.masking import random_visible
from mmae.model.outputs import Estimate, Losses, Reading
from mmae.model.view import View, Visible, as_view

PAPER_PARAMETERS = 16_364_036
"""Number of parameters of the published model, on the GalaxiesML-Spectra grid."""
DROPPED_MASKED = 0.75
"""Fraction of the tokens of a dropped modality that is masked in training: the published one."""
SLOW = ("image_position", "spectrum_position", "image_pool.query", "spectrum_pool.query")
"""Parameters with SLOW_RATE of the learning rate and no weight decay."""
SLOW_RATE = 0.1


class CrossAttentionBlock(nn.Module):
    """Attention, add, norm, FFN, add, norm; used with the same weights in both directions."""

    def __init__(self, c: PaperConfig):
        super().__init__()
        self.attention = nn.MultiheadAttention(c.width, c.heads, dropout=c.dropout, batch_first=True)
        self.norm1, self.norm2 = nn.LayerNorm(c.width), nn.LayerNorm(c.width)
        self.ffn = nn.Sequential(
            nn.Linear(c.width, c.mlp_ratio * c.width),
            nn.GELU(),
            nn.Dropout(c.dropout),
            nn.Linear(c.mlp_ratio * c.width, c.width),
            nn.Dropout(c.dropout),
        )

    def forward(self, x_BTD: Tensor, other_BSD: Tensor) -> Tensor:
        y_BTD, _ = self.attention(x_BTD, other_BSD, other_BSD, need_weights=False)
        x_BTD = self.norm1(x_BTD + y_BTD)
        return self.norm2(x_BTD + self.ffn(x_BTD))


class AttentionPooling(nn.Module):
    """Pools the tokens of a modality by attention with one learned query."""

    def __init__(self, c: PaperConfig):
        super().__init__()
        self.query = nn.Parameter(torch.randn(1, 1, c.width) * 0.02)
        self.attention = nn.MultiheadAttention(c.width, c.heads, batch_first=True)

    def forward(self, x_BTD: Tensor) -> Tensor:
        query_B1D = self.query.expand(len(x_BTD), -1, -1)
        return self.attention(query_B1D, x_BTD, x_BTD, need_weights=False)[0][:, 0]


def _encoder(c: PaperConfig) -> nn.TransformerEncoder:
    layer = nn.TransformerEncoderLayer(c.width, c.heads, c.mlp_ratio * c.width, c.dropout, "gelu", batch_first=True)
    return nn.TransformerEncoder(layer, c.depth, nn.LayerNorm(c.width), enable_nested_tensor=False)


def _decoder(c: PaperConfig, n_out: int) -> nn.Sequential:
    first, second = c.hidden
    return nn.Sequential(
        nn.Linear(2 * c.width, first),
        nn.GELU(),
        nn.Dropout(c.dropout),
        nn.Linear(first, second),
        nn.GELU(),
        nn.Dropout(c.dropout),
        nn.Linear(second, n_out),
    )


def _initialise(module: nn.Module) -> None:
    """Initial weights of linear and convolutional layers (Glorot & Bengio 2010; He et al. 2015)."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def _has_target(batch: Batch, visible: Visible, name: str) -> Tensor:
    """The galaxies of which a modality was measured and is not dropped: (B, 1) bool."""
    return (batch.present[name] & visible[name].any(-1))[:, None]


class PaperMMAE(nn.Module):
    """The model of the `paper` recipe.

    Raises:
        ValueError: the image patch does not divide the image, or a spectrum patch is
            longer than the pooled spectrum.
    """

    def __init__(self, config: PaperConfig, spec: InputSpec):
        super().__init__()
        if spec.image_size % config.image_patch:
            raise ValueError(
                f"model.image_patch is {config.image_patch} and does not divide the image of {spec.image_size} pixels."
            )
        self.config, self.spec = config, spec
        n_image = (spec.image_size // config.image_patch) ** 2
        self.n_pooled = spec.n_wavelengths // config.spectrum_pool
        n_spectrum = self.n_pooled // config.spectrum_patch
        if n_spectrum < 1:
            raise ValueError(
                f"model.spectrum_patch is {config.spectrum_patch}, longer than the spectrum of "
                f"{self.n_pooled} pooled samples."
            )
        self.n_tokens = {"image": n_image, "spectrum": n_spectrum}
        D = config.width
        self.image_embed = nn.Conv2d(spec.n_bands, D, config.image_patch, config.image_patch)
        self.image_position = nn.Parameter(torch.randn(1, n_image, D) * 0.02)
        self.spectrum_embed = nn.Linear(config.spectrum_patch, D)
        self.spectrum_position = nn.Parameter(torch.randn(1, n_spectrum, D) * 0.02)
        self.spectrum_norm = nn.LayerNorm(D)
        self.image_encoder, self.spectrum_encoder = _encoder(config), _encoder(config)
        self.cross = nn.ModuleList(CrossAttentionBlock(config) for _ in range(config.cross_depth))
        self.image_pool, self.spectrum_pool = AttentionPooling(config), AttentionPooling(config)
        self.image_decoder = _decoder(config, spec.n_bands * spec.image_size**2)
        self.spectrum_decoder = _decoder(config, self.n_pooled)
        self.apply(_initialise)  # before the redshift head, which keeps PyTorch's own start
        self.redshift_head = nn.Sequential(
            nn.Linear(2 * D, config.hidden[1]), nn.ReLU(), nn.Linear(config.hidden[1], 1)
        )
        self.learning_rate_factors = dict.fromkeys(SLOW, SLOW_RATE)
        self.undecayed = SLOW

    def _pooled_spectrum(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        flux_BL, _, mean_B, rms_B = tk.normalise_spectrum(batch.flux_BL, batch.ivar_BL)
        pooled_BR = F.avg_pool1d(flux_BL[:, None], self.config.spectrum_pool)[:, 0]
        return pooled_BR, mean_B, rms_B

    def _unmasked(self, visible_BT: Tensor) -> Tensor:
        """The tokens that enter the encoder with their content: the visible ones, and those of a dropped modality."""
        dropped_B = ~visible_BT.any(-1)
        if self.training:  # drawn by each worker, as dropout is
            noise_BT = torch.rand(visible_BT.shape, device=visible_BT.device)
            return visible_BT | random_visible(dropped_B, noise_BT, DROPPED_MASKED)
        return visible_BT | dropped_B[:, None]

    def _latent(self, batch: Batch, pooled_BR: Tensor, visible: Visible) -> Tensor:
        image_BCHW = batch.image_BCHW.nan_to_num(0.0) * visible["image"].any(-1)[:, None, None, None]
        image_BTD = self.image_embed(image_BCHW).flatten(2).transpose(1, 2) + self.image_position
        image_BTD = self.image_encoder(image_BTD * self._unmasked(visible["image"])[..., None])
        n, patch = self.n_tokens["spectrum"], self.config.spectrum_patch
        used_BR = pooled_BR[:, : n * patch] * visible["spectrum"].any(-1)[:, None]
        spectrum_BSD = self.spectrum_embed(used_BR.unflatten(1, (n, patch))) + self.spectrum_position
        spectrum_BSD = self.spectrum_norm(spectrum_BSD)
        spectrum_BSD = self.spectrum_encoder(spectrum_BSD * self._unmasked(visible["spectrum"])[..., None])
        for block in self.cross:
            image_BTD, spectrum_BSD = block(image_BTD, spectrum_BSD), block(spectrum_BSD, image_BTD)
        return torch.cat([self.image_pool(image_BTD), self.spectrum_pool(spectrum_BSD)], -1)

    def _predict(self, batch: Batch, pooled_BR: Tensor, visible: Visible) -> tuple[Tensor, Tensor, Tensor]:
        """Image (B, C, H, W) in counts, normalised pooled spectrum (B, R), and redshift (B,)."""
        latent_B2D = self._latent(batch, pooled_BR, visible)
        image_BCHW = self.image_decoder(latent_B2D).reshape(batch.image_BCHW.shape)
        return image_BCHW, self.spectrum_decoder(latent_B2D), self.redshift_head(latent_B2D)[:, 0]

    def forward(self, batch: Batch, visible: Visible | View) -> Losses:
        """The paper's loss: 0.1 MSE(image) + 0.01 MSE(spectrum) on masked tokens + redshift loss.

        A dropped modality is no target.
        """
        c, visible = self.config, as_view(visible, self.n_tokens).visible
        pooled_BR, _, _ = self._pooled_spectrum(batch)
        image_BCHW, spectrum_BR, z_B = self._predict(batch, pooled_BR, visible)
        image = masked_mse(
            tk.patchify_image(image_BCHW, c.image_patch),
            tk.patchify_image(batch.image_BCHW.nan_to_num(0.0), c.image_patch),
            ~visible["image"] & _has_target(batch, visible, "image"),
            tk.patchify_image(batch.image_BCHW.isfinite(), c.image_patch),
        )
        n_used = self.n_tokens["spectrum"] * c.spectrum_patch
        spectrum = masked_mse(
            spectrum_BR[:, :n_used].unflatten(1, (self.n_tokens["spectrum"], -1)),
            pooled_BR[:, :n_used].unflatten(1, (self.n_tokens["spectrum"], -1)),
            ~visible["spectrum"] & _has_target(batch, visible, "spectrum"),
        )
        redshift = paper_redshift_loss(z_B, batch.redshift_B, batch.redshift_known_B)
        total = c.image_weight * image + c.spectrum_weight * spectrum + c.redshift_weight * redshift
        return Losses(total, {"image": image, "spectrum": spectrum, "redshift": redshift})

    @torch.no_grad()
    def embedding(self, batch: Batch, visible: Visible) -> Tensor:
        """The pooled image and spectrum tokens, the input of all decoders: (B, 2D)."""
        pooled_BR, _, _ = self._pooled_spectrum(batch)
        return self._latent(batch, pooled_BR, visible).float()

    @torch.no_grad()
    def read(self, batch: Batch, visibles: Sequence[Visible]) -> list[Reading]:
        """Redshift and embedding under each of several masks, without p(z)."""
        latents = [self.embedding(batch, visible) for visible in visibles]
        return [Reading(self.redshift_head(latent_BD)[:, 0].float(), None, latent_BD) for latent_BD in latents]

    @torch.no_grad()
    def redshift(self, batch: Batch, visible: Visible) -> tuple[Tensor, None, None]:
        """The point estimate; None for the percentiles of p(z), which this model does not have."""
        pooled_BR, _, _ = self._pooled_spectrum(batch)
        return self._predict(batch, pooled_BR, visible)[2].float(), None, None

    @torch.no_grad()
    def estimate(self, batch: Batch, visible: Visible) -> Estimate:
        """Redshift and reconstructions in physical units; the spectrum is constant within each pooled sample."""
        c, L = self.config, self.spec.n_wavelengths
        pooled_BR, mean_B, rms_B = self._pooled_spectrum(batch)
        image_BCHW, spectrum_BR, z_B = self._predict(batch, pooled_BR, visible)

        def to_grid(x_BR: Tensor) -> Tensor:  # samples beyond the last pool repeat its value
            x_BL = x_BR.repeat_interleave(c.spectrum_pool, 1)
            return torch.cat([x_BL, x_BL[:, -1:].expand(-1, L - x_BL.shape[1])], 1)

        visible_BR = visible["spectrum"].repeat_interleave(c.spectrum_patch, 1)
        visible_BR = F.pad(visible_BR, (0, self.n_pooled - visible_BR.shape[1]))
        return Estimate(
            z_B.float(),
            None,
            None,
            {"image": image_BCHW.float(), "spectrum": mean_B[:, None] + rms_B[:, None] * to_grid(spectrum_BR.float())},
            {"image": tk.visible_pixels(visible["image"], self.spec.image_size), "spectrum": to_grid(visible_BR)},
        )
