"""Point-redshift scores used in the literature.

Shape suffixes: N galaxies, R bootstrap resamples.

dz = (z_pred - z_spec) / (1 + z_spec). In addition to the scores of mmae/metrics/redshift.py:

sigma_biweight, bias_biweight: square root of the biweight midvariance (c = 9) and biweight
    location (c = 6) of dz about its median (Beers, Flynn & Gebhardt 1990, AJ 100, 32), from
    astropy. As for HSC (Tanaka et al. 2018, PASJ 70, S9), but without the 3-sigma clipping.
outlier_rate_3sigma: |dz| > max(0.06, 3 sigma_IQR) with sigma_IQR = IQR / 1.349 (LSST Science
    Book 2009, arXiv:0912.0201, section 3.8; Schmidt et al. 2020, MNRAS 499, 1587).
catastrophic_rate: |z_pred - z_spec| > 1, not divided by 1 + z (Jones et al. 2024, ApJ 964,
    130, for HSC galaxies).
rms: of dz about zero, outliers included.
hsc_loss: mean of 1 - 1 / (1 + (dz / 0.15)^2) (Tanaka et al. 2018), from 0 to 1.
"""

from __future__ import annotations

import numpy as np
from astropy.stats import biweight_location, biweight_scale
from numpy.typing import ArrayLike

from mmae.metrics.bootstrap import Scores, beyond, bootstrap_scores, rate_score
from mmae.metrics.redshift import is_redshift, normalised_residual, score_redshift

IQR_TO_SIGMA = 1 / 1.349  # for a Gaussian, rounded as in the LSST documents
OUTLIER_SIGMAS, OUTLIER_FLOOR = 3.0, 0.06
CATASTROPHIC_LIMIT = 1.0
HSC_LOSS_WIDTH = 0.15

METRICS = (
    "sigma_nmad",
    "sigma_biweight",
    "rms",
    "bias",
    "bias_biweight",
    "outlier_rate",
    "outlier_rate_3sigma",
    "catastrophic_rate",
    "hsc_loss",
    "not_finite",
)
RATES = ("outlier_rate", "outlier_rate_3sigma", "catastrophic_rate")


def point_scores(z_spec_N: ArrayLike, z_pred_N: ArrayLike, *, seed: int, resamples: int = 1000) -> Scores:
    """All scores of point redshifts, in the order of METRICS.

    Galaxies without a finite spectroscopic redshift are excluded. A prediction that is not finite counts as an
    outlier in all rates and has loss 1, that of an infinite error; scatter, bias and rms exclude it.

    Args:
        z_spec_N: spectroscopic redshifts.
        z_pred_N: predicted redshifts.
        seed: seed of the bootstrap.
        resamples: number of bootstrap samples.

    Returns:
        Scatter, bias, rms and loss with the 16th and 84th percentile of the bootstrap; rates with the one-sigma Wilson
        interval (for outlier_rate_3sigma at fixed limit); "not_finite", the number of predictions that are not
        finite, without interval.
    """
    spec_N, pred_N = np.asarray(z_spec_N, np.float64), np.asarray(z_pred_N, np.float64)
    scores = score_redshift(spec_N, pred_N, seed=seed, resamples=resamples)
    known_N = is_redshift(spec_N)
    spec_N, pred_N = spec_N[known_N], pred_N[known_N]
    dz_N = normalised_residual(spec_N, pred_N)
    finite_dz_N = dz_N[np.isfinite(dz_N)]
    scores |= bootstrap_scores(finite_dz_N, _moments, seed=seed, resamples=resamples)
    scores |= bootstrap_scores(hsc_loss(dz_N), _mean_loss, seed=seed, resamples=resamples)
    scores["outlier_rate_3sigma"] = rate_score(beyond(dz_N, outlier_limit(finite_dz_N)))
    scores["catastrophic_rate"] = rate_score(beyond(pred_N - spec_N, CATASTROPHIC_LIMIT))
    return {name: scores[name] for name in METRICS}


def outlier_limit(dz_N: np.ndarray) -> float:
    """The limit of |dz| for 3-sigma outliers: max(0.06, 3 sigma_IQR)."""
    if dz_N.size == 0:
        return OUTLIER_FLOOR
    low, high = np.percentile(dz_N, [25, 75])
    return max(OUTLIER_FLOOR, OUTLIER_SIGMAS * IQR_TO_SIGMA * (high - low))


def hsc_loss(dz_N: np.ndarray) -> np.ndarray:
    """1 - 1 / (1 + (dz / 0.15)^2) for each galaxy; 1 where dz is not finite."""
    return np.where(np.isfinite(dz_N), 1 - 1 / (1 + (dz_N / HSC_LOSS_WIDTH) ** 2), 1.0)


def _moments(dz_RN: np.ndarray) -> dict[str, np.ndarray]:
    with np.errstate(all="ignore"):  # nearly constant samples give infinite weights, which astropy drops
        return {
            "sigma_biweight": biweight_scale(dz_RN, axis=-1),
            "bias_biweight": biweight_location(dz_RN, axis=-1),
            "rms": np.sqrt(np.mean(dz_RN**2, axis=-1)),
        }


def _mean_loss(loss_RN: np.ndarray) -> dict[str, np.ndarray]:
    return {"hsc_loss": loss_RN.mean(axis=-1)}
