"""Fit an alignment (mmae/catalogue/alignment.py) to galaxies with image and spectrum.

Shape suffixes: N queries, M galaxies of a gallery, F fluxes of a modality, R canonical variates, Z bins of p(z),
Q queries in both directions, C candidates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import numpy as np
from scipy.linalg import eigh
from scipy.ndimage import uniform_filter1d
from scipy.optimize import minimize
from scipy.spatial.distance import cdist
from scipy.special import logsumexp

from mmae.catalogue.alignment import CANDIDATES, OTHER, Alignment, Calibration, View
from mmae.core.errors import InputError

SOFTENING = 0.1  # of arcsinh, relative to the median flux
RIDGE = 1e-5  # added to the variances, which are 1
LEAST_CORRELATION = 0.1  # of canonical variates; those of noise are about sqrt(F / N)
MOST_CORRELATION = 0.9995  # variates without noise would decide alone
PRIOR_WIDTH, PRIOR_FLOOR = 9, 0.02  # bins of the running mean of the redshift distribution; and its uniform part
START = (30.0, 1.0, 0.5, -5.0, 3.0)  # of the fit, in the order of `Calibration`
BOUNDS = ((-2, 6), (-5, 6), (0, 2), (-30, 30), (0, 30))  # of the first two: natural logarithm


@dataclass(frozen=True)
class Pairs:
    """Galaxies with image and spectrum, each measured alone.

    Attributes:
        flux_NF: fluxes by modality.
        pz_NZ: p(z) from each modality alone; None for a model without p(z).
    """

    flux_NF: Mapping[str, np.ndarray]
    pz_NZ: Mapping[str, np.ndarray] | None

    def __len__(self) -> int:
        return len(self.flux_NF["image"])


def fit_alignment(train: Pairs, validation: Pairs, model: str) -> Alignment:
    """Fit the projections to training galaxies, and the calibration to validation galaxies.

    Args:
        model: SHA-256 of the weights that predicted p(z).
    """
    views, correlation_R = fit_views(train.flux_NF)
    prior_Z = np.ones(1) if validation.pz_NZ is None else redshift_prior(validation.pz_NZ["spectrum"])
    start = Calibration(*START, len(validation))
    return calibrated(Alignment(model, views, correlation_R, prior_Z, start), validation)


@dataclass(frozen=True)
class _White:
    """Fluxes of one modality as uncorrelated variables of unit variance, white_NF, and how they become so."""

    softening_F: np.ndarray
    mean_F: np.ndarray
    covariance_FF: np.ndarray
    whitener_FF: np.ndarray
    white_NF: np.ndarray

    def view(self, rotation_FR: np.ndarray) -> View:
        return View(self.softening_F, self.mean_F, self.covariance_FF, self.whitener_FF @ rotation_FR)


def fit_views(flux_NF: Mapping[str, np.ndarray]) -> tuple[dict[str, View], np.ndarray]:
    """Canonical correlation analysis with a small ridge: the views of both modalities, and the correlations (R,).

    Raises:
        InputError: too few galaxies have all fluxes.
    """
    complete_N = np.all([np.isfinite(f_NF).all(1) for f_NF in flux_NF.values()], axis=0)
    n, least = int(complete_N.sum()), 2 * max(f_NF.shape[1] for f_NF in flux_NF.values())
    if n < least:
        raise InputError(
            f"only {n} training galaxies have all fluxes of image and spectrum; an alignment needs {least}. Use a "
            f"survey in which they are observed in all bands and at all wavelengths."
        )
    image, spectrum = (_whitened(flux_NF[name][complete_N]) for name in ("image", "spectrum"))
    left_FR, correlation_R, right_RF = np.linalg.svd(image.white_NF.T @ spectrum.white_NF / n, full_matrices=False)
    kept = correlation_R > LEAST_CORRELATION
    views = {"image": image.view(left_FR[:, kept]), "spectrum": spectrum.view(right_RF.T[:, kept])}
    return views, np.minimum(correlation_R[kept], MOST_CORRELATION)


def _whitened(flux_NF: np.ndarray) -> _White:
    softening_F = SOFTENING * np.median(np.abs(flux_NF), axis=0)
    x_NF = np.arcsinh(flux_NF / softening_F)
    mean_F, covariance_FF = x_NF.mean(0), np.cov(x_NF.T)
    scale_F = np.sqrt(np.diag(covariance_FF))
    value_F, vector_FF = eigh(covariance_FF / np.outer(scale_F, scale_F) + RIDGE * np.eye(len(scale_F)))
    whitener_FF = vector_FF / np.sqrt(value_F) / scale_F[:, None]
    return _White(softening_F, mean_F, covariance_FF, whitener_FF, (x_NF - mean_F) @ whitener_FF)


def redshift_prior(pz_NZ: np.ndarray) -> np.ndarray:
    """The distribution of redshifts (Z,): the mean p(z) of spectra, smoothed."""
    mean_Z = uniform_filter1d(pz_NZ.mean(0), PRIOR_WIDTH)
    return (1 - PRIOR_FLOOR) * mean_Z / mean_Z.sum() + PRIOR_FLOOR / len(mean_Z)


@dataclass(frozen=True)
class Evidence:
    """How each of N queries compares with each of M galaxies.

    Attributes:
        distance2_NM: of their vectors.
        overlap_NM: logarithm of the overlap of their p(z); 0 without p(z).
        variate_NR: of the queries.
    """

    distance2_NM: np.ndarray
    overlap_NM: np.ndarray
    variate_NR: np.ndarray


def evidence(alignment: Alignment, pairs: Pairs, query: str, gallery: Pairs | None = None) -> Evidence:
    """Galaxies in one modality compared with galaxies in the other: among themselves, if no other gallery is given."""
    other, searched = OTHER[query], pairs if gallery is None else gallery
    variate_NR = alignment.views[query].variates(pairs.flux_NF[query])
    vector_MR = alignment.vectors(alignment.views[other].variates(searched.flux_NF[other]))
    distance2_NM = cdist(alignment.query_vectors(variate_NR), vector_MR, "sqeuclidean")
    if pairs.pz_NZ is None or searched.pz_NZ is None:
        return Evidence(distance2_NM, np.zeros_like(distance2_NM), variate_NR)
    searched_MZ = searched.pz_NZ[other]
    rows = [alignment.overlaps(pz_Z[None], searched_MZ[None]) for pz_Z in pairs.pz_NZ[query]]
    return Evidence(distance2_NM, np.concatenate(rows), variate_NR)


def calibrated(alignment: Alignment, pairs: Pairs) -> Alignment:
    """The alignment with the calibration that maximises the probability of what is true.

    Each galaxy is a query in both directions, once among all galaxies and once among all others but itself.
    """
    found = [_candidates(evidence(alignment, pairs, query)) for query in OTHER]
    distance2_QC, overlap_QC, variate_QR = (
        np.concatenate([getattr(one, field.name) for one in found]) for field in fields(Evidence)
    )
    n, with_pz = len(pairs), pairs.pz_NZ is not None

    def calibration(parameters: np.ndarray) -> Calibration:
        exponent, scale, pz, absent, absent_exponent = parameters.tolist()
        return Calibration(np.exp(exponent), np.exp(scale), pz if with_pz else 0.0, absent, absent_exponent, n)

    def loss(parameters: np.ndarray) -> float:
        tried = calibration(parameters)
        score_QC = tried.score(distance2_QC, overlap_QC)
        absent_Q = np.log(n) + tried.score_absent(variate_QR)
        present_Q = score_QC[:, 0] - np.logaddexp(logsumexp(score_QC, axis=1), absent_Q)
        missed_Q = absent_Q - np.logaddexp(logsumexp(score_QC[:, 1:], axis=1), absent_Q)
        return -float((present_Q + missed_Q).mean()) / 2

    start = np.array([np.log(START[0]), np.log(START[1]), *START[2:]])
    best = minimize(loss, start, method="L-BFGS-B", bounds=BOUNDS)
    return replace(alignment, calibration=calibration(best.x))


def _candidates(found: Evidence) -> Evidence:
    """The galaxy itself and then the nearest others, as many as a search compares."""
    own_NN = np.eye(len(found.variate_NR), dtype=bool)
    order_NC = np.argsort(np.where(own_NN, -1, found.distance2_NM), 1)[:, :CANDIDATES]
    distance2_NC, overlap_NC = (np.take_along_axis(x, order_NC, 1) for x in (found.distance2_NM, found.overlap_NM))
    return Evidence(distance2_NC, overlap_NC, found.variate_NR)
