"""The frequency bands of a radio survey."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmae.steepspec.catalogue import Window


@dataclass(frozen=True)
class Band:
    """Measurements in one window of the radio catalogue; (N,) arrays, NaN where a source is not detected."""

    name: str
    window: Window
    scale_error: float
    flux_N: np.ndarray
    error_N: np.ndarray
    """Error of the flux density, mJy: that of the catalogue, else its rms, else from the survey limit."""
    peak_N: np.ndarray
    peak_err_N: np.ndarray
    """Error of the peak in the catalogue, else the rms; NaN if it has neither."""
    major_N: np.ndarray

    @property
    def snr_N(self) -> np.ndarray:
        """Peak over noise; NaN where the noise is unknown."""
        return self.peak_N / self.peak_err_N
