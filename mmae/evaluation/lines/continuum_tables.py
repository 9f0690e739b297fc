"""Tables of the errors of the reconstructed continuum.

Shape suffixes: N galaxies, K blocks of wavelength.
"""

from __future__ import annotations

import warnings
from itertools import pairwise

import numpy as np

from mmae.evaluation.cells import measured
from mmae.evaluation.lines.compare import MEDIAN_OF_NOISE, median_score
from mmae.evaluation.lines.continuum import BLOCK, MIN_SIGNAL, ContinuumMeasures
from mmae.report.contents import Cell, Column, Table

WAVELENGTH_EDGES = (3600.0, 4500.0, 5760.0, 7560.0, 8800.0, 9830.0)  # two parts of each outer arm, the middle arm
REDSHIFT_EDGES = (0.0, 0.2, 0.4, 0.8, 1.5, 2.2, 5.0)
COLUMNS = (
    Column("n"),
    Column("bias_percent", "bias [%]"),
    Column("abs_error_percent", "|error| [%]"),
    Column("abs_error_over_noise", "|error| / noise"),
)
MIN_GALAXIES = 10


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
        (Column("situation"), Column("wavelength_angstrom", "wavelength [A]"), *COLUMNS),
        tuple(rows),
        note=f"Ivar-weighted means in blocks of {BLOCK:g} A over masked samples off the narrow lines; the median over "
        "the blocks of each galaxy, then the median over galaxies. Bias: the signed error, |error|: its absolute "
        f"value, both of blocks observed at S/N {MIN_SIGNAL:g} or more. |error| / noise, of all blocks, is 1 if "
        "the noise of the observation explains the whole error.",
    )


def redshift_table(measures: ContinuumMeasures, seed: int) -> Table:
    """Errors by redshift, at all wavelengths."""
    every_K = np.ones(measures.wavelength_K.size, bool)
    rows: list[tuple[Cell, ...]] = []
    for name in measures.pull:
        for low, high in pairwise(REDSHIFT_EDGES):
            in_N = (measures.redshift_N >= low) & (measures.redshift_N < high)
            if in_N.sum() >= MIN_GALAXIES:
                rows.append((name, f"{low:g} to {high:g}", *_cells(measures, name, in_N, every_K, seed)))
    columns = (Column("situation"), Column("redshift"), *COLUMNS)
    return Table("continuum_redshift", "Continuum by redshift", columns, tuple(rows))


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
    return (scores[-1].n, *map(measured, scores))


def _median(value_NK: np.ndarray) -> np.ndarray:
    """Median over the blocks of each galaxy; NaN, without a warning, for a galaxy without blocks."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanmedian(value_NK, axis=1) if value_NK.shape[1] else np.full(len(value_NK), np.nan)
