"""Baseline: contrastive alignment of image and spectrum, as in AstroCLIP (Parker et al. 2024, MNRAS 531, 4990).

Each modality has its own encoder; the loss (InfoNCE, van den Oord et al. 2018; symmetric as in Radford et al. 2021)
matches the images of a batch to their spectra. A linear layer predicts the redshift from the detached embedding: the
encoders are trained on pairs only.
Legend of suffixes: batch.py; V visible tokens.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmae.model.batch import Batch, InputSpec
from mmae.model.blocks import EncoderBlock
from mmae.model.config import ContrastiveConfig
from mmae.model.losses import mean_over_targets
from mmae.model.modalities.image import Image
from mmae.model.modalities.spectrum import Spectrum
from mmae.model.modality import Modality, Sizes, embed_visible, whole_tokens
from mmae.model.outputs import Estimate, Losses, Reading
from mmae.model.recalibration import Recalibration
from mmae.model.redshift import point_and_probability, redshift_interval, redshift_loss, refined
from mmae.model.view import View, Visible, as_view


class Encoder(nn.Module):
    """Encodes the visible tokens of one modality to a unit vector.

    Args:
        unused: attributes of the modality to delete, as nothing is reconstructed.
    """

    def __init__(self, modality: Modality, unused: tuple[str, ...], c: ContrastiveConfig):
        super().__init__()
        self.modality = modality
        for name in unused:
            delattr(modality, name)
        self.register = nn.Parameter(torch.randn(1, 1, c.width) * 0.02)
        self.blocks = nn.ModuleList(EncoderBlock(c.width, c.heads, c.mlp_ratio) for _ in range(c.depth))
        self.out = nn.Sequential(nn.LayerNorm(c.width), nn.Linear(c.width, c.embedding))

    def forward(self, batch: Batch, visible_BT: Tensor) -> Tensor:
        # The vector of a galaxy without visible tokens is not used; shown whole, it is embedded as the others are.
        visible_BT = visible_BT | ~visible_BT.any(-1, keepdim=True)
        view = as_view({self.modality.name: visible_BT}, [self.modality.name])
        prepared = self.modality.prepare(batch, visible_BT)
        whole_BWD = whole_tokens(self.modality, prepared, view)
        vectors = []
        for group in view.groups:
            x_BVD, valid_BV, _ = embed_visible(self.modality, prepared, visible_BT, group, whole_BWD)
            x_BVD = torch.cat([self.register.expand(len(x_BVD), -1, -1).to(x_BVD.dtype), x_BVD], 1)
            key_mask_BV = F.pad(valid_BV, (1, 0), value=True) if group.padded else None
            for block in self.blocks:
                x_BVD = block(x_BVD, key_mask_BV)
            vectors.append(F.normalize(self.out(x_BVD[:, 0]).float(), dim=-1))
        return view.ungroup(vectors)


class Contrastive(nn.Module):
    """The model of the `contrastive` recipe.

    Raises:
        ValueError: a modality's patch does not fit the survey.
    """

    encoders: Mapping[str, Encoder]  # an nn.ModuleDict

    def __init__(self, config: ContrastiveConfig, spec: InputSpec):
        super().__init__()
        self.config, self.spec = config, spec
        sizes = Sizes(config.width, config.width, config.heads, config.redshift)
        image, spectrum = Image(config.image, spec, sizes), Spectrum(config.spectrum, spec, sizes)
        encoders = nn.ModuleDict(
            {
                "image": Encoder(image, ("query_TE", "mixing", "to_image"), config),
                "spectrum": Encoder(spectrum, ("query_TE", "to_patch", "to_level", "lines"), config),
            }
        )
        self.encoders = cast("Mapping[str, Encoder]", encoders)
        self.n_tokens = {name: encoder.modality.n_tokens for name, encoder in self.encoders.items()}
        self.log_scale = nn.Parameter(torch.tensor(-math.log(config.temperature)))
        self.logits = nn.Linear(config.embedding, config.redshift.bins)
        self.recalibration = Recalibration(len(self.n_tokens), config.redshift.bins)

    def _vectors(self, batch: Batch, visible: Visible) -> dict[str, Tensor]:
        return {name: encoder(batch, visible[name]) for name, encoder in self.encoders.items()}

    @staticmethod
    def _mean(vectors: dict[str, Tensor], visible: Visible) -> Tensor:
        """The mean vector of the modalities with visible tokens; 0 without any."""
        weight = {name: visible[name].any(-1, keepdim=True).float() for name in vectors}
        total_BD = sum(vectors[name] * weight[name] for name in vectors)
        return total_BD / cast(Tensor, sum(weight.values())).clamp(min=1)

    def forward(self, batch: Batch, visible: Visible | View) -> Losses:
        """InfoNCE over the galaxies with both modalities visible, and the cross entropy of p(z)."""
        visible = as_view(visible, self.n_tokens).visible
        vectors = self._vectors(batch, visible)
        pair_B = visible["image"].any(-1) & visible["spectrum"].any(-1)
        similarity_BB = self.log_scale.exp().clamp(max=100) * vectors["image"] @ vectors["spectrum"].T
        similarity_BB = similarity_BB.masked_fill(~(pair_B[:, None] & pair_B[None]), -1e4)
        own_B = torch.arange(len(pair_B), device=pair_B.device)
        entropy_B = F.cross_entropy(similarity_BB, own_B, reduction="none") + F.cross_entropy(
            similarity_BB.T, own_B, reduction="none"
        )
        pairs = mean_over_targets((entropy_B * pair_B).sum() / 2, pair_B.sum())
        logits_BZ = refined(self.logits(self._mean(vectors, visible).detach()), self.config.redshift)
        weight_B = batch.weight_B * batch.redshift_known_B
        redshift = redshift_loss(logits_BZ, batch.redshift_B, weight_B, self.config.redshift)
        return Losses(pairs + self.config.redshift_weight * redshift, {"pairs": pairs, "redshift": redshift})

    def _recalibrated_logits(self, embedding_BD: Tensor, visible: Visible) -> Tensor:
        """Recalibrated logits of the fine bins."""
        return self.recalibration(refined(self.logits(embedding_BD), self.config.redshift), visible)

    @torch.no_grad()
    def embedding(self, batch: Batch, visible: Visible) -> Tensor:
        """The galaxy in the common embedding space, (B, embedding)."""
        return self._mean(self._vectors(batch, visible), visible)

    @torch.no_grad()
    def read(self, batch: Batch, visibles: Sequence[Visible]) -> list[Reading]:
        """Redshift, p(z) and embedding under each of several masks."""
        readings = []
        for visible in visibles:
            embedding_BD = self.embedding(batch, visible)
            logits_BZ = self._recalibrated_logits(embedding_BD, visible)
            point_and_p = point_and_probability(logits_BZ, self.config.redshift)
            readings.append(Reading(*point_and_p, embedding_BD, logits_BZ))
        return readings

    @torch.no_grad()
    def redshift(self, batch: Batch, visible: Visible) -> tuple[Tensor, Tensor, Tensor]:
        """Median, 16th and 84th percentile of p(z)."""
        logits_BZ = self._recalibrated_logits(self.embedding(batch, visible), visible)
        return redshift_interval(logits_BZ, self.config.redshift)

    @torch.no_grad()
    def estimate(self, batch: Batch, visible: Visible) -> Estimate:
        """The redshift with its 68% interval; no reconstructions."""
        return Estimate(*self.redshift(batch, visible), {}, {})
