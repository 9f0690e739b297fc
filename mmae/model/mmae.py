"""The masked autoencoder: encode the visible tokens only, decode token by token.

Legend of suffixes: batch.py; T tokens of one modality, V visible tokens, Q queries of all modalities, E decoder width,
Z fine bins of ln(1+z). Path of a batch: each modality prepares patches -> tokens of the visible ones -> encoder ->
redshift head, joined by what a modality says of the redshift by itself -> decoder queries, one for each token, and
what the redshift adds to them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
import torch.nn.functional as Fn
from torch import Tensor, nn

from mmae.model.batch import Batch, InputSpec
from mmae.model.blocks import CrossBlock, EncoderBlock
from mmae.model.indexing import add_rows, take, visible_order
from mmae.model.masking import Visible, shown_set, visible_share
from mmae.model.modalities import MODALITIES, ModalitiesConfig
from mmae.model.modality import Evidence, Sizes
from mmae.model.outputs import Estimate, Losses, Reading
from mmae.model.recalibration import Recalibration
from mmae.model.redshift import (
    RedshiftConfig,
    RedshiftHead,
    most_probable,
    point_and_probability,
    redshift_interval,
    redshift_loss,
    refined,
)


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
    reconstructed: float = 1.0
    """Share of the galaxies of a training batch that are reconstructed, half of them those that show the most modalities;
    all are encoded and give their redshift."""
    redshift_weight: float = 1.0
    redshift: RedshiftConfig = field(default_factory=RedshiftConfig)

    def __post_init__(self) -> None:
        for name in ("width", "depth", "heads", "decoder_depth"):
            if getattr(self, name) < 1:
                raise ValueError(f"model.{name} is {getattr(self, name)}: it must be at least 1.")
        for name in ("width", "decoder_width"):
            if getattr(self, name) % (4 * self.heads):
                raise ValueError(
                    f"model.{name} is {getattr(self, name)}: it must be a multiple of 4 x heads = {4 * self.heads}."
                )
        if not 0 < self.reconstructed <= 1:
            raise ValueError(f"model.reconstructed is {self.reconstructed}: a share lies above 0, up to 1.")
        if not any(getattr(self.modalities, name).use for name in MODALITIES):
            raise ValueError("model.modalities: none is in use.")


@dataclass
class Group:
    """Encoded galaxies of a batch that show the same modalities, so that none waits for tokens which it does not have.

    Attributes:
        row_B: which of the batch.
        token_BVD: register first.
        valid_BV: which are real; None if all are.
    """

    row_B: Tensor
    token_BVD: Tensor
    valid_BV: Tensor | None


@dataclass
class Look:
    """What the model makes of a batch under one mask, before anything is reconstructed.

    Attributes:
        prepared: what each modality's `prepare` gave.
        evidence: of the modalities that have any.
        logits_BZ: of the fine redshift bins.
    """

    prepared: dict[str, Any]
    groups: list[Group]
    evidence: dict[str, Evidence]
    logits_BZ: Tensor


class MMAE(nn.Module):
    """The model of the recipes `base` and `small`.

    Raises:
        ValueError: a modality's patch does not fit the survey.
    """

    def __init__(self, config: MMAEConfig, spec: InputSpec):
        super().__init__()
        self.config, self.spec = config, spec
        D, E = config.width, config.decoder_width
        sizes = Sizes(D, E, config.redshift)
        self.modalities = nn.ModuleDict(
            {
                name: kind(getattr(config.modalities, name), spec, sizes)
                for name, kind in MODALITIES.items()
                if getattr(config.modalities, name).use
            }
        )
        self.n_tokens = {name: modality.n_tokens for name, modality in self.modalities.items()}
        # A token that is always visible: attention has something to attend to when a galaxy has no modality at all,
        # and there is one token that stands for the galaxy.
        self.register = nn.Parameter(torch.randn(1, 1, D) * 0.02)
        # It is told how much of each modality is visible: attention takes means and cannot count, and p(z) is
        # as broad as little is seen.
        self.amount = nn.Linear(len(self.modalities), D)
        self.encoder = nn.ModuleList(EncoderBlock(D, config.heads, config.mlp_ratio) for _ in range(config.depth))
        self.encoder_norm = nn.LayerNorm(D)
        self.decoder = nn.ModuleList(CrossBlock(E, config.heads, 2.0, D) for _ in range(config.decoder_depth))
        self.redshift_head = RedshiftHead(D, config.heads, config.redshift)
        self.recalibration = Recalibration(len(self.modalities), config.redshift.bins)

    def look(self, batch: Batch, visible: Visible) -> Look:
        """Encode what is visible and read the redshift."""
        prepared = {name: modality.prepare(batch, visible[name]) for name, modality in self.modalities.items()}
        groups = [self._encode(prepared, visible, row_B) for row_B in alike(visible)]
        logits_BK = in_order([self.redshift_head(g.token_BVD, g.valid_BV) for g in groups], groups)
        logits_BZ = refined(logits_BK, self.config.redshift)
        evidence = {}
        for name, modality in self.modalities.items():
            found = modality.evidence(prepared[name], visible[name])
            if found is not None:
                evidence[name] = found
                logits_BZ = add_rows(logits_BZ, found.row_B, found.log_odds_BZ)
        return Look(prepared, groups, evidence, logits_BZ)

    def _encode(self, prepared: dict[str, Any], visible: Visible, row_B: Tensor) -> Group:
        share_BM = visible_share({name: visible[name][row_B] for name in self.modalities})
        tokens = [self.register + self.amount(share_BM)[:, None]]
        valid = [torch.ones(len(row_B), 1, dtype=torch.bool, device=row_B.device)]
        for name, modality in self.modalities.items():
            # Only what is visible is embedded: hidden tokens cost nothing from here on.
            order_BV, valid_BV = visible_order(visible[name][row_B])
            tokens.append(modality.embed(prepared[name], row_B, order_BV))
            valid.append(valid_BV)
        x_BVD = torch.cat([t.to(tokens[-1].dtype) for t in tokens], 1)
        valid_BV = torch.cat(valid, 1)
        valid_BV = None if valid_BV.all() else valid_BV  # attention without a mask is faster
        for block in self.encoder:
            x_BVD = block(x_BVD, valid_BV)
        return Group(row_B, self.encoder_norm(x_BVD), valid_BV)

    def reconstruct(self, look: Look, chosen_B: Tensor, shift_B: Tensor, certainty_B: Tensor) -> dict[str, Any]:
        """What each modality predicts, hidden or not, for some galaxies; of the others, nothing.

        Args:
            chosen_B: as `chosen` gives them.
            shift_B, certainty_B: ln(1+z) at which lines are drawn, as `Modality.complete` is told it.
        """
        query_1QE = torch.cat([modality.query_TE for modality in self.modalities.values()])[None]
        parts = []
        for group in look.groups:
            first = int(chosen_B[group.row_B].sum())  # of a group, the first are chosen
            valid_BV = None if group.valid_BV is None else group.valid_BV[:first]
            x_BQE = query_1QE  # all ask the same until they have attended
            for block in self.decoder:
                x_BQE = block(x_BQE, group.token_BVD[:first], valid_BV)
            parts.append(Fn.pad(x_BQE, (0, 0, 0, 0, 0, len(group.row_B) - first)))
        decoded = in_order(parts, look.groups).split(list(self.n_tokens.values()), 1)
        predicted = {
            name: modality.predict(x_BTE)
            for (name, modality), x_BTE in zip(self.modalities.items(), decoded, strict=True)
        }
        if look.evidence:
            summary_BD = in_order([group.token_BVD[:, 0] for group in look.groups], look.groups)
            for name, found in look.evidence.items():
                predicted[name] = self.modalities[name].complete(
                    predicted[name], found, shift_B, certainty_B, summary_BD
                )
        return predicted

    def forward(self, batch: Batch, visible: Visible) -> Losses:
        """The losses of one batch: each modality's on hidden tokens, and the entropy of p(z)."""
        look = self.look(batch, visible)
        chosen_B = chosen(visible, self.config.reconstructed if self.training else 1.0)
        shift_B, certainty_B = most_probable(look.logits_BZ.detach(), self.config.redshift)
        if self.training:  # what stands at a redshift is learned at the right one
            known_B = batch.redshift_known_B
            shift_B = torch.where(known_B, batch.redshift_B.log1p(), shift_B)
            certainty_B = torch.where(known_B, 1.0, certainty_B)
        predicted = self.reconstruct(look, chosen_B, shift_B, certainty_B)
        parts = {
            name: modality.loss(
                predicted[name], look.prepared[name], ~visible[name] & (batch.present[name] & chosen_B)[:, None]
            )
            for name, modality in self.modalities.items()
        }
        total = sum(self.modalities[name].config.weight * part for name, part in parts.items())
        parts["redshift"] = redshift_loss(
            look.logits_BZ, batch.redshift_B, batch.redshift_known_B, self.config.redshift
        )
        return Losses(total + self.config.redshift_weight * parts["redshift"], parts)

    @staticmethod
    def _mean_token(look: Look) -> Tensor:
        # The register counts as well: redshift head and decoder read it like any other token, and a galaxy
        # of which nothing is visible still has a mean.
        return in_order([mean_token(group) for group in look.groups], look.groups)

    @torch.no_grad()
    def embedding(self, batch: Batch, visible: Visible) -> Tensor:
        """The galaxy as one vector: the mean of register and encoded visible tokens, (B, D)."""
        return self._mean_token(self.look(batch, visible))

    @torch.no_grad()
    def read(self, batch: Batch, visibles: Sequence[Visible]) -> list[Reading]:
        """Redshift, p(z) and embedding under each of several masks."""
        readings = []
        for visible in visibles:
            look = self.look(batch, visible)
            logits_BZ = self.recalibration(look.logits_BZ, visible)
            readings.append(Reading(*point_and_probability(logits_BZ, self.config.redshift), self._mean_token(look)))
        return readings

    @torch.no_grad()
    def redshift(self, batch: Batch, visible: Visible) -> tuple[Tensor, Tensor, Tensor]:
        """Median, 16th and 84th percentile of p(z), without the cost of a reconstruction."""
        return redshift_interval(self.recalibration(self.look(batch, visible).logits_BZ, visible), self.config.redshift)

    @torch.no_grad()
    def estimate(self, batch: Batch, visible: Visible) -> Estimate:
        """Redshift with its 68% interval and all reconstructions, in physical units."""
        look = self.look(batch, visible)
        at = most_probable(look.logits_BZ, self.config.redshift)
        predicted = self.reconstruct(look, chosen(visible, 1.0), *at)
        return Estimate(
            *redshift_interval(self.recalibration(look.logits_BZ, visible), self.config.redshift),
            {
                name: modality.restore(predicted[name], look.prepared[name])
                for name, modality in self.modalities.items()
            },
            {name: modality.seen(visible[name]) for name, modality in self.modalities.items()},
        )


def chosen(visible: Visible, share: float) -> Tensor:
    """A share of the galaxies, half of them those that show the most modalities: they have the most to tell of each
    other. Bool, (B,); of those that show the same, the first."""
    shown_BM = visible_share(visible) > 0
    n = math.ceil(share * len(shown_BM))
    chosen_B = torch.zeros(len(shown_BM), dtype=torch.bool, device=shown_BM.device)
    chosen_B[shown_BM.sum(-1).argsort(descending=True, stable=True)[: n // 2]] = True
    chosen_B[(~chosen_B).nonzero()[: n - n // 2, 0]] = True
    return chosen_B


def alike(visible: Visible) -> list[Tensor]:
    """The galaxies of a batch in groups that show the same modalities, as row numbers."""
    set_B = shown_set(visible)
    return [(set_B == which).nonzero()[:, 0] for which in set_B.unique()]


def in_order(parts: Sequence[Tensor], groups: Sequence[Group]) -> Tensor:
    """What was made group by group, galaxy by galaxy as in the batch."""
    row_B = torch.cat([group.row_B for group in groups])
    return take(torch.cat(list(parts)), row_B.argsort())


def mean_token(group: Group) -> Tensor:
    """(B, D)"""
    token_BVD = group.token_BVD.float()
    if group.valid_BV is None:
        return token_BVD.mean(1)
    valid_BV1 = group.valid_BV[..., None]
    return token_BVD.where(valid_BV1, 0.0).sum(1) / valid_BV1.sum(1)
