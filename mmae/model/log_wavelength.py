"""Resampling of spectra to a grid uniform in ln(wavelength), on which a redshift is a shift by a number of samples.

Legend of suffixes: batch.py; X samples of ln(wavelength), 1X their X + 1 edges.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as Fn
from torch import Tensor, nn

from mmae.model.batch import InputSpec


class LogWavelength(nn.Module):
    """Maps between the survey's linear wavelength grid and a grid uniform in ln(wavelength). Has no parameters.

    Args:
        step: of the grid in ln(wavelength).
    """

    edge_cell_1X: Tensor
    edge_fraction_1X: Tensor
    left_L: Tensor
    right_fraction_L: Tensor

    def __init__(self, spec: InputSpec, step: float):
        super().__init__()
        start, width, n = spec.wavelength_start, spec.wavelength_step, spec.n_wavelengths
        last = start + width * (n - 1)
        self.step, self.first = step, math.log(start)
        self.n_samples = int(math.log(last / start) / step) + 1
        # Edges of the log samples in units of linear samples, where linear sample i is the cell [i, i + 1].
        edge_1X = (np.exp(self.first + step * (np.arange(self.n_samples + 1) - 0.5)) - start) / width + 0.5
        edge_1X = edge_1X.clip(0, n)
        cell_1X = np.floor(edge_1X).clip(max=n - 1)
        self._register("edge_cell_1X", cell_1X, torch.long)
        self._register("edge_fraction_1X", edge_1X - cell_1X, torch.double)
        position_L = (np.log(start + width * np.arange(n)) - self.first) / step
        left_L = np.floor(position_L).clip(max=self.n_samples - 2)
        self._register("left_L", left_L, torch.long)
        self._register("right_fraction_L", position_L - left_L, torch.float)

    def _register(self, name: str, values: np.ndarray, dtype: torch.dtype) -> None:
        self.register_buffer(name, torch.tensor(values, dtype=dtype), persistent=False)

    def cumulative(self, value_BL: Tensor) -> Tensor:
        """Sum of the values below each edge of the log grid: (B, X + 1).

        In double precision: inverse variances span decades along a spectrum.
        """
        value_BL = value_BL.double()
        before_BL = Fn.pad(value_BL.cumsum(-1), (1, 0))
        return before_BL[:, self.edge_cell_1X] + self.edge_fraction_1X * value_BL[:, self.edge_cell_1X]

    def to_linear(self, value_BX: Tensor) -> Tensor:
        """Linear interpolation from the log grid to the survey's wavelengths: (B, L)."""
        left_BL, right_BL = (
            value_BX.gather(1, index_L.expand(len(value_BX), -1)) for index_L in (self.left_L, self.left_L + 1)
        )
        return left_BL + self.right_fraction_L * (right_BL - left_BL)

    def position(self, rest_wavelength: float) -> float:
        """Position of a rest wavelength (Angstrom) at redshift 0, in samples; may be outside the grid."""
        return (math.log(rest_wavelength) - self.first) / self.step
