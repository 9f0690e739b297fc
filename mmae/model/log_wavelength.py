"""Spectra on a grid of ln(wavelength), on which a redshift moves everything by the same number of samples.

Legend of suffixes: batch.py; X samples of ln(wavelength), K samples of the spectrum under one of them.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from mmae.model.batch import InputSpec


class LogWavelength(nn.Module):
    """From the survey's even grid of wavelengths to an even grid of their logarithms, and back. Nothing is learned.

    Args:
        step: of the grid in ln(wavelength).
    """

    def __init__(self, spec: InputSpec, step: float):
        super().__init__()
        start, width, n = spec.wavelength_start, spec.wavelength_step, spec.n_wavelengths
        last = start + width * (n - 1)
        self.step, self.first = step, math.log(start)
        self.n_samples = int(math.log(last / start) / step) + 1
        middle_X = self.first + step * np.arange(self.n_samples)
        # The spectrum's samples as cells [i, i + 1]: which of them, and how much of each, one of ours covers.
        low_X, high_X = ((np.exp(middle_X + side * step / 2) - start) / width + 0.5 for side in (-1, 1))
        index_XK = np.floor(low_X)[:, None] + np.arange(int((high_X - low_X).max()) + 2)
        overlap_XK = np.minimum(high_X[:, None], index_XK + 1) - np.maximum(low_X[:, None], index_XK)
        overlap_XK = np.where((index_XK >= 0) & (index_XK < n), overlap_XK.clip(min=0), 0.0)
        self._keep("index_XK", index_XK.clip(0, n - 1), torch.long)
        self._keep("overlap_XK", overlap_XK, torch.float)
        place_L = (np.log(start + width * np.arange(n)) - self.first) / step
        left_L = np.floor(place_L).clip(max=self.n_samples - 2)
        self._keep("left_L", left_L, torch.long)
        self._keep("right_share_L", place_L - left_L, torch.float)

    def _keep(self, name: str, values: np.ndarray, dtype: torch.dtype) -> None:
        self.register_buffer(name, torch.tensor(values, dtype=dtype), persistent=False)

    def sums(self, value_BL: Tensor) -> Tensor:
        """What lies under each of our samples, added up: (B, X)."""
        return (value_BL[:, self.index_XK] * self.overlap_XK).sum(-1)

    def back(self, value_BX: Tensor) -> Tensor:
        """Values at the wavelengths of the spectrum, linear between ours: (B, L)."""
        left_BL, right_BL = (
            value_BX.gather(1, index_L.expand(len(value_BX), -1)) for index_L in (self.left_L, self.left_L + 1)
        )
        return left_BL + self.right_share_L * (right_BL - left_BL)

    def offset(self, rest_wavelength: float) -> int:
        """Sample at which a feature of this rest wavelength stands at redshift 0; may lie outside of the grid."""
        return round((math.log(rest_wavelength) - self.first) / self.step)
