"""Images: square patches of all bands, seen through convolutions over all that is visible.

A patch is embedded together with what is visible around it: a galaxy does not end where a patch does. Hidden pixels are
zero before the first convolution, so that nothing of them comes through. Beside what the convolutions make of it, a token is
told how bright its patch is as a whole, and its colours: convolutions learn to add up pixels slowly (docs/ablations.md).
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
from mmae.model.indexing import pick, placed, take
from mmae.model.losses import masked_mse, with_targets
from mmae.model.modality import MaskRule, Modality, Sizes, patch_head

# What the convolutions see beside the bands: differences of neighbouring bands, over their usual scatter from galaxy to
# galaxy (0.5 in the natural logarithm is half a magnitude). A network has to take the difference of bright bands to see
# a colour, and learns that slowly (docs/ablations.md).
COLOUR_SCATTER = 0.5
BRIGHTNESS_SCATTER = 2.0  # the same of the brightness: two magnitudes
DETECTED = 5.0  # times the noise: fainter patches have no colour worth telling
SIZES = (1, 3)  # of the convolutions side by side: with 5 as well they learn no faster, and cost half as much again


@dataclass(frozen=True)
class ImageConfig:
    """Images of all bands, stretched by arcsinh."""

    use: bool = True
    patch: int = 8
    """Pixels on a side of one token: a power of two, 4 or more."""
    stem_width: int = 8
    """Feature maps of each branch of the first convolutions; twice as many after each halving of the resolution."""
    stem_depth: int = 2
    """Layers of convolutions before each halving."""
    weight: float = 0.1
    """Of the mean squared error of hidden patches in the loss."""

    def __post_init__(self) -> None:
        if self.patch < 4 or self.patch & (self.patch - 1):
            raise ValueError(f"model.modalities.image.patch is {self.patch}: it must be a power of two, 4 or more.")
        for name in ("stem_width", "stem_depth"):
            if getattr(self, name) < 1:
                raise ValueError(f"model.modalities.image.{name} is {getattr(self, name)}: it must be at least 1.")


@dataclass
class ImageTokens:
    """Normalised images, what the convolutions make of the visible patches, and the photometry of each patch."""

    image_BCHW: Tensor
    feature_BTF: Tensor
    photometry_BTM: Tensor


class Image(Modality):
    """See mmae/model/modality.py.

    Raises:
        ValueError: the patch does not divide the image.
    """

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
        n_channels = spec.n_bands + (spec.n_bands - 1) + 1  # bands, colours, and what is visible
        halvings = config.patch.bit_length() - 2  # the first layer halves as well
        self.stem, n_features = inception_trunk(n_channels, config.stem_width, config.stem_depth, halvings, SIZES)
        self.to_token = nn.Linear(n_features, sizes.width)
        # By itself: among a hundred features these few would hardly be heard.
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
        """Each image in one of its eight orientations: a galaxy has no up."""
        return {"image": flip_and_turn(values["image"], generator)}

    def prepare(self, batch: Batch, visible_BT: Tensor) -> ImageTokens:
        stretched_BCHW = tk.stretch_image(batch.values["image"], self.band_noise)
        image_BCHW = tk.standardise_image(stretched_BCHW, self.arcsinh_mean, self.arcsinh_std)
        visible_B1HW = self.seen(visible_BT)[:, None].to(image_BCHW.dtype)
        feature_BFHW = self.stem(self._shown(image_BCHW, stretched_BCHW, visible_B1HW))
        return ImageTokens(image_BCHW, feature_BFHW.flatten(2).transpose(1, 2), self._photometry(batch.values["image"]))

    @torch.no_grad()
    def _photometry(self, image_BCHW: Tensor) -> Tensor:
        brightness_BTC = tk.patch_brightness(image_BCHW, self.band_noise, self.config.patch, DETECTED)
        return torch.cat([brightness_BTC / BRIGHTNESS_SCATTER, brightness_BTC.diff(dim=-1) / COLOUR_SCATTER], -1)

    @torch.no_grad()
    def _shown(self, image_BCHW: Tensor, stretched_BCHW: Tensor, visible_B1HW: Tensor) -> Tensor:
        """What the convolutions see: bands, colours, and what is visible of them.

        Each is written once, where it belongs: images are large, and every pass over them counts.
        """
        B, C, H, W = image_BCHW.shape
        shown_BCHW = image_BCHW.new_empty(B, H, W, 2 * C).permute(0, 3, 1, 2)  # channels last in memory
        torch.mul(image_BCHW, visible_B1HW, out=shown_BCHW[:, :C])
        torch.mul(stretched_BCHW.diff(dim=1), visible_B1HW / COLOUR_SCATTER, out=shown_BCHW[:, C:-1])
        shown_BCHW[:, -1:] = visible_B1HW
        return shown_BCHW

    def embed(self, prepared: ImageTokens, row_B: Tensor, order_BV: Tensor) -> Tensor:
        token_BVD = self.to_token(pick(take(prepared.feature_BTF, row_B), order_BV))
        token_BVD = token_BVD + self.photometry_to_token(pick(take(prepared.photometry_BTM, row_B), order_BV))
        return token_BVD + placed(self.position_TD, order_BV) + self.kind_D

    def predict(self, decoded_BTE: Tensor) -> Tensor:
        """Not yet patches: they have a thousand pixels, and a batch in training wants those of few galaxies."""
        return decoded_BTE

    def loss(self, predicted_BTE: Tensor, prepared: ImageTokens, is_target_BT: Tensor) -> Tensor:
        row_B = with_targets(is_target_BT)
        pixel_BTP = tk.patchify_image(prepared.image_BCHW[row_B], self.config.patch)
        return masked_mse(self.to_patch(take(predicted_BTE, row_B)), pixel_BTP, is_target_BT[row_B])

    def restore(self, predicted_BTE: Tensor, prepared: ImageTokens) -> Tensor:
        """Counts, (B, C, H, W)."""
        image_BCHW = tk.unpatchify_image(self.to_patch(predicted_BTE).float(), self.config.patch, self.spec.n_bands)
        return tk.denormalise_image(image_BCHW, self.band_noise, self.arcsinh_mean, self.arcsinh_std)

    def seen(self, visible_BT: Tensor) -> Tensor:
        """(B, H, W)"""
        return tk.visible_pixels(visible_BT, self.spec.image_size)


def flip_and_turn(image_BCHW: Tensor, generator: torch.Generator) -> Tensor:
    """Each image in one of its eight orientations."""
    which_B = torch.randint(0, 8, (len(image_BCHW),), generator=generator).to(image_BCHW.device)
    result = image_BCHW
    for bit, turn in ((1, lambda x: x.flip(-1)), (2, lambda x: x.flip(-2)), (4, lambda x: x.transpose(-1, -2))):
        chosen_B111 = (which_B & bit).bool()[:, None, None, None]
        result = torch.where(chosen_B111, turn(result), result)
    return result


MODALITY = Image
