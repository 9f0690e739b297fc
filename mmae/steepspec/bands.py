"""The frequency bands of a radio survey."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmae.steepspec.catalogue import Window


@dataclass(frozen=True)
class Band:
    """One window of the radio catalogue; (N,) arrays, NaN where a source is not detected in it."""

    name: str
    window: Window
    scale_error: float
    flux_N: np.ndarray
    error_N: np.ndarray
    """Noise of the flux density, mJy: the catalogue's, else its rms, else a fifth of the survey's limit."""
    peak_N: np.ndarray
    peak_err_N: np.ndarray
    """The catalogue's error of the peak, else the rms; NaN where it has neither."""
    major_N: np.ndarray

    @property
    def snr_N(self) -> np.ndarray:
        """Peak over noise; NaN where the catalogue gives no noise."""
        return self.peak_N / self.peak_err_N
