"""The warnings in `Predictions.flags`, by the rules of evaluations (mmae/inference/flags.py).

Shape suffixes: N galaxies, M modalities of the model.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mmae.bundle.predictions import Flag
from mmae.inference import flags
from mmae.inference.flags import FlagLimits
from mmae.inference.readings import Readings
from mmae.model.masking import modes_of

BITS = {
    flags.LITTLE_EVIDENCE: Flag.LITTLE_EVIDENCE,
    flags.SECOND_PEAK: Flag.SECOND_PEAK,
    flags.UNLIKE_TRAINING: Flag.UNLIKE_TRAINING,
    flags.OUTSIDE_TRAINING_RANGE: Flag.OUTSIDE_TRAINING_RANGE,
}
"""Bits of an evaluation, and what they are in a bundle. NOTHING_OBSERVED is NO_INPUT there."""
NO_MODE = ""  # has no limits


def warning_flags(limits: FlagLimits, present: Mapping[str, np.ndarray], readings: Readings) -> np.ndarray:
    """Bits of `Flag`, (N,) int32, with the limits of the input mode that each galaxy has.

    Modalities that together are no input mode have no limits of the embedding: UNLIKE_TRAINING is not set.

    Args:
        present: by modality of the model, mask (N,) of the galaxies that have it.
        readings: from all modalities that a galaxy has.
    """
    modes = {frozenset(shown): mode for mode, shown in modes_of(present).items()}
    has_NM = np.stack(list(present.values()), -1)
    found_N = np.zeros(len(has_NM), np.int64)
    for has_M in np.unique(has_NM, axis=0):
        which_N = (has_NM == has_M).all(-1)
        shown = frozenset(name for name, has in zip(present, has_M, strict=True) if has)
        found_N[which_N] = flags.flag(limits, modes.get(shown, NO_MODE), readings.chosen(which_N))
    bits_N = np.zeros(len(has_NM), np.int32)
    for bit, named in BITS.items():
        bits_N[found_N & bit != 0] |= int(named)
    return bits_N
