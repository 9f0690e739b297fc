"""What a bundle predicts for each galaxy, as named numpy arrays.

Legend of suffixes: mmae/model/batch.py; Z fine bins of ln(1+z).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntFlag
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmae.model.batch import Batch
from mmae.model.part_configs import RedshiftConfig
from mmae.model.redshift import redshift_quantiles

LIMITS = {"z_low95": 0.025, "z_low68": 0.16, "z_median": 0.5, "z_high68": 0.84, "z_high95": 0.975}
"""Quantiles of p(z); those of 68% as in mmae/model/redshift.py."""


class Flag(IntFlag):
    """Bits of `Predictions.flags`: what was missing for a galaxy, and warnings about its prediction (`MEANING`).

    0: everything the model reads was there, and there is no warning.
    """

    NO_IMAGE = 1
    NO_SPECTRUM = 2
    NO_INPUT = 4
    PIXELS_MISSING = 8
    BANDS_MISSING = 16
    SAMPLES_MISSING = 32
    LITTLE_EVIDENCE = 64
    SECOND_PEAK = 128
    UNLIKE_TRAINING = 256
    OUTSIDE_TRAINING_RANGE = 512


WARNINGS = Flag.LITTLE_EVIDENCE | Flag.SECOND_PEAK | Flag.UNLIKE_TRAINING | Flag.OUTSIDE_TRAINING_RANGE
"""The bits that only a bundle with limits sets (mmae/bundle/warning_flags.py)."""
MEANING = {
    Flag.NO_IMAGE: "no image",
    Flag.NO_SPECTRUM: "no spectrum",
    Flag.NO_INPUT: "nothing that the model reads: all predictions are NaN",
    Flag.PIXELS_MISSING: "some pixels of the image were not observed",
    Flag.BANDS_MISSING: "whole bands of the image were not observed",
    Flag.SAMPLES_MISSING: "more than half of the samples of the spectrum have no data",
    Flag.LITTLE_EVIDENCE: "p(z) is hardly narrower than the training redshifts",
    Flag.SECOND_PEAK: "p(z) has a second peak",
    Flag.UNLIKE_TRAINING: "the embedding is unlike those of the training galaxies",
    Flag.OUTSIDE_TRAINING_RANGE: "the redshift is outside of the training redshifts",
}
NO_WARNINGS = "The model has no limits of warnings: flags say only what was missing."
SAMPLES_LIMIT = 0.5  # fraction of a spectrum without data above which SAMPLES_MISSING is set


@dataclass(frozen=True)
class Predictions:
    """Predictions for N galaxies, in the order of the input; NaN where a galaxy has no input.

    For a model without p(z) (recipe `paper`) z_median is its point estimate; the other redshifts
    are NaN, pz and pz_edges are None.

    Attributes:
        z_median, z_mean, z_mode: of p(z), each (N,). z_mode is the centre of the most probable fine bin.
        z_low68, z_high68: 16th and 84th percentile, each (N,).
        z_low95, z_high95: 2.5th and 97.5th percentile, each (N,).
        pz: probability of each redshift bin, (N, K); rows sum to 1.
        pz_edges: the K + 1 edges of the bins in z; they are equal steps of ln(1+z).
        embedding: (N, D).
        anomaly: reconstruction error of hidden parts in units of noise, (N,), about 1 for a galaxy like those of the
            training; NaN for a model without reconstructions. The larger of anomaly_image and anomaly_spectrum.
        anomaly_image, anomaly_spectrum: the same of each, (N,); NaN where it is missing.
        flags: bits of `Flag`, (N,) int32.
    """

    z_median: np.ndarray
    z_mean: np.ndarray
    z_mode: np.ndarray
    z_low68: np.ndarray
    z_high68: np.ndarray
    z_low95: np.ndarray
    z_high95: np.ndarray
    pz: np.ndarray | None
    pz_edges: np.ndarray | None
    embedding: np.ndarray
    anomaly: np.ndarray
    anomaly_image: np.ndarray
    anomaly_spectrum: np.ndarray
    flags: np.ndarray

    def __len__(self) -> int:
        return len(self.flags)

    @classmethod
    def joined(cls, parts: Sequence[Predictions]) -> Predictions:
        """Concatenate predictions of one model; at least one part."""
        first = parts[0]
        arrays: dict[str, Any] = {}
        for name in (f.name for f in dataclasses.fields(cls) if f.name != "pz_edges"):
            whole = [getattr(part, name) for part in parts]
            arrays[name] = None if whole[0] is None else np.concatenate(whole)
        return cls(**arrays, pz_edges=first.pz_edges)


def point_estimates(logits_BZ: Tensor, config: RedshiftConfig) -> dict[str, Tensor]:
    """Quantiles, mean and mode of p(z) by name in `Predictions`, each (B,), from logits of the fine bins."""
    found = dict(zip(LIMITS, redshift_quantiles(logits_BZ, tuple(LIMITS.values()), config), strict=True))
    bin_Z = torch.arange(config.fine_bins, device=logits_BZ.device, dtype=torch.double)
    z_Z = torch.expm1((bin_Z + 0.5) * config.fine_width)
    found["z_mean"] = logits_BZ.double().softmax(-1) @ z_Z
    found["z_mode"] = z_Z[logits_BZ.argmax(-1)]
    return found


def possible_flags(warnings: bool) -> list[Flag]:
    """The flags of a model with or without limits of warnings."""
    return [flag for flag in Flag if warnings or not flag & WARNINGS]


def missing_flags(batch: Batch, modalities: Sequence[str]) -> np.ndarray:
    """Bits of `Flag` for what is missing, (B,) int32.

    Args:
        modalities: that the model reads.
    """
    flags_B = torch.zeros(len(batch), dtype=torch.int32)

    def mark(which_B: Tensor, flag: Flag) -> None:
        flags_B[which_B.cpu()] |= int(flag)

    none_B = torch.ones(len(batch), dtype=torch.bool)
    for name in modalities:
        none_B &= ~batch.present[name].cpu()
    mark(none_B, Flag.NO_INPUT)
    if "image" in modalities:
        has_image_B = batch.present["image"]
        missing_BCX = batch.image_BCHW.isnan().flatten(2)
        mark(~has_image_B, Flag.NO_IMAGE)
        mark(has_image_B & missing_BCX.any(-1).any(-1), Flag.PIXELS_MISSING)
        mark(has_image_B & missing_BCX.all(-1).any(-1), Flag.BANDS_MISSING)
    if "spectrum" in modalities:
        has_spectrum_B = batch.present["spectrum"]
        empty_B = (batch.ivar_BL <= 0).float().mean(-1) > SAMPLES_LIMIT
        mark(~has_spectrum_B, Flag.NO_SPECTRUM)
        mark(has_spectrum_B & empty_B, Flag.SAMPLES_MISSING)
    return flags_B.numpy()
