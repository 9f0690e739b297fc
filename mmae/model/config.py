"""Configurations of all models and of their masks, without torch (see part_configs.py)."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, make_dataclass
from typing import Annotated, Any, Literal

from typing_extensions import Doc

from mmae.model.part_configs import (
    IMAGE_MASK,
    SPECTRUM_MASK,
    ImageConfig,
    MagnitudesConfig,
    MaskRule,
    RedshiftConfig,
    SpectrumConfig,
)


def _declared() -> dict[str, tuple[type, MaskRule]]:
    """Options and mask of each modality of mmae/model/modalities, in its order."""
    if os.environ.get("MMAE_MODALITIES"):  # files outside the package declare theirs; they import torch
        from mmae.model.modalities import MODALITIES

        return {name: (kind.Config, kind.mask) for name, kind in MODALITIES.items()}
    return {
        "image": (ImageConfig, IMAGE_MASK),
        "magnitudes": (MagnitudesConfig, MaskRule()),
        "spectrum": (SpectrumConfig, SPECTRUM_MASK),
    }


DECLARED = _declared()
_fields = [(name, options, field(default_factory=options)) for name, (options, _) in DECLARED.items()]


# The base class is built from the modalities, so that mypy cannot check it.
@dataclass(frozen=True)
class ModalitiesConfig(make_dataclass("ModalityFields", _fields, frozen=True)):  # type: ignore[misc]
    """The modalities of a model, one field each: whether each is used, and its options."""


def _mask_fields() -> list[tuple[str, Any, Any]]:
    """The fields of `MaskConfig` as the modality files declare them: names, types with help texts, and defaults."""
    ratios, drops = [], []
    for name, (_, rule) in DECLARED.items():
        ratio_text = f"Range (low, high) of the fraction of {name} tokens that is masked; one draw per batch."
        ratios.append((f"{name}_ratio", Annotated[tuple[float, float], Doc(ratio_text)], rule.ratio))
        drop_text = f"Probability that all {name} tokens are hidden, if another modality is visible."
        drops.append((f"drop_{name}", Annotated[float, Doc(drop_text)], rule.drop))
    unit_text = "Draw drop_NAME per galaxy (sample), or once for all galaxies of a batch (batch, as in the paper)."
    units = [("drop_unit", Annotated[Literal["sample", "batch"], Doc(unit_text)], "sample")]
    return ratios + drops + units


# The base class is built from the modality files, so that mypy cannot check it.
@dataclass(frozen=True)
class MaskConfig(make_dataclass("MaskFields", _mask_fields(), frozen=True)):  # type: ignore[misc]
    """Masks of a view in training: NAME_ratio and drop_NAME of each modality."""

    def __post_init__(self) -> None:
        for name in DECLARED:
            low, high = getattr(self, f"{name}_ratio")
            if not 0 <= low <= high < 1:
                raise ValueError(f"{name}_ratio is ({low}, {high}): it must be a range low <= high in [0, 1).")
            field = f"drop_{name}"
            if not 0 <= getattr(self, field) <= 1:
                raise ValueError(f"{field} is {getattr(self, field)}: it must be a probability in [0, 1].")
        drops = [f"drop_{name}" for name, (_, rule) in DECLARED.items() if rule.exclusive]
        if sum(getattr(self, field) for field in drops) > 1:
            raise ValueError(f"{' + '.join(drops)} exceeds 1: at most one of these modalities of a galaxy is hidden.")


@dataclass(frozen=True)
class MMAEConfig:
    """A joint encoder of the visible tokens of all modalities (after He et al. 2022, Bachmann et al. 2022)."""

    kind: Literal["mmae"] = "mmae"
    """Model type."""
    modalities: ModalitiesConfig = field(default_factory=ModalitiesConfig)
    width: int = 128
    """Width of the encoder's tokens; a multiple of 4 x heads."""
    depth: int = 4
    """Number of encoder blocks."""
    heads: int = 4
    """Attention heads of every block, encoder and decoder."""
    mlp_ratio: float = 4.0
    """Hidden width of the encoder's feed-forward layers, in units of `width`."""
    decoder_width: int = 96
    """Width of the decoder's queries; a multiple of 4 x heads."""
    decoder_depth: int = 1
    """Number of decoder (cross-attention) blocks."""
    redshift_weight: float = 1.0
    """Weight of the redshift loss (cross entropy of p(z)) in the total loss."""
    masked_redshift_weight: float = 0.5
    """Weight of the redshift loss of the masked view, if there is a view for the redshift."""
    redshift: RedshiftConfig = field(default_factory=RedshiftConfig)

    def __post_init__(self) -> None:
        for name in ("width", "depth", "heads", "decoder_depth"):
            if getattr(self, name) < 1:
                raise ValueError(f"model.{name} is {getattr(self, name)}: it must be at least 1.")
        for name in ("width", "decoder_width"):
            if getattr(self, name) % (4 * self.heads):
                raise ValueError(
                    f"model.{name} is {getattr(self, name)}: it must be a multiple of 4 x heads = {4 * self.heads}."
                )
        if not any(getattr(self.modalities, name).use for name in DECLARED):
            raise ValueError("model.modalities: none is in use.")


@dataclass(frozen=True)
class PaperConfig:
    """Sizes and loss weights of arXiv:2510.22527; the defaults are the published ones."""

    kind: Literal["paper"] = "paper"
    """Model type."""
    image_patch: int = 8
    """Side of an image token in pixels; must divide the image."""
    spectrum_pool: int = 30
    """Wavelength samples averaged to one pooled sample."""
    spectrum_patch: int = 8
    """Pooled samples per spectrum token."""
    width: int = 256
    """Width of the tokens."""
    depth: int = 4
    """Encoder layers of each modality."""
    cross_depth: int = 4
    """Number of cross-attention blocks."""
    heads: int = 8
    """Attention heads of every block."""
    mlp_ratio: int = 4
    """Hidden width of the feed-forward layers, in units of `width`."""
    dropout: float = 0.1
    """Dropout probability."""
    hidden: tuple[int, int] = (512, 256)
    """Hidden widths of the two decoders; the second is also that of the redshift head."""
    image_weight: float = 0.1
    """Weight of the image's mean squared error (counts^2) in the total loss."""
    spectrum_weight: float = 0.01
    """Weight of the mean squared error of the normalised, pooled spectrum in the total loss."""
    redshift_weight: float = 1.0
    """Weight of the redshift loss in the total loss."""


@dataclass(frozen=True)
class CNNConfig:
    """An Inception network from images to p(z)."""

    kind: Literal["cnn"] = "cnn"
    """Model type."""
    width: int = 32
    """Feature maps of each of the four branches of the first modules; doubled after each halving of the resolution."""
    depth: int = 2
    """Inception modules before each halving of the resolution."""
    halvings: int = 3
    """Number of halvings of the resolution after the first layer, which halves it as well."""
    hidden: int = 256
    """Width of the layer before p(z), which is also the embedding."""
    redshift_weight: float = 1.0
    """Weight of the redshift loss (cross entropy of p(z)) in the total loss."""
    redshift: RedshiftConfig = field(default_factory=RedshiftConfig)

    def __post_init__(self) -> None:
        for name in ("width", "depth", "halvings", "hidden"):
            if getattr(self, name) < 1:
                raise ValueError(f"model.{name} is {getattr(self, name)}: it must be at least 1.")


@dataclass(frozen=True)
class ContrastiveConfig:
    """An image and a spectrum encoder, aligned by a contrastive loss."""

    kind: Literal["contrastive"] = "contrastive"
    """Model type."""
    image: ImageConfig = field(default_factory=ImageConfig)
    spectrum: SpectrumConfig = field(default_factory=SpectrumConfig)
    width: int = 128
    """Width of the tokens; a multiple of 4 x heads."""
    depth: int = 4
    """Blocks of each encoder."""
    heads: int = 4
    """Attention heads of every block."""
    mlp_ratio: float = 4.0
    """Hidden width of the feed-forward layers, in units of `width`."""
    embedding: int = 128
    """Width of the common embedding space."""
    temperature: float = 0.07
    """Initial value of the learned temperature of the softmax over pairs (Radford et al. 2021)."""
    redshift_weight: float = 1.0
    """Weight of the redshift loss (cross entropy of p(z)) in the total loss."""
    redshift: RedshiftConfig = field(default_factory=RedshiftConfig)

    def __post_init__(self) -> None:
        if self.width % (4 * self.heads):
            raise ValueError(f"model.width is {self.width}: it must be a multiple of 4 x heads = {4 * self.heads}.")
        if not self.temperature > 0:
            raise ValueError(f"model.temperature is {self.temperature}: it must be positive.")


ModelConfig = MMAEConfig | PaperConfig | CNNConfig | ContrastiveConfig
