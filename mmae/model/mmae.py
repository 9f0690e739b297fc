"""The masked autoencoder: joint encoder of the visible tokens of all modalities, decoder with one query per token.

A batch is processed as follows: each modality prepares its patches and embeds the visible ones as tokens -> encoder ->
logits of the redshift head, plus the log odds of modalities with evidence of their own -> decoder queries -> patches,
plus what follows from the redshift.
Legend of suffixes: batch.py; T tokens of one modality, V visible tokens, Q queries of all modalities, E decoder width,
M modalities, Z fine bins of ln(1+z).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from mmae.model.batch import Batch, InputSpec
from mmae.model.blocks import DECODER_MLP, CrossBlock, EncoderBlock
from mmae.model.config import MMAEConfig
from mmae.model.indexing import add_rows, add_tokens
from mmae.model.modalities import MODALITIES
from mmae.model.modality import Evidence, Modality, Sizes, embed_visible, whole_tokens
from mmae.model.outputs import Estimate, Losses, Reading
from mmae.model.precision import at_least_float32
from mmae.model.recalibration import Recalibration
from mmae.model.redshift import (
    RedshiftHead,
    most_probable,
    point_and_probability,
    redshift_interval,
    redshift_loss,
    refined,
)
from mmae.model.view import Alike, View, Visible, as_view


@dataclass
class Group:
    """An encoded group of galaxies.

    Attributes:
        alike: the galaxies.
        token_BVD: register token first, then the tokens of each modality that they show.
        valid_BV: False at padding; None if there is no padding.
        place: for each of these modalities its slice of `token_BVD`, and the index of each of its tokens among those of
            the modality, (B, V); None for tokens of whole measurements.
    """

    alike: Alike
    token_BVD: Tensor
    valid_BV: Tensor | None
    place: dict[str, tuple[slice, Tensor | None]]


@dataclass
class Encoded:
    """A batch after the encoder and the redshift head, under one mask.

    Attributes:
        view: the mask.
        prepared: output of each modality's `prepare`.
        groups: encoded tokens.
        evidence: of the modalities that have any.
        logits_BZ: of the fine redshift bins.
    """

    view: View
    prepared: dict[str, Any]
    groups: list[Group]
    evidence: dict[str, Evidence]
    logits_BZ: Tensor


class MMAE(nn.Module):
    """The model of the recipes `base` and `small`.

    Raises:
        ValueError: a modality's patch does not fit the survey.
    """

    modalities: Mapping[str, Modality]  # an nn.ModuleDict
    decoder: Mapping[str, nn.ModuleList]  # an nn.ModuleDict

    def __init__(self, config: MMAEConfig, spec: InputSpec):
        super().__init__()
        self.config, self.spec = config, spec
        D, E = config.width, config.decoder_width
        sizes = Sizes(D, E, config.heads, config.redshift)
        modalities = nn.ModuleDict(
            {
                name: kind(getattr(config.modalities, name), spec, sizes)
                for name, kind in MODALITIES.items()
                if getattr(config.modalities, name).use
            }
        )
        self.modalities = cast("Mapping[str, Modality]", modalities)
        self.n_tokens = {name: modality.n_tokens for name, modality in self.modalities.items()}
        # Always visible: a galaxy without any modality has a token to attend to, and every galaxy has a summary token.
        self.register = nn.Parameter(torch.randn(1, 1, D) * 0.02)
        # Adds the visible fraction of each modality to the register: attention averages and cannot count, and the width
        # of p(z) depends on how much is visible.
        self.amount = nn.Linear(len(self.modalities), D)
        self.encoder = nn.ModuleList(EncoderBlock(D, config.heads, config.mlp_ratio) for _ in range(config.depth))
        self.encoder_norm = nn.LayerNorm(D)
        # One for each modality, as in MultiMAE (Bachmann et al. 2022): their losses compete (docs/ablations.md).
        blocks = {
            name: nn.ModuleList(CrossBlock(E, config.heads, DECODER_MLP, D) for _ in range(config.decoder_depth))
            for name in modalities
        }
        self.decoder = cast("Mapping[str, nn.ModuleList]", nn.ModuleDict(blocks))
        # What a visible token encodes is added to the query of its place, so that attention need not find it.
        self.token_to_query = nn.Linear(D, E, bias=False)
        self.redshift_head = RedshiftHead(D, config.heads, config.redshift)
        self.recalibration = Recalibration(len(self.modalities), config.redshift.bins)

    def encode(self, batch: Batch, visible: Visible | View, by_token: bool = False) -> Encoded:
        """Encode the visible tokens and compute the redshift logits.

        Args:
            by_token: embed whole measurements token by token, as those with hidden tokens.
        """
        view = as_view(visible, self.modalities)
        prepared = {name: modality.prepare(batch, view.visible[name]) for name, modality in self.modalities.items()}
        whole = {
            name: None if by_token else whole_tokens(modality, prepared[name], view)
            for name, modality in self.modalities.items()
        }
        groups = [self._encode_group(prepared, view, whole, alike) for alike in view.groups]
        logits_BK = view.ungroup([self.redshift_head(group.token_BVD, group.valid_BV) for group in groups])
        logits_BZ = refined(logits_BK, self.config.redshift)
        evidence = {}
        for name, row_N in view.showing.items():
            found = self.modalities[name].evidence(prepared[name], view.visible[name], row_N)
            if found is not None:
                evidence[name] = found
                logits_BZ = add_rows(logits_BZ, found.row_B, found.log_odds_BZ)
        return Encoded(view, prepared, groups, evidence, logits_BZ)

    def _encode_group(
        self, prepared: dict[str, Any], view: View, whole: Mapping[str, Tensor | None], alike: Alike
    ) -> Group:
        row_B = alike.row_B
        tokens = [self.register + self.amount(view.fraction_BM[row_B].to(self.register.dtype))[:, None]]
        valid = [torch.ones(len(row_B), 1, dtype=torch.bool, device=row_B.device)]
        place, first = {}, 1
        for name in alike.n_visible:
            # Only visible tokens are embedded and encoded.
            token_BVD, valid_BV, order_BV = embed_visible(
                self.modalities[name], prepared[name], view.visible[name], alike, whole[name]
            )
            tokens.append(token_BVD)
            valid.append(valid_BV)
            place[name] = slice(first, first + token_BVD.shape[1]), order_BV
            first += token_BVD.shape[1]
        x_BVD = torch.cat([t.to(tokens[-1].dtype) for t in tokens], 1)
        key_mask_BV = torch.cat(valid, 1) if alike.padded else None  # attention without a mask is faster
        for block in self.encoder:
            x_BVD = block(x_BVD, key_mask_BV)
        return Group(alike, self.encoder_norm(x_BVD), key_mask_BV, place)

    def reconstruct(self, encoded: Encoded, shift_B: Tensor, certainty_B: Tensor) -> dict[str, Any]:
        """Predict all tokens, visible and hidden.

        Args:
            shift_B, certainty_B: ln(1+z) at which lines are drawn, and its probability, see `Modality.complete`.
        """
        predicted = {
            name: modality.predict(encoded.view.ungroup([self._decode(name, group) for group in encoded.groups]))
            for name, modality in self.modalities.items()
        }
        if encoded.evidence:
            summary_BD = encoded.view.ungroup([group.token_BVD[:, 0] for group in encoded.groups])
            for name, found in encoded.evidence.items():
                predicted[name] = self.modalities[name].complete(
                    predicted[name], found, shift_B, certainty_B, summary_BD
                )
        return predicted

    def _decode(self, name: str, group: Group) -> Tensor:
        """Decoded queries of one modality, (B, T, E), for the galaxies of a group."""
        valid_BV = group.valid_BV
        x_BTE = self.modalities[name].query_TE[None]  # shared by all galaxies until the first attention
        for block in self.decoder[name]:
            x_BTE = block(x_BTE, group.token_BVD, valid_BV)
        where, order_BV = group.place.get(name, (slice(0), None))
        if order_BV is not None:
            own_BVE = self.token_to_query(group.token_BVD[:, where]).to(x_BTE.dtype)
            if valid_BV is not None:
                own_BVE = own_BVE.where(valid_BV[:, where, None], 0.0)
            x_BTE = add_tokens(x_BTE, order_BV, own_BVE)
        return x_BTE

    def forward(self, batch: Batch, visible: Visible | View, whole: Visible | View | None = None) -> Losses:
        """The losses of one batch: reconstruction losses of hidden tokens, and the cross entropy of p(z).

        Args:
            visible: tokens from which the others are reconstructed, of all galaxies or of those that the view names.
            whole: tokens of all galaxies from which the redshift is read as well, mostly complete images; None: none.
        """
        view, whole_batch = as_view(visible, self.modalities), batch
        if view.of_B is not None:
            batch = batch.take(view.of_B)
        encoded = self.encode(batch, view)
        shift_B, certainty_B = most_probable(encoded.logits_BZ.detach(), self.config.redshift)
        if self.training:  # lines are drawn at the true redshift where it is known
            known_B = batch.redshift_known_B
            shift_B = torch.where(known_B, batch.redshift_B.log1p(), shift_B)
            certainty_B = torch.where(known_B, 1.0, certainty_B)
        predicted = self.reconstruct(encoded, shift_B, certainty_B)
        parts = {}
        for name, modality in self.modalities.items():
            is_target_BT = ~view.visible[name] & batch.present[name][:, None]
            parts[name] = modality.loss(predicted[name], encoded.prepared[name], is_target_BT)
        total = sum(self.modalities[name].config.weight * part for name, part in parts.items())
        parts["redshift"] = self._redshift_loss(encoded, batch)
        if whole is not None:
            parts["redshift_masked"] = parts["redshift"]
            parts["redshift"] = self._redshift_loss(self.encode(whole_batch, whole), whole_batch)
            total = total + self.config.masked_redshift_weight * parts["redshift_masked"]
        return Losses(total + self.config.redshift_weight * parts["redshift"], parts)

    def _redshift_loss(self, encoded: Encoded, batch: Batch) -> Tensor:
        weight_B = batch.weight_B
        for name, modality in self.modalities.items():
            if modality.mask.shown_if_rare:  # the masks of these galaxies keep the natural mix without it
                weight_B = weight_B.where(~batch.present[name], 1.0)
        return redshift_loss(
            encoded.logits_BZ, batch.redshift_B, weight_B * batch.redshift_known_B, self.config.redshift
        )

    @staticmethod
    def _mean_token(encoded: Encoded) -> Tensor:
        # Includes the register: redshift head and decoder attend to it like to any other token, and the mean is defined
        # for a galaxy without visible tokens.
        return encoded.view.ungroup([mean_token(group) for group in encoded.groups])

    @torch.no_grad()
    def embedding(self, batch: Batch, visible: Visible) -> Tensor:
        """The mean of the register and the encoded visible tokens of each galaxy, (B, D)."""
        return self._mean_token(self.encode(batch, visible))

    @torch.no_grad()
    def read(self, batch: Batch, visibles: Sequence[Visible]) -> list[Reading]:
        """Redshift, p(z) and embedding under each of several masks."""
        readings = []
        for visible in visibles:
            encoded = self.encode(batch, visible)
            logits_BZ = self.recalibration(encoded.logits_BZ, visible)
            point_and_p = point_and_probability(logits_BZ, self.config.redshift)
            readings.append(Reading(*point_and_p, self._mean_token(encoded), logits_BZ))
        return readings

    @torch.no_grad()
    def redshift(self, batch: Batch, visible: Visible) -> tuple[Tensor, Tensor, Tensor]:
        """Median, 16th and 84th percentile of p(z), without reconstructions."""
        logits_BZ = self.recalibration(self.encode(batch, visible).logits_BZ, visible)
        return redshift_interval(logits_BZ, self.config.redshift)

    @torch.no_grad()
    def estimate(self, batch: Batch, visible: Visible) -> Estimate:
        """Redshift with its 68% interval and all reconstructions, in physical units."""
        encoded = self.encode(batch, visible)
        shift_B, certainty_B = most_probable(encoded.logits_BZ, self.config.redshift)
        # Training reconstructs what is hidden from measurements that were embedded token by token.
        by_token = self.encode(batch, encoded.view, by_token=True) if encoded.view.whole else encoded
        predicted = self.reconstruct(by_token, shift_B, certainty_B)
        return Estimate(
            *redshift_interval(self.recalibration(encoded.logits_BZ, visible), self.config.redshift),
            {
                name: modality.restore(predicted[name], encoded.prepared[name])
                for name, modality in self.modalities.items()
            },
            {name: modality.visible_samples(visible[name]) for name, modality in self.modalities.items()},
        )


def mean_token(group: Group) -> Tensor:
    """Mean of the valid tokens of each galaxy: (B, D)."""
    token_BVD = at_least_float32(group.token_BVD)
    if group.valid_BV is None:
        return token_BVD.mean(1)
    valid_BV1 = group.valid_BV[..., None]
    return token_BVD.where(valid_BV1, 0.0).sum(1) / valid_BV1.sum(1)
