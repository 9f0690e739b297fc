"""Chi-square of hidden spectrum samples of a batch: model, principal components, and templates at the known redshift.

Shape suffixes: N galaxies of a batch, L wavelength samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mmae.evaluation.hidden.calibration import DrawnLines, drawn_lines, join_drawn_lines
from mmae.evaluation.hidden.pca import SpectrumComponents, chi2_per_sample
from mmae.evaluation.hidden.templates import best_combination

MODEL, TEMPLATES, COMPONENTS = "model", "templates", "principal components"


@dataclass(frozen=True)
class HiddenSpectra:
    """N galaxies.

    Attributes:
        chi2: method -> chi-square per good hidden sample (N,); NaN without a spectrum or redshift.
        lines: key of the line -> drawn and observed fluxes.
        point_N: point sources.
    """

    chi2: Mapping[str, np.ndarray]
    lines: Mapping[str, DrawnLines]
    point_N: np.ndarray


@dataclass(frozen=True)
class Spectra:
    """Partly hidden spectra of a batch; ivar 0 and redshift NaN where there is none."""

    wavelength_L: np.ndarray
    flux_NL: np.ndarray
    ivar_NL: np.ndarray
    visible_NL: np.ndarray
    redshift_N: np.ndarray
    point_N: np.ndarray


def measure_spectra(
    spectra: Spectra, drawn_NL: np.ndarray, predicted_N: np.ndarray, components: SpectrumComponents | None
) -> HiddenSpectra:
    """Measure a batch.

    Args:
        drawn_NL: the model's reconstruction.
        predicted_N: the model's redshifts.
        components: None: without this baseline.
    """
    s = spectra
    made = {MODEL: drawn_NL}
    made[TEMPLATES] = best_combination(s.wavelength_L, s.flux_NL, s.ivar_NL, s.visible_NL, s.redshift_N, s.point_N)
    if components is not None:
        made[COMPONENTS] = components.inpaint(s.flux_NL, s.ivar_NL, s.visible_NL)
    chi2 = {name: chi2_per_sample(flux_NL, s.flux_NL, s.ivar_NL, ~s.visible_NL) for name, flux_NL in made.items()}
    return HiddenSpectra(
        chi2,
        drawn_lines(s.wavelength_L, s.flux_NL, s.ivar_NL, s.redshift_N, drawn_NL, s.visible_NL, predicted_N),
        s.point_N,
    )


def join_hidden_spectra(parts: Sequence[HiddenSpectra]) -> HiddenSpectra:
    """Concatenate the measures of several batches."""
    return HiddenSpectra(
        {name: np.concatenate([p.chi2[name] for p in parts]) for name in parts[0].chi2},
        join_drawn_lines([p.lines for p in parts]),
        np.concatenate([p.point_N for p in parts]),
    )
