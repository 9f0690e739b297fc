"""Catalogue magnitudes: one token per band. Legend of suffixes: batch.py; T = C bands, V visible, E decoder width."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mmae.model.batch import Batch, InputSpec
from mmae.model.indexing import gather_positions, gather_tokens
from mmae.model.losses import masked_mse
from mmae.model.modality import Modality, Sizes, patch_head


@dataclass(frozen=True)
class MagnitudesConfig:
    """Total magnitudes from the survey's catalogue."""

    use: bool = False
    """Encode and reconstruct catalogue magnitudes."""
    weight: float = 0.1
    """Weight of the mean squared error of hidden magnitudes (normalised by `spread`) in the total loss."""
    middle: float = 20.0
    """AB magnitude with normalised value 0: about the median of DESI galaxies in the HSC r band."""
    spread: float = 2.0
    """Magnitude difference with normalised value 1."""

    def __post_init__(self) -> None:
        if not self.spread > 0:
            raise ValueError(f"model.modalities.magnitudes.spread is {self.spread}: it must be positive.")


@dataclass
class MagnitudeTokens:
    """Normalised magnitudes (B, T, 1), 0 where not measured, and the mask of measured bands (B, T)."""

    value_BT1: Tensor
    measured_BT: Tensor


class Magnitudes(Modality):
    """See mmae/model/modality.py. The token of an unmeasured band carries a flag, and is no target."""

    name = "magnitudes"
    Config = MagnitudesConfig

    def __init__(self, config: MagnitudesConfig, spec: InputSpec, sizes: Sizes):
        super().__init__(config, spec, sizes)
        self.n_tokens = spec.n_bands
        self.to_token = nn.Linear(2, sizes.width)
        self.position_TD = nn.Parameter(torch.randn(self.n_tokens, sizes.width) * 0.02)  # of band and modality
        self.query_TE = nn.Parameter(torch.randn(self.n_tokens, sizes.decoder_width) * 0.02)
        self.to_patch = patch_head(sizes.decoder_width, 1)

    @staticmethod
    def columns(bands: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
        return {"magnitudes": tuple(f"{band}_cmodel_mag" for band in bands)}

    @staticmethod
    def shapes(spec: InputSpec) -> dict[str, tuple[int, ...]]:
        return {"magnitudes": (spec.n_bands,)}

    def prepare(self, batch: Batch, visible_BT: Tensor) -> MagnitudeTokens:
        magnitude_BT = batch.values["magnitudes"]
        measured_BT = magnitude_BT.isfinite() & batch.present["magnitudes"][:, None]
        value_BT = torch.where(measured_BT, (magnitude_BT - self.config.middle) / self.config.spread, 0.0)
        return MagnitudeTokens(value_BT[..., None], measured_BT)

    def embed(self, prepared: MagnitudeTokens, row_B: Tensor, order_BV: Tensor) -> Tensor:
        measured_BT1 = prepared.measured_BT[..., None].to(prepared.value_BT1.dtype)
        input_BT2 = torch.cat([prepared.value_BT1, measured_BT1], -1)
        token_BVD = self.to_token(gather_tokens(input_BT2[row_B], order_BV))
        return token_BVD + gather_positions(self.position_TD, order_BV)

    def predict(self, decoded_BTE: Tensor) -> Tensor:
        return self.to_patch(decoded_BTE)

    def loss(self, predicted_BTP: Tensor, prepared: MagnitudeTokens, is_target_BT: Tensor) -> Tensor:
        return masked_mse(predicted_BTP, prepared.value_BT1, is_target_BT & prepared.measured_BT)

    def restore(self, predicted_BTP: Tensor, prepared: MagnitudeTokens) -> Tensor:
        """AB magnitudes (B, C)."""
        return self.config.middle + self.config.spread * predicted_BTP[..., 0].float()

    def visible_samples(self, visible_BT: Tensor) -> Tensor:
        """(B, C)"""
        return visible_BT


MODALITY = Magnitudes
