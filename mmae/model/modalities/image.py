"""Images: square patches of all bands. Legend of suffixes: batch.py; P values of a patch, V visible, E decoder width."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mmae.model import tokens as tk
from mmae.model.batch import Batch, InputSpec
from mmae.model.blocks import sincos_positions_2d
from mmae.model.losses import masked_mse
from mmae.model.masking import pick, placed


@dataclass(frozen=True)
class ImageConfig:
    """Images of all bands, stretched by arcsinh."""

    use: bool = True
    patch: int = 8
    """Pixels on a side of one token."""
    weight: float = 0.1
    """Of the mean squared error of hidden patches in the loss."""

    def __post_init__(self) -> None:
        if self.patch < 1:
            raise ValueError(f"model.modalities.image.patch is {self.patch}: it must be at least 1.")


class Image(nn.Module):
    """See mmae/model/modality.py.

    Raises:
        ValueError: the patch does not divide the image.
    """

    name = "image"
    Config = ImageConfig

    def __init__(self, config: ImageConfig, spec: InputSpec, width: int, decoder_width: int):
        super().__init__()
        if spec.image_size % config.patch:
            raise ValueError(
                f"model.modalities.image.patch is {config.patch} and does not divide the image of "
                f"{spec.image_size} pixels."
            )
        self.config, self.spec = config, spec
        side = spec.image_size // config.patch
        self.n_tokens = side * side
        n_values = spec.n_bands * config.patch**2
        for name in ("band_noise", "arcsinh_mean", "arcsinh_std"):
            self.register_buffer(name, torch.tensor(getattr(spec, name)), persistent=False)
        self.to_token = nn.Linear(n_values, width)
        self.position_TD = nn.Parameter(sincos_positions_2d(side, width))
        self.kind_D = nn.Parameter(torch.randn(width) * 0.02)
        self.query_TE = nn.Parameter(sincos_positions_2d(side, decoder_width))
        self.to_patch = nn.Sequential(nn.LayerNorm(decoder_width), nn.Linear(decoder_width, n_values))

    @staticmethod
    def columns(bands: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
        return {"image": ("image",)}

    @staticmethod
    def shapes(spec: InputSpec) -> dict[str, tuple[int, ...]]:
        return {"image": (spec.n_bands, spec.image_size, spec.image_size)}

    def prepare(self, batch: Batch, visible_BT: Tensor) -> Tensor:
        image_BCHW = tk.normalise_image(batch.values["image"], self.band_noise, self.arcsinh_mean, self.arcsinh_std)
        return tk.patchify_image(image_BCHW, self.config.patch)

    def embed(self, prepared: Tensor, order_BV: Tensor) -> Tensor:
        return self.to_token(pick(prepared, order_BV)) + placed(self.position_TD, order_BV) + self.kind_D

    def predict(self, decoded_BTE: Tensor) -> Tensor:
        return self.to_patch(decoded_BTE)

    def loss(self, predicted_BTP: Tensor, prepared: Tensor, is_target_BT: Tensor) -> Tensor:
        return masked_mse(predicted_BTP, prepared, is_target_BT)

    def restore(self, predicted_BTP: Tensor, prepared: Tensor) -> Tensor:
        """Counts, (B, C, H, W)."""
        image_BCHW = tk.unpatchify_image(predicted_BTP.float(), self.config.patch, self.spec.n_bands)
        return tk.denormalise_image(image_BCHW, self.band_noise, self.arcsinh_mean, self.arcsinh_std)

    def seen(self, visible_BT: Tensor) -> Tensor:
        """(B, H, W)"""
        return tk.visible_pixels(visible_BT, self.spec.image_size)


MODALITY = Image
