"""Nearest neighbours and linear models on frozen vectors: what can be read from them without training.

Whatever is learned, means and scales included, is learned from the training galaxies alone.

Shape suffixes: N training galaxies, M test galaxies, D dimensions.
"""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

KNN, LINEAR = "kNN", "linear"
PROBES = (KNN, LINEAR)
# The mean of 16 labels has a quarter of the noise of one; more would reach farther than the
# few thousand training galaxies of a small survey resolve.
NEIGHBOURS = 16
RIDGE_PENALTIES = np.logspace(-2, 5, 15)  # of standardised vectors; the best by leaving one out
MAX_REDSHIFT = 100.0  # an outlier wherever it is said; a line that goes on and on would overflow
LOGISTIC_STEPS = 1000  # bounds the time for vectors of which many dimensions say the same


def predict_redshift(probe: str, train_ND: np.ndarray, redshift_N: np.ndarray, test_MD: np.ndarray) -> np.ndarray:
    """Redshifts (M,), regressed in ln(1+z), in which a scatter of dz/(1+z) has one size everywhere."""
    u_M = predict_number(probe, train_ND, np.log1p(redshift_N), test_MD)
    return np.expm1(np.minimum(u_M, np.log1p(MAX_REDSHIFT)))


def predict_number(probe: str, train_ND: np.ndarray, target_N: np.ndarray, test_MD: np.ndarray) -> np.ndarray:
    """Numbers (M,) by kNN or ridge regression, learned from finite targets (N,)."""
    regressor: BaseEstimator = {
        KNN: KNeighborsRegressor(min(NEIGHBOURS, len(target_N)), weights="distance"),
        LINEAR: RidgeCV(RIDGE_PENALTIES),
    }[probe]
    return _pipeline(regressor).fit(train_ND, target_N).predict(test_MD)


def predict_type(probe: str, train_ND: np.ndarray, type_N: np.ndarray, test_MD: np.ndarray) -> np.ndarray:
    """Types (M,) by kNN or logistic regression, learned from at least two different ones (N,)."""
    classifier: BaseEstimator = {
        KNN: KNeighborsClassifier(min(NEIGHBOURS, len(type_N)), weights="distance"),
        # Balanced, as it is scored: every type counts the same, however rare.
        LINEAR: LogisticRegression(class_weight="balanced", max_iter=LOGISTIC_STEPS),
    }[probe]
    return _pipeline(classifier).fit(train_ND, type_N).predict(test_MD)


def _pipeline(estimator: BaseEstimator) -> Pipeline:
    # Embeddings are complete; a magnitude that was not measured takes the mean of its band, and
    # a band that no training galaxy has stays, as a constant.
    fill = SimpleImputer(strategy="mean", keep_empty_features=True)
    return make_pipeline(fill, StandardScaler(), estimator)
