"""The noise floor: the mean squared error that a perfect, noise-free reconstruction of hidden pixels would have.

Two ways, both per pixel in normalised units. `second_realisation`: two independent noise realisations of one galaxy
differ by twice the floor, for any noise. `published`: the expected variance of arcsinh((signal + noise) / sigma) for
the survey's background noise sigma and the photon noise of the signal, where the gain is known, or for the variance of
each pixel. The signal is the observed image smoothed over a few pixels, less than the seeing.

Shape suffixes: N galaxies, C bands, H and W pixels, Q quadrature nodes.
"""

from __future__ import annotations

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from scipy.ndimage import gaussian_filter

from mmae.evaluation.hidden.normalised import normalise
from mmae.evaluation.images.pixels import gain
from mmae.survey.schema import SurveySpec

SMOOTHING = 1.5  # pixels, sigma; HSC's seeing is 1.5 to 2 pixels sigma
NODES = 24


def second_realisation(first_NCHW: np.ndarray, second_NCHW: np.ndarray, spec: SurveySpec) -> np.ndarray:
    """Half of the squared difference (N,C,H,W) of two noise realisations of the same galaxies, in counts."""
    return 0.5 * (normalise(first_NCHW, spec) - normalise(second_NCHW, spec)) ** 2


def published(observed_NCHW: np.ndarray, spec: SurveySpec, variance_NCHW: np.ndarray | None = None) -> np.ndarray:
    """Expected variance (N,C,H,W) of each pixel in normalised units.

    Args:
        observed_NCHW: counts; NaN: not observed.
        variance_NCHW: of the noise of each pixel, counts squared. None: background and photon noise of the survey.
    """
    noise_C11, std_C11 = (np.asarray(values)[:, None, None] for values in (spec.band_noise, spec.arcsinh_std))
    signal_NCHW = smoothed(observed_NCHW)
    if variance_NCHW is None:
        photon_NCHW = np.maximum(signal_NCHW, 0) / gain(spec)[:, None, None]
        variance_NCHW = noise_C11**2 + np.nan_to_num(photon_NCHW)  # 0 where the gain is not known
    return arcsinh_variance(signal_NCHW / noise_C11, np.sqrt(variance_NCHW) / noise_C11) / std_C11**2


def arcsinh_variance(signal: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Variance of arcsinh(signal + noise) for Gaussian noise, by quadrature; elementwise."""
    node_Q, weight_Q = hermegauss(NODES)
    middle, mean, square = np.arcsinh(signal), np.zeros_like(signal), np.zeros_like(signal)
    for node, weight in zip(node_Q, weight_Q / weight_Q.sum(), strict=True):
        difference = np.arcsinh(signal + sigma * node) - middle
        mean += weight * difference
        square += weight * difference**2
    return square - mean**2


def smoothed(image_NCHW: np.ndarray) -> np.ndarray:
    """Images smoothed over their observed pixels; NaN far from any."""
    known_NCHW, width = np.isfinite(image_NCHW), (0, 0, SMOOTHING, SMOOTHING)
    weight_NCHW = gaussian_filter(known_NCHW.astype(np.float64), width)
    total_NCHW = gaussian_filter(np.where(known_NCHW, image_NCHW, 0).astype(np.float64), width)
    return np.divide(total_NCHW, weight_NCHW, out=np.full(image_NCHW.shape, np.nan), where=weight_NCHW > 1e-6)
