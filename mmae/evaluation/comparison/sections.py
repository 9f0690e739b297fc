"""Sections and summary of the page that compares runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mmae.evaluation.comparison.stored import StoredEvaluation
from mmae.evaluation.comparison.tables import Chosen, compared_table, configuration_table, difference_table
from mmae.evaluation.summary import (
    FILLED,
    FROM_IMAGES,
    FROM_SPECTRA,
    HIDDEN,
    MSE,
    MSE_LABEL,
    NOT_MEASURED,
    REDSHIFT,
    SIGMA_LABEL,
    SIGNIFICANT,
    filled_errors,
    noise_floor,
    redshift_scores,
    score,
)
from mmae.plots.comparison import comparison_figure
from mmae.report.contents import Drawing, Finding, Measured, Section, Verdict, cell_text, numbers, slug

MOST_ABREAST = 3
MODES = ("image", "spectrum", "both")
REDSHIFT_ROWS = ("galaxies", "sigma_NMAD", "bias", "|dz|>0.15 [%]", "catastrophic [%]")
SECTIONS: tuple[tuple[str, str, tuple[Chosen, ...], tuple[str, ...]], ...] = (
    (
        REDSHIFT,
        "Point redshifts",
        (
            Chosen("redshift", "all_z", MODES, REDSHIFT_ROWS),
            Chosen("redshift", "low_z", MODES, REDSHIFT_ROWS),
            Chosen("redshift", "baselines", ("model_minus_boosting", "model_minus_knn")),
        ),
        ("redshift_modes", "redshift_trends"),
    ),
    (
        "pz",
        "Calibration of p(z)",
        (
            Chosen("pz", "calibration", ("ks_distance", "bias", "coverage_error_percent", "verdict")),
            Chosen("pz", "scores", ("crps", "cde_loss", "mean_ln_p", "pit_outliers_percent")),
            Chosen("flags", "scores", ("flagged_percent", "coverage_percent", "outliers_percent")),
        ),
        ("pz_pit", "pz_coverage"),
    ),
    (
        HIDDEN,
        "Hidden parts of images and spectra",
        (
            Chosen("hidden", "targets", ("value",), target="target"),
            Chosen("hidden", "line_calibration", ("ratio",)),
            Chosen("spectra", "targets", ("median",), target="target"),
        ),
        ("hidden_gallery",),
    ),
    ("surface", "Does more data ever hurt?", (Chosen("surface", "verdict", ("n_rising", "verdict")),), ("surface",)),
    ("examples", "Examples of reconstructions", (), ("example_0", "example_1")),
)
"""Name, title, tables and figures of the sections. Figures of the runs are side by side."""


def compared_sections(evaluations: Sequence[StoredEvaluation], *, seed: int, resamples: int) -> list[Section]:
    """All sections, and the settings that differ at the end. Sections that no run has are left out."""
    abreast = min(len(evaluations), MOST_ABREAST)
    sections = []
    for name, title, chosen, figures in SECTIONS:
        tables = [table for one in chosen if (table := compared_table(one, evaluations)) is not None]
        # The same galaxies show a difference that is smaller than the errors of the two values.
        if name == REDSHIFT and tables:
            tables.insert(1, difference_table(evaluations, seed=seed, resamples=resamples))
        drawings = tuple(drawing for figure in figures for drawing in _drawings(figure, evaluations))
        if tables or drawings:
            sections.append(Section(name, title, "", tuple(tables), drawings, abreast=abreast))
    text = "All other settings of the runs are the same, except for names and folders."
    return [*sections, Section("settings", "Settings", text, (configuration_table(evaluations),))]


def compared_findings(evaluations: Sequence[StoredEvaluation]) -> list[Finding]:
    """The best run of each application, with the baselines of the first run that has them."""
    values = {evaluation.name: numbers(evaluation.sections) for evaluation in evaluations}
    found = []
    for mode, title in (("image", FROM_IMAGES), ("spectrum", FROM_SPECTRA)):
        scores = {name: redshift_scores(of_run, mode) for name, of_run in values.items()}
        baseline = next(iter(scores.values()))
        others = {"gradient boosting on magnitudes": baseline.boosting, "training median": baseline.median}
        own = {name: one.own for name, one in scores.items()}
        found.append(_finding(title, "scatter", own, others, SIGMA_LABEL, REDSHIFT, f"summary_{mode}"))
    own = {name: score(of_run, f"{MSE}/value") for name, of_run in values.items()}
    first = next(iter(values.values()))
    others = {**filled_errors(first), "noise floor": noise_floor(first)}
    found.append(_finding(FILLED, "error of hidden pixels", own, others, MSE_LABEL, HIDDEN, "summary_hidden"))
    return found


def _finding(
    title: str, what: str, own: dict[str, Measured], others: dict[str, Measured], label: str, section: str, name: str
) -> Finding:
    known = sorted(
        ((run, value) for run, value in own.items() if math.isfinite(value.value)), key=lambda item: item[1].value
    )
    if len(known) < 2:
        return Finding(title, (NOT_MEASURED,), "", section)
    (best, least), (second, next_value) = known[:2]
    error = math.hypot(least.error, next_value.error)
    if next_value.value - least.value > SIGNIFICANT * error:
        text = f"{best} has the smallest {what}, {1 - least.value / next_value.value:.0%} below that of {second}."
    else:
        text = f"No best run: the {what} of {best} is that of {second} within the errors of independent samples."
    listed = "; ".join(f"{run} {cell_text(value)}" for run, value in known)
    figure = comparison_figure({**dict(known), **others}, label, highlighted=len(known))
    return Finding(title, (Verdict(text),), f"{listed}.", section, Drawing(name, title, figure))


def _drawings(figure: str, evaluations: Sequence[StoredEvaluation]) -> list[Drawing]:
    """This figure of every run that has it."""
    found = []
    for evaluation in evaluations:
        drawings = [d for s in evaluation.sections for d in s.drawings if d.name == figure]
        for drawing in drawings:
            assert isinstance(drawing.figure, Path)
            name = f"{figure}_{slug(evaluation.name)}"
            found.append(replace(drawing, name=name, caption=f"{evaluation.name}: {drawing.caption}"))
    return found
