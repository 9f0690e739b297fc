"""The missing-modality surface in the report: scatter of every cell, and does more data ever hurt?"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from mmae.evaluation.surface.figures import lines_figure, surface_figure
from mmae.evaluation.surface.scores import ABSENT, LEAST_GALAXIES, Cell, Step, Surface, score_surface
from mmae.metrics.bootstrap import Score
from mmae.report.contents import NOT_JUDGED, Drawing, Section, Table, Verdict
from mmae.report.contents import Cell as TableCell

# The paper's own rise, from 25% of the image masked to nothing, as a share of the scatter
# (20,181 test galaxies, recomputed from its released predictions). What cannot see it cannot pass.
PAPER_LESS, PAPER_MORE = 0.0210, 0.0304
PAPER_RISE = PAPER_MORE / PAPER_LESS - 1
MOST_STEPS = 12  # rows of the table of steps

TITLE = "Does more data ever hurt?"
CAPTIONS = {
    "surface": "sigma_NMAD and its 68% error for each masked share of image and spectrum. "
    "The hatched cell has no data. Arrows: steps that hurt, from a cell to one that shows more; dashed where no "
    "single step of the grid does.",
    "surface_lines": "The same against the masked share of the image, a line for each masked share of the spectrum. "
    "Thick: steps that hurt. Errors are 68% intervals; those of a difference are smaller.",
}


def surface_section(
    z_pred_ISN: ArrayLike,
    ratios_I: ArrayLike,
    ratios_S: ArrayLike,
    z_spec_N: ArrayLike,
    *,
    seed: int,
    resamples: int = 300,
) -> Section:
    """Tables, figures and the verdict of a surface; arguments and errors as of `score_surface`."""
    surface = score_surface(z_pred_ISN, ratios_I, ratios_S, z_spec_N, seed=seed, resamples=resamples)
    left_out = "" if surface.steps else too_few(surface)
    if not surface.n_galaxies:
        return Section("surface", TITLE, _text(surface), left_out=left_out)
    tables = (verdict_table(surface), steps_table(surface)) if surface.steps else ()
    figures = {"surface": surface_figure(surface), "surface_lines": lines_figure(surface)}
    drawings = tuple(Drawing(name, CAPTIONS[name], figure) for name, figure in figures.items())
    return Section("surface", TITLE, _text(surface), (*tables, cells_table(surface)), drawings, left_out)


def too_few(surface: Surface) -> str:
    """Why steps are not judged, and the mend."""
    if surface.n_galaxies >= LEAST_GALAXIES:
        return "Left out: the judgement. No cell shows more than another; give several mask ratios."
    return (
        f"Left out: the judgement. {surface.n_galaxies} galaxies have a redshift and a finite prediction in every "
        f"cell, {LEAST_GALAXIES} are needed; give a larger test split with images and spectra."
    )


def judge_surface(surface: Surface) -> Verdict:
    """More data never hurts: no step may hurt, and every single step must be able to show the paper's rise."""
    if surface.hurting:
        worst = surface.hurting[0]
        return Verdict(
            f"misses: {len(surface.hurting)} of {len(surface.steps)} steps hurt, worst from "
            f"{step_name(worst, surface)}: {_rise_text(worst)}",
            False,
        )
    if not surface.steps:
        return Verdict("not judged: too few galaxies")
    blind = least_sensitive(surface.neighbours)
    if not blind.detectable_share <= PAPER_RISE:  # also NaN
        return Verdict(
            f"undecided: no step hurts, but a rise by {blind.detectable_share:.0%} of the scatter from "
            f"{step_name(blind, surface)} would not have been seen; take more galaxies"
        )
    return Verdict(
        f"no step hurts; a rise by {blind.detectable_share:.1%} of the scatter would have been seen in any single step",
        True,
    )


def least_sensitive(steps: tuple[Step, ...]) -> Step:
    """The step in which a rise must be largest, as a share of the scatter, to be seen."""
    return max(steps, key=lambda step: step.detectable_share if np.isfinite(step.detectable_share) else np.inf)


def cell_name(cell: Cell, surface: Surface) -> str:
    """Such as "image 0.25, spectrum absent": what is masked of each."""
    return ", ".join(ratio_names(cell, surface))


def ratio_names(cell: Cell, surface: Surface) -> tuple[str, str]:
    """Such as ("image 0.25", "spectrum absent")."""
    ratios = {"image": surface.ratios_I[cell[0]], "spectrum": surface.ratios_S[cell[1]]}
    image, spectrum = (f"{what} {'absent' if ratio == ABSENT else f'{ratio:g}'}" for what, ratio in ratios.items())
    return image, spectrum


def step_name(step: Step, surface: Surface) -> str:
    return f"({cell_name(step.less, surface)}) to ({cell_name(step.more, surface)})"


def _rise_text(step: Step) -> str:
    return f"+{step.rise.value:.2g} \N{PLUS-MINUS SIGN} {step.rise.error:.2g}, {step.significance:.1f} sigma"


def verdict_table(surface: Surface) -> Table:
    """Single steps and all steps: how many hurt, the largest rise, and what would have been seen."""
    rows: list[tuple[TableCell, ...]] = []
    for name, steps in (("single steps", surface.neighbours), ("all steps", surface.steps)):
        steepest = max(steps, key=lambda step: step.rise.value)
        verdict = judge_surface(surface) if steps is surface.steps else NOT_JUDGED
        rows.append(
            (
                name,
                len(steps),
                sum(step.hurts for step in steps),
                steepest.rise.value,
                steepest.rise.error,
                steepest.significance,
                100 * least_sensitive(steps).detectable_share,
                verdict,
            )
        )
    return Table(
        "verdict",
        "More data never hurts",
        (
            "steps",
            "n",
            "hurt",
            "largest rise of sigma_NMAD",
            "error",
            "significance",
            "rise seen in any step, at least [% of sigma_NMAD]",
            "verdict",
        ),
        tuple(rows),
        note=f"A single step shows one place of the grid more of one modality. All steps are one family of tests "
        f"(Holm 1979): a surface without any rise fails with a chance of {surface.level:.0%} at most. A pass "
        f"needs {LEAST_GALAXIES} galaxies, and that a rise such as the paper's (sigma_NMAD {PAPER_LESS:.4f} with "
        f"25% of the image masked, {PAPER_MORE:.4f} with nothing masked: {PAPER_RISE:.0%}) would have been seen "
        f"in any single step.",
    )


def steps_table(surface: Surface) -> Table:
    """Steps that hurt, then single steps by significance."""
    rest = sorted((s for s in surface.neighbours if not s.hurts), key=lambda s: -s.significance)
    steps = (*surface.hurting, *rest)[:MOST_STEPS]
    rows = tuple(
        (
            cell_name(s.less, surface),
            cell_name(s.more, surface),
            s.rise.value,
            s.rise.error,
            s.significance,
            s.detectable,
            Verdict("hurts" if s.hurts else "within its error" if s.rise.value > 0 else "no rise"),
        )
        for s in steps
    )
    return Table(
        "steps",
        "Steps with the most significant rise",
        ("masked", "less masked", "rise of sigma_NMAD", "error", "significance", "smallest rise seen", "found"),
        rows,
        note=f"At most {MOST_STEPS}: those that hurt, single ones first, then other single steps. Errors are "
        f"of the paired difference, by bootstrap over galaxies.",
    )


def cells_table(surface: Surface) -> Table:
    """Scores of every cell."""
    rows = []
    for cell, scores in surface.cells.items():
        rows.append(
            (
                *ratio_names(cell, surface),
                *_pair(scores.sigma_nmad),
                *_pair(scores.bias),
                *_pair(scores.outlier_rate, 100.0),
                scores.not_finite,
            )
        )
    return Table(
        "cells",
        "Scores of every cell, at all redshifts",
        (
            "image masked",
            "spectrum masked",
            "sigma_NMAD",
            "error",
            "bias",
            "error of bias",
            "outliers [%]",
            "error of outliers [%]",
            "not finite",
        ),
        tuple(rows),
        note="Errors are half the 68% interval: bootstrap over galaxies, Wilson's for the outliers "
        "(|dz| > 0.15). A prediction that is not finite is an outlier.",
    )


def _pair(score: Score, scale: float = 1.0) -> tuple[float, float]:
    return scale * score.value, scale * score.error


def _text(surface: Surface) -> str:
    left_out = (
        f" {surface.n_left_out:,} further galaxies lack a finite prediction in some cell and count in the "
        "outlier rates only."
        if surface.n_left_out
        else ""
    )
    return (
        "Redshifts of the same galaxies with more and more of the image and of the spectrum masked, from nothing to "
        "all of it (absent). A model that knows what it sees does no worse when it sees more. The cell in which both "
        "are absent holds no data and is no part of the surface. "
        f"Scatter and bias are of {surface.n_galaxies:,} galaxies, the same in every cell and resampled alike."
        + left_out
    )
