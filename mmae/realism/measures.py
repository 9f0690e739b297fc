"""What is measured on simulated and real galaxies, as sections and figures share it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmae.astro.lines import LINE_NAMES


@dataclass(frozen=True)
class ColourBin:
    """One colour of both samples in one bin of redshift."""

    colour: str
    low: float
    high: float
    n_simulated: int
    n_real: float  # effective number of the weighted sample
    conversion: float  # what was added to the simulated colours; NaN if unknown, and nothing was
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
    """Of many spectra, in bins of 100 A."""

    row_N: np.ndarray  # in the survey
    signal_NB: np.ndarray  # median S/N of a pixel; NaN in a bin without good pixels
    ivar_NB: np.ndarray  # median ivar of the good pixels
    bad_NB: np.ndarray  # share of pixels with ivar 0
    pull_N: np.ndarray  # scatter of neighbouring samples over what ivar says; 1 = honest
