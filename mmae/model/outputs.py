"""What every model of this project gives back. Legend of suffixes: batch.py."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass
class Losses:
    """`total` is what the optimiser sees; the parts are unweighted, for the log."""

    total: Tensor
    image: Tensor
    spectrum: Tensor
    redshift: Tensor


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
    image_BCHW: Tensor  # counts, all tokens as the decoder gives them
    flux_BL: Tensor  # 1e-17 erg/s/cm2/A
    visible_BHW: Tensor  # bool: pixels that the encoder saw
    visible_BL: Tensor  # bool: wavelengths that the encoder saw
