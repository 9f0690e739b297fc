"""Photometric redshifts by gradient-boosted trees on magnitudes and colours: the baseline of every model.

Shape suffixes: N galaxies, C bands.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor

from mmae.core.errors import InputError
from mmae.metrics.photometric_features import LEAST_TRAINING, photoz_features

MAX_ITERATIONS, LEARNING_RATE, MAX_LEAVES = 300, 0.08, 31


@dataclass(frozen=True)
class PhotozModel:
    """A trained regressor and its number of bands."""

    regressor: HistGradientBoostingRegressor
    n_bands: int


def train_photoz(mag_NC: np.ndarray, redshift_N: np.ndarray, *, seed: int) -> PhotozModel:
    """Train a regressor of redshift on magnitudes (AB, in order of wavelength; NaN: not measured).

    It predicts the median of ln(1 + z): the scores use dz / (1 + z), and the absolute-error loss limits the weight
    of quasars at high redshift.

    Raises:
        InputError: fewer than 50 galaxies with a redshift, or inconsistent shapes.
    """
    mag_NC, redshift_N = np.asarray(mag_NC, np.float64), np.asarray(redshift_N, np.float64)
    if mag_NC.ndim != 2 or redshift_N.shape != mag_NC.shape[:1]:
        raise InputError(
            f"photometric redshift: magnitudes have shape {mag_NC.shape} and redshifts "
            f"{redshift_N.shape}; expected (galaxies, bands) and (galaxies,)."
        )
    use_N = np.isfinite(redshift_N) & (redshift_N > -1) & np.isfinite(mag_NC).any(axis=1)
    if use_N.sum() < LEAST_TRAINING:
        raise InputError(
            f"photometric redshift: {use_N.sum()} galaxies with magnitudes and a redshift, at least "
            f"{LEAST_TRAINING} are needed. Use a larger survey."
        )
    regressor = HistGradientBoostingRegressor(
        loss="absolute_error",
        max_iter=MAX_ITERATIONS,
        learning_rate=LEARNING_RATE,
        max_leaf_nodes=MAX_LEAVES,
        early_stopping=True,
        validation_fraction=0.1,
        n_iter_no_change=15,
        random_state=seed,
    )
    regressor.fit(photoz_features(mag_NC[use_N]), np.log1p(redshift_N[use_N]))
    return PhotozModel(regressor, mag_NC.shape[1])


def predict_photoz(model: PhotozModel, mag_NC: np.ndarray) -> np.ndarray:
    """Predicted redshifts (N,).

    Raises:
        InputError: the number of bands differs from that of the training.
    """
    mag_NC = np.asarray(mag_NC, np.float64)
    if mag_NC.ndim != 2 or mag_NC.shape[1] != model.n_bands:
        raise InputError(f"photometric redshift: magnitudes have shape {mag_NC.shape}; expected {model.n_bands} bands.")
    return np.expm1(model.regressor.predict(photoz_features(mag_NC)))
