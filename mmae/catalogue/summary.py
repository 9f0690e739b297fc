"""What the page of a catalogue shows, collected piece by piece: counts, histograms, the most unusual galaxies."""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmae.bundle.predictions import Flag
from mmae.catalogue.rows import ANOMALY, FLAGS, IN_TRAINING
from mmae.catalogue.source import Piece
from mmae.survey.schema import Rejection

SHOWN = 16  # galaxies of each kind on the page
Z_MAX, Z_BINS = 6.0, 120  # of the histogram of redshifts; equal bins of ln(1+z)
SIGMA_BINS, SIGMA_RANGE = 60, (1e-4, 1.0)  # of the half width of the 68% interval / (1 + z); equal logarithmic bins


@cache
def z_edges() -> np.ndarray:
    return np.expm1(np.linspace(0, np.log1p(Z_MAX), Z_BINS + 1))


@cache
def sigma_edges() -> np.ndarray:
    return np.geomspace(*SIGMA_RANGE, SIGMA_BINS + 1)


@dataclass(frozen=True)
class Example:
    """A galaxy shown on the page, and where its measurements are."""

    object_id: str
    z: float | None
    z_low: float | None
    z_high: float | None
    anomaly: float | None
    path: str
    row: int  # in the file


@dataclass
class Summary:
    """Counts of one or more pieces.

    Attributes:
        rows: in the catalogue.
        rejected: number of rejections by field and reason.
        z: galaxies in the bins `z_edges`.
        sigma: galaxies in the bins `sigma_edges` of (z_err68_high - z_err68_low) / 2 / (1 + z_median).
        flags: galaxies with each flag.
        in_training: galaxies of the training set, as far as known.
        anomalies: with the largest scores, largest first.
        examples: the first galaxies.
    """

    rows: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    z: np.ndarray = field(default_factory=lambda: np.zeros(Z_BINS, np.int64))
    sigma: np.ndarray = field(default_factory=lambda: np.zeros(SIGMA_BINS, np.int64))
    flags: Counter[str] = field(default_factory=Counter)
    in_training: int = 0
    anomalies: list[Example] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)

    def add(self, other: Summary) -> None:
        self.rows += other.rows
        self.rejected += other.rejected
        self.z, self.sigma = self.z + other.z, self.sigma + other.sigma
        self.flags += other.flags
        self.in_training += other.in_training
        self.anomalies = _largest([*self.anomalies, *other.anomalies])
        self.examples = [*self.examples, *other.examples][:SHOWN]

    def to_json(self) -> str:
        values = vars(self) | {"z": self.z.tolist(), "sigma": self.sigma.tolist()}
        values |= {name: [asdict(e) for e in values[name]] for name in ("anomalies", "examples")}
        return json.dumps(values, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Summary:
        values = json.loads(text)
        return cls(
            values["rows"],
            Counter(values["rejected"]),
            np.array(values["z"]),
            np.array(values["sigma"]),
            Counter(values["flags"]),
            values["in_training"],
            [Example(**v) for v in values["anomalies"]],
            [Example(**v) for v in values["examples"]],
        )

    @property
    def rows_rejected(self) -> int:
        """Rows of the input that are not in the catalogue."""
        return sum(n for name, n in self.rejected.items() if name.startswith("row: "))


def summarise(piece: Piece, rows: pa.Table, row_N: np.ndarray, rejections: Sequence[Rejection]) -> Summary:
    """The summary of a piece.

    Args:
        rows: of the catalogue.
        row_N: row in the file of each of them.
    """
    z_N, low_N, high_N, anomaly_N = (
        rows[name].to_numpy().astype(float)
        for name in ("mmae_z_median", "mmae_z_err68_low", "mmae_z_err68_high", ANOMALY)
    )
    flags_N = rows[FLAGS].to_numpy()

    def number(x_N: np.ndarray, i: int) -> float | None:
        return float(x_N[i]) if np.isfinite(x_N[i]) else None

    def example(i: int) -> Example:
        return Example(
            str(rows["object_id"][i].as_py()),
            number(z_N, i),
            number(low_N, i),
            number(high_N, i),
            number(anomaly_N, i),
            piece.path,
            int(row_N[i]),
        )

    scored_N = np.flatnonzero(np.isfinite(anomaly_N))
    unusual_N = scored_N[np.argsort(-anomaly_N[scored_N], kind="stable")][:SHOWN]
    return Summary(
        rows=len(rows),
        rejected=Counter(f"{r.field}: {r.reason}" for r in rejections),
        z=np.histogram(z_N[np.isfinite(z_N)].clip(0, Z_MAX), z_edges())[0],
        sigma=_widths(z_N, low_N, high_N),
        flags=Counter({str(flag.name): int((flags_N & flag != 0).sum()) for flag in Flag}),
        in_training=pc.sum(rows[IN_TRAINING]).as_py() or 0,
        anomalies=[example(i) for i in unusual_N],
        examples=[example(i) for i in np.argsort(row_N, kind="stable")[:SHOWN]],
    )


def total(summaries: Iterable[Summary]) -> Summary:
    """The sum over pieces, in their order."""
    result = Summary()
    for summary in summaries:
        result.add(summary)
    return result


def _widths(z_N: np.ndarray, low_N: np.ndarray, high_N: np.ndarray) -> np.ndarray:
    sigma_N = (high_N - low_N) / 2 / (1 + z_N)
    return np.histogram(sigma_N[np.isfinite(sigma_N)].clip(*SIGMA_RANGE), sigma_edges())[0]


def _largest(examples: list[Example]) -> list[Example]:
    return heapq.nlargest(SHOWN, examples, key=lambda e: e.anomaly or 0.0)
