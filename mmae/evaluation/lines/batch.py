"""Line and continuum measures of the spectra of a batch.

Shape suffixes: B galaxies of a batch, L wavelength samples, E lines with a truth (LINE_NAMES).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mmae.evaluation.lines.continuum import ContinuumMeasures, join_continuum_measures, measure_continuum
from mmae.evaluation.lines.measure import Reconstruction, measure_lines
from mmae.evaluation.lines.measures import LineMeasures, join_line_measures


@dataclass(frozen=True)
class SpectraMeasures:
    """Lines of the galaxies selected for fits and continuum of all galaxies."""

    lines: LineMeasures
    continuum: ContinuumMeasures


def measure_spectra(
    wavelength_L: np.ndarray,
    flux_BL: np.ndarray,
    ivar_BL: np.ndarray,
    redshift_B: np.ndarray,
    reconstructions: Mapping[str, Reconstruction],
    *,
    true_ew_BE: np.ndarray | None = None,
    names_B: Sequence[str] | None = None,
    fit_B: np.ndarray | None = None,
) -> SpectraMeasures:
    """Measure a batch; arguments as for `measure_lines`, `fit_B` applies to lines only.

    Raises:
        InputError: arrays of inconsistent shapes.
    """
    lines = measure_lines(
        wavelength_L, flux_BL, ivar_BL, redshift_B, reconstructions, true_ew_BE=true_ew_BE, names_B=names_B, fit_B=fit_B
    )
    return SpectraMeasures(lines, measure_continuum(wavelength_L, flux_BL, ivar_BL, redshift_B, reconstructions))


def join_spectra_measures(parts: Sequence[SpectraMeasures]) -> SpectraMeasures:
    """Concatenate the measures of several batches.

    Raises:
        InputError: there is no batch, or the situations differ.
    """
    return SpectraMeasures(
        join_line_measures([p.lines for p in parts]), join_continuum_measures([p.continuum for p in parts])
    )
