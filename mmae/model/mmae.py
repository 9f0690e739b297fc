"""The masked autoencoder: encode the visible tokens only, decode token by token.

Legend of suffixes: batch.py; T image tokens, S spectrum tokens, V visible tokens.
Path of a batch: normalise -> patches -> tokens -> keep the visible ones -> encoder ->
decoder queries (one for each hidden or visible position) and the redshift head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from mmae.model import tokens as tk
from mmae.model.batch import Batch, InputSpec
from mmae.model.blocks import CrossBlock, EncoderBlock, sincos_positions, sincos_positions_2d
from mmae.model.losses import masked_chi_square, masked_mse
from mmae.model.masking import Visible, pick, visible_order
from mmae.model.outputs import Estimate, Losses, Reading
from mmae.model.redshift import RedshiftConfig, RedshiftHead, redshift_loss, redshift_quantile


@dataclass(frozen=True)
class MMAEConfig:
    """A joint encoder of visible image and spectrum tokens (after He et al. 2022, Bachmann et al. 2022)."""

    kind: Literal["mmae"] = "mmae"
    image_patch: int = 8  # pixels
    spectrum_patch: int = 64  # samples of the full grid
    width: int = 128
    depth: int = 4
    heads: int = 4
    mlp_ratio: float = 4.0
    decoder_width: int = 96
    decoder_depth: int = 1
    image_weight: float = 0.1
    spectrum_weight: float = 0.1
    redshift_weight: float = 1.0
    error_floor: float = 0.1
    """Spectrum error floor of the chi-square loss, in units of the spectrum's rms."""
    redshift: RedshiftConfig = field(default_factory=RedshiftConfig)

    def __post_init__(self) -> None:
        for name in ("image_patch", "spectrum_patch", "width", "depth", "heads", "decoder_depth"):
            if getattr(self, name) < 1:
                raise ValueError(f"model.{name} is {getattr(self, name)}: it must be at least 1.")
        for name in ("width", "decoder_width"):
            if getattr(self, name) % (4 * self.heads):
                raise ValueError(
                    f"model.{name} is {getattr(self, name)}: it must be a multiple of "
                    f"4 x heads = {4 * self.heads}."
                )


class MMAE(nn.Module):
    """The model of the `small` recipe.

    Raises:
        ValueError: the image patch does not divide the image, or the spectrum patch
            is longer than the spectrum.
    """

    # Of the normalised flux that is embedded: a cosmic ray or a sky-line residual in units
    # of the spectrum's rms is no more telling at 100 than at 20.
    MAX_FLUX = 20.0

    def __init__(self, config: MMAEConfig, spec: InputSpec):
        super().__init__()
        if spec.image_size % config.image_patch:
            raise ValueError(
                f"model.image_patch is {config.image_patch} and does not divide the image of "
                f"{spec.image_size} pixels."
            )
        if config.spectrum_patch > spec.n_wavelengths:
            raise ValueError(
                f"model.spectrum_patch is {config.spectrum_patch}, longer than the spectrum of "
                f"{spec.n_wavelengths} samples."
            )
        self.config, self.spec = config, spec
        side = spec.image_size // config.image_patch
        self.n_image = side * side
        self.n_spectrum = -(-spec.n_wavelengths // config.spectrum_patch)
        image_samples = spec.n_bands * config.image_patch**2
        for name in ("band_noise", "arcsinh_mean", "arcsinh_std"):
            self.register_buffer(name, torch.tensor(getattr(spec, name)), persistent=False)

        D, E = config.width, config.decoder_width
        self.image_embed = nn.Linear(image_samples, D)
        self.spectrum_embed = nn.Linear(2 * config.spectrum_patch, D)
        self.brightness_embed = nn.Linear(2, D)
        self.image_position = nn.Parameter(sincos_positions_2d(side, D))
        self.spectrum_position = nn.Parameter(sincos_positions(self.n_spectrum, D))
        self.modality = nn.Parameter(torch.randn(2, 1, D) * 0.02)
        # A token that is always visible, so that attention has something to attend to
        # when a galaxy has neither modality.
        self.register = nn.Parameter(torch.randn(1, 1, D) * 0.02)
        self.encoder = nn.ModuleList(
            EncoderBlock(D, config.heads, config.mlp_ratio) for _ in range(config.depth)
        )
        self.encoder_norm = nn.LayerNorm(D)

        self.image_query = nn.Parameter(sincos_positions_2d(side, E))
        self.spectrum_query = nn.Parameter(sincos_positions(self.n_spectrum, E))
        self.decoder = nn.ModuleList(
            CrossBlock(E, config.heads, 2.0, D) for _ in range(config.decoder_depth)
        )
        self.image_out = nn.Sequential(nn.LayerNorm(E), nn.Linear(E, image_samples))
        self.spectrum_out = nn.Sequential(nn.LayerNorm(E), nn.Linear(E, config.spectrum_patch))
        self.redshift_head = RedshiftHead(D, config.heads, config.redshift)

    def _normalised(self, batch: Batch, visible: Visible) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        return self._normalised_image(batch), *self._normalised_spectrum(batch, visible)

    def _normalised_image(self, batch: Batch) -> Tensor:
        image_BCHW = tk.normalise_image(
            batch.image_BCHW, self.band_noise, self.arcsinh_mean, self.arcsinh_std
        )
        return tk.patchify_image(image_BCHW, self.config.image_patch)

    def _normalised_spectrum(self, batch: Batch, visible: Visible) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        flux_BL, ivar_BL, mean_B, rms_B = tk.normalise_spectrum(
            batch.flux_BL, batch.ivar_BL, self._seen(visible)
        )
        flux_BSP = tk.patchify_spectrum(flux_BL, self.config.spectrum_patch)
        ivar_BSP = tk.patchify_spectrum(ivar_BL, self.config.spectrum_patch)
        return flux_BSP, ivar_BSP, mean_B, rms_B

    def _seen(self, visible: Visible) -> Tensor:
        """Which wavelengths lie in visible tokens: (B, L), bool."""
        seen_BSP = visible.spectrum_BS[..., None].expand(-1, -1, self.config.spectrum_patch)
        return tk.unpatchify_spectrum(seen_BSP, self.spec.n_wavelengths)

    @staticmethod
    def _placed(position_TD: Tensor, order_BV: Tensor) -> Tensor:
        # Not position_TD[order_BV]: the gradient of indexing adds up in the order in which
        # threads happen to come, and a run would no longer repeat to the last bit.
        return pick(position_TD.expand(len(order_BV), -1, -1), order_BV)

    def encode(self, batch: Batch, visible: Visible) -> tuple[Tensor, Tensor]:
        """Encoded visible tokens (B, 1 + V, D), register first, and which of them are real."""
        return self._encode(*self._normalised(batch, visible), visible)

    def _encode(self, image_BTP, flux_BSP, ivar_BSP, mean_B, rms_B, visible: Visible):
        # Only what is visible is embedded: hidden tokens cost nothing from here on.
        image_order_BV, image_valid_BV = visible_order(visible.image_BT)
        image_BVD = (
            self.image_embed(pick(image_BTP, image_order_BV))
            + self._placed(self.image_position, image_order_BV)
            + self.modality[0]
        )
        spectrum_order_BV, spectrum_valid_BV = visible_order(visible.spectrum_BS)
        # How certain each sample is, compressed: signal to noise spans decades.
        certainty_BVP = torch.log1p(pick(ivar_BSP, spectrum_order_BV).sqrt())
        flux_BVP = pick(flux_BSP, spectrum_order_BV).clamp(-self.MAX_FLUX, self.MAX_FLUX)
        brightness_B2 = torch.stack([torch.arcsinh(mean_B), rms_B.log()], -1)
        spectrum_BVD = (
            self.spectrum_embed(torch.cat([flux_BVP, certainty_BVP], -1))
            + self.brightness_embed(brightness_B2)[:, None]
            + self._placed(self.spectrum_position, spectrum_order_BV)
            + self.modality[1]
        )
        register_B1D = self.register.expand(len(image_BTP), -1, -1).to(image_BVD.dtype)
        always_B1 = image_valid_BV.new_ones(len(image_BTP), 1)
        x_BVD = torch.cat([register_B1D, image_BVD, spectrum_BVD], 1)
        valid_BV = torch.cat([always_B1, image_valid_BV, spectrum_valid_BV], 1)
        for block in self.encoder:
            x_BVD = block(x_BVD, valid_BV)
        return self.encoder_norm(x_BVD), valid_BV

    def _decode(self, encoded_BVD: Tensor, valid_BV: Tensor) -> tuple[Tensor, Tensor]:
        query_QE = torch.cat([self.image_query, self.spectrum_query])
        x_BQE = query_QE.expand(len(encoded_BVD), -1, -1)
        for block in self.decoder:
            x_BQE = block(x_BQE, encoded_BVD, valid_BV)
        return self.image_out(x_BQE[:, : self.n_image]), self.spectrum_out(x_BQE[:, self.n_image :])

    def forward(self, batch: Batch, visible: Visible) -> Losses:
        """The losses of one batch: image MSE and spectrum chi-square on hidden tokens, p(z) entropy."""
        image_BTP, flux_BSP, ivar_BSP, mean_B, rms_B = self._normalised(batch, visible)
        encoded_BVD, valid_BV = self._encode(image_BTP, flux_BSP, ivar_BSP, mean_B, rms_B, visible)
        image_pred_BTP, flux_pred_BSP = self._decode(encoded_BVD, valid_BV)
        logits_BK = self.redshift_head(encoded_BVD, valid_BV)

        c = self.config
        image = masked_mse(
            image_pred_BTP, image_BTP, ~visible.image_BT & batch.image_present_B[:, None]
        )
        spectrum = masked_chi_square(
            flux_pred_BSP, flux_BSP, ivar_BSP,
            ~visible.spectrum_BS & batch.spectrum_present_B[:, None], c.error_floor,
        )
        redshift = redshift_loss(logits_BK, batch.redshift_B, batch.redshift_known_B, c.redshift)
        total = c.image_weight * image + c.spectrum_weight * spectrum + c.redshift_weight * redshift
        return Losses(total, image, spectrum, redshift)

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
        """Redshift, p(z) and embedding under each of several masks; the image is prepared once."""
        image_BTP = self._normalised_image(batch)
        readings = []
        for visible in visibles:
            spectrum = self._normalised_spectrum(batch, visible)
            encoded_BVD, valid_BV = self._encode(image_BTP, *spectrum, visible)
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
        """Redshift with its 68% interval and both reconstructions, in physical units.

        The network predicts the shape of a spectrum; level and scale are those of its visible
        part, or, where none is visible, of the spectrum itself.
        """
        image_BTP, flux_BSP, ivar_BSP, mean_B, rms_B = self._normalised(batch, visible)
        encoded_BVD, valid_BV = self._encode(image_BTP, flux_BSP, ivar_BSP, mean_B, rms_B, visible)
        image_pred_BTP, flux_pred_BSP = self._decode(encoded_BVD, valid_BV)
        image_BCHW = tk.unpatchify_image(image_pred_BTP.float(), self.config.image_patch, self.spec.n_bands)
        flux_BL = tk.unpatchify_spectrum(flux_pred_BSP.float(), self.spec.n_wavelengths)
        return Estimate(
            *self._quantiles(encoded_BVD, valid_BV),
            tk.denormalise_image(image_BCHW, self.band_noise, self.arcsinh_mean, self.arcsinh_std),
            mean_B[:, None] + rms_B[:, None] * flux_BL,
            tk.visible_pixels(visible.image_BT, self.spec.image_size),
            self._seen(visible),
        )
