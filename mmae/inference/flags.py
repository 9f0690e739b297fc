"""Warning flags of predictions: a bit field for each prediction, like ZWARN of redrock. 0: no warning.

The limits are fitted on the training and validation split (mmae/inference/fit_flags.py) and are in the checkpoint
folder and in bundles, in FILE. A bundle computes its warnings here too (mmae/bundle/warning_flags.py), so that only
numpy and torch are imported.
Shape suffixes: N predictions, D embedding width, K redshift bins, K1 = K + 1 edges.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from mmae.core.errors import InputError
from mmae.inference.readings import Readings

NOTHING_OBSERVED = 1  # a modality of the input mode is missing
LITTLE_EVIDENCE = 2  # p(z) is hardly narrower than the training redshifts
SECOND_PEAK = 4  # p(z) has probability outside of its main peak
UNLIKE_TRAINING = 8  # the embedding is far from those of the training galaxies
OUTSIDE_TRAINING_RANGE = 16  # the redshift is outside of the training redshifts
MEANING = {
    NOTHING_OBSERVED: "nothing observed",
    LITTLE_EVIDENCE: "little evidence",
    SECOND_PEAK: "second peak",
    UNLIKE_TRAINING: "unlike the training set",
    OUTSIDE_TRAINING_RANGE: "outside the training range",
}
FILE = "flags.npz"
PEAK = 0.15  # in ln(1 + z): half width of the main peak, about the limit of outliers of photometric redshifts
SECOND = 0.1  # of the probability outside of the main peak
LEAST_INFORMATION = np.log(2)  # nats, of p(z) relative to the training redshifts: an interval half as wide


@dataclass(frozen=True)
class ModeLimits:
    """Embeddings of the training galaxies from one input mode.

    Attributes:
        mean_D, whitening_DD: (embedding - mean) @ whitening has unit covariance.
        distance: largest Mahalanobis distance without a flag.
    """

    mean_D: np.ndarray
    whitening_DD: np.ndarray
    distance: float


@dataclass(frozen=True)
class FlagLimits:
    """The limits of all flags.

    Attributes:
        prior_K: distribution of the training redshifts in the bins of p(z).
        low, high: training redshifts.
        modes: by input mode; modes without enough galaxies have no limits, and no flag UNLIKE_TRAINING.
    """

    prior_K: np.ndarray
    low: float
    high: float
    modes: Mapping[str, ModeLimits]


def flag(limits: FlagLimits, mode: str, readings: Readings) -> np.ndarray:
    """Warning bits (N,) int64 of the predictions from one input mode."""
    assert readings.probability_NK is not None and readings.edges_K1 is not None  # limits are of models with p(z)
    found = {
        LITTLE_EVIDENCE: information(readings.probability_NK, limits.prior_K) < LEAST_INFORMATION,
        SECOND_PEAK: outside_peak(readings.probability_NK, readings.edges_K1, readings.redshift_N) > SECOND,
        OUTSIDE_TRAINING_RANGE: (readings.redshift_N < limits.low) | (readings.redshift_N > limits.high),
    }
    if mode in limits.modes:
        of_mode = limits.modes[mode]
        distance_N = mahalanobis(readings.embedding_ND, of_mode.mean_D, of_mode.whitening_DD)
        found[UNLIKE_TRAINING] = distance_N > of_mode.distance
    bits_N = sum(bit * hit_N.astype(np.int64) for bit, hit_N in found.items())
    return np.where(readings.usable_N, bits_N, NOTHING_OBSERVED)


def information(probability_NK: np.ndarray, prior_K: np.ndarray) -> np.ndarray:
    """Relative entropy (N,) of p(z) and the training redshifts, in nats: how much the data say."""
    p_NK = probability_NK.astype(float)
    return (p_NK * np.log(np.maximum(p_NK, 1e-30) / prior_K)).sum(-1)


def outside_peak(probability_NK: np.ndarray, edges_K1: np.ndarray, redshift_N: np.ndarray) -> np.ndarray:
    """Probability (N,) of the bins farther than PEAK from the most probable one within PEAK of the point estimate."""
    middle_K = (edges_K1[1:] + edges_K1[:-1]) / 2
    far_NK = np.abs(middle_K - np.log1p(redshift_N)[:, None]) > PEAK
    return (probability_NK * far_NK).sum(-1)


def mahalanobis(embedding_ND: np.ndarray, mean_D: np.ndarray, whitening_DD: np.ndarray) -> np.ndarray:
    """Mahalanobis distance (N,); NaN for NaN."""
    return np.linalg.norm((embedding_ND - mean_D) @ whitening_DD, axis=-1)


def load_flags(folder: Path) -> FlagLimits | None:
    """The limits in a folder; None if it has none. Nothing is unpickled.

    Raises:
        InputError: the file is damaged.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as arrays:
            low, high = map(float, arrays["range"])
            names = [name.removesuffix("/distance") for name in arrays.files if name.endswith("/distance")]
            modes = {
                name: ModeLimits(arrays[f"{name}/mean"], arrays[f"{name}/whitening"], float(arrays[f"{name}/distance"]))
                for name in names
            }
            return FlagLimits(arrays["prior"], low, high, modes)
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise InputError(f"{path}: cannot read the limits of the flags ({error}). Train again.") from error
