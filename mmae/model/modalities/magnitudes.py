"""Catalogue magnitudes: one token per band, in any bands, with or without errors.

The input of a token is the magnitude of its band, the colours with all other visible bands, and the error. Each number
enters also as sines and cosines of learned frequencies (Gorishniy, Rubachev & Babenko 2022, arXiv:2203.05556): networks
learn slowly the sharp functions of a few numbers that decision trees find (benchmarks/models/tables_alone.py).
Legend of suffixes: batch.py; T = C bands, V visible, E decoder width, J numbers of a token, M flags of a token,
F frequencies, X input values of a token.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mmae.model.batch import Batch, InputSpec
from mmae.model.indexing import gather_positions, gather_tokens
from mmae.model.losses import masked_mse
from mmae.model.modality import Modality, Sizes, patch_head
from mmae.model.part_configs import MagnitudesConfig

COLOUR_SCATTER = 0.5  # mag; typical scatter of colours between galaxies
TYPICAL_ERROR = 0.05  # mag; its natural logarithm has the normalised value 0
LEAST_ERROR = 1e-3  # mag; below the calibration of any survey


@dataclass
class MagnitudeTokens:
    """Normalised magnitudes (B, T, 1), 0 where not measured, mask of measured bands (B, T), and input of `embed`."""

    value_BT1: Tensor
    measured_BT: Tensor
    number_BTJ: Tensor
    flag_BTM: Tensor


class Magnitudes(Modality):
    """See mmae/model/modality.py. The token of an unmeasured band carries a flag, and is no target."""

    name = "magnitudes"
    Config = MagnitudesConfig
    optional = ("magnitude_errors",)

    def __init__(self, config: MagnitudesConfig, spec: InputSpec, sizes: Sizes):
        super().__init__(config, spec, sizes)
        T, D = spec.n_bands, sizes.width
        self.n_tokens = T
        n_numbers = T + 1  # magnitude, colours with T - 1 other bands, error
        n_inputs = n_numbers * (1 + 2 * config.frequencies) + T + 1  # flags: the measured bands, and the error
        self.frequency_TJF = nn.Parameter(torch.randn(T, n_numbers, config.frequencies) * config.frequency_scale)
        # A layer for each band, because colour j of each band is of another pair.
        self.weight_TXD = nn.Parameter(torch.randn(T, n_inputs, D) / math.sqrt(n_inputs))
        self.to_token = nn.Sequential(nn.GELU(), nn.Linear(D, D))
        self.position_TD = nn.Parameter(torch.randn(T, D) * 0.02)  # of band and modality
        self.query_TE = nn.Parameter(torch.randn(T, sizes.decoder_width) * 0.02)
        self.to_patch = patch_head(sizes.decoder_width, 1)

    @staticmethod
    def columns(bands: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
        return {
            "magnitudes": tuple(f"{band}_cmodel_mag" for band in bands),
            "magnitude_errors": tuple(f"{band}_mag_err" for band in bands),
        }

    @staticmethod
    def shapes(spec: InputSpec) -> dict[str, tuple[int, ...]]:
        return {"magnitudes": (spec.n_bands,), "magnitude_errors": (spec.n_bands,)}

    def prepare(self, batch: Batch, visible_BT: Tensor) -> MagnitudeTokens:
        magnitude_BT = batch.values["magnitudes"]
        error_BT = batch.values.get("magnitude_errors", torch.zeros_like(magnitude_BT))
        measured_BT = magnitude_BT.isfinite() & batch.present["magnitudes"][:, None]
        value_BT = torch.where(measured_BT, (magnitude_BT - self.config.middle) / self.config.spread, 0.0)
        seen_BT = measured_BT & visible_BT
        seen_value_BT = torch.where(seen_BT, value_BT, 0.0)
        colour_BTT = (seen_value_BT[:, :, None] - seen_value_BT[:, None]) * (self.config.spread / COLOUR_SCATTER)
        colour_BTT = torch.where(seen_BT[:, :, None] & seen_BT[:, None], colour_BTT, 0.0)
        # Without the diagonal, which is at the ends of rows one longer, after its first number.
        other_BX = colour_BTT.flatten(1)[:, 1:].reshape(-1, self.n_tokens - 1, self.n_tokens + 1)[:, :, :-1]
        known_BT = seen_BT & error_BT.isfinite() & (error_BT > 0)
        error_BT = torch.where(known_BT, (error_BT.clamp(min=LEAST_ERROR) / TYPICAL_ERROR).log(), 0.0)
        number_BTJ = torch.cat(
            [seen_value_BT[..., None], other_BX.reshape(len(value_BT), self.n_tokens, -1), error_BT[..., None]], -1
        )
        seen_BTT = seen_BT[:, None].expand(-1, self.n_tokens, -1)
        flag_BTM = torch.cat([seen_BTT, known_BT[..., None]], -1).to(value_BT.dtype)
        return MagnitudeTokens(value_BT[..., None], measured_BT, number_BTJ, flag_BTM)

    def embed(self, prepared: MagnitudeTokens, row_B: Tensor, order_BV: Tensor) -> Tensor:
        number_BTJ, flag_BTM = prepared.number_BTJ[row_B], prepared.flag_BTM[row_B]
        angle_BTX = (2 * math.pi * number_BTJ[..., None] * self.frequency_TJF).flatten(2)
        input_BTX = torch.cat([number_BTJ, flag_BTM, angle_BTX.sin(), angle_BTX.cos()], -1)
        token_BTD = self.to_token(torch.einsum("btx,txd->btd", input_BTX, self.weight_TXD))
        return gather_tokens(token_BTD, order_BV) + gather_positions(self.position_TD, order_BV)

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
