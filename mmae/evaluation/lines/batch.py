"""All that is measured of the spectra of a batch, and batches joined.

Shape suffixes: B galaxies of a batch, L wavelength samples, E lines with a truth (LINE_NAMES).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mmae.evaluation.lines import continuum, measures
from mmae.evaluation.lines.continuum import ContinuumMeasures, measure_continuum
from mmae.evaluation.lines.measure import Reconstruction, measure_lines
from mmae.evaluation.lines.measures import LineMeasures


@dataclass(frozen=True)
class SpectraMeasures:
    """Lines of some galaxies and the continuum of all."""

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
    """Measure a batch: arguments of `measure_lines`, whose `fit_B` concerns the lines alone.

    Raises:
        InputError: arrays that do not fit together.
    """
    lines = measure_lines(
        wavelength_L, flux_BL, ivar_BL, redshift_B, reconstructions, true_ew_BE=true_ew_BE, names_B=names_B, fit_B=fit_B
    )
    return SpectraMeasures(lines, measure_continuum(wavelength_L, flux_BL, ivar_BL, redshift_B, reconstructions))


def joined(parts: Sequence[SpectraMeasures]) -> SpectraMeasures:
    """The measures of several batches, one after the other.

    Raises:
        InputError: no part at all, or parts of other situations.
    """
    return SpectraMeasures(measures.joined([p.lines for p in parts]), continuum.joined([p.continuum for p in parts]))
