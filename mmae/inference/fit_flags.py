"""Fit the limits of the warning flags (mmae/inference/flags.py) on the training and validation split, and write them.

Shape suffixes: N predictions, M those usable, D embedding width, K redshift bins, K1 = K + 1 edges.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mmae.core.files import partial_path
from mmae.inference.flags import FILE, FlagLimits, ModeLimits, mahalanobis
from mmae.inference.readings import Readings

FLAGGED = 0.01  # of the validation split that is flagged as unlike the training set
RANGE = (0.001, 0.999)  # quantiles of the training redshifts
SHRINKAGE = 0.001  # of the embeddings' covariance towards a multiple of the identity: few galaxies, many directions
LEAST = 50  # galaxies of each split with all modalities of a mode, to fit its limits


def fit_flags(
    train: Mapping[str, Readings], val: Mapping[str, Readings], train_redshift_N: np.ndarray
) -> FlagLimits | None:
    """Fit the limits: embeddings and redshifts on the training split, the largest distance on the validation split.

    Args:
        train, val: readings of each split by input mode, of the recalibrated model.
        train_redshift_N: redshifts of the training split; NaN where unknown.

    Returns:
        None for a model without p(z), or without training redshifts.
    """
    edges_K1 = next(iter(train.values())).edges_K1
    known_N = train_redshift_N[np.isfinite(train_redshift_N)]
    if edges_K1 is None or not len(known_N):
        return None
    # One galaxy is added to every bin: no redshift is impossible.
    count_K = 1 + np.histogram(np.clip(np.log1p(known_N), edges_K1[0], edges_K1[-1]), edges_K1)[0]
    modes = {}
    for mode in train:
        train_MD, val_MD = (split[mode].embedding_ND[split[mode].usable_N] for split in (train, val))
        if min(len(train_MD), len(val_MD)) >= LEAST:
            mean_D, whitening_DD = _whitening(train_MD)
            distance_M = mahalanobis(val_MD, mean_D, whitening_DD)
            modes[mode] = ModeLimits(mean_D, whitening_DD, float(np.quantile(distance_M, 1 - FLAGGED)))
    low, high = np.quantile(known_N, RANGE)
    return FlagLimits(count_K / count_K.sum(), float(low), float(high), modes)


def save_flags(limits: FlagLimits, folder: Path) -> None:
    """Write the limits into a folder, as plain arrays."""
    arrays = {"prior": limits.prior_K, "range": np.array([limits.low, limits.high])}
    for mode, of_mode in limits.modes.items():
        arrays[f"{mode}/mean"] = of_mode.mean_D
        arrays[f"{mode}/whitening"] = of_mode.whitening_DD
        arrays[f"{mode}/distance"] = np.array(of_mode.distance)
    unfinished = partial_path(folder / FILE)
    with unfinished.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    unfinished.rename(folder / FILE)


def _whitening(embedding_ND: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean_D = embedding_ND.mean(0)
    covariance_DD = np.cov(embedding_ND, rowvar=False)
    size = len(covariance_DD)
    covariance_DD = (1 - SHRINKAGE) * covariance_DD + SHRINKAGE * np.trace(covariance_DD) / size * np.eye(size)
    value_D, vector_DD = np.linalg.eigh(covariance_DD)
    return mean_D, vector_DD / np.sqrt(value_D)
