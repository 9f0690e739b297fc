"""What every model of this project gives back. Legend of suffixes: batch.py."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass
class Losses:
    """`total` is what the optimiser sees; the parts, each modality's and the redshift's, are unweighted, for the log."""

    total: Tensor
    parts: dict[str, Tensor]


@dataclass
class Reading:
    """What is read from the encoded tokens, without the cost of a reconstruction."""

    redshift_B: Tensor  # point estimate
    probability_BK: Tensor | None  # p(z) in the bins of redshift.bin_edges; None for a model without
    embedding_BD: Tensor


@dataclass
class Estimate:
    """Inference in physical units. p(z) is None for a model that gives a point only."""

    redshift_B: Tensor  # point estimate
    redshift_low_B: Tensor | None  # 16th percentile of p(z)
    redshift_high_B: Tensor | None  # 84th percentile
    made: dict[str, Tensor]  # by modality: all tokens as the decoder gives them
    seen: dict[str, Tensor]  # by modality, bool: samples that the encoder saw

    @property
    def image_BCHW(self) -> Tensor:
        """Counts."""
        return self.made["image"]

    @property
    def flux_BL(self) -> Tensor:
        """1e-17 erg/s/cm2/A."""
        return self.made["spectrum"]

    @property
    def visible_BHW(self) -> Tensor:
        """Pixels that the encoder saw."""
        return self.seen["image"]

    @property
    def visible_BL(self) -> Tensor:
        """Wavelengths that the encoder saw."""
        return self.seen["spectrum"]
