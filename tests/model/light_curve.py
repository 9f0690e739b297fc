"""A modality in a file outside the package: light curves of 32 samples, 8 samples per token.

Legend of suffixes: mmae/model/batch.py; V visible tokens, E decoder width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mmae.model.batch import Batch, InputSpec
from mmae.model.indexing import gather_positions, gather_tokens
from mmae.model.losses import masked_mse
from mmae.model.modality import MaskRule, Modality, Sizes, patch_head

SAMPLES, PATCH = 32, 8


@dataclass(frozen=True)
class LightCurveConfig:
    """Brightness against time."""

    use: bool = True
    """Encode and reconstruct light curves."""
    weight: float = 1.0
    """Weight of the mean squared error of hidden samples in the total loss."""


class LightCurve(Modality):
    """See mmae/model/modality.py."""

    name = "light_curve"
    Config = LightCurveConfig
    mask = MaskRule(ratio=(0.25, 0.5), drop=0.1)

    def __init__(self, config: LightCurveConfig, spec: InputSpec, sizes: Sizes):
        super().__init__(config, spec, sizes)
        self.n_tokens = SAMPLES // PATCH
        self.to_token = nn.Linear(PATCH, sizes.width)
        self.position_TD = nn.Parameter(torch.randn(self.n_tokens, sizes.width) * 0.02)
        self.query_TE = nn.Parameter(torch.randn(self.n_tokens, sizes.decoder_width) * 0.02)
        self.to_patch = patch_head(sizes.decoder_width, PATCH)

    @staticmethod
    def columns(bands: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
        return {"light_curve": ("light_curve",)}

    @staticmethod
    def shapes(spec: InputSpec) -> dict[str, tuple[int, ...]]:
        return {"light_curve": (SAMPLES,)}

    def prepare(self, batch: Batch, visible_BT: Tensor) -> Tensor:
        return batch.values["light_curve"].reshape(-1, self.n_tokens, PATCH)

    def embed(self, prepared: Tensor, row_B: Tensor, order_BV: Tensor) -> Tensor:
        token_BVD = self.to_token(gather_tokens(prepared[row_B], order_BV))
        return token_BVD + gather_positions(self.position_TD, order_BV)

    def predict(self, decoded_BTE: Tensor) -> Tensor:
        return self.to_patch(decoded_BTE)

    def loss(self, predicted_BTP: Tensor, prepared: Tensor, is_target_BT: Tensor) -> Tensor:
        return masked_mse(predicted_BTP, prepared, is_target_BT)

    def restore(self, predicted_BTP: Tensor, prepared: Tensor) -> Tensor:
        return predicted_BTP.reshape(-1, SAMPLES).float()

    def visible_samples(self, visible_BT: Tensor) -> Tensor:
        return visible_BT.repeat_interleave(PATCH, 1)


MODALITY = LightCurve
