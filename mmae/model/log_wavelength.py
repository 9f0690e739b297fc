"""Spectra on a grid of ln(wavelength), on which a redshift moves everything by the same number of samples.

Legend of suffixes: batch.py; X samples of ln(wavelength), 1X their edges.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as Fn
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
        # Our samples' edges among the spectrum's samples, which are the cells [i, i + 1].
        edge_1X = (np.exp(self.first + step * (np.arange(self.n_samples + 1) - 0.5)) - start) / width + 0.5
        edge_1X = edge_1X.clip(0, n)
        cell_1X = np.floor(edge_1X).clip(max=n - 1)
        self._keep("cell_1X", cell_1X, torch.long)
        self._keep("share_1X", edge_1X - cell_1X, torch.double)
        place_L = (np.log(start + width * np.arange(n)) - self.first) / step
        left_L = np.floor(place_L).clip(max=self.n_samples - 2)
        self._keep("left_L", left_L, torch.long)
        self._keep("right_share_L", place_L - left_L, torch.float)

    def _keep(self, name: str, values: np.ndarray, dtype: torch.dtype) -> None:
        self.register_buffer(name, torch.tensor(values, dtype=dtype), persistent=False)

    def running(self, value_BL: Tensor) -> Tensor:
        """What lies below each edge of our samples, added up: (B, X + 1).

        In double precision: weights differ by decades from one end of a spectrum to the other.
        """
        value_BL = value_BL.double()
        before_BL = Fn.pad(value_BL.cumsum(-1), (1, 0))
        return before_BL[:, self.cell_1X] + self.share_1X * value_BL[:, self.cell_1X]

    def back(self, value_BX: Tensor) -> Tensor:
        """Values at the wavelengths of the spectrum, linear between ours: (B, L)."""
        left_BL, right_BL = (
            value_BX.gather(1, index_L.expand(len(value_BX), -1)) for index_L in (self.left_L, self.left_L + 1)
        )
        return left_BL + self.right_share_L * (right_BL - left_BL)

    def place(self, rest_wavelength: float) -> float:
        """Where a feature of this rest wavelength stands at redshift 0, in samples; may lie outside of the grid."""
        return (math.log(rest_wavelength) - self.first) / self.step
