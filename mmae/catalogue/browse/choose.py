"""Which galaxies of a catalogue are shown: the most anomalous, the least certain, a random sample.

Shape suffixes: N galaxies of a partition, M chosen galaxies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from mmae.catalogue.browse.config import BrowseConfig
from mmae.catalogue.read import read_partitions
from mmae.catalogue.rows import ANOMALY
from mmae.core.errors import InputError

ANOMALOUS, UNCERTAIN, RANDOM = "most anomalous", "least certain", "random"
Z, LOW, HIGH = "mmae_z_median", "mmae_z_err68_low", "mmae_z_err68_high"


@dataclass(frozen=True)
class Choice:
    """The chosen galaxies.

    Attributes:
        number_M: in the order of the catalogue.
        reasons: why each was chosen, one or more.
        total: galaxies of the catalogue.
    """

    number_M: np.ndarray
    reasons: tuple[tuple[str, ...], ...]
    total: int


def choose(config: BrowseConfig) -> Choice:
    """Choose galaxies, reading one partition after the other.

    Raises:
        InputError: the folder is not a catalogue, or has none of the galaxies asked for.
    """
    folder = config.catalogue.expanduser()
    most = {ANOMALOUS: config.anomalous, UNCERTAIN: config.uncertain}
    largest = {name: (np.empty(0, np.int64), np.empty(0)) for name in most}
    total = 0
    for part in read_partitions(folder, [ANOMALY, Z, LOW, HIGH]):
        number_N = total + np.arange(len(part))
        for name, score_N in scores(part).items():
            number, score = (np.concatenate(pair) for pair in zip(largest[name], (number_N, score_N), strict=True))
            largest[name] = _first(number, score, most[name])
        total += len(part)
    drawn = np.random.default_rng(config.seed).choice(total, min(config.random, total), replace=False)
    found = {name: number for name, (number, _) in largest.items()} | {RANDOM: drawn}
    number_M = np.unique(np.concatenate(list(found.values())))
    if not len(number_M):
        raise InputError(f"{folder}: none of its galaxies has this score or p(z). Give --random a number.")
    return Choice(number_M, tuple(_reasons(number, found) for number in number_M), total)


def scores(rows: pa.Table) -> dict[str, np.ndarray]:
    """What galaxies are chosen by, each (N,): the anomaly score, and the width of p(z); NaN: not computed."""
    return {ANOMALOUS: _floats(rows, ANOMALY), UNCERTAIN: half_width(rows)}


def half_width(rows: pa.Table) -> np.ndarray:
    """Half width (N,) of the 68% interval of p(z), divided by 1 + z; NaN without p(z)."""
    z_N, low_N, high_N = (_floats(rows, name) for name in (Z, LOW, HIGH))
    return (high_N - low_N) / 2 / (1 + z_N)


def _floats(rows: pa.Table, name: str) -> np.ndarray:
    return rows[name].to_numpy().astype(float)


def _first(number: np.ndarray, score: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """The galaxies with the largest scores; of equal ones the first."""
    order = np.argsort(-score, kind="stable")[:most]  # NaN is last
    order = order[np.isfinite(score[order])]
    return number[order], score[order]


def _reasons(number: int, found: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    return tuple(name for name, numbers in found.items() if number in numbers)
