"""Features for photometric-redshift regressions on catalogue magnitudes.

Shape suffixes: N galaxies, C bands, F features.
"""

from __future__ import annotations

import numpy as np

LEAST_TRAINING, LEAST_TEST = 50, 20  # minimum numbers of galaxies for training and scoring a regression


def photoz_features(mag_NC: np.ndarray) -> np.ndarray:
    """Magnitudes and colours of adjacent bands (N, F); NaN where a band is missing."""
    return np.concatenate([mag_NC, mag_NC[:, :-1] - mag_NC[:, 1:]], axis=1)
