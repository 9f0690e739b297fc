"""Report section on the missing-modality surface: scatter by masked fractions, and a test for rises with more data."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from mmae.evaluation.cells import measured
from mmae.evaluation.surface.figures import lines_figure, surface_figure
from mmae.evaluation.surface.scores import ABSENT, MIN_GALAXIES, CellIndex, Step, Surface, score_surface
from mmae.report.contents import NOT_JUDGED, Cell, Column, Drawing, Section, Table, Verdict

# The paper's relative rise of the scatter from 25% of the image masked to nothing masked (20,181 test
# galaxies, recomputed from its released predictions). A pass requires that such a rise is detectable.
PAPER_LESS, PAPER_MORE = 0.0210, 0.0304
PAPER_RISE = PAPER_MORE / PAPER_LESS - 1
MAX_ROWS = 12  # of the table of steps

TITLE = "Does more data ever hurt?"
CAPTIONS = {
    "surface": "sigma_NMAD and its 68% error for each pair of masked fractions of image and spectrum. "
    "The hatched cell has no data. Arrows: steps with a significant rise, towards the cell with more data; dashed if "
    "no single step of the grid rises.",
    "surface_lines": "sigma_NMAD against the masked fraction of the image, one line per masked fraction of the "
    "spectrum. Thick: steps with a significant rise. Errors are 68% intervals; those of a difference are smaller.",
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
    """Tables, figures and the verdict of a surface; arguments and exceptions as for `score_surface`."""
    surface = score_surface(z_pred_ISN, ratios_I, ratios_S, z_spec_N, seed=seed, resamples=resamples)
    left_out = "" if surface.steps else no_steps_text(surface)
    if not surface.n_galaxies:
        return Section("surface", TITLE, _text(surface), left_out=left_out)
    tables = (verdict_table(surface), steps_table(surface)) if surface.steps else ()
    figures = {"surface": surface_figure(surface), "surface_lines": lines_figure(surface)}
    drawings = tuple(Drawing(name, CAPTIONS[name], figure) for name, figure in figures.items())
    return Section("surface", TITLE, _text(surface), (*tables, cells_table(surface)), drawings, left_out)


def no_steps_text(surface: Surface) -> str:
    """Reason why there are no steps to test, and the fix."""
    if surface.n_galaxies >= MIN_GALAXIES:
        return "Left out: the verdict. No cell has more data than another; give several mask ratios."
    return (
        f"Left out: the verdict. {surface.n_galaxies} galaxies have a redshift and a finite prediction in every "
        f"cell, {MIN_GALAXIES} are needed; use a larger test split with images and spectra."
    )


def judge_surface(surface: Surface) -> Verdict:
    """Met if no step rises significantly and the paper's rise would be detected in every single step."""
    if surface.hurting:
        worst = surface.hurting[0]
        return Verdict(
            f"misses: {len(surface.hurting)} of {len(surface.steps)} steps rise, worst from "
            f"{step_name(worst, surface)}: {_rise_text(worst)}",
            False,
        )
    if not surface.steps:
        return Verdict("not judged: too few galaxies")
    worst = least_sensitive(surface.neighbours)
    if not worst.detectable_fraction <= PAPER_RISE:  # also NaN
        return Verdict(
            f"undecided: no step rises, but a rise of {worst.detectable_fraction:.0%} from "
            f"{step_name(worst, surface)} would not be significant; use more galaxies"
        )
    return Verdict(
        f"no step rises; a rise of {worst.detectable_fraction:.1%} in any single step would be detected", True
    )


def least_sensitive(steps: tuple[Step, ...]) -> Step:
    """The step with the largest detectable rise relative to the scatter."""
    return max(steps, key=lambda step: step.detectable_fraction if np.isfinite(step.detectable_fraction) else np.inf)


def cell_name(cell: CellIndex, surface: Surface) -> str:
    """Masked fractions of a cell, such as "image 0.25, spectrum absent"."""
    return ", ".join(ratio_names(cell, surface))


def ratio_names(cell: CellIndex, surface: Surface) -> tuple[str, str]:
    """Masked fractions of a cell, such as ("image 0.25", "spectrum absent")."""
    ratios = {"image": surface.ratios_I[cell[0]], "spectrum": surface.ratios_S[cell[1]]}
    image, spectrum = (f"{what} {'absent' if ratio == ABSENT else f'{ratio:g}'}" for what, ratio in ratios.items())
    return image, spectrum


def step_name(step: Step, surface: Surface) -> str:
    return f"({cell_name(step.less, surface)}) to ({cell_name(step.more, surface)})"


def _rise_text(step: Step) -> str:
    return f"+{step.rise.value:.2g} \N{PLUS-MINUS SIGN} {step.rise.error:.2g}, {step.significance:.1f} sigma"


def verdict_table(surface: Surface) -> Table:
    """Single steps and all steps: number of significant rises, the largest rise, the detectable rise."""
    rows: list[tuple[Cell, ...]] = []
    for name, steps in (("single steps", surface.neighbours), ("all steps", surface.steps)):
        steepest = max(steps, key=lambda step: step.rise.value)
        verdict = judge_surface(surface) if steps is surface.steps else NOT_JUDGED
        rows.append(
            (
                name,
                len(steps),
                sum(step.hurts for step in steps),
                measured(steepest.rise),
                steepest.significance,
                100 * least_sensitive(steps).detectable_fraction,
                verdict,
            )
        )
    return Table(
        "verdict",
        "More data never hurts",
        (
            *(Column("steps"), Column("n"), Column("n_rising", "significant rises")),
            Column("largest_rise", "largest rise of sigma_NMAD"),
            Column("significance"),
            Column("detectable_rise_percent", "rise detectable in any step [% of sigma_NMAD]"),
            Column("verdict"),
        ),
        tuple(rows),
        note=f"A single step lowers the masked fraction of one modality by one grid point. All steps are one family of "
        f"tests (Holm 1979): a surface without any rise fails with a probability of {surface.level:.0%} at most. A "
        f"pass needs {MIN_GALAXIES} galaxies, and that a rise as large as the paper's (sigma_NMAD {PAPER_LESS:.4f} "
        f"with 25% of the image masked, {PAPER_MORE:.4f} with nothing masked: {PAPER_RISE:.0%}) would be detected "
        f"in any single step.",
    )


def steps_table(surface: Surface) -> Table:
    """Steps with a significant rise, then single steps by significance."""
    rest = sorted((s for s in surface.neighbours if not s.hurts), key=lambda s: -s.significance)
    steps = (*surface.hurting, *rest)[:MAX_ROWS]
    rows = tuple(
        (
            cell_name(s.less, surface),
            cell_name(s.more, surface),
            measured(s.rise),
            s.significance,
            s.detectable,
            Verdict("significant rise" if s.hurts else "not significant" if s.rise.value > 0 else "no rise"),
        )
        for s in steps
    )
    return Table(
        "steps",
        "Steps with the most significant rise",
        (
            *(Column("masked"), Column("less_masked"), Column("rise", "rise of sigma_NMAD"), Column("significance")),
            Column("detectable_rise"),
            Column("finding"),
        ),
        rows,
        note=f"At most {MAX_ROWS}: significant rises, single steps first, then other single steps. Errors are "
        f"those of the paired difference, from a bootstrap over galaxies.",
    )


def cells_table(surface: Surface) -> Table:
    """Scores of every cell."""
    rows = []
    for cell, scores in surface.cells.items():
        rows.append(
            (
                *ratio_names(cell, surface),
                measured(scores.sigma_nmad),
                measured(scores.bias),
                measured(scores.outlier_rate, 100),
                scores.not_finite,
            )
        )
    return Table(
        "cells",
        "Scores of every cell, at all redshifts",
        (
            *(Column("image_masked"), Column("spectrum_masked"), Column("sigma_nmad", "sigma_NMAD"), Column("bias")),
            Column("outliers_percent", "outliers [%]"),
            Column("not_finite"),
        ),
        tuple(rows),
        note="Errors are half of the 68% interval: from a bootstrap over galaxies, Wilson's for the outliers "
        "(|dz| > 0.15). A prediction that is not finite is an outlier.",
    )


def _text(surface: Surface) -> str:
    left_out = (
        f" {surface.n_left_out:,} further galaxies have no finite prediction in some cell and count in the "
        "outlier rates only."
        if surface.n_left_out
        else ""
    )
    return (
        "Redshifts of the same galaxies with increasing masked fractions of image and spectrum, from nothing to "
        "all of it (absent). The scatter of a well-trained model does not rise with more data. The cell with both "
        "modalities absent is excluded. "
        f"Scatter and bias are of {surface.n_galaxies:,} galaxies, the same in every cell and with the same resamples."
        + left_out
    )
