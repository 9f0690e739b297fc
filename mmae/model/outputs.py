"""Outputs that all models share. Legend of suffixes: batch.py."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass
class Losses:
    """Losses of one batch.

    Attributes:
        total: weighted sum that is minimised.
        parts: unweighted losses of the modalities and of the redshift, for the log.
    """

    total: Tensor
    parts: dict[str, Tensor]


@dataclass
class Reading:
    """Redshift and embedding, without reconstructions."""

    redshift_B: Tensor  # point estimate
    probability_BK: Tensor | None  # p(z) in the bins of redshift.bin_edges; None for a model without p(z)
    embedding_BD: Tensor
    logits_BZ: Tensor | None = None  # recalibrated, of the fine bins of redshift.refined; None as probability_BK


@dataclass
class Estimate:
    """Redshift and reconstructions in physical units. The percentiles are None for a model without p(z)."""

    redshift_B: Tensor  # point estimate
    redshift_low_B: Tensor | None  # 16th percentile of p(z)
    redshift_high_B: Tensor | None  # 84th percentile
    values: dict[str, Tensor]  # by modality: all tokens as reconstructed by the decoder
    visible: dict[str, Tensor]  # by modality, bool: samples that were visible to the encoder

    @property
    def image_BCHW(self) -> Tensor:
        """Counts."""
        return self.values["image"]

    @property
    def flux_BL(self) -> Tensor:
        """1e-17 erg/s/cm2/A."""
        return self.values["spectrum"]

    @property
    def visible_BHW(self) -> Tensor:
        """Pixels that were visible to the encoder."""
        return self.visible["image"]

    @property
    def visible_BL(self) -> Tensor:
        """Wavelength samples that were visible to the encoder."""
        return self.visible["spectrum"]
