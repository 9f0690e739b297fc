"""Measured lines of many galaxies: what is kept of every batch, and how batches are joined.

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
MOST = 1500  # galaxies, at 12 to 25 ms each on one core
EXAMPLE_LINES, EXAMPLE_SIGNAL, EXAMPLES = ("halpha", "civ"), 10.0, 3


@dataclass(frozen=True)
class Example:
    """One line and its surroundings, to be drawn. Flux densities; NaN where there are none."""

    name: str
    line: str
    redshift: float
    wavelength_W: np.ndarray
    flux_W: np.ndarray
    fitted_W: np.ndarray
    reconstructed: dict[str, tuple[np.ndarray, np.ndarray]]
    """Situation -> hidden samples and the curve fitted to them (W,)."""


@dataclass(frozen=True)
class LineMeasures:
    """Fits of M lines.

    Attributes:
        offered: galaxies with a spectrum and a redshift.
        fitted: those of them whose lines were fitted.
        galaxy_M: which of the fitted galaxies, counted from 0 over all batches.
        line_M: index into LINES.
        redshift_M: label of the galaxy.
        true_ew_M: true equivalent width at rest, Angstrom; NaN where unknown.
        observed_M: `LineFit` of the observed spectrum, as a structured array.
        hidden: situation -> (M,) bool; the line's core, and its window, were hidden at least half.
        target: situation -> (M,) `LineFit` of the observed spectrum in the hidden samples alone; NaN
            where the line was not hidden or is too faint.
        reconstructed: situation -> (M,) `LineFit` of the reconstruction in the same samples; NaN
            also where it cannot be fitted.
        examples: a few lines to be drawn.
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


def choose(n: int, *, seed: int, most: int = MOST) -> np.ndarray:
    """Which of n galaxies to fit lines of: `most` at random, or all; (n,) bool."""
    chosen_N = np.zeros(n, bool)
    chosen_N[np.random.default_rng(seed).permutation(n)[:most]] = True
    return chosen_N


def joined(parts: Sequence[LineMeasures]) -> LineMeasures:
    """The measures of several batches, one after the other; of examples the first few of each line.

    Raises:
        InputError: no part at all, or parts of other situations.
    """
    if not parts:
        raise InputError("line measures: there is no batch to join; give at least one.")
    situations = list(parts[0].hidden)
    if any(list(p.hidden) != situations for p in parts):
        raise InputError(
            f"line measures: batches of other situations than {', '.join(situations)}; "
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
    """The first few of each line: they are not chosen for their looks."""
    return tuple(e for line in EXAMPLE_LINES for e in [e for e in examples if e.line == line][:EXAMPLES])


def as_fits(fits: Sequence[LineFit | None]) -> np.ndarray:
    """(M,) structured; NaN where there is no fit."""
    nothing = (np.nan,) * len(FIT.names)
    return np.array([nothing if fit is None else astuple(fit) for fit in fits], FIT)
