"""Redshift scatter against the masked fractions of image and spectrum, and a test whether more data ever hurts.

A cell is one pair of mask ratios; a step goes from a cell to one with no more of either modality masked
and less of at least one. A step hurts if the rise of sigma_NMAD is significant after Holm's correction.

Shape suffixes: I image mask ratios, S spectrum mask ratios, N galaxies, C cells, R resamples,
P steps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm

from mmae.core.errors import InputError
from mmae.metrics.bootstrap import Score, beyond, bootstrap_draws, rate_score, with_percentiles
from mmae.metrics.redshift import OUTLIER_LIMIT, bias, normalised_residual, robust, sigma_nmad

ABSENT = 1.0  # a fully masked modality counts as absent
FAMILY_LEVEL = 0.05  # false-alarm probability of a surface without any rise
MIN_GALAXIES = 100  # with fewer, the error of the median absolute deviation is too uncertain for a test
SIGMA, BIAS = "sigma_nmad", "bias"

CellIndex = tuple[int, int]
"""Index of the image mask ratio and of the spectrum mask ratio."""


@dataclass(frozen=True)
class CellScores:
    """Scores of one cell; `not_finite` counts predictions that are NaN or infinite, which are outliers."""

    sigma_nmad: Score
    bias: Score
    outlier_rate: Score
    not_finite: int


@dataclass(frozen=True)
class Step:
    """Change of the scatter between two cells, with more data in the second.

    Attributes:
        less, more: the cells with less and with more data.
        neighbours: one mask ratio falls by one grid point.
        rise: sigma_NMAD of `more` minus that of `less`, from the same resamples of galaxies;
            the interval is one bootstrap standard deviation to either side.
        significance: the rise in units of its error; negative if the scatter falls.
        hurts: the rise is significant within the family of all steps.
        detectable: the smallest rise that would be significant.
        detectable_fraction: `detectable` over the scatter of `less`.
    """

    less: CellIndex
    more: CellIndex
    neighbours: bool
    rise: Score
    significance: float
    hurts: bool
    detectable: float
    detectable_fraction: float


@dataclass(frozen=True)
class Surface:
    """Scores of all cells and steps of a grid of mask ratios.

    Attributes:
        ratios_I, ratios_S: masked fractions of image and spectrum, ascending; 1 is an absent modality.
        cells: all cells but the one with both modalities absent.
        steps: every ordered pair of cells (less data, more data); none for fewer than 100 galaxies.
        level: false-alarm probability of the family of all steps.
        n_galaxies: galaxies with a redshift and a finite prediction in every cell, used for scatter and bias.
        n_left_out: galaxies with a redshift and a finite prediction in some cells only.
    """

    ratios_I: tuple[float, ...]
    ratios_S: tuple[float, ...]
    cells: Mapping[CellIndex, CellScores]
    steps: tuple[Step, ...]
    level: float
    n_galaxies: int
    n_left_out: int

    @property
    def neighbours(self) -> tuple[Step, ...]:
        return tuple(step for step in self.steps if step.neighbours)

    @property
    def hurting(self) -> tuple[Step, ...]:
        """Steps with a significant rise, single steps first, then by significance."""
        return tuple(sorted((s for s in self.steps if s.hurts), key=lambda s: (not s.neighbours, -s.significance)))


def score_surface(
    z_pred_ISN: ArrayLike,
    ratios_I: ArrayLike,
    ratios_S: ArrayLike,
    z_spec_N: ArrayLike,
    *,
    seed: int,
    resamples: int = 300,
    level: float = FAMILY_LEVEL,
) -> Surface:
    """Scores of every cell and every step of a surface of mask ratios.

    All cells are scored on the same galaxies with the same resamples, so a step is a paired
    difference, as in `redshift.scatter_difference`. A rise is tested one-sided against a normal
    distribution with the bootstrap's standard deviation; all steps are one family, corrected as in
    Holm (1979, Scand. J. Statist. 6, 65), which is valid for any correlation between them.

    Args:
        z_pred_ISN: predicted redshifts of the same galaxies at all mask ratios; ignored where both
            modalities are absent. A galaxy without a finite prediction in any cell is excluded.
        ratios_I, ratios_S: masked fractions of image and spectrum, ascending, from 0 to 1 (absent).
        z_spec_N: spectroscopic redshifts; NaN where unknown.
        seed: of the bootstrap.
        resamples: number of bootstrap resamples.
        level: probability that a surface without any rise has a significant step.

    Raises:
        InputError: inconsistent shapes or ratios, or fewer than 2 resamples.
    """
    ratios_I, ratios_S = _ratios(ratios_I, "image"), _ratios(ratios_S, "spectrum")
    if resamples < 2:
        raise InputError(f"resamples = {resamples}: give at least 2; a few hundred are usual.")
    dz = _residuals(z_pred_ISN, ratios_I, ratios_S, z_spec_N)
    finite_CN = np.isfinite(list(dz.values()))
    takes_part_N, common_N = finite_CN.any(axis=0), finite_CN.all(axis=0)
    n = int(common_N.sum())
    drawn = {cell: bootstrap_draws(dz_N[common_N], robust, seed, resamples) for cell, dz_N in dz.items()}
    cells = {cell: _cell_scores(dz_N[takes_part_N], dz_N[common_N], drawn[cell]) for cell, dz_N in dz.items()}
    sigma = {cell: samples[SIGMA] for cell, samples in drawn.items()}
    steps = _steps(cells, sigma, level) if n >= MIN_GALAXIES else ()
    return Surface(ratios_I, ratios_S, cells, steps, level, n, int(takes_part_N.sum()) - n)


def _cell_scores(part_N: np.ndarray, common_N: np.ndarray, drawn: Mapping[str, np.ndarray]) -> CellScores:
    return CellScores(
        with_percentiles(sigma_nmad(common_N), drawn[SIGMA], common_N.size),
        with_percentiles(bias(common_N), drawn[BIAS], common_N.size),
        rate_score(beyond(part_N, OUTLIER_LIMIT)),
        int((~np.isfinite(part_N)).sum()),
    )


def _steps(
    cells: Mapping[CellIndex, CellScores], sigma: Mapping[CellIndex, np.ndarray], level: float
) -> tuple[Step, ...]:
    pairs = [
        (less, more)
        for less, more in product(cells, cells)
        if less != more and more[0] <= less[0] and more[1] <= less[1]
    ]
    value = {cell: scores.sigma_nmad.value for cell, scores in cells.items()}
    rise_P = np.array([value[more] - value[less] for less, more in pairs])
    error_P = np.array([np.std(sigma[more] - sigma[less], ddof=1) for less, more in pairs])
    with np.errstate(divide="ignore", invalid="ignore"):
        # Two cells with the same predictions differ by 0 +- 0: no rise.
        significance_P = np.where(rise_P == 0, 0.0, rise_P / error_P)
    hurts_P = holm_rejects(norm.sf(significance_P), level)
    steps = []
    for p, (less, more) in enumerate(pairs):
        rise, error = float(rise_P[p]), float(error_P[p])
        score = Score(rise, rise - error, rise + error, cells[less].sigma_nmad.n)
        # In Holm's procedure the most significant rise must pass level / P.
        detectable = float(norm.isf(level / len(pairs))) * error
        steps.append(
            Step(
                less,
                more,
                sum(less) - sum(more) == 1,
                score,
                float(significance_P[p]),
                bool(hurts_P[p]),
                detectable,
                detectable / value[less] if value[less] > 0 else math.nan,
            )
        )
    return tuple(steps)


def holm_rejects(p_P: np.ndarray, level: float) -> np.ndarray:
    """Rejected null hypotheses (P,), bool, at a family-wise error rate of `level`.

    Holm (1979): rejects in order of p while p_k <= level / (P - k), k from 0.
    """
    order_P = np.argsort(p_P, kind="stable")
    passed_P = p_P[order_P] <= level / np.arange(p_P.size, 0, -1)
    rejected_P = np.empty(p_P.size, bool)
    rejected_P[order_P] = np.logical_and.accumulate(passed_P)
    return rejected_P


def _residuals(
    z_pred_ISN: ArrayLike, ratios_I: tuple[float, ...], ratios_S: tuple[float, ...], z_spec_N: ArrayLike
) -> dict[CellIndex, np.ndarray]:
    """dz (N,) of every cell but the one with both modalities absent."""
    z_pred_ISN, z_spec_N = np.asarray(z_pred_ISN, np.float64), np.asarray(z_spec_N, np.float64)
    expected = (len(ratios_I), len(ratios_S), z_spec_N.size)
    if z_spec_N.ndim != 1 or z_pred_ISN.shape != expected:
        raise InputError(
            f"surface: z_pred has shape {z_pred_ISN.shape}, expected {expected}: (image mask ratios, "
            f"spectrum mask ratios, galaxies); z_spec has shape {z_spec_N.shape}."
        )
    shown = [
        (i, s)
        for i, s in product(range(len(ratios_I)), range(len(ratios_S)))
        if not ratios_I[i] == ratios_S[s] == ABSENT
    ]
    if not shown:
        raise InputError("surface: both modalities are absent at all mask ratios; give ratios below 1.")
    return {(i, s): normalised_residual(z_spec_N, z_pred_ISN[i, s]) for i, s in shown}


def _ratios(ratios: ArrayLike, what: str) -> tuple[float, ...]:
    values = np.asarray(ratios, np.float64)
    if values.ndim != 1 or not values.size or not ((values >= 0) & (values <= 1)).all() or (np.diff(values) <= 0).any():
        raise InputError(
            f"surface: mask ratios of the {what} are {values.tolist()}; give fractions from 0 (nothing "
            f"masked) to 1 (absent), strictly ascending."
        )
    return tuple(values.tolist())
