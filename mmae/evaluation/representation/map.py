"""A map of the galaxies: embeddings on their first two principal components.

PCA needs no further package, has no free parameter, can project new galaxies and preserves distances
in its plane. UMAP would show more structure, but its distances have no meaning.

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
    """Test galaxies (M, 2) on the first two principal components, and the fraction of variance of each."""

    xy_M2: np.ndarray
    variance_2: np.ndarray


def principal_plane(features: Features) -> Plane:
    """PCA of the training galaxies, applied to the test galaxies; embeddings are standardised as for the probes."""
    scale = StandardScaler().fit(features.train_ND)
    # An exact decomposition: the solvers for large matrices are randomised.
    components = PCA(2, svd_solver="covariance_eigh").fit(scale.transform(features.train_ND))
    return Plane(components.transform(scale.transform(features.test_MD)), components.explained_variance_ratio_)
