"""Columns, rates and bins for the comparisons of the search with a known truth.

Shape suffixes: N rows, B bins.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from astropy.table import Table

from mmae.core.errors import InputError
from mmae.metrics.bootstrap import EMPTY, Score, wilson_interval
from mmae.steepspec.arrays import columns
from mmae.steepspec.schema import MEMBERS, REGIONS, SOURCES

_KINDS: dict[str, dict[str, str]] = {
    "sources": {c.name: c.kind for c in SOURCES},
    "members": {c.name: c.kind for c in MEMBERS},
    "regions": {c.name: c.kind for c in REGIONS},
    "truth": {
        "truth_id": "int",
        "ra": "float",
        "dec": "float",
        "source_class": "text",
        "alpha": "float",
        "s1400_mjy": "float",
        "size_arcsec": "float",
        "known": "bool",
        "region": "int",
    },
}


@dataclass(frozen=True)
class Binned:
    """Statistics in bins of one quantity, each with its 68% interval and number of objects.

    Rates have the interval of Wilson (1927, JASA 22, 209), for independent objects.
    """

    quantity: str
    """The binned quantity, with its unit."""
    edges: np.ndarray
    """(B+1,); bins include their low edge, the outermost edges may be infinite."""
    labels: tuple[str, ...]
    """(B,) such as "0.3 to 0.6"."""
    centre: np.ndarray
    """(B,) median of the values in the bin, NaN where there are none."""
    scores: Mapping[str, tuple[Score, ...]]
    """Name of the statistic -> (B,) scores."""
    total: Mapping[str, Score]
    """Name of the statistic -> score of all objects, including those in no bin."""

    def joined(self, other: Binned) -> Binned:
        """With the statistics of another `Binned` with the same bins added; the centres are kept."""
        return replace(self, scores={**self.scores, **other.scores}, total={**self.total, **other.total})

    def only(self, *names: str) -> Binned:
        """With these statistics only."""
        return replace(
            self, scores={name: self.scores[name] for name in names}, total={name: self.total[name] for name in names}
        )


def binned(
    quantity: str,
    values_N: np.ndarray,
    edges: Sequence[float],
    score: Callable[[np.ndarray], dict[str, Score]],
    labels: Sequence[str] = (),
) -> Binned:
    """Statistics in each bin and of all rows; rows with NaN are in no bin.

    Args:
        quantity: the binned quantity, with its unit.
        values_N: (N,) its values.
        edges: (B+1,) ascending.
        score: function of a mask (N,) to the statistics of these rows by name.
        labels: (B,) of the bins; by default made from the edges.
    """
    edges_B1 = np.asarray(edges, np.float64)
    bin_N = np.searchsorted(edges_B1, values_N, side="right") - 1
    masks = [bin_N == b for b in range(len(edges_B1) - 1)]
    per_bin, total = [score(mask) for mask in masks], score(np.ones(len(values_N), bool))
    centre = [float(np.median(values_N[mask])) if mask.any() else math.nan for mask in masks]
    names = tuple(labels) or tuple(_label(low, high) for low, high in pairwise(edges_B1.tolist()))
    return Binned(
        quantity,
        edges_B1,
        names,
        np.array(centre),
        {name: tuple(found[name] for found in per_bin) for name in total},
        total,
    )


def _label(low: float, high: float) -> str:
    if math.isinf(low):
        return f"below {high:g}"
    return f"{low:g} and above" if math.isinf(high) else f"{low:g} to {high:g}"


def rate(hit_N: np.ndarray, of_N: np.ndarray) -> Score:
    """Fraction of the rows `of_N` (N,) bool with `hit_N` (N,) bool, with its 68% Wilson interval."""
    n, hits = int(of_N.sum()), int((hit_N & of_N).sum())
    return Score(hits / n, *wilson_interval(hits, n), n) if n else EMPTY


def mean(values_N: np.ndarray) -> Score:
    """Mean and its standard error from the sample standard deviation; no error for fewer than two values."""
    n = len(values_N)
    if n == 0:
        return EMPTY
    value = float(values_N.mean())
    error = float(values_N.std(ddof=1) / math.sqrt(n)) if n > 1 else math.nan
    return Score(value, value - error, value + error, n)


def take(table: Table, what: str, *names: str) -> dict[str, np.ndarray]:
    """Columns of one of the four tables as plain arrays (N,) of the kind in the schema.

    Args:
        what: sources, members, regions or truth.

    Raises:
        InputError: a column is missing or not one-dimensional.
    """
    missing = [name for name in names if name not in table.colnames]
    if missing:
        raise InputError(
            f"{what}: no column {', '.join(missing)}; give the table with all columns "
            f"of {'the simulated sky' if what == 'truth' else 'mmae/steepspec/schema.py'}"
        )
    found = columns(what, **{name: table[name] for name in names})
    return {name: _as_kind(array, _KINDS[what][name]) for name, array in found.items()}


def _as_kind(array: np.ndarray, kind: str) -> np.ndarray:
    """The array in the kind of the schema; empty tables are untyped, and missing integers are NaN in floats."""
    if kind == "text":
        return array.astype(str)
    if kind == "float":
        return array
    return np.nan_to_num(array, nan=0 if kind == "bool" else -1).astype(bool if kind == "bool" else int)


def true_values(column_N: np.ndarray, match_S: np.ndarray, missing: object) -> np.ndarray:
    """(S,) true value of each detected source, `missing` for sources without a match."""
    found = match_S >= 0
    values = np.full(len(match_S), missing, dtype=column_N.dtype)
    values[found] = column_N[match_S[found]]
    return values


def check_match(match_S: np.ndarray, sources: Table, truth: Table) -> np.ndarray:
    """The match as (S,) int.

    Raises:
        InputError: the match is not a unique row of the truth, or -1, for each source.
    """
    match_S = np.asarray(match_S)
    used = match_S[match_S >= 0]
    if (
        match_S.shape != (len(sources),)
        or (match_S < -1).any()
        or (used >= len(truth)).any()
        or len(np.unique(used)) < len(used)
    ):
        raise InputError(
            f"match of shape {match_S.shape}: give, for each of the {len(sources)} sources, a unique "
            f"row of the {len(truth)} rows of the truth, or -1, as match_truth does"
        )
    return match_S.astype(int)
