"""Spectra: pieces of the full wavelength grid. Legend of suffixes: batch.py; P samples of a patch, V visible."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mmae.model import tokens as tk
from mmae.model.batch import Batch, InputSpec
from mmae.model.blocks import sincos_positions
from mmae.model.losses import masked_chi_square
from mmae.model.masking import pick, placed

# Of the normalised flux that is embedded: a cosmic ray or a sky-line residual in units
# of the spectrum's rms is no more telling at 100 than at 20.
MAX_FLUX = 20.0


@dataclass(frozen=True)
class SpectrumConfig:
    """Spectra at full sampling, weighted by inverse variance."""

    use: bool = True
    patch: int = 64
    """Samples of one token."""
    weight: float = 0.1
    """Of the chi-square per good sample of hidden patches in the loss."""
    error_floor: float = 0.1
    """Added to the errors in the loss, in units of the spectrum's rms."""

    def __post_init__(self) -> None:
        if self.patch < 1:
            raise ValueError(f"model.modalities.spectrum.patch is {self.patch}: it must be at least 1.")


@dataclass
class SpectrumTokens:
    """Patches in units of the visible part's level and rms; flux = mean + rms * normalised."""

    flux_BTP: Tensor
    ivar_BTP: Tensor
    mean_B: Tensor
    rms_B: Tensor


class Spectrum(nn.Module):
    """See mmae/model/modality.py.

    Raises:
        ValueError: the patch is longer than the spectrum.
    """

    name = "spectrum"
    Config = SpectrumConfig

    def __init__(self, config: SpectrumConfig, spec: InputSpec, width: int, decoder_width: int):
        super().__init__()
        if config.patch > spec.n_wavelengths:
            raise ValueError(
                f"model.modalities.spectrum.patch is {config.patch}, longer than the spectrum of "
                f"{spec.n_wavelengths} samples."
            )
        self.config, self.spec = config, spec
        self.n_tokens = -(-spec.n_wavelengths // config.patch)
        self.to_token = nn.Linear(2 * config.patch, width)
        self.brightness = nn.Linear(2, width)
        self.position_TD = nn.Parameter(sincos_positions(self.n_tokens, width))
        self.kind_D = nn.Parameter(torch.randn(width) * 0.02)
        self.query_TE = nn.Parameter(sincos_positions(self.n_tokens, decoder_width))
        self.to_patch = nn.Sequential(nn.LayerNorm(decoder_width), nn.Linear(decoder_width, config.patch))

    @staticmethod
    def columns(bands: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
        return {"flux": ("flux",), "ivar": ("ivar",)}

    @staticmethod
    def shapes(spec: InputSpec) -> dict[str, tuple[int, ...]]:
        return {"flux": (spec.n_wavelengths,), "ivar": (spec.n_wavelengths,)}

    def prepare(self, batch: Batch, visible_BT: Tensor) -> SpectrumTokens:
        flux_BL, ivar_BL, mean_B, rms_B = tk.normalise_spectrum(
            batch.values["flux"], batch.values["ivar"], self.seen(visible_BT)
        )
        patch = self.config.patch
        return SpectrumTokens(
            tk.patchify_spectrum(flux_BL, patch), tk.patchify_spectrum(ivar_BL, patch), mean_B, rms_B
        )

    def embed(self, prepared: SpectrumTokens, order_BV: Tensor) -> Tensor:
        # How certain each sample is, compressed: signal to noise spans decades.
        certainty_BVP = torch.log1p(pick(prepared.ivar_BTP, order_BV).sqrt())
        flux_BVP = pick(prepared.flux_BTP, order_BV).clamp(-MAX_FLUX, MAX_FLUX)
        brightness_B2 = torch.stack([torch.arcsinh(prepared.mean_B), prepared.rms_B.log()], -1)
        return (
            self.to_token(torch.cat([flux_BVP, certainty_BVP], -1))
            + self.brightness(brightness_B2)[:, None]
            + placed(self.position_TD, order_BV)
            + self.kind_D
        )

    def predict(self, decoded_BTE: Tensor) -> Tensor:
        return self.to_patch(decoded_BTE)

    def loss(self, predicted_BTP: Tensor, prepared: SpectrumTokens, is_target_BT: Tensor) -> Tensor:
        return masked_chi_square(
            predicted_BTP, prepared.flux_BTP, prepared.ivar_BTP, is_target_BT, self.config.error_floor
        )

    def restore(self, predicted_BTP: Tensor, prepared: SpectrumTokens) -> Tensor:
        """Flux (B, L) in 1e-17 erg/s/cm2/A. Level and scale are those of the visible part or, where none is
        visible, of the spectrum itself."""
        flux_BL = tk.unpatchify_spectrum(predicted_BTP.float(), self.spec.n_wavelengths)
        return prepared.mean_B[:, None] + prepared.rms_B[:, None] * flux_BL

    def seen(self, visible_BT: Tensor) -> Tensor:
        """(B, L)"""
        seen_BTP = visible_BT[..., None].expand(-1, -1, self.config.patch)
        return tk.unpatchify_spectrum(seen_BTP, self.spec.n_wavelengths)


MODALITY = Spectrum
