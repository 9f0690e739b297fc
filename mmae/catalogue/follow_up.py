"""Which galaxies to observe next: those whose redshifts would teach most about the galaxies with a broad p(z).

ln(1+z) is taken as a smooth function of the embedding: a Gaussian process whose length is half the median distance of
two galaxies, from which redshifts scatter by NOISE. A new redshift reduces the variance of the function for all
galaxies that are like it. A greedy choice takes the galaxy with the largest sum of reductions, each multiplied by the
width of p(z) of the galaxy whose variance is reduced, given those before (active learning of Cohn 1996, Neural Networks
9, 1071). So galaxies are chosen where many p(z) are broad and few redshifts are known, and of galaxies that are alike
only some. The process is approximated by random Fourier features (Rahimi & Recht 2007, NIPS 20), so that the cost is
linear in the number of galaxies.

Shape suffixes: N galaxies, D width of the embedding, P principal components, M features, C candidates, T targets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from sklearn.decomposition import PCA
from sklearn.kernel_approximation import RBFSampler
from sklearn.neighbors import NearestNeighbors

SEED = 0  # of the features and samples: the list of targets is the same each time
COMPONENTS = 32  # of the embedding; further ones of the recipes are noise
FEATURES = 300
PRIOR_SIGMA, NOISE = 0.3, 0.02  # of ln(1+z): before any redshift is known, and of galaxies of one embedding
LENGTH = 0.5  # in units of the median distance of two galaxies
SAMPLE = 20_000  # galaxies from which components and the length are computed, and among which neighbours are counted
MOST_CANDIDATES = 50_000  # more are thinned at random
NEAR = 50  # neighbours among which redshifts are counted for the reason
CHUNK = 20_000  # galaxies at a time
UPDATED = 64  # candidates whose gain is computed at a time
PAIRS = 10_000  # of galaxies, for the median distance


@dataclass(frozen=True)
class Choice:
    """T targets, the first to be observed first.

    Attributes:
        order_T: indices of the galaxies.
        gain_T: expected reduction by each, relative to that by the first.
        broader_T: fraction of the candidates with a narrower p(z).
        known_near_T: galaxies with a redshift among its NEAR nearest ones.
    """

    order_T: np.ndarray
    gain_T: np.ndarray
    broader_T: np.ndarray
    known_near_T: np.ndarray


def pz_width(rows: pa.Table) -> np.ndarray:
    """Half width of the 68% interval of p(z) / (1 + z), (N,); NaN without p(z)."""
    low_N, median_N, high_N = (
        rows[name].to_numpy().astype(float) for name in ("mmae_z_err68_low", "mmae_z_median", "mmae_z_err68_high")
    )
    return (high_N - low_N) / 2 / (1 + median_N)


def choose_targets(
    embedding_ND: np.ndarray,
    width_N: np.ndarray,
    known_N: np.ndarray,
    candidate_N: np.ndarray,
    n: int,
    progress: Callable[[], object] = lambda: None,
) -> Choice:
    """Choose n candidates, one after the other.

    Args:
        width_N: half width of the 68% interval of p(z) / (1 + z).
        known_N: mask of the galaxies with a redshift.
        candidate_N: mask of the galaxies that can be chosen; at least n, with finite widths.
        progress: called after each.
    """
    rng = np.random.default_rng(SEED)
    at_C = np.flatnonzero(candidate_N)
    if len(at_C) > MOST_CANDIDATES:
        at_C = np.sort(rng.choice(at_C, max(n, MOST_CANDIDATES), replace=False))
    features = Features(embedding_ND, rng)
    known_MM = _second_moment(features, embedding_ND, np.flatnonzero(known_N), np.ones(len(known_N)))
    covariance_MM = np.linalg.inv(np.eye(FEATURES) + known_MM / NOISE**2)
    wanted_MM = _second_moment(features, embedding_ND, np.flatnonzero(candidate_N), width_N)
    order_T, gain_T = _greedy(features(embedding_ND[at_C]), covariance_MM, wanted_MM, n, progress)
    order_T = at_C[order_T]
    return Choice(
        order_T,
        gain_T / gain_T[0],
        np.searchsorted(np.sort(width_N[candidate_N]), width_N[order_T]) / candidate_N.sum(),
        _known_near(features.components(embedding_ND), known_N, order_T, rng),
    )


def describe_target(choice: Choice, place: int, width: float) -> str:
    """Why a target was chosen, in one line."""
    near, broader = choice.known_near_T[place], choice.broader_T[place]
    return (
        f"p(z) has a half width of {width:.3f} (1+z), more than {broader:.0%} of the candidates; {near} of the {NEAR} "
        f"galaxies most like it have a redshift; gain {choice.gain_T[place]:.2g} of the first target"
    )


class Features:
    """Random Fourier features of embeddings, with the covariance of a Gaussian process of PRIOR_SIGMA."""

    def __init__(self, embedding_ND: np.ndarray, rng: np.random.Generator):
        sample = embedding_ND[rng.permutation(len(embedding_ND))[:SAMPLE]].astype(np.float64)
        self._pca = PCA(min(COMPONENTS, *sample.shape), svd_solver="full").fit(sample)
        component_NP = self._pca.transform(sample)
        first, second = rng.integers(0, len(component_NP), (2, PAIRS))
        length = float(np.median(np.linalg.norm(component_NP[first] - component_NP[second], axis=1)))
        gamma = 1 / (2 * max(LENGTH * length, np.finfo(float).tiny) ** 2)
        self._sampler = RBFSampler(gamma=gamma, n_components=FEATURES, random_state=SEED).fit(component_NP[:1])

    def components(self, embedding_ND: np.ndarray) -> np.ndarray:
        """Principal components (N, P)."""
        return self._pca.transform(embedding_ND)

    def __call__(self, embedding_ND: np.ndarray) -> np.ndarray:
        """Features (N, M)."""
        return PRIOR_SIGMA * self._sampler.transform(self.components(embedding_ND))


def _second_moment(features: Features, embedding_ND: np.ndarray, at: np.ndarray, weight_N: np.ndarray) -> np.ndarray:
    """Weighted sum (M, M) of products of features over some galaxies."""
    total_MM = np.zeros((FEATURES, FEATURES))
    for start in range(0, len(at), CHUNK):
        some = at[start : start + CHUNK]
        feature_NM = features(embedding_ND[some])
        total_MM += feature_NM.T @ (feature_NM * weight_N[some, None])
    return total_MM


def _greedy(
    feature_CM: np.ndarray, covariance_MM: np.ndarray, wanted_MM: np.ndarray, n: int, progress: Callable[[], object]
) -> tuple[np.ndarray, np.ndarray]:
    """Indices (T,) of the choice among the candidates, and the reduction of the summed variance by each, (T,).

    Args:
        covariance_MM: of the coefficients of the features, given the known redshifts.
        wanted_MM: second moment of the galaxies whose variance is summed.
    """

    def gain(at: np.ndarray) -> np.ndarray:
        projected_CM = feature_CM[at] @ covariance_MM
        variance_C = NOISE**2 + (projected_CM * feature_CM[at]).sum(1)
        return ((projected_CM @ wanted_MM) * projected_CM).sum(1) / variance_C

    blocks = np.array_split(np.arange(len(feature_CM)), -(-len(feature_CM) // CHUNK))
    gain_C = np.concatenate([gain(block) for block in blocks])
    chosen: list[int] = []
    gains: list[float] = []
    for _ in range(n):
        # A target reduces the gain of the others, so that old gains are limits: only the largest are computed again.
        while True:
            top = np.argsort(-gain_C, kind="stable")[:UPDATED]
            gain_C[top] = gain(top)
            gain_C[chosen] = -np.inf
            best = int(gain_C.argmax())
            if best in top:
                break
        chosen.append(best)
        gains.append(float(gain_C[best]))
        # With the covariance S and a redshift of features f and variance s2, S becomes S - (S f)(S f)' / (s2 + f' S f).
        change_M = covariance_MM @ feature_CM[best]
        covariance_MM = covariance_MM - np.outer(change_M, change_M) / (NOISE**2 + change_M @ feature_CM[best])
        progress()
    return np.array(chosen), np.array(gains)


def _known_near(
    component_NP: np.ndarray, known_N: np.ndarray, order_T: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Number of galaxies with a redshift among the NEAR nearest ones of each target, (T,)."""
    at = rng.permutation(len(component_NP))[:SAMPLE]
    tree = NearestNeighbors(n_neighbors=min(NEAR, len(at))).fit(component_NP[at])
    return known_N[at[tree.kneighbors(component_NP[order_T], return_distance=False)]].sum(1)
