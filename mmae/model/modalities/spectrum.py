"""Spectra: pieces of the full wavelength grid, and the features in them that tell a redshift (lines.py).

Legend of suffixes: batch.py; P samples of a patch, V visible, E decoder width, Z fine bins of ln(1+z).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from mmae.model import tokens as tk
from mmae.model.batch import Batch, InputSpec
from mmae.model.blocks import sincos_positions
from mmae.model.indexing import add_rows, pick, placed, take
from mmae.model.lines import Lines, LinesConfig
from mmae.model.losses import masked_chi_square, masked_mse, with_targets
from mmae.model.modality import Evidence, MaskRule, Modality, Sizes, patch_head

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
    level_weight: float = 0.1
    """Beside the chi-square: of the squared errors of arcsinh(level) and ln(rms) where nothing is visible."""
    lines: LinesConfig = field(default_factory=LinesConfig)

    def __post_init__(self) -> None:
        if self.patch < 1:
            raise ValueError(f"model.modalities.spectrum.patch is {self.patch}: it must be at least 1.")


@dataclass
class SpectrumTokens:
    """Patches in units of the visible part's level and rms; flux = mean + rms * normalised.

    Where nothing is visible the units are those of the whole spectrum, and hidden like the rest.
    """

    flux_BTP: Tensor
    ivar_BTP: Tensor
    mean_B: Tensor
    rms_B: Tensor
    hidden_B: Tensor

    @property
    def level_B2(self) -> Tensor:
        """The units as numbers of order one."""
        return torch.stack([torch.arcsinh(self.mean_B), self.rms_B.log()], -1)


@dataclass
class SpectrumPatches:
    """What the model makes of a spectrum: patches as in `SpectrumTokens`, and its `level_B2`."""

    flux_BTP: Tensor
    level_B2: Tensor


class Spectrum(Modality):
    """See mmae/model/modality.py.

    Raises:
        ValueError: the patch is longer than the spectrum.
    """

    name = "spectrum"
    Config = SpectrumConfig
    mask = MaskRule(ratio=(0.75, 0.75), drop=0.5, exclusive=True)

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

    def prepare(self, batch: Batch, visible_BT: Tensor) -> SpectrumTokens:
        flux_BL, ivar_BL, mean_B, rms_B = tk.normalise_spectrum(
            batch.values["flux"], batch.values["ivar"], self.seen(visible_BT)
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
        # How certain each sample is, compressed: signal to noise spans decades.
        certainty_BVP = torch.log1p(pick(prepared.ivar_BTP[row_B], order_BV).sqrt())
        flux_BVP = pick(prepared.flux_BTP[row_B], order_BV).clamp(-MAX_FLUX, MAX_FLUX)
        return (
            self.to_token(torch.cat([flux_BVP, certainty_BVP], -1))
            + self.brightness(prepared.level_B2[row_B])[:, None]
            + placed(self.position_TD, order_BV)
            + self.kind_D
        )

    def evidence(self, prepared: SpectrumTokens, visible_BT: Tensor) -> Evidence | None:
        if self.lines is None:
            return None
        row_B = visible_BT.any(-1).nonzero()[:, 0]
        if not len(row_B):  # one stands in, of which nothing is seen: workers must have gradients of the same weights
            row_B = torch.zeros(1, dtype=torch.long, device=visible_BT.device)
        weight_BTP = prepared.ivar_BTP[row_B] * visible_BT[row_B][..., None]
        flux_BL, weight_BL = (
            tk.unpatchify_spectrum(x_BTP, self.spec.n_wavelengths) for x_BTP in (prepared.flux_BTP[row_B], weight_BTP)
        )
        with torch.autocast(flux_BL.device.type, enabled=False):  # sums over thousands of samples
            seen = self.lines.look(flux_BL, weight_BL)
            return Evidence(row_B, self.lines.votes(seen), seen)

    def predict(self, decoded_BTE: Tensor) -> SpectrumPatches:
        return SpectrumPatches(self.to_patch(decoded_BTE).float(), self.to_level(decoded_BTE.mean(1)).float())

    def complete(
        self, predicted: SpectrumPatches, evidence: Evidence, shift_B: Tensor, certainty_B: Tensor, summary_BD: Tensor
    ) -> SpectrumPatches:
        row_B = evidence.row_B
        with torch.autocast(shift_B.device.type, enabled=False):
            drawn_BL = self.lines.draw(
                evidence.seen, shift_B[row_B], certainty_B[row_B], take(summary_BD, row_B).float()
            )
        drawn_BTP = tk.patchify_spectrum(drawn_BL, self.config.patch)
        return SpectrumPatches(add_rows(predicted.flux_BTP, row_B, drawn_BTP), predicted.level_B2)

    def loss(self, predicted: SpectrumPatches, prepared: SpectrumTokens, is_target_BT: Tensor) -> Tensor:
        row_B = with_targets(is_target_BT)
        shape = masked_chi_square(
            take(predicted.flux_BTP, row_B),
            prepared.flux_BTP[row_B],
            prepared.ivar_BTP[row_B],
            is_target_BT[row_B],
            self.config.error_floor,
        )
        level_asked_B = prepared.hidden_B & is_target_BT.any(-1)
        level = masked_mse(predicted.level_B2[:, None], prepared.level_B2[:, None], level_asked_B[:, None])
        return shape + self.config.level_weight * level

    def restore(self, predicted: SpectrumPatches, prepared: SpectrumTokens) -> Tensor:
        """Flux (B, L) in 1e-17 erg/s/cm2/A. Level and scale are those of the visible part or, where nothing is
        visible, predicted as well."""
        mean_B = torch.where(prepared.hidden_B, predicted.level_B2[:, 0].sinh(), prepared.mean_B)
        rms_B = torch.where(prepared.hidden_B, predicted.level_B2[:, 1].exp(), prepared.rms_B)
        flux_BL = tk.unpatchify_spectrum(predicted.flux_BTP, self.spec.n_wavelengths)
        return mean_B[:, None] + rms_B[:, None] * flux_BL

    def seen(self, visible_BT: Tensor) -> Tensor:
        """(B, L)"""
        seen_BTP = visible_BT[..., None].expand(-1, -1, self.config.patch)
        return tk.unpatchify_spectrum(seen_BTP, self.spec.n_wavelengths)


MODALITY = Spectrum
