"""Spectra: tokens are patches of the full wavelength grid; redshift evidence from spectral features is in lines.py.

Legend of suffixes: batch.py; P samples of a patch, V visible, E decoder width, Z fine bins of ln(1+z).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from mmae.model import tokens as tk
from mmae.model.batch import Batch, InputSpec, to_device
from mmae.model.blocks import sincos_positions
from mmae.model.draws import Draws
from mmae.model.indexing import add_rows, gather_positions, gather_tokens, take_rows
from mmae.model.lines import Lines
from mmae.model.losses import masked_chi_square, masked_mse
from mmae.model.modality import Evidence, Modality, Sizes, patch_head
from mmae.model.part_configs import SPECTRUM_MASK, SpectrumConfig
from mmae.model.precision import at_least_float32

# Clipping limit of the embedded flux, in units of the spectrum's rms: larger values are cosmic rays or sky-line
# residuals, and carry no more information.
MAX_FLUX = 20.0
EMPTY = 0.08  # fraction of training spectra replaced by noise: fibres without a source must give no redshift
EMPTY_NOISE = (0.8, 1.5)  # range of its standard deviation, in units of the errors, which are not exact


@dataclass
class SpectrumTokens:
    """Patches normalised by mean and rms of the visible part; flux = mean + rms * normalised.

    For a spectrum without visible samples (`hidden_B`), mean and rms are those of the whole spectrum, and are targets.
    """

    flux_BTP: Tensor
    ivar_BTP: Tensor
    mean_B: Tensor
    rms_B: Tensor
    hidden_B: Tensor

    @property
    def level_B2(self) -> Tensor:
        """arcsinh(mean) and ln(rms): numbers of order one."""
        return torch.stack([torch.arcsinh(self.mean_B), self.rms_B.log()], -1)


@dataclass
class SpectrumPatches:
    """Predicted spectra: normalised patches and `level_B2` as in `SpectrumTokens`."""

    flux_BTP: Tensor
    level_B2: Tensor


class Spectrum(Modality):
    """See mmae/model/modality.py.

    Raises:
        ValueError: the patch is longer than the spectrum.
    """

    name = "spectrum"
    Config = SpectrumConfig
    mask = SPECTRUM_MASK

    def __init__(self, config: SpectrumConfig, spec: InputSpec, sizes: Sizes):
        super().__init__(config, spec, sizes)
        if config.patch > spec.n_wavelengths:
            raise ValueError(
                f"model.modalities.spectrum.patch is {config.patch}, longer than the spectrum of "
                f"{spec.n_wavelengths} samples."
            )
        self.n_tokens = -(-spec.n_wavelengths // config.patch)
        D, E = sizes.width, sizes.decoder_width
        self.to_token = nn.Linear(2 * config.patch, D)
        self.brightness = nn.Linear(2, D)
        self.position_TD = nn.Parameter(sincos_positions(self.n_tokens, D))
        self.kind_D = nn.Parameter(torch.randn(D) * 0.02)
        self.query_TE = nn.Parameter(sincos_positions(self.n_tokens, E))
        self.to_patch = patch_head(E, config.patch)
        self.to_level = nn.Linear(E, 2)
        self.lines = Lines(config.lines, spec, D, sizes.redshift) if config.lines.use else None

    @staticmethod
    def columns(bands: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
        return {"flux": ("flux",), "ivar": ("ivar",)}

    @staticmethod
    def shapes(spec: InputSpec) -> dict[str, tuple[int, ...]]:
        return {"flux": (spec.n_wavelengths,), "ivar": (spec.n_wavelengths,)}

    @staticmethod
    def augment(values: dict[str, Tensor], draws: Draws) -> dict[str, Tensor]:
        """Some spectra replaced by noise of their errors; the redshift, which the image may show, stays the label."""
        return {"flux": replace_by_noise(values["flux"], values["ivar"], draws)}

    def prepare(self, batch: Batch, visible_BT: Tensor) -> SpectrumTokens:
        flux_BL, ivar_BL, mean_B, rms_B = tk.normalise_spectrum(
            batch.values["flux"], batch.values["ivar"], self.visible_samples(visible_BT)
        )
        patch = self.config.patch
        return SpectrumTokens(
            tk.patchify_spectrum(flux_BL, patch),
            tk.patchify_spectrum(ivar_BL, patch),
            mean_B,
            rms_B,
            batch.present["spectrum"] & ~visible_BT.any(-1),
        )

    def embed(self, prepared: SpectrumTokens, row_B: Tensor, order_BV: Tensor) -> Tensor:
        # ln(1 + 1/sigma): signal to noise spans decades.
        precision_BVP = torch.log1p(gather_tokens(prepared.ivar_BTP[row_B], order_BV).sqrt())
        flux_BVP = gather_tokens(prepared.flux_BTP[row_B], order_BV).clamp(-MAX_FLUX, MAX_FLUX)
        return (
            self.to_token(torch.cat([flux_BVP, precision_BVP], -1))
            + self.brightness(prepared.level_B2[row_B])[:, None]
            + gather_positions(self.position_TD, order_BV)
            + self.kind_D
        )

    def evidence(self, prepared: SpectrumTokens, visible_BT: Tensor, row_N: Tensor) -> Evidence | None:
        if self.lines is None:
            return None
        row_B = row_N if len(row_N) else row_N.new_zeros(1)  # a hidden spectrum instead, as FFTs of none fail
        weight_BTP = prepared.ivar_BTP[row_B] * visible_BT[row_B][..., None]
        flux_BL, weight_BL = (
            tk.unpatchify_spectrum(x_BTP, self.spec.n_wavelengths) for x_BTP in (prepared.flux_BTP[row_B], weight_BTP)
        )
        with torch.autocast(flux_BL.device.type, enabled=False):  # sums over thousands of samples
            features = self.lines.features(flux_BL, weight_BL)
            return Evidence(row_B, self.lines.log_odds(features), features)

    def predict(self, decoded_BTE: Tensor) -> SpectrumPatches:
        return SpectrumPatches(
            at_least_float32(self.to_patch(decoded_BTE)), at_least_float32(self.to_level(decoded_BTE.mean(1)))
        )

    def complete(
        self, predicted: SpectrumPatches, evidence: Evidence, shift_B: Tensor, certainty_B: Tensor, summary_BD: Tensor
    ) -> SpectrumPatches:
        assert self.lines is not None  # there is no evidence otherwise
        row_B = evidence.row_B
        with torch.autocast(shift_B.device.type, enabled=False):
            drawn_BL = self.lines.draw(
                evidence.features, shift_B[row_B], certainty_B[row_B], at_least_float32(take_rows(summary_BD, row_B))
            )
        drawn_BTP = tk.patchify_spectrum(drawn_BL, self.config.patch)
        return SpectrumPatches(add_rows(predicted.flux_BTP, row_B, drawn_BTP), predicted.level_B2)

    def loss(self, predicted: SpectrumPatches, prepared: SpectrumTokens, is_target_BT: Tensor) -> Tensor:
        chi_square = masked_chi_square(
            predicted.flux_BTP, prepared.flux_BTP, prepared.ivar_BTP, is_target_BT, self.config.error_floor
        )
        is_level_target_B = prepared.hidden_B & is_target_BT.any(-1)
        level = masked_mse(predicted.level_B2[:, None], prepared.level_B2[:, None], is_level_target_B[:, None])
        return chi_square + self.config.level_weight * level

    def restore(self, predicted: SpectrumPatches, prepared: SpectrumTokens) -> Tensor:
        """Flux (B, L) in 1e-17 erg/s/cm2/A; mean and rms are those of the visible part, or predicted without one."""
        mean_B = torch.where(prepared.hidden_B, predicted.level_B2[:, 0].sinh(), prepared.mean_B)
        rms_B = torch.where(prepared.hidden_B, predicted.level_B2[:, 1].exp(), prepared.rms_B)
        flux_BL = tk.unpatchify_spectrum(predicted.flux_BTP, self.spec.n_wavelengths)
        return mean_B[:, None] + rms_B[:, None] * flux_BL

    def visible_samples(self, visible_BT: Tensor) -> Tensor:
        """(B, L)"""
        visible_BTP = visible_BT[..., None].expand(-1, -1, self.config.patch)
        return tk.unpatchify_spectrum(visible_BTP, self.spec.n_wavelengths)


def replace_by_noise(flux_BL: Tensor, ivar_BL: Tensor, draws: Draws) -> Tensor:
    """Fluxes of which a fraction `EMPTY` of the spectra is noise with the errors of the spectrum; 0 at bad samples."""
    low, high = EMPTY_NOISE
    chosen_N = np.flatnonzero(draws.galaxies().numpy() < EMPTY)
    scale_B = low + (high - low) * draws.galaxies()
    noise_NL = scale_B[chosen_N, None].to(flux_BL.dtype) * draws.normal(chosen_N, flux_BL.shape[1])
    row_N, noise_NL = (to_device(x, flux_BL.device) for x in (torch.from_numpy(chosen_N), noise_NL))
    ivar_NL = ivar_BL[row_N]
    error_NL = ivar_NL.where(ivar_NL > 0, torch.inf).rsqrt()
    return flux_BL.index_copy(0, row_N, noise_NL * error_NL)


MODALITY = Spectrum
