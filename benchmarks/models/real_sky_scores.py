"""Predictions of a sample, and the figures of the lines of `benchmarks.models.real_sky`.

Shape suffixes: N galaxies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.models.score import batches
from mmae.inference.flags import FlagLimits, flag
from mmae.inference.predict import has_modalities
from mmae.inference.readings import Readings, redshift_edges
from mmae.metrics.bootstrap import EMPTY, Score, beyond, bootstrap_scores, rate_score
from mmae.metrics.redshift import OUTLIER_LIMIT, normalised_residual, robust, sigma_nmad
from mmae.model.batch import Batch
from mmae.model.build import Model
from mmae.model.masking import fixed_visible, modes_of

RIGHT = 0.003  # |dz| of a right redshift from a spectrum: 900 km/s
NARROW = 0.003  # width in z of a 68% interval that says: this redshift is certain
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Seen:
    """Predictions for N galaxies from one input mode; galaxies without its modalities are left out.

    Attributes:
        redshift_N: spectroscopic; NaN where unknown.
        predicted_N, low_N, high_N: median, 16th and 84th percentile of p(z).
        flag_N: warning flags.
    """

    object_id: list[str]
    redshift_N: np.ndarray
    predicted_N: np.ndarray
    low_N: np.ndarray
    high_N: np.ndarray
    flag_N: np.ndarray

    def __len__(self) -> int:
        return len(self.object_id)

    @property
    def dz_N(self) -> np.ndarray:
        return normalised_residual(self.redshift_N, self.predicted_N)

    @property
    def known_N(self) -> np.ndarray:
        return np.isfinite(self.redshift_N)

    @property
    def wrong_N(self) -> np.ndarray:
        """Outliers among the galaxies with a redshift."""
        return self.known_N & beyond(self.dz_N, OUTLIER_LIMIT)

    @property
    def covered_N(self) -> np.ndarray:
        return (self.low_N <= self.redshift_N) & (self.redshift_N <= self.high_N)

    def chosen(self, which_N: np.ndarray) -> Seen:
        """Some galaxies, given as a mask."""
        names = [name for name, keep in zip(self.object_id, which_N, strict=True) if keep]
        rest = (self.redshift_N, self.predicted_N, self.low_N, self.high_N, self.flag_N)
        return Seen(names, *(value_N[which_N] for value_N in rest))


@torch.no_grad()
def look(model: Model, galaxies: Batch, mode: str, limits: FlagLimits) -> Seen:
    """Predictions from one input mode, without masking."""
    shown = modes_of(model.n_tokens)[mode]
    parts: list[dict[str, np.ndarray]] = []
    for batch in batches(galaxies, CPU):
        visible = fixed_visible(batch, model.n_tokens, shown)
        (reading,) = model.read(batch, [visible])
        point_B, low_B, high_B = model.redshift(batch, visible)
        values = {
            "usable": has_modalities(batch, shown),
            "point": point_B,
            "low": low_B,
            "high": high_B,
            "probability": reading.probability_BK,
            "embedding": reading.embedding_BD,
        }
        parts.append({name: value.float().numpy() for name, value in values.items()})
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    usable_N = whole["usable"].astype(bool)
    readings = Readings(
        usable_N, whole["point"], whole["probability"], redshift_edges(model), whole["embedding"].astype(float)
    )
    redshift_N = np.where(galaxies.redshift_known_B.numpy(), galaxies.redshift_B.double().numpy(), np.nan)
    seen = Seen(
        galaxies.object_id, redshift_N, whole["point"], whole["low"], whole["high"], flag(limits, mode, readings)
    )
    return seen.chosen(usable_N)


# --- figures: one number with its error ----------------------------------------------------------


def right(seen: Seen) -> Score:
    """Fraction of redshifts within RIGHT."""
    return rate_score(~beyond(seen.dz_N[seen.known_N], RIGHT))


def outliers(seen: Seen) -> Score:
    """Fraction of redshifts that are wrong by more than OUTLIER_LIMIT."""
    return rate_score(seen.wrong_N[seen.known_N])


def silent_outliers(seen: Seen) -> Score:
    """Fraction of the galaxies that are wrong by more than OUTLIER_LIMIT and have no flag."""
    return rate_score((seen.wrong_N & (seen.flag_N == 0))[seen.known_N])


def certain(seen: Seen) -> Score:
    """Fraction with a 68% interval narrower than NARROW and no flag."""
    return rate_score((seen.high_N - seen.low_N < NARROW) & (seen.flag_N == 0))


def narrow(seen: Seen) -> Score:
    """Fraction with a 68% interval narrower than NARROW, flagged or not."""
    return rate_score(seen.high_N - seen.low_N < NARROW)


def flagged(seen: Seen) -> Score:
    """Fraction with a flag."""
    return rate_score(seen.flag_N != 0)


def coverage(seen: Seen) -> Score:
    """Fraction of the true redshifts inside the 68% interval."""
    return rate_score(seen.covered_N[seen.known_N])


def unflagged_coverage(seen: Seen) -> Score:
    """`coverage` of the galaxies without a flag."""
    return coverage(seen.chosen(seen.flag_N == 0))


def scatter(seen: Seen) -> Score:
    """sigma_NMAD."""
    dz_N = seen.dz_N[seen.known_N]
    return bootstrap_scores(dz_N, robust, seed=0, resamples=500)["sigma_nmad"] if len(dz_N) else EMPTY


def bias(seen: Seen) -> Score:
    """Median of dz."""
    dz_N = seen.dz_N[seen.known_N]
    return bootstrap_scores(dz_N, robust, seed=0, resamples=500)["bias"] if len(dz_N) else EMPTY


def scatter_ratio(seen: Seen, before: Seen, resamples: int = 500) -> Score:
    """sigma_NMAD relative to that of the same galaxies before a change; the bootstrap is paired."""
    both_N = seen.known_N & before.known_N
    dz_N, before_N = seen.dz_N[both_N], before.dz_N[both_N]
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(dz_N), (resamples, len(dz_N)))
    ratio_R = robust(dz_N[drawn])["sigma_nmad"] / robust(before_N[drawn])["sigma_nmad"]
    value = sigma_nmad(dz_N) / sigma_nmad(before_N)
    return Score(value, *map(float, np.quantile(ratio_R, (0.16, 0.84))), len(dz_N))


def kinds(seen: Seen, meaning: Mapping[int, str]) -> str:
    """Each flag and how many galaxies have it."""
    counts = {text: int((seen.flag_N & bit > 0).sum()) for bit, text in meaning.items()}
    return ", ".join(f"{text} {n}" for text, n in counts.items() if n)
