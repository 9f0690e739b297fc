"""Options of the parts of a model: modalities, masks, spectral lines and p(z).

Without torch, so that the options of a command are known before it is imported.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field


@dataclass(frozen=True)
class MaskRule:
    """Masking of a modality in training: the defaults of its fields in `MaskConfig`, and how they are drawn.

    Attributes:
        ratio: range of the masked fraction of tokens; default of `NAME_ratio`.
        drop: probability that all tokens are hidden if another modality is visible; default of `drop_NAME`.
        exclusive: one draw per galaxy hides at most one of the exclusive modalities.
        shown_if_rare: repeated galaxies (`StreamConfig.repeat_rare`) hide it less often.
    """

    ratio: tuple[float, float] = (0.0, 0.75)
    drop: float = 0.5
    exclusive: bool = False
    shown_if_rare: bool = False


@dataclass(frozen=True)
class RedshiftConfig:
    """p(z) in equal bins of ln(1+z), in which a scatter of dz/(1+z) is the same at all redshifts."""

    z_max: float = 6.0
    """Upper edge of the last redshift bin; higher redshifts are counted in it."""
    bins: int = 384
    """Redshift bins: one logit of the network each, and the bins in which p(z) is stored. Logits are interpolated
    linearly between bin centres."""
    refinement: int = 16
    """Fine bins per redshift bin, for the precision of spectroscopic redshifts."""
    label_width: float = 1.0
    """Standard deviation of the Gaussian training label, in fine bins."""

    def __post_init__(self) -> None:
        if self.bins < 2 or self.z_max <= 0 or self.label_width <= 0 or self.refinement < 1:
            raise ValueError(
                f"model.redshift: bins {self.bins}, z_max {self.z_max}, refinement {self.refinement}, label_width "
                f"{self.label_width}: must be bins >= 2, z_max > 0, refinement >= 1 and label_width > 0."
            )

    @property
    def fine_bins(self) -> int:
        """Total number of fine bins, Z."""
        return self.bins * self.refinement

    @property
    def fine_width(self) -> float:
        """Width of a fine bin in ln(1+z)."""
        return math.log1p(self.z_max) / self.fine_bins


@dataclass(frozen=True)
class LinesConfig:
    """Redshift from spectral features of known rest wavelength, and their reconstruction."""

    use: bool = True
    """Use spectral features for the redshift and draw lines into reconstructions."""
    responses: int = 4
    """Numbers that describe each sample of the spectrum; each has its own rest-frame template."""


@dataclass(frozen=True)
class ImageConfig:
    """Images in all bands, stretched by arcsinh."""

    use: bool = True
    """Encode and reconstruct images."""
    patch: int = 8
    """Side of an image token in pixels: a power of two, 4 or more, that divides the image."""
    whole_patch: int = 16
    """Side in pixels of a token of a whole image, of which nothing is hidden: a power of two, 4 or more."""
    stem_width: int = 8
    """Feature maps of each branch of the first Inception modules; doubled after each halving of the resolution."""
    stem_depth: int = 2
    """Inception modules before each halving of the resolution."""
    mixing: int = 2
    """Self-attention blocks of the decoder between the patches of an image."""
    weight: float = 0.1
    """Weight of the mean squared error of hidden patches (normalised pixels) in the total loss."""

    def __post_init__(self) -> None:
        for name in ("patch", "whole_patch"):
            if getattr(self, name) < 4 or getattr(self, name) & (getattr(self, name) - 1):
                raise ValueError(
                    f"model.modalities.image.{name} is {getattr(self, name)}: it must be a power of two, 4 or more."
                )
        for name in ("stem_width", "stem_depth"):
            if getattr(self, name) < 1:
                raise ValueError(f"model.modalities.image.{name} is {getattr(self, name)}: it must be at least 1.")


@dataclass(frozen=True)
class MagnitudesConfig:
    """Total magnitudes from the survey's catalogue."""

    use: bool = False
    """Encode and reconstruct catalogue magnitudes."""
    weight: float = 0.1
    """Weight of the mean squared error of hidden magnitudes (normalised by `spread`) in the total loss."""
    middle: float = 20.0
    """AB magnitude with normalised value 0: about the median of DESI galaxies in the HSC r band."""
    spread: float = 2.0
    """Magnitude difference with normalised value 1."""
    frequencies: int = 16
    """Learned frequencies of each input number."""
    frequency_scale: float = 0.5
    """Standard deviation of the frequencies at the start, in cycles per normalised unit."""

    def __post_init__(self) -> None:
        for name in ("spread", "frequencies", "frequency_scale"):
            if not getattr(self, name) > 0:
                raise ValueError(f"model.modalities.magnitudes.{name} is {getattr(self, name)}: it must be positive.")


@dataclass(frozen=True)
class SpectrumConfig:
    """Spectra at full sampling, with a loss weighted by inverse variance."""

    use: bool = True
    """Encode and reconstruct spectra."""
    patch: int = 64
    """Wavelength samples per spectrum token."""
    weight: float = 0.1
    """Weight of the reconstruction loss (chi-square per good sample of hidden patches) in the total loss."""
    error_floor: float = 0.1
    """Error added in quadrature to the flux errors in the loss, in units of the spectrum's rms."""
    level_weight: float = 0.1
    """Weight, relative to the chi-square, of the squared errors of arcsinh(mean) and ln(rms) of fully hidden
    spectra."""
    lines: LinesConfig = field(default_factory=LinesConfig)

    def __post_init__(self) -> None:
        if self.patch < 1:
            raise ValueError(f"model.modalities.spectrum.patch is {self.patch}: it must be at least 1.")


IMAGE_MASK = MaskRule(ratio=(0.75, 0.75), drop=0.0, exclusive=True)
SPECTRUM_MASK = MaskRule(ratio=(0.75, 0.75), drop=0.5, exclusive=True, shown_if_rare=True)
