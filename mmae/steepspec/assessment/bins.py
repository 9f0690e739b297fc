"""Columns, rates and bins: what every comparison of the search with a known truth needs.

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

    A rate's interval is Wilson's (1927, JASA 22, 209): objects count as independent.
    """

    quantity: str
    """What is binned, with its unit."""
    edges: np.ndarray
    """(B+1,), low edge included; the outermost may be infinite."""
    labels: tuple[str, ...]
    """(B,) such as "0.3 to 0.6"."""
    centre: np.ndarray
    """(B,) median of the values in the bin, NaN where there are none."""
    scores: Mapping[str, tuple[Score, ...]]
    """Name of the statistic -> (B,) scores."""
    total: Mapping[str, Score]
    """The same of all objects, binned or not."""

    def joined(self, other: Binned) -> Binned:
        """With the statistics of another, binned alike, beside its own; the centres stay."""
        return replace(self, scores={**self.scores, **other.scores}, total={**self.total, **other.total})

    def only(self, *names: str) -> Binned:
        """With these statistics alone."""
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
    """Statistics in each bin and of all rows; a NaN is in no bin.

    Args:
        quantity: what is binned, with its unit.
        values_N: (N,) the quantity.
        edges: (B+1,) ascending.
        score: of a mask (N,): the statistics of these rows by name.
        labels: (B,) of the bins; made of the edges when left out.
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
    """Which part of `of_N` (N,) bool is `hit_N` (N,) bool, with Wilson's 68% interval."""
    n, hits = int(of_N.sum()), int((hit_N & of_N).sum())
    return Score(hits / n, *wilson_interval(hits, n), n) if n else EMPTY


def mean(values_N: np.ndarray) -> Score:
    """Mean and its standard error, from the spread of the values; none for fewer than two."""
    n = len(values_N)
    if n == 0:
        return EMPTY
    value = float(values_N.mean())
    error = float(values_N.std(ddof=1) / math.sqrt(n)) if n > 1 else math.nan
    return Score(value, value - error, value + error, n)


def take(table: Table, what: str, *names: str) -> dict[str, np.ndarray]:
    """Columns of one of the four tables as plain arrays (N,) of the kind they should have.

    Args:
        what: sources, members, regions or truth.

    Raises:
        InputError: a column is missing or not one-dimensional.
    """
    missing = [name for name in names if name not in table.colnames]
    if missing:
        raise InputError(
            f"{what}: no column {', '.join(missing)}; give the table with all columns, those "
            f"of {'the simulated sky' if what == 'truth' else 'mmae/steepspec/schema.py'}"
        )
    found = columns(what, **{name: table[name] for name in names})
    return {name: _as_kind(array, _KINDS[what][name]) for name, array in found.items()}


def _as_kind(array: np.ndarray, kind: str) -> np.ndarray:
    """An empty table has no useful types, and whole numbers come as floats with NaN for none."""
    if kind == "text":
        return array.astype(str)
    if kind == "float":
        return array
    return np.nan_to_num(array, nan=0 if kind == "bool" else -1).astype(bool if kind == "bool" else int)


def of_truth(column_N: np.ndarray, match_S: np.ndarray, missing: object) -> np.ndarray:
    """(S,) the truth's value for each detected source, `missing` where it has no true one."""
    found = match_S >= 0
    values = np.full(len(match_S), missing, dtype=column_N.dtype)
    values[found] = column_N[match_S[found]]
    return values


def check_match(match_S: np.ndarray, sources: Table, truth: Table) -> np.ndarray:
    """The match as (S,) int.

    Raises:
        InputError: not one row of the truth, or -1, for each source, or a row used twice.
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
            f"match of shape {match_S.shape}: give, for each of the {len(sources)} sources, a "
            f"row of its own of the truth's {len(truth)}, or -1, as match_truth does"
        )
    return match_S.astype(int)
