"""The masked autoencoder: encode the visible tokens only, decode token by token.

Legend of suffixes: batch.py; T tokens of one modality, V visible tokens, Q queries, E decoder width.
Path of a batch: each modality prepares patches -> tokens of the visible ones -> encoder ->
decoder queries (one for each hidden or visible position) and the redshift head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mmae.model.batch import Batch, InputSpec
from mmae.model.blocks import CrossBlock, EncoderBlock
from mmae.model.masking import Visible, visible_order
from mmae.model.modalities import MODALITIES, ModalitiesConfig
from mmae.model.outputs import Estimate, Losses, Reading
from mmae.model.redshift import RedshiftConfig, RedshiftHead, redshift_loss, redshift_quantile

Prepared = dict[str, Any]
"""What `Modality.prepare` gave, by modality."""


@dataclass(frozen=True)
class MMAEConfig:
    """A joint encoder of the visible tokens of all modalities (after He et al. 2022, Bachmann et al. 2022)."""

    kind: Literal["mmae"] = "mmae"
    modalities: ModalitiesConfig = field(default_factory=ModalitiesConfig)
    width: int = 128
    depth: int = 4
    heads: int = 4
    mlp_ratio: float = 4.0
    decoder_width: int = 96
    decoder_depth: int = 1
    redshift_weight: float = 1.0
    redshift: RedshiftConfig = field(default_factory=RedshiftConfig)

    def __post_init__(self) -> None:
        for name in ("width", "depth", "heads", "decoder_depth"):
            if getattr(self, name) < 1:
                raise ValueError(f"model.{name} is {getattr(self, name)}: it must be at least 1.")
        for name in ("width", "decoder_width"):
            if getattr(self, name) % (4 * self.heads):
                raise ValueError(
                    f"model.{name} is {getattr(self, name)}: it must be a multiple of "
                    f"4 x heads = {4 * self.heads}."
                )
        if not any(getattr(self.modalities, name).use for name in MODALITIES):
            raise ValueError("model.modalities: none is in use.")


class MMAE(nn.Module):
    """The model of the `small` recipe.

    Raises:
        ValueError: a modality's patch does not fit the survey.
    """

    def __init__(self, config: MMAEConfig, spec: InputSpec):
        super().__init__()
        self.config, self.spec = config, spec
        D, E = config.width, config.decoder_width
        self.modalities = nn.ModuleDict({
            name: kind(getattr(config.modalities, name), spec, D, E)
            for name, kind in MODALITIES.items() if getattr(config.modalities, name).use
        })
        self.n_tokens = {name: modality.n_tokens for name, modality in self.modalities.items()}
        # A token that is always visible, so that attention has something to attend to
        # when a galaxy has no modality at all.
        self.register = nn.Parameter(torch.randn(1, 1, D) * 0.02)
        self.encoder = nn.ModuleList(
            EncoderBlock(D, config.heads, config.mlp_ratio) for _ in range(config.depth)
        )
        self.encoder_norm = nn.LayerNorm(D)
        self.decoder = nn.ModuleList(
            CrossBlock(E, config.heads, 2.0, D) for _ in range(config.decoder_depth)
        )
        self.redshift_head = RedshiftHead(D, config.heads, config.redshift)

    def _prepare(self, batch: Batch, visible: Visible) -> Prepared:
        return {name: modality.prepare(batch, visible[name]) for name, modality in self.modalities.items()}

    def encode(self, batch: Batch, visible: Visible) -> tuple[Tensor, Tensor]:
        """Encoded visible tokens (B, 1 + V, D), register first, and which of them are real."""
        return self._encode(self._prepare(batch, visible), visible)

    def _encode(self, prepared: Prepared, visible: Visible) -> tuple[Tensor, Tensor]:
        n_galaxies = len(next(iter(visible.values())))
        tokens = [self.register.expand(n_galaxies, -1, -1)]
        valid = [torch.ones(n_galaxies, 1, dtype=torch.bool, device=self.register.device)]
        for name, modality in self.modalities.items():
            # Only what is visible is embedded: hidden tokens cost nothing from here on.
            order_BV, valid_BV = visible_order(visible[name])
            tokens.append(modality.embed(prepared[name], order_BV))
            valid.append(valid_BV)
        x_BVD, valid_BV = torch.cat([t.to(tokens[-1].dtype) for t in tokens], 1), torch.cat(valid, 1)
        for block in self.encoder:
            x_BVD = block(x_BVD, valid_BV)
        return self.encoder_norm(x_BVD), valid_BV

    def _decode(self, encoded_BVD: Tensor, valid_BV: Tensor) -> dict[str, Tensor]:
        query_QE = torch.cat([modality.query_TE for modality in self.modalities.values()])
        x_BQE = query_QE.expand(len(encoded_BVD), -1, -1)
        for block in self.decoder:
            x_BQE = block(x_BQE, encoded_BVD, valid_BV)
        parts = x_BQE.split(list(self.n_tokens.values()), 1)
        return {
            name: modality.predict(x_BTE)
            for (name, modality), x_BTE in zip(self.modalities.items(), parts, strict=True)
        }

    def forward(self, batch: Batch, visible: Visible) -> Losses:
        """The losses of one batch: each modality's on hidden tokens, and the entropy of p(z)."""
        prepared = self._prepare(batch, visible)
        encoded_BVD, valid_BV = self._encode(prepared, visible)
        predicted = self._decode(encoded_BVD, valid_BV)
        logits_BK = self.redshift_head(encoded_BVD, valid_BV)
        parts = {
            name: modality.loss(predicted[name], prepared[name], ~visible[name] & batch.present[name][:, None])
            for name, modality in self.modalities.items()
        }
        total = sum(self.modalities[name].config.weight * part for name, part in parts.items())
        parts["redshift"] = redshift_loss(
            logits_BK, batch.redshift_B, batch.redshift_known_B, self.config.redshift
        )
        return Losses(total + self.config.redshift_weight * parts["redshift"], parts)

    def _quantiles(self, encoded_BVD: Tensor, valid_BV: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits_BK = self.redshift_head(encoded_BVD, valid_BV)
        low_B, median_B, high_B = (
            redshift_quantile(logits_BK, q, self.config.redshift) for q in (0.16, 0.5, 0.84)
        )
        return median_B, low_B, high_B

    @staticmethod
    def _mean_token(encoded_BVD: Tensor, valid_BV: Tensor) -> Tensor:
        # The register counts as well: redshift head and decoder read it like any other token, and a galaxy
        # of which nothing is visible still has a mean. On the default grid it is one of 65 tokens or more.
        seen_BVD = encoded_BVD.float().where(valid_BV[..., None], 0.0)
        return seen_BVD.sum(1) / valid_BV.sum(1, keepdim=True)

    @torch.no_grad()
    def embedding(self, batch: Batch, visible: Visible) -> Tensor:
        """The galaxy as one vector: the mean of register and encoded visible tokens, (B, D)."""
        return self._mean_token(*self.encode(batch, visible))

    @torch.no_grad()
    def read(self, batch: Batch, visibles: Sequence[Visible]) -> list[Reading]:
        """Redshift, p(z) and embedding under each of several masks."""
        readings = []
        for visible in visibles:
            encoded_BVD, valid_BV = self.encode(batch, visible)
            logits_BK = self.redshift_head(encoded_BVD, valid_BV)
            readings.append(Reading(redshift_quantile(logits_BK, 0.5, self.config.redshift),
                                    logits_BK.float().softmax(-1), self._mean_token(encoded_BVD, valid_BV)))
        return readings

    @torch.no_grad()
    def redshift(self, batch: Batch, visible: Visible) -> tuple[Tensor, Tensor, Tensor]:
        """Median, 16th and 84th percentile of p(z), without the cost of a reconstruction."""
        return self._quantiles(*self.encode(batch, visible))

    @torch.no_grad()
    def estimate(self, batch: Batch, visible: Visible) -> Estimate:
        """Redshift with its 68% interval and all reconstructions, in physical units."""
        prepared = self._prepare(batch, visible)
        encoded_BVD, valid_BV = self._encode(prepared, visible)
        predicted = self._decode(encoded_BVD, valid_BV)
        return Estimate(
            *self._quantiles(encoded_BVD, valid_BV),
            {name: modality.restore(predicted[name], prepared[name]) for name, modality in self.modalities.items()},
            {name: modality.seen(visible[name]) for name, modality in self.modalities.items()},
        )
