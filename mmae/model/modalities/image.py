"""Images: tokens are square patches of all bands.

A visible patch is embedded by a linear layer from its pixels. An image of which nothing is hidden is embedded by a
convolutional stem instead, which learns redshifts faster (docs/ablations.md). The total brightness and the colours of
the patch enter each token as well, because both learn slowly to sum pixels. A pixel that was not observed is NaN in the
batch: it is an input only through the fraction of observed pixels, and never a target.
Legend of suffixes: batch.py; P values of a patch, V visible, E decoder width, F feature maps, M brightness and colours.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mmae.model import tokens as tk
from mmae.model.batch import Batch, InputSpec, to_device
from mmae.model.blocks import DECODER_MLP, EncoderBlock, sincos_positions_2d
from mmae.model.draws import Draws
from mmae.model.inception import inception_trunk
from mmae.model.indexing import gather_positions, gather_tokens
from mmae.model.losses import masked_mse
from mmae.model.modality import Modality, Sizes
from mmae.model.overlapping import OverlappingPatches
from mmae.model.part_configs import IMAGE_MASK, ImageConfig

# Differences of neighbouring bands are input channels of the stem, in units of their typical scatter between galaxies
# (0.5 in the natural logarithm is half a magnitude): a network learns slowly to subtract bright bands
# (docs/ablations.md).
COLOUR_SCATTER = 0.5
BRIGHTNESS_SCATTER = 2.0  # typical scatter of the brightness: two magnitudes
DETECTION = 5.0  # signal-to-noise ratio of a patch below which its colours are suppressed
APERTURES = (1.0, 2.0, 4.0, 8.0, 16.0)  # standard deviations, in pixels, of Gaussian apertures at the centre
INCOMPLETE = 0.25  # fraction of training images from which a part is removed: real images lack bands, columns, corners
SIZES = (1, 3)  # kernel sizes of the parallel convolutions: adding 5 costs 50% more and does not learn faster


@dataclass
class ImageTokens:
    """Normalised images, 0 where not observed, the observed pixels, and the counts, NaN where not observed."""

    image_BCHW: Tensor
    observed_BCHW: Tensor  # bool
    counts_BCHW: Tensor


class Image(Modality):
    """See mmae/model/modality.py.

    An image of which all patches are visible is embedded by the stem, in tokens of `whole_patch` pixels. Visible
    patches of other images are embedded one by one.

    Raises:
        ValueError: a patch does not divide the image.
    """

    band_noise: Tensor
    arcsinh_mean: Tensor
    arcsinh_std: Tensor
    aperture_AHW: Tensor
    name = "image"
    Config = ImageConfig
    mask = IMAGE_MASK

    def __init__(self, config: ImageConfig, spec: InputSpec, sizes: Sizes):
        super().__init__(config, spec, sizes)
        for field in ("patch", "whole_patch"):
            if spec.image_size % getattr(config, field):
                raise ValueError(
                    f"model.modalities.image.{field} is {getattr(config, field)} and does not divide the image of "
                    f"{spec.image_size} pixels."
                )
        side, whole_side = spec.image_size // config.patch, spec.image_size // config.whole_patch
        self.n_tokens = side * side
        C, D, E = spec.n_bands, sizes.width, sizes.decoder_width
        n_values = C * config.patch**2
        for name in ("band_noise", "arcsinh_mean", "arcsinh_std"):
            self.register_buffer(name, torch.tensor(getattr(spec, name)), persistent=False)
        self.pixels_to_token = nn.Linear(n_values + C, D)  # pixels, and the observed fraction of each band
        # A separate layer: concatenated with hundreds of pixels, these few are learned more slowly (docs/ablations.md).
        self.photometry_to_token = nn.Linear(2 * C - 1, D)
        self.position_TD = nn.Parameter(sincos_positions_2d(side, D))
        n_channels = C + (C - 1) + C  # bands, colours, observed
        halvings = config.whole_patch.bit_length() - 2  # after the first layer, which halves as well
        self.stem, n_features = inception_trunk(n_channels, config.stem_width, config.stem_depth, halvings, SIZES)
        self.stem_to_token = nn.Linear(n_features, D)
        self.whole_photometry_to_token = nn.Linear(2 * C - 1, D)
        self.whole_position_TD = nn.Parameter(sincos_positions_2d(whole_side, D))
        self.apertures_to_token = nn.Linear(len(APERTURES) * (3 * C - 1), D)
        self.register_buffer("aperture_AHW", tk.gaussian_apertures(spec.image_size, APERTURES), persistent=False)
        self.kind_D = nn.Parameter(torch.randn(D) * 0.02)
        self.query_TE = nn.Parameter(sincos_positions_2d(side, E))
        self.mixing = nn.ModuleList(EncoderBlock(E, sizes.heads, DECODER_MLP) for _ in range(config.mixing))
        self.to_image = OverlappingPatches(E, C, side, config.patch)

    @staticmethod
    def columns(bands: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
        return {"image": ("image",)}

    @staticmethod
    def shapes(spec: InputSpec) -> dict[str, tuple[int, ...]]:
        return {"image": (spec.n_bands, spec.image_size, spec.image_size)}

    @staticmethod
    def augment(values: dict[str, Tensor], draws: Draws) -> dict[str, Tensor]:
        """Each image in a random one of its eight orientations, some with parts that were not observed."""
        return {"image": flip_and_turn(remove_parts(values["image"], draws), draws)}

    def prepare(self, batch: Batch, visible_BT: Tensor) -> ImageTokens:
        counts_BCHW = batch.values["image"]
        observed_BCHW = counts_BCHW.isfinite()
        image_BCHW = tk.normalise_image(counts_BCHW, self.band_noise, self.arcsinh_mean, self.arcsinh_std)
        return ImageTokens(image_BCHW.where(observed_BCHW, 0.0), observed_BCHW, counts_BCHW)

    def embed(self, prepared: ImageTokens, row_B: Tensor, order_BV: Tensor) -> Tensor:
        patch, n_bands = self.config.patch, self.spec.n_bands
        pixel_BVP = gather_tokens(tk.patchify_image(prepared.image_BCHW[row_B], patch), order_BV)
        observed_BTP = tk.patchify_image(prepared.observed_BCHW[row_B].to(pixel_BVP.dtype), patch)
        observed_BVC = gather_tokens(observed_BTP.unflatten(-1, (n_bands, -1)).mean(-1), order_BV)
        photometry_BVM = gather_tokens(self._photometry(prepared, row_B, patch), order_BV)
        token_BVD = self.pixels_to_token(torch.cat([pixel_BVP, observed_BVC], -1))
        token_BVD = token_BVD + self.photometry_to_token(photometry_BVM)
        return token_BVD + gather_positions(self.position_TD, order_BV) + self.kind_D

    def embed_whole(self, prepared: ImageTokens, row_B: Tensor) -> Tensor:
        feature_BTF = self.stem(self._stem_input(prepared, row_B)).flatten(2).transpose(1, 2)
        photometry_BTM = self._photometry(prepared, row_B, self.config.whole_patch)
        token_BTD = self.stem_to_token(feature_BTF) + self.whole_photometry_to_token(photometry_BTM)
        aperture_BM = self._aperture_photometry(prepared, row_B).flatten(1)
        return (
            torch.cat([token_BTD + self.whole_position_TD, self.apertures_to_token(aperture_BM)[:, None]], 1)
            + self.kind_D
        )

    @torch.no_grad()
    def _photometry(self, prepared: ImageTokens, row_B: Tensor, patch: int) -> Tensor:
        """Brightness and colours of each patch in units of their typical scatter: (B, T, 2C - 1).

        Pixels that were not observed count as the mean of the others of the patch. A band without any is 0, and so are
        its colours.
        """
        counts_BCHW, observed_BCHW = prepared.counts_BCHW[row_B], prepared.observed_BCHW[row_B]
        fraction_BCHW = nn.functional.avg_pool2d(observed_BCHW.to(counts_BCHW.dtype), patch)
        scale_BCHW = fraction_BCHW.clamp(min=patch**-2).reciprocal()
        brightness_BTC = tk.patch_brightness(
            counts_BCHW.where(observed_BCHW, 0.0), self.band_noise, patch, DETECTION, scale_BCHW
        )
        return _brightness_and_colours(brightness_BTC, fraction_BCHW.flatten(2).transpose(1, 2))

    @torch.no_grad()
    def _aperture_photometry(self, prepared: ImageTokens, row_B: Tensor) -> Tensor:
        """Brightness and colours in `APERTURES`, as in `_photometry`, and observed fractions: (B, A, 3C - 1).

        Cutouts are centred on their galaxy, so that these are its total flux and colours at the best signal to noise.
        """
        counts_BCHW, observed_BCHW = prepared.counts_BCHW[row_B], prepared.observed_BCHW[row_B]
        brightness_BAC, fraction_BAC = tk.aperture_brightness(
            counts_BCHW.where(observed_BCHW, 0.0), observed_BCHW, self.band_noise, self.aperture_AHW, DETECTION
        )
        return torch.cat([_brightness_and_colours(brightness_BAC, fraction_BAC), fraction_BAC], -1)

    @torch.no_grad()
    def _stem_input(self, prepared: ImageTokens, row_B: Tensor) -> Tensor:
        """Input channels of the stem: bands, colours, and which pixels of each band were observed.

        Written in place into one tensor: images are large, and the time is memory-bound.
        """
        image_BCHW, observed_BCHW = prepared.image_BCHW[row_B], prepared.observed_BCHW[row_B]
        B, C, H, W = image_BCHW.shape
        input_BCHW = image_BCHW.new_empty(B, H, W, 3 * C - 1).permute(0, 3, 1, 2)  # channels last in memory
        input_BCHW[:, :C] = image_BCHW
        both_BCHW = observed_BCHW[:, 1:] & observed_BCHW[:, :-1]
        stretched_BCHW = image_BCHW * self.arcsinh_std[:, None, None] + self.arcsinh_mean[:, None, None]
        input_BCHW[:, C : 2 * C - 1] = (stretched_BCHW.diff(dim=1) / COLOUR_SCATTER).where(both_BCHW, 0.0)
        input_BCHW[:, 2 * C - 1 :] = observed_BCHW
        return input_BCHW

    def predict(self, decoded_BTE: Tensor) -> Tensor:
        """The decoded queries: `loss` and `restore` compute images."""
        for block in self.mixing:
            decoded_BTE = block(decoded_BTE, None)
        return decoded_BTE

    def loss(self, predicted_BTE: Tensor, prepared: ImageTokens, is_target_BT: Tensor) -> Tensor:
        patch = self.config.patch
        return masked_mse(
            tk.patchify_image(self.to_image(predicted_BTE), patch),
            tk.patchify_image(prepared.image_BCHW, patch),
            is_target_BT,
            tk.patchify_image(prepared.observed_BCHW, patch),
        )

    def restore(self, predicted_BTE: Tensor, prepared: ImageTokens) -> Tensor:
        """Counts, (B, C, H, W)."""
        image_BCHW = self.to_image(predicted_BTE).float()
        return tk.denormalise_image(image_BCHW, self.band_noise, self.arcsinh_mean, self.arcsinh_std)

    def visible_samples(self, visible_BT: Tensor) -> Tensor:
        """(B, H, W)"""
        return tk.visible_pixels(visible_BT, self.spec.image_size)


def _brightness_and_colours(brightness_BTC: Tensor, fraction_BTC: Tensor) -> Tensor:
    """In units of their typical scatter: (B, T, 2C - 1). Colours with a band that was not observed are 0."""
    both_BTC = (fraction_BTC[..., 1:] > 0) & (fraction_BTC[..., :-1] > 0)
    colour_BTC = (brightness_BTC.diff(dim=-1) / COLOUR_SCATTER).where(both_BTC, 0.0)
    return torch.cat([brightness_BTC / BRIGHTNESS_SCATTER, colour_BTC], -1)


def remove_parts(image_BCHW: Tensor, draws: Draws) -> Tensor:
    """Images of which some lack whole bands, columns of one band, or a corner of all bands: NaN there.

    One band at least is left. Columns are rows, and corners others, after `flip_and_turn`.
    """
    _, C, H, W = image_BCHW.shape
    draw = draws.galaxies
    chosen_B, kind_B = draw() < INCOMPLETE, (4 * draw()).floor()  # 2 and 3: whole bands
    order_BC = draw(C).argsort(-1).argsort(-1)
    n_bands_B1 = (draw(1).square() * (C - 1)).ceil()  # 1 to C - 1, mostly 1
    column_W, row_H = torch.arange(W) / W, torch.arange(H) / H
    start_B1, width_B1, height_B1 = draw(1), draw(1) / 2, draw(1) / 2
    is_column_B1, is_corner_B1 = (kind_B == 0)[:, None], (kind_B == 1)[:, None]
    band_BC = (order_BC < torch.where(is_column_B1, 1, n_bands_B1)) | is_corner_B1
    row_BH = (row_H < height_B1) | ~is_corner_B1
    stripe_BW = (column_W >= start_B1) & (column_W < start_B1 + width_B1)
    column_BW = torch.where(is_column_B1, stripe_BW, (column_W < width_B1) | ~is_corner_B1)
    band_BC = band_BC & chosen_B[:, None] & (C > 1)
    band_BC, row_BH, column_BW = (to_device(x, image_BCHW.device) for x in (band_BC, row_BH, column_BW))
    part_BCHW = band_BC[:, :, None, None] & row_BH[:, None, :, None] & column_BW[:, None, None, :]
    return image_BCHW.masked_fill(part_BCHW, torch.nan)


def flip_and_turn(image_BCHW: Tensor, draws: Draws) -> Tensor:
    """Each image in a random one of its eight orientations (flips and turns by 90 degrees)."""
    which_B = to_device((8 * draws.galaxies()).long(), image_BCHW.device)
    result = image_BCHW
    for bit, turn in ((1, lambda x: x.flip(-1)), (2, lambda x: x.flip(-2)), (4, lambda x: x.transpose(-1, -2))):
        chosen_B111 = (which_B & bit).bool()[:, None, None, None]
        result = torch.where(chosen_B111, turn(result), result)
    return result


MODALITY = Image
