"""Measurements of simulated and real galaxies shared by sections and figures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmae.astro.lines import LINE_NAMES


@dataclass(frozen=True)
class ColourBin:
    """A colour of both samples in a redshift bin."""

    colour: str
    low: float
    high: float
    n_simulated: int
    n_real: float  # effective number of the weighted sample
    conversion: float  # mag added to the simulated colours; NaN: unknown, nothing added
    simulated: np.ndarray  # 16, 50, 84%
    real: np.ndarray
    distance: float  # KS


@dataclass(frozen=True)
class LineSample:
    """Measured rest-frame widths in Angstrom, all positive."""

    width_NJ: np.ndarray

    def ratio(self, over: str, under: str) -> np.ndarray:
        """Ratio of two widths (N,). Not of fluxes: the continua differ between the lines."""
        return self.width_NJ[:, LINE_NAMES.index(over)] / self.width_NJ[:, LINE_NAMES.index(under)]


@dataclass(frozen=True)
class SpectrumMeasures:
    """Measurements of many spectra in bins of 100 A."""

    row_N: np.ndarray  # row in the survey
    signal_NB: np.ndarray  # median S/N of a pixel; NaN in a bin without good pixels
    ivar_NB: np.ndarray  # median ivar of the good pixels
    bad_NB: np.ndarray  # fraction of pixels with ivar 0
    pull_N: (
        np.ndarray
    )  # scatter of differences of adjacent samples relative to that expected from ivar; 1: ivar is correct
