"""Random galaxies with embeddings of known content.

Shape suffixes: N galaxies, D dimensions, C bands.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from mmae.evaluation.catalogue import Catalogue
from mmae.evaluation.representation.targets import Features, Sample, Targets, common_sample

BANDS = ("g", "r", "i", "z", "y")
TYPES = ("BGS", "ELG", "LRG")


def random_targets(n: int, seed: int, **values) -> Targets:
    """Galaxies with all targets known; faint galaxies have higher redshifts, and types differ in colour."""
    rng = np.random.default_rng(seed)
    redshift_N = rng.uniform(0.05, 1.0, n)
    type_N = rng.choice(TYPES, n).astype(object)
    mag_NC = 17 + 5 * redshift_N[:, None] + rng.normal(0, 0.5, (n, len(BANDS)))
    mag_NC[:, 0] += np.array([TYPES.index(t) for t in type_N])
    star_formation_N = 1.5 + 0.3 * rng.normal(size=n)
    targets = Targets(redshift_N, type_N, "target class", mag_NC, mag_NC[:, 2], "i", star_formation_N, "Dn4000")
    return dataclasses.replace(targets, **values)


def vectors(targets: Targets, seed: int, noise: float = 0.02, size: int = 6) -> np.ndarray:
    """Embeddings: ln(1+z) with noise, type with noise, magnitude, Dn4000, and dimensions of noise."""
    rng = np.random.default_rng(seed)
    x_ND = rng.normal(size=(len(targets), size))
    x_ND[:, 0] = np.log1p(targets.redshift_N) + noise * rng.normal(size=len(targets))
    x_ND[:, 1] = [TYPES.index(t) if t in TYPES else -1.0 for t in targets.type_N] + noise * x_ND[:, 1]
    x_ND[:, 2], x_ND[:, 3] = np.nan_to_num(targets.magnitude_N, nan=20.0), np.nan_to_num(targets.star_formation_N)
    return x_ND


def random_features(train: Targets, test: Targets, **values) -> Features:
    return Features(vectors(train, 11, **values), vectors(test, 12, **values))


def small_sample(n: int = 300, m: int = 120, **values) -> Sample:
    train, test = random_targets(n, 1, **values), random_targets(m, 2, **values)
    return common_sample({"image": random_features(train, test)}, train, test)


def random_catalogue(n: int, **values) -> Catalogue:
    text = np.array([f"{i}" for i in range(n)], object)
    number_N = np.linspace(0, 1, n)
    catalogue = Catalogue(
        text,
        np.arange(n),
        number_N,
        number_N,
        number_N,
        20 + np.arange(n * 5.0).reshape(n, 5),
        BANDS,
        np.full(n, "EXP", object),
        text,
        np.full(n, "", object),
    )
    return dataclasses.replace(catalogue, **values)
