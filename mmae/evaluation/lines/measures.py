"""Measured lines of many galaxies: data structures, and joining of batches.

Shape suffixes: N galaxies, M measured lines (one entry for each galaxy and line), W samples of a
window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields

import numpy as np

from mmae.core.errors import InputError
from mmae.evaluation.lines.fit import LineFit

FIT = np.dtype([(f.name, np.float64) for f in fields(LineFit)])
MAX_GALAXIES = 1500  # at 12 to 25 ms each on one core
EXAMPLE_LINES, EXAMPLE_SIGNAL, EXAMPLES = ("halpha", "civ"), 10.0, 3


@dataclass(frozen=True)
class Example:
    """One line and its surroundings, for the figure. Flux densities; NaN where not available."""

    name: str
    line: str
    redshift: float
    wavelength_W: np.ndarray
    flux_W: np.ndarray
    fitted_W: np.ndarray
    reconstructed: dict[str, tuple[np.ndarray, np.ndarray]]
    """situation -> hidden samples and the curve fitted to them (W,)."""


@dataclass(frozen=True)
class LineMeasures:
    """Fits of M lines.

    Attributes:
        offered: number of galaxies with a spectrum and a redshift.
        fitted: number of these with fitted lines.
        galaxy_M: index of the fitted galaxy, counted from 0 over all batches.
        line_M: index into LINES.
        redshift_M: label of the galaxy.
        true_ew_M: true rest-frame equivalent width, Angstrom; NaN where unknown.
        observed_M: `LineFit` of the observed spectrum, as a structured array.
        hidden: situation -> (M,) bool; at least half of the line's core and of its window was hidden.
        target: situation -> (M,) `LineFit` of the observed spectrum in the hidden samples only; NaN
            where the line was not hidden or is too faint.
        reconstructed: situation -> (M,) `LineFit` of the reconstruction in the same samples; NaN
            also where the fit failed.
        examples: a few lines for the figure.
    """

    offered: int
    fitted: int
    galaxy_M: np.ndarray
    line_M: np.ndarray
    redshift_M: np.ndarray
    true_ew_M: np.ndarray
    observed_M: np.ndarray
    hidden: dict[str, np.ndarray]
    target: dict[str, np.ndarray]
    reconstructed: dict[str, np.ndarray]
    examples: tuple[Example, ...] = ()


def choose_galaxies(n: int, *, seed: int, most: int = MAX_GALAXIES) -> np.ndarray:
    """Random selection of at most `most` of n galaxies for line fits; (n,) bool."""
    chosen_N = np.zeros(n, bool)
    chosen_N[np.random.default_rng(seed).permutation(n)[:most]] = True
    return chosen_N


def join_line_measures(parts: Sequence[LineMeasures]) -> LineMeasures:
    """Concatenate the measures of several batches; keeps the first few examples of each line.

    Raises:
        InputError: there is no batch, or the situations differ.
    """
    if not parts:
        raise InputError("line measures: no batch to join; give at least one.")
    situations = list(parts[0].hidden)
    if any(list(p.hidden) != situations for p in parts):
        raise InputError(
            f"line measures: not all batches have the situations {', '.join(situations)}; "
            f"measure all batches with the same reconstructions."
        )
    start = np.cumsum([0, *(p.fitted for p in parts)])

    def join(name: str) -> np.ndarray:
        return np.concatenate([getattr(p, name) for p in parts])

    def join_each(name: str) -> dict[str, np.ndarray]:
        return {s: np.concatenate([getattr(p, name)[s] for p in parts]) for s in situations}

    return LineMeasures(
        sum(p.offered for p in parts),
        sum(p.fitted for p in parts),
        np.concatenate([p.galaxy_M + first for p, first in zip(parts, start, strict=False)]),
        join("line_M"),
        join("redshift_M"),
        join("true_ew_M"),
        join("observed_M"),
        join_each("hidden"),
        join_each("target"),
        join_each("reconstructed"),
        first_examples([e for p in parts for e in p.examples]),
    )


def first_examples(examples: Sequence[Example]) -> tuple[Example, ...]:
    """The first few examples of each line, not selected by quality."""
    return tuple(e for line in EXAMPLE_LINES for e in [e for e in examples if e.line == line][:EXAMPLES])


def as_fits(fits: Sequence[LineFit | None]) -> np.ndarray:
    """Structured array (M,); NaN where there is no fit."""
    no_fit = (np.nan,) * len(FIT.names)
    return np.array([no_fit if fit is None else astuple(fit) for fit in fits], FIT)
