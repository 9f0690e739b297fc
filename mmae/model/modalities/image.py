"""Images: tokens are square patches of all bands, embedded by a convolutional stem.

The stem covers the whole image, so that a patch is embedded together with the visible pixels around it; hidden pixels
are set to zero before the first convolution. The total brightness and the colours of the patch enter each token as
well, because convolutions learn slowly to sum pixels (docs/ablations.md).
Legend of suffixes: batch.py; P values of a patch, V visible, E decoder width, F feature maps, M brightness and colours.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mmae.model import tokens as tk
from mmae.model.batch import Batch, InputSpec
from mmae.model.blocks import sincos_positions_2d
from mmae.model.inception import inception_trunk
from mmae.model.indexing import gather_positions, gather_tokens, take_rows
from mmae.model.losses import masked_mse, rows_with_targets
from mmae.model.modality import MaskRule, Modality, Sizes, patch_head

# Differences of neighbouring bands are input channels of the stem, in units of their typical scatter between galaxies
# (0.5 in the natural logarithm is half a magnitude): a network learns slowly to subtract bright bands
# (docs/ablations.md).
COLOUR_SCATTER = 0.5
BRIGHTNESS_SCATTER = 2.0  # typical scatter of the brightness: two magnitudes
DETECTION = 5.0  # signal-to-noise ratio of a patch below which its colours are suppressed
SIZES = (1, 3)  # kernel sizes of the parallel convolutions: adding 5 costs 50% more and does not learn faster


@dataclass(frozen=True)
class ImageConfig:
    """Images in all bands, stretched by arcsinh."""

    use: bool = True
    """Encode and reconstruct images."""
    patch: int = 8
    """Side of an image token in pixels: a power of two, 4 or more, that divides the image."""
    stem_width: int = 8
    """Feature maps of each branch of the first Inception modules; doubled after each halving of the resolution."""
    stem_depth: int = 2
    """Inception modules before each halving of the resolution."""
    weight: float = 0.1
    """Weight of the mean squared error of hidden patches (normalised pixels) in the total loss."""

    def __post_init__(self) -> None:
        if self.patch < 4 or self.patch & (self.patch - 1):
            raise ValueError(f"model.modalities.image.patch is {self.patch}: it must be a power of two, 4 or more.")
        for name in ("stem_width", "stem_depth"):
            if getattr(self, name) < 1:
                raise ValueError(f"model.modalities.image.{name} is {getattr(self, name)}: it must be at least 1.")


@dataclass
class ImageTokens:
    """Normalised images, features of the stem from visible pixels, and brightness and colours of each patch."""

    image_BCHW: Tensor
    feature_BTF: Tensor
    photometry_BTM: Tensor


class Image(Modality):
    """See mmae/model/modality.py.

    Raises:
        ValueError: the patch does not divide the image.
    """

    band_noise: Tensor
    arcsinh_mean: Tensor
    arcsinh_std: Tensor
    name = "image"
    Config = ImageConfig
    mask = MaskRule(ratio=(0.75, 0.75), drop=0.0, per_galaxy=True, exclusive=True, whole=0.0)

    def __init__(self, config: ImageConfig, spec: InputSpec, sizes: Sizes):
        super().__init__(config, spec, sizes)
        if spec.image_size % config.patch:
            raise ValueError(
                f"model.modalities.image.patch is {config.patch} and does not divide the image of "
                f"{spec.image_size} pixels."
            )
        side = spec.image_size // config.patch
        self.n_tokens = side * side
        n_values = spec.n_bands * config.patch**2
        for name in ("band_noise", "arcsinh_mean", "arcsinh_std"):
            self.register_buffer(name, torch.tensor(getattr(spec, name)), persistent=False)
        n_channels = spec.n_bands + (spec.n_bands - 1) + 1  # bands, colours, visibility
        halvings = config.patch.bit_length() - 2  # after the first layer, which halves as well
        self.stem, n_features = inception_trunk(n_channels, config.stem_width, config.stem_depth, halvings, SIZES)
        self.to_token = nn.Linear(n_features, sizes.width)
        # A separate layer: concatenated with a hundred features, these few are learned more slowly (docs/ablations.md).
        self.photometry_to_token = nn.Linear(2 * spec.n_bands - 1, sizes.width)
        self.position_TD = nn.Parameter(sincos_positions_2d(side, sizes.width))
        self.kind_D = nn.Parameter(torch.randn(sizes.width) * 0.02)
        self.query_TE = nn.Parameter(sincos_positions_2d(side, sizes.decoder_width))
        self.to_patch = patch_head(sizes.decoder_width, n_values)

    @staticmethod
    def columns(bands: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
        return {"image": ("image",)}

    @staticmethod
    def shapes(spec: InputSpec) -> dict[str, tuple[int, ...]]:
        return {"image": (spec.n_bands, spec.image_size, spec.image_size)}

    @staticmethod
    def augment(values: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Each image in a random one of its eight orientations."""
        return {"image": flip_and_turn(values["image"], generator)}

    def prepare(self, batch: Batch, visible_BT: Tensor) -> ImageTokens:
        stretched_BCHW = tk.stretch_image(batch.values["image"], self.band_noise)
        image_BCHW = tk.standardise_image(stretched_BCHW, self.arcsinh_mean, self.arcsinh_std)
        visible_B1HW = self.visible_samples(visible_BT)[:, None].to(image_BCHW.dtype)
        feature_BFHW = self.stem(self._stem_input(image_BCHW, stretched_BCHW, visible_B1HW))
        return ImageTokens(image_BCHW, feature_BFHW.flatten(2).transpose(1, 2), self._photometry(batch.values["image"]))

    @torch.no_grad()
    def _photometry(self, image_BCHW: Tensor) -> Tensor:
        """Brightness and colours of each patch in units of their typical scatter: (B, T, 2C - 1)."""
        brightness_BTC = tk.patch_brightness(image_BCHW, self.band_noise, self.config.patch, DETECTION)
        return torch.cat([brightness_BTC / BRIGHTNESS_SCATTER, brightness_BTC.diff(dim=-1) / COLOUR_SCATTER], -1)

    @torch.no_grad()
    def _stem_input(self, image_BCHW: Tensor, stretched_BCHW: Tensor, visible_B1HW: Tensor) -> Tensor:
        """Input channels of the stem: visible pixels of all bands, colours, and visibility.

        Written in place into one tensor: images are large, and the time is memory-bound.
        """
        B, C, H, W = image_BCHW.shape
        input_BCHW = image_BCHW.new_empty(B, H, W, 2 * C).permute(0, 3, 1, 2)  # channels last in memory
        torch.mul(image_BCHW, visible_B1HW, out=input_BCHW[:, :C])
        torch.mul(stretched_BCHW.diff(dim=1), visible_B1HW / COLOUR_SCATTER, out=input_BCHW[:, C:-1])
        input_BCHW[:, -1:] = visible_B1HW
        return input_BCHW

    def embed(self, prepared: ImageTokens, row_B: Tensor, order_BV: Tensor) -> Tensor:
        feature_BVF = gather_tokens(take_rows(prepared.feature_BTF, row_B), order_BV)
        photometry_BVM = gather_tokens(take_rows(prepared.photometry_BTM, row_B), order_BV)
        token_BVD = self.to_token(feature_BVF) + self.photometry_to_token(photometry_BVM)
        return token_BVD + gather_positions(self.position_TD, order_BV) + self.kind_D

    def predict(self, decoded_BTE: Tensor) -> Tensor:
        """The decoded queries: `loss` computes patches, of about 1000 values each, for galaxies with targets only."""
        return decoded_BTE

    def loss(self, predicted_BTE: Tensor, prepared: ImageTokens, is_target_BT: Tensor) -> Tensor:
        row_B = rows_with_targets(is_target_BT)
        pixel_BTP = tk.patchify_image(prepared.image_BCHW[row_B], self.config.patch)
        return masked_mse(self.to_patch(take_rows(predicted_BTE, row_B)), pixel_BTP, is_target_BT[row_B])

    def restore(self, predicted_BTE: Tensor, prepared: ImageTokens) -> Tensor:
        """Counts, (B, C, H, W)."""
        image_BCHW = tk.unpatchify_image(self.to_patch(predicted_BTE).float(), self.config.patch, self.spec.n_bands)
        return tk.denormalise_image(image_BCHW, self.band_noise, self.arcsinh_mean, self.arcsinh_std)

    def visible_samples(self, visible_BT: Tensor) -> Tensor:
        """(B, H, W)"""
        return tk.visible_pixels(visible_BT, self.spec.image_size)


def flip_and_turn(image_BCHW: Tensor, generator: torch.Generator) -> Tensor:
    """Each image in a random one of its eight orientations (flips and turns by 90 degrees)."""
    which_B = torch.randint(0, 8, (len(image_BCHW),), generator=generator).to(image_BCHW.device)
    result = image_BCHW
    for bit, turn in ((1, lambda x: x.flip(-1)), (2, lambda x: x.flip(-2)), (4, lambda x: x.transpose(-1, -2))):
        chosen_B111 = (which_B & bit).bool()[:, None, None, None]
        result = torch.where(chosen_B111, turn(result), result)
    return result


MODALITY = Image
