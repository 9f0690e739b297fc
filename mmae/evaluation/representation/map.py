"""A map of the galaxies: their vectors on the two directions in which they differ most.

Principal components, since they need no further package, have no free parameter, place a test
galaxy without having seen it and keep distances in their plane. UMAP would show more structure
and less of its meaning.

Shape suffixes: M test galaxies, 2 axes of the map.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from mmae.evaluation.representation.targets import Features


@dataclass(frozen=True)
class Plane:
    """Test galaxies (M, 2) on the first two principal components, and the share of variance of either."""

    xy_M2: np.ndarray
    share_2: np.ndarray


def principal_plane(features: Features) -> Plane:
    """Directions and scale are those of the training galaxies; vectors are standardised, as the probes do."""
    scale = StandardScaler().fit(features.train_ND)
    # An exact decomposition: the solvers for large matrices start from random numbers.
    components = PCA(2, svd_solver="covariance_eigh").fit(scale.transform(features.train_ND))
    return Plane(components.transform(scale.transform(features.test_MD)), components.explained_variance_ratio_)
