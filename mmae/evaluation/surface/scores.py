"""Does more data ever hurt? Redshift scatter against what was masked of image and spectrum.

A cell is one pair of mask ratios; a step goes from a cell to one that shows at least as much of
both and more of one. A step hurts if sigma_NMAD rises by more than chance allows in so many steps.

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

ABSENT = 1.0  # a modality masked whole is absent
FAMILY_LEVEL = 0.05  # chance that a surface without any rise fails
LEAST_GALAXIES = 100  # with fewer the error of a median absolute deviation is too uncertain to judge by
SIGMA, BIAS = "sigma_nmad", "bias"

Cell = tuple[int, int]
"""Index of the image mask ratio and of the spectrum mask ratio."""


@dataclass(frozen=True)
class CellScores:
    """Scores of one cell; `not_finite` of its predictions are NaN or infinite and count as outliers."""

    sigma_nmad: Score
    bias: Score
    outlier_rate: Score
    not_finite: int


@dataclass(frozen=True)
class Step:
    """What it does to the scatter to show more.

    Attributes:
        less, more: the cells it leads from and to.
        neighbours: one mask ratio falls by one place of the grid.
        rise: sigma_NMAD of `more` minus that of `less`, galaxy by galaxy the same resamples in both;
            the interval is one bootstrap standard deviation to either side.
        significance: the rise in units of its error; negative if the scatter falls.
        hurts: significant within the family of all steps.
        detectable: the smallest rise that would have been called one.
        detectable_share: the same as a share of the scatter of `less`.
    """

    less: Cell
    more: Cell
    neighbours: bool
    rise: Score
    significance: float
    hurts: bool
    detectable: float
    detectable_share: float


@dataclass(frozen=True)
class Surface:
    """Scores of all cells and steps of a grid of mask ratios.

    Attributes:
        ratios_I, ratios_S: masked share of image and spectrum, ascending; 1 is an absent modality.
        cells: without the one in which both are absent.
        steps: every pair of cells in order of "shows at least as much"; none for fewer than 100 galaxies.
        level: of the family of all steps.
        n_galaxies: with a redshift and a finite prediction in every cell; scatter and bias are theirs.
        n_left_out: with a redshift, but no finite prediction in some cell.
    """

    ratios_I: tuple[float, ...]
    ratios_S: tuple[float, ...]
    cells: Mapping[Cell, CellScores]
    steps: tuple[Step, ...]
    level: float
    n_galaxies: int
    n_left_out: int

    @property
    def neighbours(self) -> tuple[Step, ...]:
        return tuple(step for step in self.steps if step.neighbours)

    @property
    def hurting(self) -> tuple[Step, ...]:
        """Steps that hurt, single ones first, then by significance."""
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

    All cells are scored on the same galaxies and resampled alike, so that a step is a paired
    difference, as in `redshift.scatter_difference`. A rise is judged one-sided against a normal
    distribution of the bootstrap's standard deviation; all steps are one family, corrected as in
    Holm (1979, Scand. J. Statist. 6, 65), which holds for any correlation between them.

    Args:
        z_pred_ISN: predicted redshifts of the same galaxies at all mask ratios. Where both are
            absent the values are ignored. A galaxy without a finite one in any cell takes no part.
        ratios_I, ratios_S: masked shares of image and spectrum, ascending, from 0 to 1 (absent).
        z_spec_N: spectroscopic redshifts; NaN where unknown.
        seed, resamples: of the bootstrap.
        level: chance that a surface without any rise has a step that is said to hurt.

    Raises:
        InputError: shapes or ratios that do not fit, or fewer than 2 resamples.
    """
    ratios_I, ratios_S = _ratios(ratios_I, "image"), _ratios(ratios_S, "spectrum")
    if resamples < 2:
        raise InputError(f"resamples = {resamples}: a spread needs 2 at least; some hundreds are usual.")
    dz = _residuals(z_pred_ISN, ratios_I, ratios_S, z_spec_N)
    finite_CN = np.isfinite(list(dz.values()))
    takes_part_N, common_N = finite_CN.any(axis=0), finite_CN.all(axis=0)
    n = int(common_N.sum())
    drawn = {cell: bootstrap_draws(dz_N[common_N], robust, seed, resamples) for cell, dz_N in dz.items()}
    cells = {cell: _cell_scores(dz_N[takes_part_N], dz_N[common_N], drawn[cell]) for cell, dz_N in dz.items()}
    sigma = {cell: samples[SIGMA] for cell, samples in drawn.items()}
    steps = _steps(cells, sigma, level) if n >= LEAST_GALAXIES else ()
    return Surface(ratios_I, ratios_S, cells, steps, level, n, int(takes_part_N.sum()) - n)


def _cell_scores(part_N: np.ndarray, common_N: np.ndarray, drawn: Mapping[str, np.ndarray]) -> CellScores:
    return CellScores(
        with_percentiles(sigma_nmad(common_N), drawn[SIGMA], common_N.size),
        with_percentiles(bias(common_N), drawn[BIAS], common_N.size),
        rate_score(beyond(part_N, OUTLIER_LIMIT)),
        int((~np.isfinite(part_N)).sum()),
    )


def _steps(cells: Mapping[Cell, CellScores], sigma: Mapping[Cell, np.ndarray], level: float) -> tuple[Step, ...]:
    pairs = [
        (less, more)
        for less, more in product(cells, cells)
        if less != more and more[0] <= less[0] and more[1] <= less[1]
    ]
    value = {cell: scores.sigma_nmad.value for cell, scores in cells.items()}
    rise_P = np.array([value[more] - value[less] for less, more in pairs])
    error_P = np.array([np.std(sigma[more] - sigma[less], ddof=1) for less, more in pairs])
    with np.errstate(divide="ignore", invalid="ignore"):
        # Two cells with the same predictions differ by 0 with an error of 0: no rise.
        significance_P = np.where(rise_P == 0, 0.0, rise_P / error_P)
    hurts_P = holm_rejects(norm.sf(significance_P), level)
    steps = []
    for p, (less, more) in enumerate(pairs):
        rise, error = float(rise_P[p]), float(error_P[p])
        score = Score(rise, rise - error, rise + error, cells[less].sigma_nmad.n)
        # The first and largest of Holm's rises must pass the level shared by all.
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
    """Which of P null hypotheses fall, (P,) bool, if at most a share `level` of true families may lose any.

    Holm (1979): in order of p, as long as p_k <= level / (P - k), k from 0.
    """
    order_P = np.argsort(p_P, kind="stable")
    passed_P = p_P[order_P] <= level / np.arange(p_P.size, 0, -1)
    rejected_P = np.empty(p_P.size, bool)
    rejected_P[order_P] = np.logical_and.accumulate(passed_P)
    return rejected_P


def _residuals(
    z_pred_ISN: ArrayLike, ratios_I: tuple[float, ...], ratios_S: tuple[float, ...], z_spec_N: ArrayLike
) -> dict[Cell, np.ndarray]:
    """dz (N,) of every cell but the one without any data."""
    z_pred_ISN, z_spec_N = np.asarray(z_pred_ISN, np.float64), np.asarray(z_spec_N, np.float64)
    expected = (len(ratios_I), len(ratios_S), z_spec_N.size)
    if z_spec_N.ndim != 1 or z_pred_ISN.shape != expected:
        raise InputError(
            f"surface: z_pred has shape {z_pred_ISN.shape}, expected {expected}: image mask ratios, "
            f"spectrum mask ratios and galaxies (z_spec has shape {z_spec_N.shape})."
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
            f"surface: mask ratios of the {what} are {values.tolist()}; give shares from 0 (nothing "
            f"masked) to 1 (absent), ascending, each once."
        )
    return tuple(values.tolist())
