"""The published model, to the parameter: the baseline of every comparison (arXiv:2510.22527).

Legend of suffixes: batch.py; T = 64 image tokens, S = 32 spectrum tokens, R pooled samples.
All 96 tokens go through; a masked token is set to zero after its position was added, so it
has lost its place; one pooled vector is decoded to the whole image and the whole spectrum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmae.model import tokens as tk
from mmae.model.batch import Batch, InputSpec
from mmae.model.losses import masked_mse, paper_redshift_loss
from mmae.model.masking import Visible
from mmae.model.outputs import Estimate, Losses, Reading

PAPER_PARAMETERS = 16_364_036
"""Number of parameters of the published model, on the GalaxiesML-Spectra grid."""


@dataclass(frozen=True)
class PaperConfig:
    """The published sizes and loss weights; change one and it is no longer the paper's model."""

    kind: Literal["paper"] = "paper"
    image_patch: int = 8
    spectrum_pool: int = 30
    spectrum_patch: int = 8  # pooled samples
    width: int = 256
    depth: int = 4
    cross_depth: int = 4
    heads: int = 8
    mlp_ratio: int = 4
    dropout: float = 0.1
    hidden: tuple[int, int] = (512, 256)
    image_weight: float = 0.1
    spectrum_weight: float = 0.01
    redshift_weight: float = 1.0


class CrossAttentionBlock(nn.Module):
    """Attention, add, norm, FFN, add, norm: the same weights serve both directions."""

    def __init__(self, c: PaperConfig):
        super().__init__()
        self.attention = nn.MultiheadAttention(c.width, c.heads, dropout=c.dropout, batch_first=True)
        self.norm1, self.norm2 = nn.LayerNorm(c.width), nn.LayerNorm(c.width)
        self.ffn = nn.Sequential(
            nn.Linear(c.width, c.mlp_ratio * c.width), nn.GELU(), nn.Linear(c.mlp_ratio * c.width, c.width)
        )

    def forward(self, x_BTD: Tensor, other_BSD: Tensor) -> Tensor:
        y_BTD, _ = self.attention(x_BTD, other_BSD, other_BSD, need_weights=False)
        x_BTD = self.norm1(x_BTD + y_BTD)
        return self.norm2(x_BTD + self.ffn(x_BTD))


class AttentionPooling(nn.Module):
    """One learned query reads all tokens of a modality."""

    def __init__(self, c: PaperConfig):
        super().__init__()
        self.query = nn.Parameter(torch.randn(1, 1, c.width) * 0.02)
        self.attention = nn.MultiheadAttention(c.width, c.heads, dropout=c.dropout, batch_first=True)

    def forward(self, x_BTD: Tensor) -> Tensor:
        query_B1D = self.query.expand(len(x_BTD), -1, -1)
        return self.attention(query_B1D, x_BTD, x_BTD, need_weights=False)[0][:, 0]


def _encoder(c: PaperConfig) -> nn.TransformerEncoder:
    layer = nn.TransformerEncoderLayer(c.width, c.heads, c.mlp_ratio * c.width, c.dropout, "gelu", batch_first=True)
    return nn.TransformerEncoder(layer, c.depth, nn.LayerNorm(c.width), enable_nested_tensor=False)


def _decoder(c: PaperConfig, n_out: int) -> nn.Sequential:
    first, second = c.hidden
    return nn.Sequential(
        nn.Linear(2 * c.width, first), nn.ReLU(), nn.Linear(first, second), nn.ReLU(), nn.Linear(second, n_out)
    )


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
        self.redshift_head = nn.Sequential(
            nn.Linear(2 * D, config.hidden[1]), nn.ReLU(), nn.Linear(config.hidden[1], 1)
        )

    def _pooled_spectrum(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        flux_BL, _, mean_B, rms_B = tk.normalise_spectrum(batch.flux_BL, batch.ivar_BL)
        pooled_BR = F.avg_pool1d(flux_BL[:, None], self.config.spectrum_pool)[:, 0]
        return pooled_BR, mean_B, rms_B

    def _latent(self, batch: Batch, pooled_BR: Tensor, visible: Visible) -> Tensor:
        image_BTD = self.image_embed(batch.image_BCHW).flatten(2).transpose(1, 2) + self.image_position
        used_BR = pooled_BR[:, : self.n_tokens["spectrum"] * self.config.spectrum_patch]
        patches_BSP = used_BR.reshape(len(used_BR), self.n_tokens["spectrum"], -1)
        spectrum_BSD = self.spectrum_norm(self.spectrum_embed(patches_BSP) + self.spectrum_position)
        image_BTD = self.image_encoder(image_BTD * visible["image"][..., None])
        spectrum_BSD = self.spectrum_encoder(spectrum_BSD * visible["spectrum"][..., None])
        for block in self.cross:
            image_BTD, spectrum_BSD = block(image_BTD, spectrum_BSD), block(spectrum_BSD, image_BTD)
        return torch.cat([self.image_pool(image_BTD), self.spectrum_pool(spectrum_BSD)], -1)

    def _predict(self, batch: Batch, pooled_BR: Tensor, visible: Visible):
        latent_B2D = self._latent(batch, pooled_BR, visible)
        image_BCHW = self.image_decoder(latent_B2D).reshape(batch.image_BCHW.shape)
        return image_BCHW, self.spectrum_decoder(latent_B2D), self.redshift_head(latent_B2D)[:, 0]

    def forward(self, batch: Batch, visible: Visible) -> Losses:
        """0.1 MSE(image) + 0.01 MSE(spectrum) on masked tokens + redshift loss, the paper's eq."""
        c = self.config
        pooled_BR, _, _ = self._pooled_spectrum(batch)
        image_BCHW, spectrum_BR, z_B = self._predict(batch, pooled_BR, visible)
        image = masked_mse(
            tk.patchify_image(image_BCHW, c.image_patch),
            tk.patchify_image(batch.image_BCHW, c.image_patch),
            ~visible["image"] & batch.present["image"][:, None],
        )
        n_used = self.n_tokens["spectrum"] * c.spectrum_patch
        spectrum = masked_mse(
            spectrum_BR[:, :n_used].unflatten(1, (self.n_tokens["spectrum"], -1)),
            pooled_BR[:, :n_used].unflatten(1, (self.n_tokens["spectrum"], -1)),
            ~visible["spectrum"] & batch.present["spectrum"][:, None],
        )
        redshift = paper_redshift_loss(z_B, batch.redshift_B, batch.redshift_known_B)
        total = c.image_weight * image + c.spectrum_weight * spectrum + c.redshift_weight * redshift
        return Losses(total, {"image": image, "spectrum": spectrum, "redshift": redshift})

    @torch.no_grad()
    def embedding(self, batch: Batch, visible: Visible) -> Tensor:
        """The galaxy as one vector: the pooled image and spectrum that every decoder reads, (B, 2D)."""
        pooled_BR, _, _ = self._pooled_spectrum(batch)
        return self._latent(batch, pooled_BR, visible).float()

    @torch.no_grad()
    def read(self, batch: Batch, visibles: Sequence[Visible]) -> list[Reading]:
        """Redshift and embedding under each of several masks; this model has no p(z)."""
        latents = [self.embedding(batch, visible) for visible in visibles]
        return [Reading(self.redshift_head(latent_BD)[:, 0].float(), None, latent_BD) for latent_BD in latents]

    @torch.no_grad()
    def redshift(self, batch: Batch, visible: Visible) -> tuple[Tensor, None, None]:
        """The point estimate; this model has no p(z)."""
        pooled_BR, _, _ = self._pooled_spectrum(batch)
        return self._predict(batch, pooled_BR, visible)[2].float(), None, None

    @torch.no_grad()
    def estimate(self, batch: Batch, visible: Visible) -> Estimate:
        """Redshift and reconstructions in physical units; the spectrum in steps of the pooling."""
        c, L = self.config, self.spec.n_wavelengths
        pooled_BR, mean_B, rms_B = self._pooled_spectrum(batch)
        image_BCHW, spectrum_BR, z_B = self._predict(batch, pooled_BR, visible)

        def to_grid(x_BR: Tensor) -> Tensor:  # the few samples beyond the last pool repeat it
            x_BL = x_BR.repeat_interleave(c.spectrum_pool, 1)
            return torch.cat([x_BL, x_BL[:, -1:].expand(-1, L - x_BL.shape[1])], 1)

        seen_BR = visible["spectrum"].repeat_interleave(c.spectrum_patch, 1)
        seen_BR = F.pad(seen_BR, (0, self.n_pooled - seen_BR.shape[1]))
        return Estimate(
            z_B.float(),
            None,
            None,
            {"image": image_BCHW.float(), "spectrum": mean_B[:, None] + rms_B[:, None] * to_grid(spectrum_BR.float())},
            {"image": tk.visible_pixels(visible["image"], self.spec.image_size), "spectrum": to_grid(seen_BR)},
        )
