"""Images in the normalised units in which hidden pixels are scored: arcsinh(counts / noise), minus mean, over std.

The constants are those of the survey, so that all models and baselines have the same unit; the formula is that of
`mmae/model/tokens.normalise_image`.

Shape suffixes: N galaxies, C bands, H and W pixels.
"""

from __future__ import annotations

import numpy as np

from mmae.model.batch import InputSpec
from mmae.survey.schema import SurveySpec


def normalise(image_NCHW: np.ndarray, spec: SurveySpec | InputSpec) -> np.ndarray:
    """Counts to normalised units, float32."""
    noise_C11, mean_C11, std_C11 = _constants(spec)
    return (np.arcsinh(image_NCHW / noise_C11) - mean_C11) / std_C11


def denormalise(value_NCHW: np.ndarray, spec: SurveySpec) -> np.ndarray:
    """The inverse of `normalise`: back to counts, float32."""
    noise_C11, mean_C11, std_C11 = _constants(spec)
    return np.sinh(value_NCHW * std_C11 + mean_C11) * noise_C11


def mean_of(value_NCHW: np.ndarray, chosen_NCHW: np.ndarray) -> np.ndarray:
    """Mean (N,) over the chosen pixels of all bands; NaN without any. Other pixels may be NaN."""
    count_N = chosen_NCHW.sum((1, 2, 3))
    total_N = np.where(chosen_NCHW, value_NCHW, 0).sum((1, 2, 3), dtype=np.float64)
    return np.divide(total_N, count_N, out=np.full(len(count_N), np.nan), where=count_N > 0)


def _constants(spec: SurveySpec | InputSpec) -> tuple[np.ndarray, ...]:
    return tuple(
        np.asarray(values, np.float32)[:, None, None]
        for values in (spec.band_noise, spec.arcsinh_mean, spec.arcsinh_std)
    )
