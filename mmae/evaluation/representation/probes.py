"""Probes on frozen embeddings: k nearest neighbours and linear models.

All fits, including means and scales, use the training galaxies only.

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
# The mean of 16 labels has a quarter of the noise of one; more neighbours would be too distant among the
# few thousand training galaxies of a small survey.
NEIGHBOURS = 16
RIDGE_PENALTIES = np.logspace(-2, 5, 15)  # for standardised inputs; chosen by leave-one-out cross-validation
MAX_REDSHIFT = 100.0  # always an outlier; prevents an overflow of expm1 when a linear probe extrapolates
LOGISTIC_STEPS = 1000  # limits the time for embeddings with many correlated dimensions


def predict_redshift(probe: str, train_ND: np.ndarray, redshift_N: np.ndarray, test_MD: np.ndarray) -> np.ndarray:
    """Redshifts (M,), regressed in ln(1+z), in which the scatter of dz/(1+z) does not depend on z."""
    u_M = predict_number(probe, train_ND, np.log1p(redshift_N), test_MD)
    return np.expm1(np.minimum(u_M, np.log1p(MAX_REDSHIFT)))


def predict_number(probe: str, train_ND: np.ndarray, target_N: np.ndarray, test_MD: np.ndarray) -> np.ndarray:
    """Numbers (M,) by kNN or ridge regression, trained on finite targets (N,)."""
    regressor: BaseEstimator = {
        KNN: KNeighborsRegressor(min(NEIGHBOURS, len(target_N)), weights="distance"),
        LINEAR: RidgeCV(RIDGE_PENALTIES),
    }[probe]
    return _pipeline(regressor).fit(train_ND, target_N).predict(test_MD)


def predict_type(probe: str, train_ND: np.ndarray, type_N: np.ndarray, test_MD: np.ndarray) -> np.ndarray:
    """Types (M,) by kNN or logistic regression, trained on at least two different types (N,)."""
    classifier: BaseEstimator = {
        KNN: KNeighborsClassifier(min(NEIGHBOURS, len(type_N)), weights="distance"),
        # Balanced like the score: every type has the same weight.
        LINEAR: LogisticRegression(class_weight="balanced", max_iter=LOGISTIC_STEPS),
    }[probe]
    return _pipeline(classifier).fit(train_ND, type_N).predict(test_MD)


def _pipeline(estimator: BaseEstimator) -> Pipeline:
    # Embeddings are complete; a missing magnitude is replaced by the mean of its band, and
    # a band without any training magnitude is kept as a constant.
    fill = SimpleImputer(strategy="mean", keep_empty_features=True)
    return make_pipeline(fill, StandardScaler(), estimator)
