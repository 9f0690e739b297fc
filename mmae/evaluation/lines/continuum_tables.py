"""Errors of the continuum in tables.

Shape suffixes: N galaxies, K blocks of wavelength.
"""

from __future__ import annotations

import warnings
from itertools import pairwise

import numpy as np

from mmae.evaluation.lines.compare import MEDIAN_OF_NOISE, median_score
from mmae.evaluation.lines.continuum import BLOCK, LEAST_SIGNAL, ContinuumMeasures
from mmae.report.contents import Cell, Table

WAVELENGTH_EDGES = (3600.0, 4500.0, 5760.0, 7560.0, 8800.0, 9830.0)  # two parts of each outer arm, the middle arm
REDSHIFT_EDGES = (0.0, 0.2, 0.4, 0.8, 1.5, 2.2, 5.0)
COLUMNS = ("n", "bias [%]", "bias error", "size [%]", "size error", "size / noise", "its error")
LEAST_GALAXIES = 10


def wavelength_table(measures: ContinuumMeasures, seed: int) -> Table:
    """Errors by range of observed wavelength."""
    rows: list[tuple[Cell, ...]] = []
    for name in measures.pull:
        for low, high in pairwise(WAVELENGTH_EDGES):
            in_K = (measures.wavelength_K >= low) & (measures.wavelength_K < high)
            rows.append((name, f"{low:g} to {high:g}", *_cells(measures, name, slice(None), in_K, seed)))
    return Table(
        "continuum",
        "Continuum: reconstructed minus observed",
        ("situation", "wavelength [A]", *COLUMNS),
        tuple(rows),
        note=f"Means in blocks of {BLOCK:g} A over hidden samples off the narrow lines, both with the observed inverse "
        "variances; of each galaxy the median over its blocks, of galaxies the median. Bias is the difference, "
        "size the difference without its sign, both of blocks that were observed at S/N "
        f"{LEAST_SIGNAL:g} or more. Size / noise, of all blocks, is 1 where the noise of the observation explains "
        "all.",
    )


def redshift_table(measures: ContinuumMeasures, seed: int) -> Table:
    """Errors by redshift, at all wavelengths."""
    every_K = np.ones(measures.wavelength_K.size, bool)
    rows: list[tuple[Cell, ...]] = []
    for name in measures.pull:
        for low, high in pairwise(REDSHIFT_EDGES):
            in_N = (measures.redshift_N >= low) & (measures.redshift_N < high)
            if in_N.sum() >= LEAST_GALAXIES:
                rows.append((name, f"{low:g} to {high:g}", *_cells(measures, name, in_N, every_K, seed)))
    return Table("continuum_redshift", "Continuum by redshift", ("situation", "redshift", *COLUMNS), tuple(rows))


def _cells(
    measures: ContinuumMeasures, name: str, in_N: np.ndarray | slice, in_K: np.ndarray, seed: int
) -> tuple[Cell, ...]:
    fraction_NK, pull_NK = measures.fraction[name][in_N][:, in_K], measures.pull[name][in_N][:, in_K]
    scores = [
        median_score(values_N, seed)
        for values_N in (
            100 * _median(fraction_NK),
            100 * _median(np.abs(fraction_NK)),
            _median(np.abs(pull_NK)) / MEDIAN_OF_NOISE,
        )
    ]
    return (scores[-1].n, *(value for s in scores for value in (s.value, s.error)))


def _median(value_NK: np.ndarray) -> np.ndarray:
    """Over the blocks of each galaxy; NaN, without a warning, where it has none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanmedian(value_NK, axis=1) if value_NK.shape[1] else np.full(len(value_NK), np.nan)
